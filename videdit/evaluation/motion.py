"""How reconstructions move, against how their source moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def jitter(values: NDArray[np.floating[Any]], frames: NDArray[np.integer[Any]]) -> float:
    """Root mean square of the second difference over time, where three frames follow each other.

    Args:
        values: (k, ...) one entry per frame of one track.
        frames: (k,) their indices.

    Returns:
        In the values' unit; NaN if no three consecutive frames are there.
    """
    second = values[2:] - 2 * values[1:-1] + values[:-2]
    whole = frames[2:] - frames[:-2] == 2
    return (
        float(np.sqrt(np.square(second[whole].astype(np.float64)).mean()))
        if any(whole)
        else (float("nan"))
    )


def openings(points68: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(k, 2) how far the eyes and the mouth are open, in units of the points.

    Args:
        points68: (k, 68, 2) landmarks: the lids' mean distance, and the inner lips'.
    """

    def gap(upper: tuple[int, ...], lower: tuple[int, ...]) -> NDArray[np.float64]:
        apart = points68[:, upper] - points68[:, lower]
        return np.asarray(np.linalg.norm(apart, axis=2).mean(1), np.float64)

    eyes = gap((37, 38, 43, 44), (41, 40, 47, 46))
    return np.stack((eyes, gap((61, 62, 63), (67, 66, 65))), 1)


def survives(source: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """How much of a signal's movement another one shows: the slope of its regression on it, 1 where
    it moves as far and at once, 0 where it does not.

    Args:
        source, other: (k,).

    Returns:
        NaN where the source does not move.
    """
    moving = source - source.mean()
    power = float(moving @ moving)
    return float(moving @ other) / power if power > 1e-12 else float("nan")


def follow(
    source: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]], reach: int
) -> tuple[float, int]:
    """How well a signal follows another: the best correlation, and at how many samples behind.

    Args:
        source: (k,) the leading signal.
        other: (k,) the following one.
        reach: lags up to this many samples either way are tried.

    Returns:
        Correlation and lag, positive where ``other`` is late; (NaN, 0) if one does not move.
    """
    best, at = float("nan"), 0
    # Nearest lags first: of equal ones the smallest is taken.
    for lag in sorted(range(-reach, reach + 1), key=abs):
        a = source[max(0, -lag) : len(source) - max(0, lag)]
        b = other[max(0, lag) : len(other) - max(0, -lag)]
        if len(a) < 3 or a.std() < 1e-12 or b.std() < 1e-12:
            continue
        value = float(np.corrcoef(a, b)[0, 1])
        if not value <= best + 1e-9:
            best, at = value, lag
    return best, at
