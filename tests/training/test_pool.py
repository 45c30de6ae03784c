"""What maps are trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.editing.classifier import LatentClassifier
from videdit.editing.labelled import LabelledFaces
from videdit.errors import InputError
from videdit.generators.wspace import WStatistics
from videdit.training.pool import REAL, Pool, Space

NAMES = ("Smiling", "Young")


def stats() -> WStatistics:
    torch.manual_seed(0)
    axes = torch.linalg.qr(torch.randn(512, 512))[0]
    return WStatistics(torch.randn(512) * 0.1, axes, torch.linspace(2, 0.1, 512))


def test_codes_of_real_people_make_a_quarter_of_the_inverted_ones(tmp_path: Path) -> None:
    random = np.random.default_rng(0)

    def codes(count: int) -> np.ndarray:
        return random.normal(size=(count, 16, 512)).astype(np.float32)

    labels = (random.random((6, 2)) > 0.5).astype(np.float32)
    own = LabelledFaces(codes(6), labels, NAMES, np.ones(6, bool), np.array(["edit"] * 6))
    made, inverted, real = codes(40), codes(40), codes(3)
    logits = np.zeros((40, 2), np.float32)
    np.savez(tmp_path / "labelled-0000.npz", codes=made, logits=logits, inverted=inverted)
    classifier = LatentClassifier(NAMES, 1).eval().requires_grad_(False)
    without = Pool.of(tmp_path, classifier, own, stats())
    assert without.inverted.tolist() == [False] * 46 + [True] * 40
    assert without.shown.tolist() == [*range(46), *range(6, 46)]
    np.savez(tmp_path / REAL, codes=real)
    found = Pool.of(tmp_path, classifier, own, stats())
    # 13 would be a quarter; three people, four times each, come nearest.
    assert found.inverted.tolist() == [False] * 46 + [True] * 52
    assert found.shown.tolist() == [*range(46), *range(6, 46), *range(86, 98)]
    np.testing.assert_allclose(found.space.codes(found.coordinates[-3:]).numpy(), real, atol=1e-4)
    assert found.kept(0).tolist()[0] == 0
    np.savez(tmp_path / REAL, codes=real[:, 0])
    with pytest.raises(InputError, match="no codes of real people"):
        Pool.of(tmp_path, classifier, own, stats())


def test_coordinates_and_codes_are_each_others_inverse() -> None:
    space = Space(stats())
    codes = torch.randn(5, 16, 512)
    torch.testing.assert_close(space.codes(space.of(codes)), codes, atol=1e-4, rtol=1e-4)
    # The classifier's coordinates have the same unit along every axis.
    there = space.principal(space.of(codes))
    lengths = (codes - space.stats.mean).norm(dim=2) / space.unit
    torch.testing.assert_close(there.norm(dim=2), lengths, atol=1e-4, rtol=1e-4)
