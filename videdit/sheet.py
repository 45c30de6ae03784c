"""Contact sheets: several pictures as one, for looking at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def code_picture(whitened: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """A code as a picture: one band per row, blue below W's mean, red above, white at it.

    Args:
        whitened: (16, 512) whitened coordinates; three standard deviations are full colour.
    """
    strength = np.clip(whitened[:, :256] / 3, -1, 1)
    fade = 1 - np.abs(strength)
    red, blue = np.where(strength > 0, 1, fade), np.where(strength < 0, 1, fade)
    rgb = np.rint(np.stack((red, fade, blue), 2) * 255).astype(np.uint8)
    return np.asarray(np.kron(rgb, np.ones((16, 2, 1), np.uint8)), np.uint8)


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]], height: int = 320, columns: int | None = None
) -> NDArray[np.uint8]:
    """Lay pictures out in rows on grey, in reading order.

    Args:
        pictures: (h, w, 3) RGB each, any size.
        height: height of each picture in the sheet, pixels.
        columns: pictures per row; about square by default.
    """
    scaled = []
    for picture in pictures:
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        method = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
        resized = cv2.resize(picture, (width, height), interpolation=method)
        scaled.append(np.asarray(resized, np.uint8))
    columns = columns or math.ceil(math.sqrt(len(scaled) * height / scaled[0].shape[1]))
    rows = [scaled[i : i + columns] for i in range(0, len(scaled), columns)]
    gap = 4
    width = max(sum(p.shape[1] + gap for p in row) for row in rows)
    sheet = np.full((len(rows) * (height + gap), width, 3), 128, np.uint8)
    for y, row in enumerate(rows):
        x = 0
        for picture in row:
            sheet[y * (height + gap) : y * (height + gap) + height, x : x + picture.shape[1]] = (
                picture
            )
            x += picture.shape[1] + gap
    return sheet
