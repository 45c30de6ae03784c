"""Contact sheets: several pictures as one, with words, for looking at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

GAP = 4
"""Pixels between the pictures of a contact sheet."""

PAGE = 2020
"""Width of a page, pixels."""

PANEL = 300
"""Height of the pictures on a page, pixels."""

TEXT_WIDTH = 7
"""About how wide a letter is, pixels."""

Colour: TypeAlias = "tuple[int, ...]"
"""RGB, 0 to 255."""

_CAPTION = 20  # height of a caption, pixels


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


def page(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures (h, w, 3) RGB as they are, in reading order on grey: as many of one height side
    by side as a page is wide; wider ones have a row of their own."""
    rows: list[list[NDArray[np.uint8]]] = []
    room = 0
    for picture in pictures:
        if not rows or picture.shape[1] > room or picture.shape[0] != rows[-1][0].shape[0]:
            rows.append([])
            room = PAGE
        rows[-1].append(picture)
        room -= picture.shape[1] + GAP
    width = max(sum(p.shape[1] + GAP for p in row) - GAP for row in rows)
    height = sum(row[0].shape[0] + GAP for row in rows) - GAP
    sheet = np.full((height, width, 3), 128, np.uint8)
    y = 0
    for row in rows:
        x = 0
        for picture in row:
            h, w = picture.shape[:2]
            sheet[y : y + h, x : x + w] = picture
            x += w + GAP
        y += row[0].shape[0] + GAP
    return sheet


def strip(
    panels: Sequence[tuple[str, NDArray[np.uint8]]], height: int = PANEL
) -> NDArray[np.uint8]:
    """Pictures (h, w, 3) RGB of any size side by side, each with its caption above, ASCII."""
    pictures = []
    for caption, picture in panels:
        shown = tile([[picture]], height)
        bar = np.full((_CAPTION, shown.shape[1], 3), 245, np.uint8)
        write(bar, caption, (4, 14), (40, 40, 40))
        pictures.append(np.concatenate((bar, shown)))
    return tile([pictures], height + _CAPTION, GAP)[:-GAP, :-GAP]


def write(
    picture: NDArray[np.uint8], words: str, at: tuple[int, int], colour: Colour, scale: float = 0.4
) -> None:
    """Write a line into a picture; its baseline begins at ``at``. What is not ASCII becomes ?."""
    plain = words.encode("ascii", "replace").decode()
    width = max(1, round(2 * scale))
    cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)


def _width(picture: NDArray[np.uint8], height: int) -> int:
    """The picture's width at a height of ``height``, pixels."""
    width: int = round(picture.shape[1] * height / picture.shape[0])
    return max(1, width)
