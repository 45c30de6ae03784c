"""What ``maps.py`` and ``tensors.py`` share."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue weigh in how light a pixel is."""


def ellipse(radius: int) -> NDArray[np.uint8]:
    """(2 radius + 1, 2 radius + 1) what OpenCV takes for a circle, as 1."""
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def region_around(
    rgb: NDArray[Any], x: int, y: int, width: int, height: int, reach: float
) -> tuple[NDArray[Any], int, int]:
    """A part of a frame, what lies within reach and what cubic interpolation needs around it; and
    its left and top."""
    margin = int(np.ceil(reach)) + 4
    top, left = max(0, y - margin), max(0, x - margin)
    return (
        np.ascontiguousarray(rgb[top : y + height + margin, left : x + width + margin]),
        left,
        top,
    )
