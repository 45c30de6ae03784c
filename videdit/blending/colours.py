"""Colour and light of the source for what the generator shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.blending.parameters import DEFAULT, Colours

FloatArray = NDArray[np.float32]


def match_colours(
    source: FloatArray,
    reconstruction: FloatArray,
    edited: FloatArray,
    parameters: Colours = DEFAULT.colours,
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
