"""Bringing a reconstruction's features under the source's.

An inversion is never exact: mouth and eyes sit some pixels beside the person's. Before anything is
compared or pasted, reconstruction and edit are bent by the same smooth field, so that the
reconstruction's landmarks fall on the source's. A tuned reconstruction needs no bending, and gets
none: the field is zero where the landmarks agree.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .parameters import DEFAULT, Bending

FloatArray = NDArray[np.float32]

_ROUNDS = 4  # of a fixed-point iteration; the fields are smooth


def bending_field(
    source_points: NDArray[np.floating[Any]],
    reconstruction_points: NDArray[np.floating[Any]],
    parameters: Bending = DEFAULT.bending,
) -> FloatArray:
    """The smooth field that takes source positions to the reconstruction's.

    Nadaraya–Watson regression with a Gaussian kernel on the landmarks' differences, with a constant
    weight for zero displacement.

    Args:
        source_points: (k, 2) landmarks of the source, crop units.
        reconstruction_points: (k, 2) the same points found in the reconstruction.
        parameters: how far landmarks reach and move.

    Returns:
        (grid, grid, 2) displacements (x, y) in crop units, on the centres of a regular grid.
    """
    source = np.asarray(source_points, np.float32)
    shift = np.asarray(reconstruction_points, np.float32) - source
    length = np.linalg.norm(shift, axis=1, keepdims=True)
    shift = shift * np.minimum(1, parameters.limit / np.maximum(length, 1e-6))
    axis = (np.arange(parameters.grid, dtype=np.float32) + 0.5) / parameters.grid
    x, y = np.meshgrid(axis, axis)
    nodes = np.stack((x, y), 2)
    squared = ((nodes[:, :, None] - source) ** 2).sum(3)
    weight = np.exp(-squared / (2 * parameters.reach**2))
    field = weight @ shift / (weight.sum(2, keepdims=True) + parameters.ground)
    return np.asarray(field, np.float32)


def placed(points: NDArray[np.floating[Any]], field: FloatArray) -> FloatArray:
    """Where points of a crop lie once it is bent: q with ``q + field(q) = point``.

    Args:
        points: (k, 2) crop units.
        field: (s, s, 2) displacements in crop units.
    """
    side = field.shape[0]
    start = np.asarray(points, np.float32)
    found = start
    for _ in range(_ROUNDS):
        x, y = np.clip(np.floor(found * side).astype(int), 0, side - 1).T
        found = start - field[y, x]
    return found


def bend(crop: FloatArray, field: FloatArray) -> FloatArray:
    """Resample a crop or map (size, size[, 3]) through a field: ``out(x) = crop(x + field(x))``."""
    size = crop.shape[0]
    dense = cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) * size
    axis = np.arange(size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    moved = cv2.remap(
        crop, x + dense[:, :, 0], y + dense[:, :, 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.float32)
