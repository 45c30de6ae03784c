"""Speech that survives: an edit that does not concern it closes no open mouth.

A smile learned on faces that don't speak draws the lips together. What moves them apart again is
added to the motion, so that between them as much is seen as in the source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from videdit.blending.alignment import placed
from videdit.blending.parameters import DEFAULT, Speech
from videdit.faces.detection import inter_ocular

FloatArray = NDArray[np.float32]

_UPPER, _LOWER, _CORNERS = [61, 62, 63], [67, 66, 65], [60, 64]
_PASSES = 2


def opened(source_points: NDArray[np.floating[Any]], parameters: Speech = DEFAULT.speech) -> float:
    """How surely a mouth is open, from 0 to 1.

    Args:
        source_points: (68, 2) landmarks.
        parameters: what an open one is.
    """
    gap = np.linalg.norm(source_points[_LOWER] - source_points[_UPPER], axis=1).mean()
    begins, full = parameters.open
    share = (float(gap / inter_ocular(source_points)) - begins) / (full - begins)
    return min(max(share, 0.0), 1.0)


def kept_open(
    motion: FloatArray,
    source_points: NDArray[np.floating[Any]],
    parameters: Speech = DEFAULT.speech,
) -> FloatArray:
    """A motion that leaves the inner lips as far apart as they are.

    Args:
        motion: (s, s, 2) where in the source each pixel of the result comes from, crop units away.
        source_points: (68, 2) landmarks of the source, crop units.
        parameters: how far the chin follows the lip.

    Returns:
        The motion itself where it brings them no nearer to each other.
    """
    points = np.asarray(source_points, np.float32)
    for _ in range(_PASSES):
        missing = _missing(motion, points, parameters)
        if missing is None:
            break
        motion = motion - missing
    return motion


def _missing(motion: FloatArray, points: FloatArray, parameters: Speech) -> FloatArray | None:
    """What is to be taken from a motion, nearly all of it; None for nothing."""
    side = motion.shape[0]
    moved = placed(points, motion)
    down = points[48:68].mean(0) - points[36:48].mean(0)
    down /= np.linalg.norm(down)
    before, after = (float(((p[_LOWER] - p[_UPPER]) @ down).mean()) for p in (points, moved))
    lost = before - max(after, 0.0)
    if lost <= 0:
        return None
    middle = moved[[*_UPPER, *_LOWER]].mean(0)
    half = float(np.linalg.norm(moved[_CORNERS[0]] - moved[_CORNERS[1]])) / 2
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = axis - middle[0], (axis - middle[1])[:, None]
    below, beside = x * down[0] + y * down[1], x * down[1] - y * down[0]
    # Linear between the lips, then all of it, and less and less towards nose, chin and corners.
    apart = np.clip(below / (before / 2), -1, 1)
    beyond = np.maximum(np.abs(below) - before / 2, 0) / parameters.reach
    within = np.clip(2 - 2 * np.square(beside / half), 0, 1)
    share = apart * np.exp(-np.square(beyond) / 2) * within
    return np.asarray((lost / 2 * share)[:, :, None] * down, np.float32)
