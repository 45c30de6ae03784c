"""What was found in a picture, drawn on it: points, crops, regions, motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..blending.maps import resized
from ..faces.regions import REGIONS, draw_regions
from ..sheet import PANEL, Colour, write

Picture = NDArray[np.uint8]

GREEN: Colour = (0, 255, 0)
ORANGE: Colour = (255, 160, 0)

_SHIFT = 4  # bits of a pixel's fraction in OpenCV's coordinates
_LEAST = 0.002  # share of a picture from which a region is in the legend
_ARROWS = 14  # along a side
_LEGEND = 96  # width, pixels


def bytes_of(picture: NDArray[np.floating[Any]]) -> Picture:
    """A picture in [0, 1] with 8 bits."""
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


def with_points(
    rgb: Picture, points: NDArray[np.floating[Any]], colour: Colour = GREEN, size: float = 1 / 300
) -> Picture:
    """A copy of a picture with points (n, 2), pixels; ``size`` of their radius, of its height."""
    picture = np.ascontiguousarray(rgb).copy()
    # OpenCV's coordinates are those of pixels' centres.
    places = np.rint((np.asarray(points) - 0.5) * (1 << _SHIFT)).astype(int)
    radius = round(max(1.0, size * picture.shape[0]) * (1 << _SHIFT))
    for x, y in places.tolist():
        cv2.circle(picture, (x, y), radius, colour, -1, cv2.LINE_AA, _SHIFT)
    return picture


def named(
    rgb: Picture, words: str, points: NDArray[np.floating[Any]], colour: Colour = GREEN
) -> Picture:
    """A copy of a picture with a name above points (n, 2)."""
    picture = np.ascontiguousarray(rgb).copy()
    # As large on the sheet as other words, whatever the picture's size.
    scale = max(0.4, 0.4 * picture.shape[0] / PANEL)
    x, y = points.min(0)
    at = int(x), max(round(30 * scale), int(y - 12 * scale))
    write(picture, words, (at[0] + 1, at[1] + 1), (0, 0, 0), scale)  # a shadow, for any ground
    write(picture, words, at, colour, scale)
    return picture


def with_quad(rgb: Picture, quad: NDArray[np.floating[Any]], colour: Colour = GREEN) -> Picture:
    """A copy of a picture with a crop's outline; its upper edge is white."""
    picture = np.ascontiguousarray(rgb).copy()
    corners = np.rint((np.asarray(quad) - 0.5) * (1 << _SHIFT)).astype(np.int32)
    width = max(2, round(picture.shape[0] / 250))
    cv2.polylines(picture, [corners[:, None]], True, colour, width, cv2.LINE_AA, _SHIFT)
    upper = corners[[0, 3]][:, None]
    cv2.polylines(picture, [upper], False, (255, 255, 255), width, cv2.LINE_AA, _SHIFT)
    return picture


def closeup(rgb: Picture, points: NDArray[np.floating[Any]], side: int) -> Picture:
    """(side, side, 3) a face cut out around its landmarks (68, 2), with them drawn."""
    low, high = points.min(0), points.max(0)
    half = 0.65 * float((high - low).max())
    scale = side / (2 * half)
    move = side / 2 - scale * (low + high) / 2
    # Of pixels' centres, like OpenCV's.
    warp = np.array([[scale, 0, move[0] + scale / 2 - 0.5], [0, scale, move[1] + scale / 2 - 0.5]])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cut = cv2.warpAffine(rgb, warp, (side, side), flags=method)
    return with_points(np.asarray(cut, np.uint8), points * scale + move, size=1 / 170)


def region_panels(
    crops: Sequence[tuple[str, Picture, NDArray[np.float32]]],
) -> list[tuple[str, Picture]]:
    """Crops in grey, each with the regions seen in it as colours over it, and a legend.

    Args:
        crops: caption, crop (s, s, 3), and probabilities (128, 128, regions).
    """
    panels, there = [], np.zeros(len(REGIONS))
    for caption, crop, regions in crops:
        labels = regions.argmax(2).astype(np.uint8)
        there = np.maximum(there, np.bincount(labels.ravel(), minlength=len(REGIONS)))
        shape = (crop.shape[1], crop.shape[0])
        drawn = cv2.resize(draw_regions(labels), shape, interpolation=cv2.INTER_NEAREST)
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None]
        panels.append((caption, np.rint(grey * 0.5 + drawn * 0.5).astype(np.uint8)))
    least = _LEAST * labels.size
    return [*panels, ("", _legend([k for k in range(len(REGIONS)) if there[k] >= least]))]


def _legend(regions: Sequence[int]) -> Picture:
    legend = np.full((PANEL, _LEGEND, 3), 255, np.uint8)
    colours = draw_regions(np.arange(len(REGIONS), dtype=np.uint8)[None])[0]
    for row, region in enumerate(regions):
        y = 6 + 20 * row
        # As it looks over a middle grey.
        legend[y : y + 14, 5:19] = colours[region] // 2 + 64
        write(legend, REGIONS[region], (24, y + 11), (40, 40, 40))
    return legend


def mask_picture(mask: NDArray[np.float32] | None, side: int) -> Picture:
    """(side, side, 3) a mask (s, s) from 0 to 1 in grey; black for none."""
    if mask is None:
        return np.zeros((side, side, 3), np.uint8)
    return np.repeat(bytes_of(resized(mask, side))[:, :, None], 3, 2)


def signed_picture(values: NDArray[np.floating[Any]], gain: float) -> Picture:
    """Differences (h, w, 3) around 0 as a picture around grey, so many times as strong."""
    return bytes_of(0.5 + gain * np.asarray(values, np.float32))


def difference(before: NDArray[Any], after: NDArray[Any], gain: float) -> Picture:
    """What is lighter or darker in the second of two pictures of 8 bits, around grey."""
    return signed_picture((after.astype(np.float32) - before) / 255, gain)


def flow_picture(motion: NDArray[np.float32], ground: Picture) -> tuple[Picture, float]:
    """Where pixels go: direction as hue, length as saturation, with arrows, over a grey picture.

    Args:
        motion: (s, s, 2) where each pixel is read, as :class:`videdit.blending.change.Change` has
            it: crop units.
        ground: (side, side, 3) what moves.

    Returns:
        (side, side, 3) and the longest way, crop units. The longest arrow is as long as arrows are
        apart.
    """
    side = ground.shape[0]
    moves = -resized(motion, side)
    length = np.linalg.norm(moves, axis=2)
    longest = float(length.max())
    share = length / max(longest, 1e-9)
    angle = np.degrees(np.arctan2(moves[:, :, 1], moves[:, :, 0])) % 360
    hsv = np.stack((angle / 2, 255 * share, np.full_like(share, 255)), 2)
    colours = cv2.cvtColor(np.rint(hsv).clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    grey = cv2.cvtColor(ground, cv2.COLOR_RGB2GRAY)[:, :, None] / np.float32(255)
    picture = np.rint(colours * (0.45 + 0.55 * grey)).astype(np.uint8)
    step = side / _ARROWS
    for y in np.arange(step / 2, side, step):
        for x in np.arange(step / 2, side, step):
            there = moves[int(y), int(x)] / max(longest, 1e-9) * step
            if share[int(y), int(x)] > 0.06:
                tip = (round(x + float(there[0])), round(y + float(there[1])))
                start = (round(x), round(y))
                cv2.arrowedLine(picture, start, tip, (0, 0, 0), 1, cv2.LINE_AA, tipLength=0.3)
    return picture, longest
