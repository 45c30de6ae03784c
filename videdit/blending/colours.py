"""Colour and light of the source for what the generator shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.parameters import DEFAULT, Colours

FloatArray = NDArray[np.float32]


def match_colours(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    things: Sequence[tuple[FloatArray, FloatArray]],
    parameters: Colours = DEFAULT.colours,
) -> FloatArray:
    """Give the edited crop the source's light and colour.

    What the reconstruction misses of the source at low frequencies is added to the edit: the two
    share one generator, so they miss the same. Each thing misses its own: a bald head where there
    was hair takes after the skin that is nearest, not after the hair.

    Args:
        source, reconstruction, edited: (size, size, 3) RGB in [0, 1].
        things: pairs of maps (s, s) in [0, 1]: where source and reconstruction both show it, and
            where the edit does. The first one's stands in for what only the edit shows.
        parameters: what of the difference is light and colour.

    Returns:
        (size, size, 3) float32, not clipped.
    """
    size = source.shape[0]
    small = max(parameters.least_side, size // parameters.reduction)
    error = _resized(source - reconstruction, small)
    error = np.clip(error, -parameters.limit, parameters.limit)
    sigma = parameters.reach * small
    missed = np.zeros_like(error)
    shown = np.full((small, small, 1), 1e-6, np.float32)
    start = np.zeros(3, np.float32)
    for number, (both, after) in enumerate(things):
        weight = _resized(both, small)[:, :, None]
        total = float(weight.sum())
        mean = (error * weight).sum((0, 1)) / total if total > parameters.fewest else start
        if number == 0:
            start = mean
        found = np.broadcast_to(mean, error.shape).astype(np.float32)
        # What is near says more than what is farther away.
        for width in (4 * sigma, sigma):
            near = _blurred(weight, width)
            local = _blurred(error * weight, width) / (near + 1e-6)
            found += np.minimum(near / parameters.sure, 1) * (local - found)
        here = _resized(after, small)[:, :, None]
        missed += here * found
        shown += here
    return edited + cv2.resize(missed / shown, (size, size), interpolation=cv2.INTER_CUBIC)


def _resized(values: FloatArray, side: int) -> FloatArray:
    larger = values.shape[0] < side
    method = cv2.INTER_LINEAR if larger else cv2.INTER_AREA
    return np.asarray(cv2.resize(values, (side, side), interpolation=method), np.float32)


def _blurred(values: FloatArray, sigma: float) -> FloatArray:
    out = np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    return out.reshape(values.shape)
