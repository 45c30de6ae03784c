"""The three metrics as curves over the strength of an edit, and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from .identity import distance


@dataclass(frozen=True)
class Seen:
    """What was seen of n pictures: the judge's logits (n, k) and dlib's descriptors (n, 128)."""

    logits: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """An editor's figures for one attribute, or their mean over attributes.

    Attributes:
        strengths: |alpha|, rising.
        change, preservation: at each strength, shares.
        identity: at each strength, the distance to the unedited face; 0 is the same picture.
        moved: at each strength, how far the judge's logit of the attribute went towards the edit's
            goal, in standard deviations of it over the unedited faces.
        dependency: at each strength, how far its logits of the others went either way, likewise:
            attribute dependency (Wu et al., *StyleSpace Analysis*, 2021).
    """

    strengths: tuple[float, ...]
    change: tuple[float, ...]
    preservation: tuple[float, ...]
    identity: tuple[float, ...]
    moved: tuple[float, ...]
    dependency: tuple[float, ...]

    def _read(self, change: float, start: float, values: Sequence[float]) -> float:
        """One of the figures where ``change`` is first reached; NaN where it never is."""
        reached = np.maximum.accumulate((0.0, *self.change))
        if change > reached[-1]:
            return math.nan
        after = int(np.searchsorted(reached, change))
        if after == 0:
            return start
        share = (change - reached[after - 1]) / (reached[after] - reached[after - 1])
        all_ = (start, *values)
        return float(all_[after - 1] + share * (all_[after] - all_[after - 1]))

    def at(self, change: float) -> tuple[float, float]:
        """Preservation and identity where ``change`` is first reached; NaN where it never is.

        Linear in between. Strength 0 changes nothing and preserves everything, so the curve starts
        at (0, 1, 0).
        """
        return self._read(change, 1.0, self.preservation), self._read(change, 0.0, self.identity)

    def strength_at(self, change: float) -> float:
        """|alpha| where ``change`` is first reached; the largest one where it never is."""
        found = self._read(change, 0.0, self.strengths)
        return self.strengths[-1] if math.isnan(found) else found

    def dependency_at(self, moved: float) -> float:
        """How far the other attributes went where this one has gone ``moved`` deviations; NaN where
        it never goes so far. Linear in between, from nothing."""
        reached = np.maximum.accumulate((0.0, *self.moved))
        if moved > reached[-1]:
            return math.nan
        return float(np.interp(moved, reached, (0.0, *self.dependency)))

    def areas(self, change: float) -> tuple[float, float]:
        """Mean preservation and identity over changes from 0 to ``change``."""
        table = np.array([self.at(c) for c in np.linspace(0, change, 51)])
        means = np.trapezoid(table, dx=1 / 50, axis=0)
        return float(means[0]), float(means[1])


def mean_distance(before: Seen, after: Seen) -> float:
    """Mean distance of the descriptors of the same faces."""
    pairs = zip(before.descriptors, after.descriptors, strict=True)
    return float(np.mean([distance(a, b) for a, b in pairs]))


def curve_of(
    before: Seen,
    after: Sequence[Seen],
    index: int,
    strengths: Sequence[float],
    counted: npt.NDArray[np.bool_] | None = None,
) -> Curve:
    """The metrics of one attribute.

    Args:
        before: the reconstructions.
        after: the edited faces, by strength.
        index: the attribute's column.
        strengths: |alpha|.
        counted: (k,) which attributes count among those to be preserved; all, if not said.
    """
    said = before.logits > 0
    others = np.arange(said.shape[1]) != index
    if counted is not None:
        others &= counted
    change, kept, same, moved, dependency = [], [], [], [], []
    deviation = before.logits.std(0) + 1e-9
    signs = np.where(said[:, index], -1, 1)
    for seen in after:
        now = seen.logits > 0
        change.append(float((now[:, index] != said[:, index]).mean()))
        kept.append(float((now == said)[:, others].mean()))
        same.append(mean_distance(before, seen))
        steps = (seen.logits - before.logits) / deviation
        moved.append(float((signs * steps[:, index]).mean()))
        dependency.append(float(np.abs(steps[:, others]).mean()))
    columns = (change, kept, same, moved, dependency)
    return Curve(tuple(strengths), *(tuple(column) for column in columns))


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over attributes at each strength."""

    def mean(name: str) -> tuple[float, ...]:
        return tuple(float(v) for v in np.mean([getattr(c, name) for c in curves], axis=0))

    names = [field.name for field in fields(Curve)][1:]
    return Curve(curves[0].strengths, *(mean(name) for name in names))
