"""Scores of a classifier against brute force and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from videdit.editing.scores import auc, calibration_error, mean_score, score


def test_auc_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 9, 60).astype(float)
    labels = (random.random(60) < 0.3).astype(float)
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in scores[labels > 0]
        for b in scores[labels == 0]
    ]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert math.isnan(auc(scores, np.ones(60)))


def test_calibration_of_probabilities_that_are_right_and_wrong() -> None:
    labels = np.repeat([0.0, 1.0], [75, 25])
    assert calibration_error(np.full(100, 0.25), labels) == pytest.approx(0)
    assert calibration_error(np.full(100, 0.95), labels) == pytest.approx(0.7)
    assert calibration_error(labels, labels) == 0


def test_the_mean_leaves_rare_attributes_out() -> None:
    labels = np.zeros((40, 3))
    labels[:20, 0] = 1
    labels[:5, 1] = 1
    logits = np.where(labels > 0, 2.0, -2.0)
    logits[:4, 0] = -1.0  # four of twenty are missed
    found = score(logits, labels, ("Smiling", "Bald", "Goatee"))
    assert [s.positives for s in found] == [20, 5, 0]
    assert found[0].balanced_accuracy == pytest.approx((16 / 20 + 1) / 2)
    assert math.isnan(found[2].auc)
    mean = mean_score(found)
    assert mean.name == "mean of 1"
    assert mean.auc == found[0].auc == 1.0
    assert math.isnan(mean_score(found[1:]).auc)
