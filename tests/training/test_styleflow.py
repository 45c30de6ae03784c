"""The flow's training on toys whose answers are known."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from videdit.device import Device
from videdit.editing.classifier import GOAL, LatentClassifier
from videdit.editing.files import read_described
from videdit.editing.styleflow import ConditionalFlow, StyleFlow, load_styleflow
from videdit.errors import UsageError
from videdit.generators.mobile import SPACE, MappingNetwork
from videdit.generators.wspace import WStatistics
from videdit.training import styleflow
from videdit.training.styleflow import (
    FlowFaces,
    StyleFlowTraining,
    find_lengths,
    fit_flow,
    gathered,
    held_out_loss,
    path_of,
    sampled_rows,
    train_styleflow,
)

FLAT = WStatistics(torch.zeros(2), torch.eye(2), torch.ones(2))
TOY = StyleFlowTraining(
    hidden=48, layers=2, steps=800, batch=256, learning_rate=5e-3, averaging=0.98
)


def two_clouds(count: int = 4000) -> tuple[FlowFaces, Tensor]:
    """Codes (n, 2) about (1, 0) and (-1, 0), 0.3 wide and 1 high, their attribute 1 or -1; of unit
    variance but for the attribute's noise, and three numbers of a pose that say nothing."""
    random = torch.Generator().manual_seed(0)
    side = 2.0 * torch.randint(2, (count,), generator=random) - 1
    rows = torch.randn(count, 2, generator=random) * torch.tensor([0.3, 1.0])
    rows[:, 0] += side
    raw = torch.cat((5 * side[:, None], torch.randn(count, 3, generator=random)), 1)
    held_out = torch.arange(count) % 20 == 0
    return FlowFaces(rows, torch.zeros(0, 16, 2), raw, held_out), side


def test_the_path_goes_from_noise_to_rows() -> None:
    noise, rows = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    zero = torch.zeros(5, dtype=torch.float64)
    torch.testing.assert_close(path_of(noise, rows, zero)[0], noise)
    torch.testing.assert_close(path_of(noise, rows, zero + 1)[0], rows)
    at, little = torch.linspace(0.1, 0.9, 5, dtype=torch.float64), 1e-6
    later, sooner = (path_of(noise, rows, at + d)[0] for d in (little, -little))
    torch.testing.assert_close(path_of(noise, rows, at)[1], (later - sooner) / (2 * little))


def test_an_edit_moves_one_cloud_onto_the_other() -> None:
    faces, side = two_clouds()
    lines: list[str] = []
    flow = fit_flow(faces, FLAT, TOY, lines.append)
    losses = [float(line.split("loss ")[1].split()[0]) for line in lines]
    assert losses[-1] < 0.85 * losses[0]
    # What is left at best: given the place, the velocity of a Gaussian of deviation s varies by
    # (pi/2)^2 s^2 / (cos^2 + s^2 sin^2), over all times by (pi/2)^2 s; no velocity leaves all.
    best = (0.3 + 1) / (0.5 * (1.09 + 1) + 1)
    assert held_out_loss(flow, faces, FLAT, TOY) == pytest.approx(best, abs=0.05)
    left_ones = faces.held_out & (side < 0)
    rows, raw = faces.whole[left_ones], faces.raw[left_ones]
    noise = flow.transported(rows, flow.squashed(raw), back=True)
    # The noise is standard normal, whatever the attribute.
    assert noise.mean(0).abs().max() < 0.3
    assert (noise.std(0) - 1).abs().max() < 0.3
    other = raw.clone()
    other[:, 0] = 5
    edited = flow.transported(noise, flow.squashed(other))
    torch.testing.assert_close(edited.mean(0), rows.mean(0) * -1, atol=0.2, rtol=0)
    assert (edited.std(0) - rows.std(0)).abs().max() < 0.15
    # What the attribute does not tell stays each one's own.
    both = torch.stack((edited[:, 1], rows[:, 1]))
    assert float(torch.corrcoef(both)[0, 1]) > 0.97


def test_no_velocity_is_right_for_a_standard_normal() -> None:
    random = torch.Generator().manual_seed(1)
    rows, raw = torch.randn(4000, 2, generator=random), torch.randn(4000, 4, generator=random)
    faces = FlowFaces(rows, torch.zeros(0, 16, 2), raw, torch.arange(4000) % 20 == 0)
    still = ConditionalFlow(2, 4, 8, 1)
    assert held_out_loss(still, faces, FLAT, TOY) == 1
    how = StyleFlowTraining(hidden=16, layers=1, steps=150, batch=256)
    assert held_out_loss(fit_flow(faces, FLAT, how, lambda line: None), faces, FLAT, how) > 0.95


class Stopped(Exception):
    """Stands for a kill."""


def test_a_training_that_is_stopped_ends_where_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(styleflow, "_SAVED_EVERY_S", 0.0)
    monkeypatch.setattr(styleflow, "_TOLD_EVERY", 10)
    faces, _ = two_clouds(500)
    how = StyleFlowTraining(hidden=16, layers=2, steps=40, batch=32)
    whole = fit_flow(faces, FLAT, how, lambda line: None)
    told: list[str] = []

    def until(line: str) -> None:
        told.append(line)
        if line.startswith("step 20"):
            raise Stopped

    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        fit_flow(faces, FLAT, how, until, checkpoint=checkpoint)
    left = int(torch.load(checkpoint, weights_only=True)["step"])
    assert left == 19  # it was told of before it was kept
    lines: list[str] = []
    again = fit_flow(faces, FLAT, how, lines.append, checkpoint=checkpoint)
    assert [line.split(":")[0] for line in lines] == ["step 20", "step 30", "step 40"]
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert not list(tmp_path.glob(".*"))  # nothing half-written stays
    # Once more: it is done.
    lines.clear()
    done = fit_flow(faces, FLAT, how, lines.append, checkpoint=checkpoint)
    assert not lines
    assert torch.equal(done.embed.weight, whole.embed.weight)
    with pytest.raises(UsageError, match="other settings"):
        fit_flow(faces, FLAT, StyleFlowTraining(steps=41), checkpoint=checkpoint)


# --- from the folder of a training ----------------------------------------------------------------

NAMES = ("Smiling", "Young")


def linear_classifier(stats: WStatistics) -> LatentClassifier:
    """Logits that are linear in the code: ``rows . weights + 0.2``."""
    torch.manual_seed(3)
    found = LatentClassifier(NAMES, 1)
    found.take_coordinates(stats)
    member: Any = found.members[0]
    torch.nn.init.zeros_(member.last.weight)
    torch.nn.init.constant_(member.last.bias, 0.2)
    torch.nn.init.normal_(member.linear.weight, std=0.02)
    found.pose.normal_().mul_(0.02)
    found.load_state_dict({k: v.half().float() for k, v in found.state_dict().items()})
    return found.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def stats() -> WStatistics:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(512, 512))[0]
    return WStatistics(0.1 * torch.randn(512), axes, torch.linspace(1.5, 0.5, 512))


@pytest.fixture
def networks(stats: WStatistics) -> Any:
    torch.manual_seed(5)
    return MadeUp(
        classifier=linear_classifier(stats),
        mapping=MappingNetwork(1).requires_grad_(False),
        statistics=stats,
        device=Device("cpu", "fp32"),
        space=SPACE,
        bundle=SimpleNamespace(name="mobile"),
    )


class MadeUp(SimpleNamespace):
    def __contains__(self, role: str) -> bool:
        return hasattr(self, role)


SMALL = StyleFlowTraining(faces=120, hidden=16, layers=1, steps=4, batch=16, tried=5)


class Pushing(ConditionalFlow):
    """v = a P: what an edit adds is linear in the conditions."""

    def __init__(self, push: Tensor) -> None:
        super().__init__(push.shape[1], len(push), 4, 1)
        self.push = push
        self.spread.fill_(1000.0)  # nothing is squashed

    def forward(self, x: Tensor, time: Tensor, conditions: Tensor) -> Tensor:
        return conditions @ self.push


def test_lengths_take_the_median_face_to_the_goal(stats: WStatistics) -> None:
    classifier = linear_classifier(stats)
    random = torch.Generator().manual_seed(6)
    codes = stats.color(torch.randn(40, 16, 512, generator=random)).numpy()
    # Along the classifier's own gradient, too short by a third and too long by half.
    weights: Any = classifier.members[0].linear.weight  # type: ignore[union-attr]
    grouped = weights.reshape(2, -1, 512)
    own = grouped[:, :8].mean(1)  # of the groups within rows 0 to 10
    push = torch.zeros(5, 512)
    push[:2] = torch.linalg.pinv(own @ (classifier.axes.T @ stats.axes * stats.scale).T).T
    probe = StyleFlow(Pushing(1000 * push), stats, classifier)
    at = classifier.logits(codes)
    for column, name in enumerate(NAMES):
        lacks = at[:, column] < 0
        ones = np.ones(int(lacks.sum()), np.float32)
        moved = classifier.logits(probe.move(codes[lacks], name, ones))[:, column]
        gained = (moved - at[lacks, column]) / (GOAL - at[lacks, column])
        push[column] *= (2 / 3, 1.5)[column] / float(np.median(gained))
    editor = StyleFlow(Pushing(1000 * push), stats, classifier)
    found = find_lengths(editor, codes, 6.0)
    assert found["Smiling"][1] == pytest.approx(1.5, rel=0.02)
    assert found["Young"][1] == pytest.approx(2 / 3, rel=0.02)
    editor.lengths = found
    for column, name in enumerate(NAMES):
        for sign in (-1, 1):
            lacks = at[:, column] * sign < 0
            alphas = np.full(int(lacks.sum()), sign, np.float32)
            after = classifier.logits(editor.move(codes[lacks], name, alphas))[:, column]
            assert np.median(sign * after) == pytest.approx(GOAL, abs=0.05)
    # No length is endless, and a direction that nobody can go has the other's.
    few = codes[at[:, 0] < 0][:6]
    shorter = find_lengths(editor, few, 1.2)["Smiling"]
    assert shorter[0] == shorter[1] == pytest.approx(1.2, rel=0.02)


def test_conditions_are_the_classifiers_of_the_whole_code(stats: WStatistics) -> None:
    classifier = linear_classifier(stats)
    torch.manual_seed(7)
    whole, mixed = torch.randn(60, 512), torch.randn(20, 16, 512).half()
    shown = torch.arange(20) % 10  # the last ten are inversions of the first
    faces = gathered(whole, mixed, shown, classifier, StyleFlowTraining(held_out=0.3))
    np.testing.assert_allclose(
        faces.raw[60:, :2].numpy(), classifier.logits(mixed.float().numpy()), atol=1e-4
    )
    expected = classifier.logits(whole[:, None].repeat(1, 16, 1).numpy())
    np.testing.assert_allclose(faces.raw[:60, :2].numpy(), expected, atol=1e-4)
    assert torch.equal(faces.held_out[60:70], faces.held_out[70:])
    assert 0 < int(faces.held_out.sum()) < 50
    chosen, row = torch.tensor([3, 61, 79]), torch.tensor([9, 2, 15])
    rows = faces.rows(chosen, row)
    assert torch.equal(rows[0], whole[3])
    assert torch.equal(rows[1:], torch.stack((mixed[1, 2], mixed[19, 15])).float())
    assert np.array_equal(faces.codes(chosen)[1], mixed[1].float().numpy())
    with pytest.raises(UsageError, match="too few"):
        gathered(whole[:1], mixed[:0], shown[:0], classifier, StyleFlowTraining())


def test_sampled_rows_are_drawn_towards_the_mean(networks: Any, stats: WStatistics) -> None:
    rows = sampled_rows(networks.mapping, stats, SMALL)
    assert rows.shape == (120, 512)
    assert torch.equal(rows, sampled_rows(networks.mapping, stats, SMALL))
    noise = torch.randn(120, 512, generator=torch.Generator().manual_seed(0))
    shares = (rows - stats.mean).norm(dim=1) / (networks.mapping(noise) - stats.mean).norm(dim=1)
    assert 0.4 <= float(shares.min()) < 0.5 < 0.9 < float(shares.max()) <= 1.0


@pytest.mark.parametrize("labelled", [False, True])
def test_from_a_folder_to_an_editor(
    networks: Any, stats: WStatistics, tmp_path: Path, labelled: bool
) -> None:
    classifier = networks.classifier
    if labelled:
        classifier.save(tmp_path / "classifier.safetensors", {})
        networks.classifier = None  # the folder's own is taken
        codes = stats.color(torch.randn(60, 16, 512)).numpy().astype(np.float16)
        arrays = {"codes": codes[:40], "inverted": codes[20:], "logits": np.zeros((40, 2))}
        np.savez(tmp_path / "labelled-0000.npz", **arrays)
    lines: list[str] = []
    path = train_styleflow(tmp_path, networks, SMALL, lines.append)
    assert path == tmp_path / "styleflow.safetensors"
    assert lines[0] == f"120 faces of W, {80 if labelled else 0} mixed or inverted"
    editor = load_styleflow(path, stats, classifier)
    assert editor.names == NAMES
    assert set(editor.lengths) == set(NAMES)
    assert all(1 / 6 <= v <= 6 for pair in editor.lengths.values() for v in pair)
    notes = read_described(path)[0]["notes"]
    assert notes["settings"]["steps"] == 4
    assert math.isfinite(notes["held_out"])
    assert notes["cycle_error"] < 1e-3
    # Nothing is lost by calling again.
    before = path.read_bytes()
    path.unlink()
    assert train_styleflow(tmp_path, networks, SMALL, lines.append).read_bytes() == before
    with pytest.raises(UsageError, match="other settings"):
        train_styleflow(tmp_path, networks, StyleFlowTraining(faces=120), lambda line: None)
