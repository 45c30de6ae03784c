"""Colour and light of the source for what the generator shows."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.change import blurred, resized
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
    error = resized(source - reconstruction, small)
    error = np.clip(error, -parameters.limit, parameters.limit)
    sigma = parameters.reach * small
    missed = np.zeros_like(error)
    shown = np.full((small, small, 1), 1e-6, np.float32)
    start = np.zeros(3, np.float32)
    for number, (both, after) in enumerate(things):
        weight = resized(both, small)[:, :, None]
        total = float(weight.sum())
        mean = (error * weight).sum((0, 1)) / total if total > parameters.fewest else start
        if number == 0:
            start = mean
        found = nearest(error, weight, mean, sigma, parameters.sure)
        here = resized(after, small)[:, :, None]
        missed += here * found
        shown += here
    return edited + cv2.resize(missed / shown, (size, size), interpolation=cv2.INTER_CUBIC)


def nearest(
    values: FloatArray, weight: FloatArray, start: FloatArray, sigma: float, sure: float
) -> FloatArray:
    """(s, s, 3) what values are where they are known, carried on to where they aren't: what is near
    says more than what is farther away.

    Args:
        values: (s, s, 3).
        weight: (s, s, 1) in [0, 1], where they are known.
        start: (3,) what they are where nothing known is near.
        sigma: standard deviation of what is near, pixels.
        sure: share of what is near that has to be known to say all.
    """
    found = np.broadcast_to(start, values.shape).astype(np.float32)
    for width in (4 * sigma, sigma):
        near = blurred(weight, width)[:, :, None]
        local = blurred(values * weight, width) / (near + 1e-6)
        found += np.minimum(near / sure, 1) * (local - found)
    return found
