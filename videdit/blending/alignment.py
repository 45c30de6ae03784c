"""Bringing a reconstruction's features under the source's.

An inversion is never exact: mouth and eyes sit some pixels beside the person's. Before anything is
compared or pasted, reconstruction and edit are bent by the same smooth field, so that the
reconstruction's landmarks fall on the source's. A tuned reconstruction needs no bending, and gets
none: the field is zero where the landmarks agree.
"""

from __future__ import annotations

from typing import Any

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
    # A Gaussian of two coordinates is the product of two: sums over landmarks are matrix products.
    along = [np.exp(-((axis[:, None] - c) ** 2) / (2 * parameters.reach**2)) for c in source.T]
    total = np.column_stack((shift, np.ones(len(shift), np.float32)))
    x, y, weight = (along[1] * part @ along[0].T for part in total.T)
    field = np.stack((x, y), 2) / (weight[:, :, None] + parameters.ground)
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
