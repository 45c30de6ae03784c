"""A membrane: the smoothest surface through what is known, for carrying colours over a region.

Solves, per channel, ``min_h  sum c (h - g)^2 + |grad h|^2`` with confidence c >= 0 (large where g
is known, 0 where it is to be filled in): the screened Poisson equation ``(c - laplacian) h = c g``
with mirror borders. It is what Poisson cloning (Perez 2003) adds to the pasted patch, in its
membrane form, with soft instead of hard boundary values. The solution is linear in g and smooth in
c, so that it moves no more between frames than its input does.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .parameters import DEFAULT, Membrane

FloatArray = NDArray[np.float32]


def _neighbours(h: FloatArray) -> FloatArray:
    padded = cv2.copyMakeBorder(h, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    if padded.ndim == 2:
        padded = padded[:, :, None]
    total = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.asarray(total, np.float32)


def _relax(h: FloatArray, c: FloatArray, cg: FloatArray, parameters: Membrane) -> FloatArray:
    inverse = parameters.damping / (c + 4)
    kept = np.float32(1 - parameters.damping)
    for _ in range(parameters.sweeps):
        h = h * kept + (_neighbours(h) + cg) * inverse
    return h


@lru_cache(maxsize=1)
def _laplacian(size: int) -> NDArray[np.float64]:
    """The matrix of ``4 h - neighbours`` on a (size, size) grid."""
    line = 2 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1)
    line[0, 0] = line[-1, -1] = 1 if size > 1 else 0  # mirror borders
    return np.asarray(np.kron(line, np.eye(size)) + np.kron(np.eye(size), line), np.float64)


def _solve(c: FloatArray, right: FloatArray) -> FloatArray:
    """Exact solution on the coarsest grid: relaxation is slow where confidence is near 0."""
    matrix = _laplacian(c.shape[0]) + np.diag(c.ravel().astype(np.float64))
    flat = np.linalg.solve(matrix, right.reshape(len(matrix), -1).astype(np.float64))
    return flat.reshape(right.shape).astype(np.float32)


def _halved(values: FloatArray) -> FloatArray:
    """Means over 2x2 blocks, times 4: on the coarser grid the Laplacian is 4 times as large."""
    half = values.shape[0] // 2
    means = cv2.resize(values, (half, half), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32).reshape(half, half, -1) * np.float32(4)


def _cycle(h: FloatArray, c: FloatArray, right: FloatArray, parameters: Membrane) -> FloatArray:
    """One multigrid V-cycle for ``(c + 4 - neighbours) h = right`` with damped Jacobi smoothing."""
    size = h.shape[0]
    if size <= parameters.coarsest:
        return _solve(c, right)
    h = _relax(h, c, right, parameters)
    coarse_right = _halved(right - ((c + 4) * h - _neighbours(h)))
    correction = _cycle(np.zeros_like(coarse_right), _halved(c), coarse_right, parameters)
    up = cv2.resize(correction, (size, size), interpolation=cv2.INTER_LINEAR)
    return _relax(h + up.reshape(h.shape), c, right, parameters)


def membrane(
    known: FloatArray,
    confidence: FloatArray,
    parameters: Membrane = DEFAULT.compositing.seam.membrane,
) -> FloatArray:
    """Fill a field in smoothly.

    Args:
        known: (n, n, channels) values, n a power of two times at most ``coarsest``; finite
            everywhere.
        confidence: (n, n) weight of each value, >= 0, in units of 1/pixel²; positive somewhere.
        parameters: how exactly it is solved.

    Returns:
        (n, n, channels) the solution.
    """
    c = np.ascontiguousarray(confidence[:, :, None], np.float32)
    right = np.asarray(c * known, np.float32)
    h = np.zeros_like(right)
    for _ in range(parameters.cycles):
        h = _cycle(h, c, right, parameters)
    return h
