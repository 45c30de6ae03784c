"""Boxes around faces: (4,) left, top, right, bottom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def overlaps(
    ones: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Intersection over union, 0 for boxes without an area.

    Args:
        ones, others: (..., 4) boxes of shapes that broadcast.

    Returns:
        (...) float64 in [0, 1].
    """
    a, b = np.asarray(ones, np.float64), np.asarray(others, np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.clip(sides, 0, None), axis=-1)
    areas = np.prod(a[..., 2:] - a[..., :2], axis=-1) + np.prod(b[..., 2:] - b[..., :2], axis=-1)
    result: NDArray[np.float64] = shared / np.maximum(areas - shared, np.finfo(np.float64).tiny)
    return result
