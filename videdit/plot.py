"""Lines over time as a picture: axes, ticks, lines, legend. Drawn by OpenCV, which every install
has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .sheet import TEXT_WIDTH, Colour, write

COLOURS: tuple[Colour, ...] = (
    *((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233)),
)
"""Lines' colours; the colour-blind tell them apart as well (Okabe and Ito, 2008)."""

_INK, _DASH, _RULE, _GAP = (60, 60, 60), (140, 140, 140), (225, 225, 225), (255, 226, 214)
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 22  # pixels around the axes
_SHIFT = 4  # bits of a pixel's fraction in OpenCV's coordinates


@dataclass(frozen=True)
class Line:
    """One quantity over time.

    Attributes:
        name: in the legend; empty for none.
        values: (n,); NaN where there is none, which breaks the line.
        colour: RGB.
        thin: drawn thin and pale, below all others: what was measured, under what is made of it.
    """

    name: str
    values: NDArray[np.floating[Any]]
    colour: Colour
    thin: bool = False

    @property
    def ink(self) -> Colour:
        """The colour that it is drawn in."""
        return tuple(round(c + 0.55 * (255 - c) * self.thin) for c in self.colour)


def plot(
    title: str,
    times: NDArray[np.floating[Any]],
    lines: Sequence[Line],
    *,
    size: tuple[int, int] = (1008, 230),
    limits: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, str]] = (),
    cuts: Sequence[float] = (),
    gaps: Sequence[tuple[float, float]] = (),
) -> NDArray[np.uint8]:
    """Draw quantities over time.

    Args:
        title: what they are and their unit.
        times: (n,) seconds, rising.
        lines: the quantities.
        size: width and height, pixels.
        limits: ends of the vertical axis; by default what holds all values.
        marks: moments with a label each, dashed.
        cuts: moments at which a shot begins, solid.
        gaps: stretches on a coloured ground.

    Returns:
        (height, width, 3) RGB.
    """
    width, height = size
    picture = np.full((height, width, 3), 255, np.uint8)
    left, right, top, bottom = _LEFT, width - _RIGHT, _TOP, height - _BOTTOM
    start = float(times[0]) if len(times) else 0.0
    stop = float(times[-1]) if len(times) > 1 else start + 1
    low, high = limits or _limits([line.values for line in lines])

    def x(time: Any) -> Any:
        return left + (np.asarray(time, np.float64) - start) / (stop - start) * (right - left)

    def y(value: Any) -> Any:
        return bottom - (np.asarray(value, np.float64) - low) / (high - low) * (bottom - top)

    def column(time: float) -> int:
        return min(max(round(float(x(time))), left), right - 1)

    for first, last in gaps:
        picture[top:bottom, column(first) : column(last) + 1] = _GAP
    for value in ticks(low, high, max(2, (bottom - top) // 45)):
        at = round(float(y(value)))
        picture[at, left:right] = _RULE
        label = f"{value:g}"
        write(picture, label, (left - 6 - TEXT_WIDTH * len(label), at + 4), _INK)
    for value in ticks(start, stop, max(2, (right - left) // 110)):
        at = column(value)
        picture[bottom : bottom + 4, at] = _INK
        label = f"{value:g} s"
        write(picture, label, (at - TEXT_WIDTH * len(label) // 2, height - 5), _INK)
    for time in cuts:
        picture[top:bottom, column(time)] = _INK
    for time, label in marks:
        for row in range(top, bottom, 8):
            picture[row : min(row + 4, bottom), column(time)] = _DASH
        write(picture, label, (column(time) + 3, top + 11), _DASH)
    # Drawn on a part of its own, which cuts off what is beyond the axes.
    inside = np.ascontiguousarray(picture[top:bottom, left:right])
    for line in sorted(lines, key=lambda line: not line.thin):
        _draw(inside, np.stack((x(times) - left, y(line.values) - top), 1), line.ink, 2 - line.thin)
    picture[top:bottom, left:right] = inside
    cv2.rectangle(picture, (left, top), (right, bottom), _INK, 1)
    write(picture, title, (left, top - 9), (0, 0, 0))
    at = right
    for line in reversed([line for line in lines if line.name]):
        at -= TEXT_WIDTH * len(line.name) + 34
        picture[top - 14 : top - 11 - line.thin, at : at + 18] = line.ink
        write(picture, line.name, (at + 22, top - 9), _INK)
    return picture


def stretches(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where runs of True (n,) begin, and where they have ended."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], which, [False])).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round values within ``low`` to ``high``, at most about ``count``: multiples of 1, 2 or 5
    times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    # Rounded: 3 * 0.1 is no 0.3.
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _limits(values: Sequence[NDArray[np.floating[Any]]]) -> tuple[float, float]:
    known = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.zeros(0)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    # What differs by rounding alone is drawn level.
    spare = 0.06 * (high - low) if high - low > 1e-5 * max(abs(low), abs(high)) else 0.5
    return low - spare, high + spare


def _draw(picture: NDArray[np.uint8], points: NDArray[Any], colour: Colour, width: int) -> None:
    """A line through points (n, 2), broken where one is not known."""
    known = np.isfinite(points).all(1)
    for first, last in stretches(known):
        piece = np.rint(points[first:last] * (1 << _SHIFT)).astype(np.int32)
        if len(piece) == 1:  # alone between gaps
            piece = np.concatenate((piece, piece + np.array([1 << _SHIFT, 0], np.int32)))
        cv2.polylines(picture, [piece[:, None]], False, colour, width, cv2.LINE_AA, _SHIFT)
