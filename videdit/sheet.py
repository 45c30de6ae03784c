"""Contact sheets: several pictures as one, for looking at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

GAP = 4
"""Pixels between the pictures of a contact sheet."""


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
        pictures: (h, w, 3) RGB each, any size; at least one.
        height: height of each picture in the sheet, pixels.
        columns: pictures per row; about square by default.
    """
    width = _width(pictures[0], height)
    columns = columns or math.ceil(math.sqrt(len(pictures) * height / width))
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    return tile(rows, height, GAP)


def tile(
    rows: Sequence[Sequence[NDArray[np.uint8]]], height: int, gap: int = 0
) -> NDArray[np.uint8]:
    """Rows of pictures as one; grey where a row ends early.

    Args:
        rows: (h, w, 3) RGB each, any size; rows may differ in length.
        height: height of each picture in the result, pixels; widths follow.
        gap: pixels of grey right of each picture and below each row.
    """
    width = max(sum(_width(picture, height) + gap for picture in row) for row in rows)
    sheet = np.full((len(rows) * (height + gap), width, 3), 128, np.uint8)
    for y, row in zip(range(0, len(sheet), height + gap), rows, strict=True):
        x = 0
        for picture in row:
            size = (_width(picture, height), height)
            method = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_CUBIC
            sheet[y : y + height, x : x + size[0]] = cv2.resize(picture, size, interpolation=method)
            x += size[0] + gap
    return sheet


def _width(picture: NDArray[np.uint8], height: int) -> int:
    """The picture's width at a height of ``height``, pixels."""
    width: int = round(picture.shape[1] * height / picture.shape[0])
    return max(1, width)
