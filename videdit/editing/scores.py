"""How well a classifier tells attributes: AUC, balanced accuracy, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_POSITIVES = 10
"""An attribute with fewer positive faces does not count in the mean: its figures are luck."""

_BINS = 10

Floats = npt.NDArray[np.floating[Any] | np.bool_]


@dataclass(frozen=True)
class Score:
    """One attribute's figures.

    Attributes:
        name: the attribute.
        positives: faces that have it.
        auc: area under the ROC curve, 0.5 to 1; NaN where there is one class only.
        balanced_accuracy: mean of the shares of positives and of negatives that are called so at a
            probability of 0.5; NaN where there is one class only.
        calibration: expected calibration error: mean over ten equally wide bins of probability,
            weighted by their faces, of |mean probability - share of positives|, 0 to 1.
    """

    name: str
    positives: int
    auc: float
    balanced_accuracy: float
    calibration: float


def auc(scores: Floats, labels: Floats) -> float:
    """Area under the ROC curve, ties counted half; NaN where there is one class only.

    Args:
        scores: (n,) higher means more likely there.
        labels: (n,) 0 or 1.
    """
    from scipy.stats import rankdata

    positive = np.asarray(labels) > 0.5
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return math.nan
    return float((rankdata(scores)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def calibration_error(probabilities: Floats, labels: Floats) -> float:
    """See `Score.calibration`; (n,) and (n,)."""
    place = np.minimum((np.asarray(probabilities) * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(place, np.asarray(probabilities, np.float64) - labels, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def score(logits: Floats, labels: Floats, names: Sequence[str]) -> list[Score]:
    """Figures of each attribute.

    Args:
        logits: (n, k).
        labels: (n, k) 0 or 1.
        names: of the k attributes.
    """
    probabilities = 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64), -60, 60)))
    found = []
    for j, name in enumerate(names):
        truth = np.asarray(labels)[:, j] > 0.5
        called = probabilities[:, j] > 0.5
        balanced = math.nan
        if truth.any() and not truth.all():
            balanced = (called[truth].mean() + (~called[~truth]).mean()) / 2
        found.append(
            Score(
                name,
                int(truth.sum()),
                auc(probabilities[:, j], truth),
                float(balanced),
                calibration_error(probabilities[:, j], truth),
            )
        )
    return found


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean over attributes with at least `LEAST_POSITIVES` positive faces and one without."""
    counted = [s for s in scores if s.positives >= LEAST_POSITIVES and not math.isnan(s.auc)]
    if not counted:
        return Score("mean", 0, math.nan, math.nan, math.nan)
    return Score(
        f"mean of {len(counted)}",
        sum(s.positives for s in counted),
        float(np.mean([s.auc for s in counted])),
        float(np.mean([s.balanced_accuracy for s in counted])),
        float(np.mean([s.calibration for s in counted])),
    )
