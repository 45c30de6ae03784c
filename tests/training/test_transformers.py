"""Classifier, transformers and baselines find what is planted in made-up codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.editing.classifier import LatentClassifier, load_classifier
from videdit.editing.scores import auc
from videdit.editing.transformer import AffineMap
from videdit.errors import UsageError, WeightsError
from videdit.generators.wspace import WStatistics
from videdit.training.baselines import fit_normals
from videdit.training.classifier import (
    ClassifierTraining,
    fit_classifier,
    fit_pose,
    labelled_codes,
)
from videdit.training.faces import expand
from videdit.training.maps import TransformerTraining, _losses
from videdit.training.trial import Trial

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
    how = TransformerTraining(classification=3.0, attributes=2.0)
    before = torch.tensor([[1.0, 0.0, 4.0], [-1.0, 0.0, 4.0], [-2.0, 0.0, 4.0]])
    kept = torch.tensor([0.0, 0.5, 1.0])
    # Nothing moves: each face is as far from the other label as it was. The one that has the
    # attribute counts as much as the two that lack it.
    wrong = (0.5 * np.log1p(np.exp(1)) + 0.25 * (np.log1p(np.exp(1)) + np.log1p(np.exp(2)))).item()
    still = _losses(before, before, 0, kept, how)
    assert float(still) == pytest.approx(3 * wrong, rel=1e-5)
    # Where nothing is decided, the others' difference is about that of the logits; where all is,
    # next to nothing.
    open_, sure = before.clone(), before.clone()
    open_[:, 1] += 0.1
    sure[:, 2] += 0.1
    expected = 2 * 0.5 * 16 * (1 / (1 + np.exp(-0.1)) - 0.5) ** 2 / 3
    assert float(_losses(open_, before, 0, kept, how) - still) == pytest.approx(expected, rel=1e-3)
    assert float(_losses(sure, before, 0, kept, how) - still) < expected / 50


def test_inverted_codes_are_told_from_sampled_ones(tmp_path: Path) -> None:
    for number in range(2):
        codes = np.full((3, 16, 512), number, np.float16)
        more = {"inverted": codes + 10} if number else {}
        np.savez(tmp_path / f"labelled-{number:04d}.npz", codes=codes, logits=codes[:, 0], **more)
    codes, logits, inverted = labelled_codes(tmp_path, "labelled")
    assert codes[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 11, 11, 11]
    assert logits[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert inverted.tolist() == [False] * 6 + [True] * 3


def test_alpha_one_is_where_most_faces_change() -> None:
    class Seer:
        """A teacher that reads a logit off the first number of a code."""

        def looks(self, codes: np.ndarray) -> np.ndarray:
            return codes

    import videdit.training.trial as module

    codes = np.zeros((100, 16, 512), np.float32)
    codes[:, 0, 0] = -np.linspace(0.05, 2, 100)
    patched = pytest.MonkeyPatch()
    patched.setattr(module, "judged", lambda teacher, looks: torch.from_numpy(looks[:, 0, :1]))
    patched.setattr(module, "_TRIED", 100)
    bias = np.zeros((11, 512), np.float32)
    bias[0, 0] = 1
    zero = np.zeros((11, 512, 2), np.float32)
    found = AffineMap(zero, zero.transpose(0, 2, 1), bias)
    trial = Trial(codes, codes[:, 0, :1], Seer(), None)  # type: ignore[arg-type]
    length, share = trial.length(found, np.zeros(512, np.float32), 0)
    patched.undo()
    assert share == module.GOAL
    assert length == pytest.approx(1.61, abs=0.05)  # 80 % of -0.05..-2 lie above -1.61


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
