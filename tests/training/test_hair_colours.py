"""Fitting the meter of hair colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from videdit.editing.hair_colour import COLOURS, FEATURES, load_hair_colours
from videdit.training.hair_colours import fitted


def test_separable_colours_are_learned_and_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 4, 600)
    centres = np.array([[10, 2, 1], [55, 8, 20], [28, 8, 9], [55, 2, 3]], np.float64)
    looks = np.full((600, FEATURES), 15.0)
    looks[:, :3] = centres[kinds] + rng.normal(0, 3, (600, 3))
    looks[:, 3:] += rng.normal(0, 3, (600, FEATURES - 3))
    labels = np.eye(4, dtype=bool)[kinds]
    meter = fitted(looks, labels, rng)
    assert all(auc > 0.95 for auc in meter.auc.values())
    meter.save(tmp_path / "hair.json")
    again = load_hair_colours(tmp_path / "hair.json")
    right = 0
    for look, kind in zip(looks, kinds, strict=True):
        logits = again.logits(look)
        right += max(COLOURS, key=lambda name: logits[name]) == COLOURS[kind]
    assert right / len(looks) > 0.9


def test_the_auc_is_of_faces_left_out() -> None:
    rng = np.random.default_rng(1)
    looks = rng.normal(0, 1, (300, FEATURES))
    labels = rng.random((300, 4)) < 0.5
    assert all(abs(auc - 0.5) < 0.2 for auc in fitted(looks, labels, rng).auc.values())
