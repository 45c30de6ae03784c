"""The edited crop in the source's colours, ready to paste."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .alignment import bend, bending_field
from .masks import edit_mask, face_region
from .membrane import membrane
from .parameters import DEFAULT, BlendingParameters, Colours

FloatArray = NDArray[np.float32]


def match_colours(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    parameters: Colours = DEFAULT.maps.colours,
) -> FloatArray:
    """Give the edited crop the source's light and colour.

    What the reconstruction misses of the source at low frequencies is added to the edit: the two
    share one generator, so they miss the same.

    Args:
        source, reconstruction, edited: (size, size, 3) RGB in [0, 1].
        parameters: what of the difference is light and colour.

    Returns:
        (size, size, 3) float32, not clipped.
    """
    size = source.shape[0]
    small = max(parameters.least_side, size // parameters.reduction)
    error = cv2.resize(source - reconstruction, (small, small), interpolation=cv2.INTER_AREA)
    error = np.clip(error, -parameters.limit, parameters.limit)
    error = cv2.GaussianBlur(error, (0, 0), parameters.reach * small)
    return edited + cv2.resize(error, (size, size), interpolation=cv2.INTER_CUBIC)


def composite(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    source_points: NDArray[np.floating[Any]],
    reconstruction_points: NDArray[np.floating[Any]],
    change: FloatArray,
    misfit: FloatArray,
    parameters: BlendingParameters = DEFAULT,
) -> tuple[FloatArray, FloatArray]:
    """What to paste over one crop, and where.

    Args:
        source: (size, size, 3) crop of the frame, RGB in [0, 1].
        reconstruction: the decoded code of that crop.
        edited: the decoded edited code.
        source_points: (68, 2) landmarks of the source, crop units.
        reconstruction_points: (68, 2) landmarks of the reconstruction, crop units.
        change: (64, 64) difference of reconstruction and edit, smoothed over time.
        misfit: (64, 64) difference of source and reconstruction, smoothed over time.
        parameters: all but ``smoothing`` of ``compositing``, and ``maps.colours``.

    Returns:
        (colour (size, size, 3) in [0, 1], alpha (size, size) in [0, 1]); alpha is exactly 0 where
        the source stays.
    """
    size = source.shape[0]
    compositing = parameters.compositing
    field = bending_field(source_points, reconstruction_points, compositing.bending)
    face = face_region(source_points, compositing.face)
    # The change map was taken before bending: bring it along.
    alpha = edit_mask(bend(change, field), misfit, face, size, compositing.mask)
    if not alpha.any():
        return source, alpha
    edited = bend(edited, field)
    matched = match_colours(source, bend(reconstruction, field), edited, parameters.maps.colours)

    # The membrane takes the colour difference at the mask's rim and carries it inwards. Inside the
    # mask the difference is the edit itself, so nothing is known there.
    seam = compositing.seam
    shape = (seam.side, seam.side)
    difference = cv2.resize(source - matched, shape, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(alpha, shape, interpolation=cv2.INTER_AREA)
    confidence = seam.known * np.clip(1 - seam.falloff * inside, 0, 1) ** 2 + seam.unknown
    correction = membrane(np.clip(difference, -seam.limit, seam.limit), confidence, seam.membrane)
    colour = matched + cv2.resize(correction, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(colour, 0, 1), alpha
