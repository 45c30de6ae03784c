"""The flow against closed forms, and edits that move what they are told to and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from videdit.editing.classifier import LatentClassifier
from videdit.editing.schedule import Edit
from videdit.editing.shell import Shell
from videdit.editing.styleflow import (
    GOAL,
    POSE,
    ConditionalFlow,
    StyleFlow,
    edited_rows,
    goal,
    load_styleflow,
    raw_conditions,
)
from videdit.editing.transformer import EDITED_ROWS
from videdit.errors import UsageError, WeightsError
from videdit.generators.wspace import WStatistics
from videdit.training.maps import Direction, MapBank

Floats = npt.NDArray[np.float32]

NAMES = ("Smiling", "Young", "Black_Hair")


@pytest.fixture(scope="module")
def stats() -> WStatistics:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(512, 512))[0]
    return WStatistics(0.1 * torch.randn(512), axes, torch.linspace(2, 0.1, 512))


@pytest.fixture(scope="module")
def classifier(stats: WStatistics) -> LatentClassifier:
    torch.manual_seed(1)
    found = LatentClassifier(NAMES, 1)
    found.take_coordinates(stats)
    found.pose.normal_().mul_(0.02)
    # As it will be loaded.
    found.load_state_dict({k: v.half().float() for k, v in found.state_dict().items()})
    return found.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def flow() -> ConditionalFlow:
    """One that has learned something or other."""
    torch.manual_seed(2)
    made = ConditionalFlow(512, len(NAMES) + POSE, 48, 2)
    for part in (made.last.linear, made.last.shift):
        torch.nn.init.normal_(part.weight, std=0.3)
    made.centre.copy_(torch.tensor([-1.0, 0.5, 0.1, 0.0, 0.0, 0.0]))
    made.spread.copy_(torch.tensor([1.0, 2.0, 0.7, 1.0, 1.0, 1.0]))
    return made.eval().requires_grad_(False)


@pytest.fixture
def editor(flow: ConditionalFlow, stats: WStatistics, classifier: LatentClassifier) -> StyleFlow:
    return StyleFlow(flow, stats, classifier)


def some_codes(stats: WStatistics, count: int = 3, seed: int = 3) -> Floats:
    random = torch.Generator().manual_seed(seed)
    found: Floats = stats.color(0.8 * torch.randn(count, 16, 512, generator=random)).numpy()
    return found


def strengths(*values: float) -> Floats:
    return np.array(values, np.float32)


# --- the flow -------------------------------------------------------------------------------------


class Linear(ConditionalFlow):
    """v(x, t, a) = x M + a P."""

    def __init__(self, matrix: Tensor, push: Tensor) -> None:
        super().__init__(len(matrix), len(push), 4, 1)
        self.matrix, self.push = matrix, push

    def forward(self, x: Tensor, time: Tensor, conditions: Tensor) -> Tensor:
        return x @ self.matrix + conditions @ self.push


def test_a_linear_velocity_flows_by_the_matrix_exponential() -> None:
    random = torch.Generator().manual_seed(0)
    matrix = 0.5 * torch.randn(5, 5, generator=random)
    push = torch.randn(2, 5, generator=random)
    x, a = torch.randn(7, 5, generator=random), torch.randn(7, 2, generator=random)
    # The conditions are as good as coordinates that don't move.
    whole = torch.zeros(7, 7)
    whole[:5, :5], whole[5:, :5] = matrix, push
    expected = (torch.cat((x, a), 1) @ torch.matrix_exp(whole))[:, :5]
    linear = Linear(matrix, push)
    torch.testing.assert_close(linear.transported(x, a, steps=16), expected, atol=1e-4, rtol=1e-4)
    # Of the fourth order: half the steps, sixteen times the error.
    errors = [float((linear.transported(x, a, steps=n) - expected).abs().max()) for n in (2, 4, 8)]
    assert errors[0] / errors[1] > 10
    assert errors[1] / errors[2] > 10
    torch.testing.assert_close(
        linear.transported(expected, a, back=True, steps=16), x, atol=1e-4, rtol=1e-4
    )


def test_time_runs_from_noise_to_codes() -> None:
    class Clock(ConditionalFlow):
        def forward(self, x: Tensor, time: Tensor, conditions: Tensor) -> Tensor:
            return 3 * time**2 * torch.ones_like(x)

    clock, zero = Clock(2, 1, 4, 1), torch.zeros(1, 2)
    there = clock.transported(zero, zero[:, :1])
    torch.testing.assert_close(there, zero + 1)  # t^3, which the solver integrates exactly
    torch.testing.assert_close(clock.transported(there, zero[:, :1], back=True), zero)


def test_a_new_flow_is_the_identity() -> None:
    made = ConditionalFlow(6, 4, 16, 2)
    x, a = torch.randn(3, 6), torch.randn(3, 4)
    assert torch.equal(made.transported(x, a), x)
    assert torch.equal(made.transported(x, a, back=True), x)


def test_layers_are_gated_by_time_and_conditions(flow: ConditionalFlow) -> None:
    x, a = torch.randn(4, 512), torch.randn(4, 6)
    velocity = flow(x, torch.full((4,), 0.3), a)
    torch.testing.assert_close(velocity, flow(x, torch.tensor(0.3), a))
    assert not torch.allclose(velocity, flow(x, torch.tensor(0.9), a), atol=1e-2)
    assert not torch.allclose(velocity, flow(x, torch.tensor(0.3), -a), atol=1e-2)
    layer, embedded = flow.last, torch.randn(4, 192)
    hidden = torch.randn(4, 48)
    gate = 1 / (1 + torch.exp(-(embedded @ layer.gate.weight.T + layer.gate.bias)))
    expected = (hidden @ layer.linear.weight.T + layer.linear.bias) * gate
    expected = expected + embedded @ layer.shift.weight.T
    torch.testing.assert_close(layer(hidden, embedded), expected)


def test_conditions_are_squashed_at_three_deviations(flow: ConditionalFlow) -> None:
    near = flow.centre + 0.1 * flow.spread
    torch.testing.assert_close(flow.squashed(near), torch.full((6,), 0.1), atol=1e-4, rtol=0)
    far = flow.squashed(flow.centre - 100 * flow.spread)
    torch.testing.assert_close(far, torch.full((6,), -3.0))


# --- edits ----------------------------------------------------------------------------------------


def test_an_alpha_of_one_asks_for_the_goal() -> None:
    logits = torch.tensor([-4.0, -0.5, 0.0, 2.0])
    torch.testing.assert_close(goal(logits, 1), torch.tensor([GOAL, GOAL, GOAL, 2 + GOAL]))
    torch.testing.assert_close(goal(-logits, -1), -goal(logits, 1))
    torch.testing.assert_close(goal(logits, 0.5), (logits + goal(logits, 1)) / 2)
    torch.testing.assert_close(goal(logits, 3), goal(logits, 1))


def test_a_velocity_that_conditions_alone_make_moves_by_their_difference(
    stats: WStatistics, classifier: LatentClassifier
) -> None:
    push = torch.randn(6, 512, generator=torch.Generator().manual_seed(4))
    linear = Linear(torch.zeros(512, 512), push)
    linear.centre.copy_(torch.tensor([-1.0, 0.5, 0.1, 0.0, 0.0, 0.0]))
    editor = StyleFlow(linear, stats, classifier, {"Young": (3.0, 2.0)})
    codes = some_codes(stats, 2)
    raw = raw_conditions(classifier, torch.from_numpy(codes))
    edited = editor.move(codes, "Young", strengths(0.5, -1))
    for number, (alpha, length) in enumerate(((0.5, 2.0), (-1.0, 3.0))):
        new = raw[number].clone()
        new[1] = goal(new[1], alpha)
        change = (linear.squashed(new) - linear.squashed(raw[number])) @ push
        expected = length * ((change * stats.scale) @ stats.axes.T).numpy()
        moved = (edited - codes)[number]
        np.testing.assert_allclose(
            moved[:EDITED_ROWS], np.broadcast_to(expected, (EDITED_ROWS, 512)), atol=1e-4
        )
        assert not moved[EDITED_ROWS:].any()


def test_codes_whose_strength_is_0_and_rows_that_are_not_edited_stay(
    editor: StyleFlow, stats: WStatistics
) -> None:
    codes = some_codes(stats)
    edited = editor.move(codes, "Smiling", strengths(0, 1, -0.5))
    np.testing.assert_array_equal(edited[0], codes[0])
    np.testing.assert_array_equal(edited[:, EDITED_ROWS:], codes[:, EDITED_ROWS:])
    assert (np.abs(edited - codes)[1:, :EDITED_ROWS].max(2) > 1e-3).all()
    assert edited.dtype == np.float32
    colour = editor.move(codes, "Black_Hair", strengths(0, 1, 1))
    assert (np.abs(colour - codes)[1:].max(2) > 1e-3).all()


def test_the_same_rows_are_edited_as_by_the_latent_transformers() -> None:
    for name in ("Smiling", "Black_Hair", "Rosy_Cheeks", "Bangs", "Pale_Skin", "Heavy_Makeup"):
        bank = MapBank([Direction(name, 0, 1)], 0)
        assert edited_rows(name) == int(bank.edited.sum())


def test_a_code_is_moved_as_if_it_were_alone(editor: StyleFlow, stats: WStatistics) -> None:
    """To the last bit: what is edited for a stretch is the same for the whole."""
    codes = some_codes(stats, 9)
    alphas = np.linspace(-1.5, 2, 9).astype(np.float32)
    together = editor.move(codes, "Smiling", alphas)
    for k in (0, 3, 8):
        alone = editor.move(codes[k : k + 1], "Smiling", alphas[k : k + 1])
        np.testing.assert_array_equal(alone[0], together[k])


def test_back_and_forth_is_where_it_was(editor: StyleFlow, stats: WStatistics) -> None:
    codes = some_codes(stats)
    assert 0 < editor.cycle_error(codes) < 1e-2
    rough = StyleFlow(editor.flow, stats, editor.classifier, steps=2)
    assert editor.cycle_error(codes) < 0.1 * rough.cycle_error(codes)
    # What is asked for is what is there: nothing moves, whatever the error.
    raw = raw_conditions(editor.classifier, torch.from_numpy(codes))
    assert np.abs(rough.ways(codes[0], raw[:1])).max() < 1e-4


def test_the_noise_holds_what_the_attributes_do_not_tell(
    editor: StyleFlow, stats: WStatistics
) -> None:
    """F(z, a') goes back to the same z, and so to w."""
    code = some_codes(stats, 1)[0]
    raw = raw_conditions(editor.classifier, torch.from_numpy(code)[None])
    other = raw.clone()
    other[0, 0] += 2
    w = stats.whiten(torch.from_numpy(code))
    before, after = (editor.flow.squashed(c).expand(16, -1) for c in (raw, other))
    noise = editor.flow.transported(w, before, back=True)
    there = editor.flow.transported(noise, after)
    assert float((there - w).abs().max()) > 0.1
    again = editor.flow.transported(
        editor.flow.transported(there, after, back=True, steps=32), before, steps=32
    )
    torch.testing.assert_close(again, w, atol=0.02, rtol=0)


def test_beyond_an_alpha_of_one_the_chord_goes_on(editor: StyleFlow, stats: WStatistics) -> None:
    codes = some_codes(stats, 1)
    one = editor.move(codes, "Smiling", strengths(-1)) - codes
    far = editor.move(codes, "Smiling", strengths(-2.5)) - codes
    np.testing.assert_allclose(far, 2.5 * one, atol=1e-4)
    less = editor.move(codes, "Smiling", strengths(-0.99)) - codes
    np.testing.assert_allclose(less, one, atol=0.05 * float(np.abs(one).max()))


def test_long_edits_are_held_in_the_shell(
    editor: StyleFlow, stats: WStatistics, flow: ConditionalFlow
) -> None:
    shell = Shell(stats.mean.numpy(), stats.whitening.numpy())
    held = StyleFlow(flow, stats, editor.classifier, shell=shell)
    codes = some_codes(stats, 2)
    edited = held.move(codes, "Smiling", strengths(0.05, 60))
    np.testing.assert_array_equal(edited[0], editor.move(codes, "Smiling", strengths(0.05, 0))[0])
    free = editor.move(codes, "Smiling", strengths(0, 60))
    most = np.maximum(shell.spread(codes), 1)
    assert (shell.spread(free) > most)[1].any()
    assert (shell.spread(edited) <= most * 1.0001).all()
    np.testing.assert_array_equal(edited[:, EDITED_ROWS:], codes[:, EDITED_ROWS:])


def test_several_edits_at_once(editor: StyleFlow, stats: WStatistics) -> None:
    codes = some_codes(stats)
    wishes = {"young": strengths(1, -1, 0), "Black_Hair": strengths(1, 0, 0)}
    both = editor.move_together(codes, wishes)
    # One alone is one alone, and none is none.
    np.testing.assert_array_equal(both[1:], editor.move(codes, "Young", strengths(1, -1, 0))[1:])
    raw = raw_conditions(editor.classifier, torch.from_numpy(codes[:1])).repeat(2, 1)
    raw[:, 1] = goal(raw[:, 1], 1)
    raw[1, 2] = goal(raw[1, 2], 1)
    young, all_ = editor.ways(codes[0], raw)
    np.testing.assert_allclose((both - codes)[0, :EDITED_ROWS], all_[:EDITED_ROWS], atol=1e-4)
    # The finer rows are the hair's.
    np.testing.assert_allclose(
        (both - codes)[0, EDITED_ROWS:], (all_ - young)[EDITED_ROWS:], atol=1e-4
    )
    with pytest.raises(UsageError, match="Smilng"):
        editor.move_together(codes, {"Smilng": strengths(1, 1, 1)})


def test_it_is_an_editor_like_the_others(editor: StyleFlow, stats: WStatistics) -> None:
    assert editor.names == NAMES
    assert editor.name("black hair") == "Black_Hair"
    with pytest.raises(UsageError) as caught:
        editor.apply(some_codes(stats), [Edit.parse("Eyeglasses")], np.zeros(3))
    assert "Eyeglasses" in caught.value.message


# --- its file -------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(
    flow: ConditionalFlow, stats: WStatistics, classifier: LatentClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "flow.safetensors"
    editor = StyleFlow(flow, stats, classifier, {"Smiling": (0.5, 2.0)}, {"Young": 6}, steps=5)
    editor.save(path, {"made": "by a test"})
    loaded = load_styleflow(path, stats, classifier)
    assert (loaded.names, loaded.lengths) == (editor.names, editor.lengths)
    assert (loaded.rows, loaded.steps) == ({"Smiling": 11, "Young": 6, "Black_Hair": 16}, 5)
    codes = some_codes(stats)
    for name in NAMES:
        one, other = (e.move(codes, name, strengths(1, -1, 2)) for e in (editor, loaded))
        np.testing.assert_allclose(one, other, atol=0.03)
    editor.save(tmp_path / "again.safetensors", {"made": "by a test"})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    # Once rounded, always the same.
    loaded.save(tmp_path / "loaded.safetensors", {"made": "by a test"})
    assert path.read_bytes() == (tmp_path / "loaded.safetensors").read_bytes()


def test_files_that_do_not_fit_are_weights_errors(
    flow: ConditionalFlow, stats: WStatistics, classifier: LatentClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "flow.safetensors"
    with pytest.raises(WeightsError, match="the flow"):
        load_styleflow(path, stats, classifier)
    StyleFlow(flow, stats, classifier).save(path, {})
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"x", whole.replace(b"styleflow.1", b"styleflow.9")):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError):
            load_styleflow(path, stats, classifier)
    path.write_bytes(whole)
    other = LatentClassifier(NAMES, 1).eval()
    with pytest.raises(WeightsError, match="another latent classifier"):
        load_styleflow(path, stats, other)
    broken = ConditionalFlow(512, 6, 8, 1)
    torch.nn.init.constant_(broken.embed.bias, math.inf)
    StyleFlow(broken, stats, classifier).save(path, {})
    with pytest.raises(WeightsError, match="finite"):
        load_styleflow(path, stats, classifier)


def test_a_flow_of_the_default_size_is_a_small_file(
    stats: WStatistics, classifier: LatentClassifier, tmp_path: Path
) -> None:
    from videdit.training.styleflow import StyleFlowTraining

    how = StyleFlowTraining()
    flow = ConditionalFlow(512, 43, how.hidden, how.layers)
    StyleFlow(flow, stats, classifier).save(tmp_path / "flow.safetensors", {})
    assert (tmp_path / "flow.safetensors").stat().st_size < 10_000_000
