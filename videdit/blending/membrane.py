"""A membrane: the smoothest surface through what is known, for carrying colours over a region.

Solves, per channel, ``min_h  sum c (h - g)^2 + |grad h|^2`` with confidence c >= 0 (large where g
is known, 0 where it is to be filled in): the screened Poisson equation ``(c - laplacian) h = c g``
with mirror borders. It is what Poisson cloning (Perez 2003) adds to the pasted patch, in its
membrane form, with soft instead of hard boundary values. The solution is linear in g and smooth in
c, so that it moves no more between frames than its input does.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def _neighbours(h: FloatArray) -> FloatArray:
    padded = cv2.copyMakeBorder(h, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    if padded.ndim == 2:
        padded = padded[:, :, None]
    total = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.asarray(total, np.float32)


def _relax(h: FloatArray, c: FloatArray, cg: FloatArray, sweeps: int) -> FloatArray:
    inverse = 0.8 / (c + 4)
    for _ in range(sweeps):
        h = h * np.float32(0.2) + (_neighbours(h) + cg) * inverse
    return h


def _cycle(h: FloatArray, c: FloatArray, right: FloatArray) -> FloatArray:
    """One multigrid V-cycle for ``(c + 4 - neighbours) h = right`` with damped Jacobi smoothing."""
    size = h.shape[0]
    if size <= 8:
        return _relax(h, c, right, 60)
    h = _relax(h, c, right, 3)
    residual = right - ((c + 4) * h - _neighbours(h))
    half = size // 2
    channels = h.shape[2]
    coarse_c = cv2.resize(c, (half, half), interpolation=cv2.INTER_AREA).reshape(half, half, 1) * 4
    coarse_r = cv2.resize(residual, (half, half), interpolation=cv2.INTER_AREA)
    coarse_r = coarse_r.reshape(half, half, channels) * 4
    correction = _cycle(np.zeros_like(coarse_r), coarse_c, coarse_r)
    up = cv2.resize(correction, (size, size), interpolation=cv2.INTER_LINEAR)
    return _relax(h + up.reshape(h.shape), c, right, 3)


def membrane(known: FloatArray, confidence: FloatArray, cycles: int = 6) -> FloatArray:
    """Fill a field in smoothly.

    Args:
        known: (n, n, channels) values, n a power of two times at most 8; finite everywhere.
        confidence: (n, n) weight of each value, >= 0, in units of 1/pixel²; positive somewhere.
        cycles: multigrid cycles; six bring the error under a thousandth of the input's range.

    Returns:
        (n, n, channels) the solution.
    """
    c = np.ascontiguousarray(confidence[:, :, None], np.float32)
    right = np.asarray(c * known, np.float32)
    h = np.zeros_like(right)
    for _ in range(cycles):
        h = _cycle(h, c, right)
    return h
