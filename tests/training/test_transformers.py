"""Classifier, transformers and baselines find what is planted in made-up codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.editing.classifier import LatentClassifier, load_classifier
from videdit.editing.scores import auc
from videdit.editing.transformer import EDITED_ROWS, RANK
from videdit.errors import UsageError, WeightsError
from videdit.generators.wspace import WStatistics
from videdit.training.baselines import fit_normals, name_components
from videdit.training.classifier import (
    ClassifierTraining,
    fit_classifier,
    fit_pose,
    labelled_codes,
)
from videdit.training.faces import expand
from videdit.training.maps import (
    Direction,
    Draw,
    MapBank,
    Seen,
    TransformerTraining,
    both,
    flip_losses,
    learn_maps,
)
from videdit.training.pool import Pool, Space

NAMES = ("Smiling", "Young", "Hat")
FACES = 1500
DIMENSIONS = 12


@pytest.fixture(scope="module")
def stats() -> WStatistics:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(512, 512))[0]
    scale = torch.cat((torch.linspace(2, 1, DIMENSIONS), torch.full((512 - DIMENSIONS,), 0.02)))
    return WStatistics(torch.randn(512) * 0.1, axes, scale)


def draw(stats: WStatistics, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and the whitened coordinates (n, 16, 12) of their first axes."""
    torch.manual_seed(seed)
    whitened = torch.randn(count, 16, 512)
    return stats.color(whitened).numpy(), whitened[..., :DIMENSIONS].numpy()


def plant(whitened: np.ndarray) -> np.ndarray:
    """Labels: a smile lives in row 4, youth in row 5, a hat in row 2."""
    return np.stack(
        [whitened[:, 4, 1] > 0, whitened[:, 5, 2] > 0, whitened[:, 2, 3] > 0.5], 1
    ).astype(np.float32)


@pytest.fixture(scope="module")
def classifier(stats: WStatistics) -> LatentClassifier:
    codes, whitened = draw(stats, FACES, 1)
    how = ClassifierTraining(members=2, epochs=6, batch=64)
    return fit_classifier(codes, plant(whitened), NAMES, stats, how, lambda line: None)


def test_the_classifier_learns_what_is_planted(
    classifier: LatentClassifier, stats: WStatistics, tmp_path: Path
) -> None:
    codes, whitened = draw(stats, 400, 2)
    logits, labels = classifier.logits(codes), plant(whitened)
    assert min(auc(logits[:, j], labels[:, j]) for j in range(3)) > 0.95
    classifier.save(tmp_path / "c.safetensors", {})
    loaded = load_classifier(tmp_path / "c.safetensors")
    assert loaded.names == NAMES
    np.testing.assert_allclose(loaded.logits(codes), logits, atol=0.05)
    (tmp_path / "c.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError):
        load_classifier(tmp_path / "c.safetensors")


def test_the_losses_flip_one_attribute_and_keep_the_probabilities_of_the_others() -> None:
    before = torch.tensor([[[1.0, 0.0, 4.0], [-1.0, 0.0, 4.0]], [[2.0, 0.0, 4.0], [0.5, 0.0, 4.0]]])
    index, sign = torch.tensor([0, 2]), torch.tensor([1, -1])
    kept = torch.tensor([[0.0, 0.5, 1.0], [0.3, 1.0, 0.0]])
    # Nothing moves: each face is as far from the other label, and the margin, as it was.
    still = before.new_zeros(())
    wrong, others = flip_losses(Seen(before, before, still), before, index, sign, kept, 0.5)
    expected = (np.logaddexp(0, [-0.5, 1.5]).sum() + 2 * np.logaddexp(0, 4.5)) / 4
    assert float(wrong) == pytest.approx(expected, rel=1e-5)
    assert float(others) == 0
    # Where nothing is decided, the others' difference is about that of the logits; where all is,
    # next to nothing.
    open_, sure = before.clone(), before.clone()
    open_[0, :, 1] += 0.1
    sure[0, :, 2] += 0.1
    expected = 0.5 * 16 * (1 / (1 + np.exp(-0.1)) - 0.5) ** 2 * 2 / 12
    found = flip_losses(Seen(open_, before, still), before, index, sign, kept, 0.5)[1]
    assert float(found) == pytest.approx(expected, rel=1e-3)
    found = flip_losses(Seen(sure, before, still), before, index, sign, kept, 0.5)[1]
    assert float(found) < expected / 50


def pool(classifier: LatentClassifier, stats: WStatistics, codes: np.ndarray) -> Pool:
    rows = torch.from_numpy(codes)
    space = Space(stats)
    correlation = np.eye(len(NAMES), dtype=np.float32)
    flags = np.zeros(len(codes), bool)
    with torch.no_grad():
        own = np.arange(len(codes))
        return Pool(classifier, space, flags, own, space.of(rows), classifier(rows), correlation)


def test_maps_learned_side_by_side_give_and_take_away(
    classifier: LatentClassifier, stats: WStatistics
) -> None:
    codes, _ = draw(stats, 4000, 5)
    given = pool(classifier, stats, codes)
    directions = both(NAMES[:2], (0, 1))
    assert [str(one) for one in directions] == ["Smiling +1", "Smiling -1", "Young +1", "Young -1"]
    bank = learn_maps(given, directions, TransformerTraining(steps=200))
    fresh, _ = draw(stats, 200, 6)
    before = classifier.logits(fresh)
    for number, one in enumerate(directions):
        found = bank.affine(number, given.space)
        assert found.down.shape == (EDITED_ROWS, 512, RANK)
        moved = fresh.copy()
        moved[:, :EDITED_ROWS] += found.of(fresh, stats.mean.numpy())
        after = classifier.logits(moved)
        lacking = before[:, one.index] * one.sign < 0
        assert (after[lacking, one.index] * one.sign > 0).mean() > 0.9
        other = 1 - one.index
        assert ((after[:, other] > 0) == (before[:, other] > 0)).mean() > 0.85


def test_a_map_is_the_same_in_coordinates_and_of_codes(
    classifier: LatentClassifier, stats: WStatistics
) -> None:
    codes, _ = draw(stats, 5, 7)
    given = pool(classifier, stats, codes)
    bank = MapBank([Direction("Smiling", 0, 1), Direction("Black_Hair", 2, 1)], 0)
    torch.manual_seed(3)
    torch.nn.init.normal_(bank.up, std=0.1)
    torch.nn.init.normal_(bank.bias, std=0.1)
    with torch.no_grad():
        steps = bank(given.coordinates[None].expand(2, -1, -1, -1))
        moved = given.space.codes(given.coordinates + steps).numpy() - codes
    for number, rows in enumerate((EDITED_ROWS, 16)):  # colours live in the finer rows, too
        found = bank.affine(number, given.space).of(codes, stats.mean.numpy())
        assert found.shape[1] == rows
        np.testing.assert_allclose(moved[number][:, :rows], found, atol=2e-4)
        np.testing.assert_allclose(moved[number][:, rows:], 0, atol=2e-5)


def test_faces_are_drawn_that_lack_what_is_given() -> None:
    logits = torch.tensor([[1.0, -1], [-1, -1], [2, -2], [-2, -1]])
    chosen, alphas = Draw(logits, torch.tensor([0, 0, 1]), torch.tensor([1, -1, -1]), 0)(
        200, (1, 1.5), 1 / 3
    )
    assert set(chosen[0].tolist()) == {1, 3}
    assert set(chosen[1].tolist()) == {0, 2}
    assert set(chosen[2].tolist()) == {0, 1, 2, 3}  # none has it: any will do
    assert float(alphas.min()) == 1
    assert 1.3 < float(alphas.max()) <= 1.5
    assert 0.5 < float((alphas == 1).float().mean()) < 0.8


def test_inverted_codes_know_what_the_encoder_saw(tmp_path: Path) -> None:
    for number in range(2):
        codes = np.full((3, 16, 512), number, np.float16)
        more = {"inverted": codes + 10} if number else {}
        np.savez(tmp_path / f"labelled-{number:04d}.npz", codes=codes, logits=codes[:, 0], **more)
    codes, logits, shown = labelled_codes(tmp_path, "labelled")
    assert codes[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 11, 11, 11]
    assert logits[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert shown.tolist() == [0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_the_baselines_are_the_same_when_fitted_again(
    classifier: LatentClassifier, stats: WStatistics
) -> None:
    codes, _ = draw(stats, 300, 3)
    logits = classifier.logits(codes)
    one, other = (fit_normals(codes, logits, classifier, report=lambda _: None) for _ in range(2))
    for name in NAMES:
        np.testing.assert_array_equal(one.normals[name], other.normals[name])


def test_pose_is_regressed_on_the_coarse_rows(
    classifier: LatentClassifier, stats: WStatistics, tmp_path: Path
) -> None:
    random = np.random.default_rng(6)
    whitened = random.standard_normal((2, 900, 512)).astype(np.float32)
    w_a, w_b = (stats.color(torch.from_numpy(part)).numpy() for part in whitened)
    crossover = np.r_[np.full(450, 16), random.integers(1, 16, 450)].astype(np.uint8)
    rows = expand(w_a, w_b, crossover)
    yaw = stats.whiten(torch.from_numpy(rows[:, 2]))[:, 0].numpy()
    pose = random.standard_normal((900, 6)) * 0.1
    pose[:, 0] += 9 * yaw
    np.savez(tmp_path / "pose.npz", w_a=w_a, w_b=w_b[450:], crossover=crossover, pose=pose)
    regression = fit_pose(tmp_path / "pose.npz", classifier, penalty=10.0)
    classifier.pose.copy_(regression)
    change = torch.zeros(1, 4, 512)
    change[0, 2] = classifier.coordinates(stats.mean + stats.axes[:, 0] * stats.scale[0])
    turned = classifier.turns(change)[0]
    assert float(turned[0]) == pytest.approx(1, abs=0.25)
    assert abs(float(turned[1])) < 0.25


def test_transformers_need_a_classifier(tmp_path: Path) -> None:
    from videdit.training.transformers import train_transformers

    with pytest.raises(UsageError, match="holds no classifier"):
        train_transformers(tmp_path, None, None, ["all"], TransformerTraining())  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [8, 10, 16, 18])
def test_maps_of_codes_with_any_rows(rows: int) -> None:
    width = 24
    stats = WStatistics(torch.zeros(width), torch.eye(width), torch.ones(width))
    directions = both(["Smiling", "Black_Hair"], [0, 1])
    bank = MapBank(directions, 0, rows, width)
    with torch.no_grad():
        bank.bias += 1
        assert bank(torch.zeros(4, 3, rows, width)).shape == (4, 3, rows, width)
    smile, hair = (bank.affine(number, Space(stats)) for number in (0, 2))
    assert smile.bias.shape == (min(rows, EDITED_ROWS), width)
    assert hair.bias.shape == (rows, width)  # colours live in the finer rows, too

    classifier = LatentClassifier(("Smiling", "Black_Hair"), 1, rows, width).eval()
    codes = np.random.default_rng(0).standard_normal((40, rows, width)).astype(np.float32)
    logits = classifier.logits(codes)
    bands = {"pose": (0, 3), "features": (3, 6), "colour": (6, rows)}
    found = name_components(codes, logits, classifier, stats, bands)
    assert {one.last for one in found.values()} <= {2, 5, rows - 1}
    normals = fit_normals(codes, logits, classifier, report=lambda line: None)
    assert normals.normals["Smiling"].shape == (rows, width)
