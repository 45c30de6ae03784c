"""Plots over time, bars and the timeline, as HTML with SVG in it.

Only what is drawn is SVG, stretched to the room that there is; words are HTML beside it, and stay
as large as all others on a narrow screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..plot import stretches, ticks
from .markup import Html, tag

COLOURS = 6
"""Lines' colours that the page knows: classes ``c0`` and up."""

MOST_POINTS = 600
"""Points of a line; of more, each bucket's lowest and highest are drawn."""

FINEST = 1 / 1500
"""Share of the axis under which spans and gaps between them are one."""

_WIDTH, _HEIGHT = 1000, 100  # the drawings' own units

Floats = NDArray[np.float64]
Piece = tuple[Floats, Floats]


@dataclass(frozen=True)
class Span:
    """A stretch of time.

    Attributes:
        start, stop: seconds.
        name: what a pointer over it is told.
    """

    start: float
    stop: float
    name: str = ""


@dataclass(frozen=True)
class Axis:
    """The time that drawings share.

    Attributes:
        start, stop: seconds.
        cuts: moments at which a shot begins.
        quiet: stretches that passed through, on a grey ground.
        marks: moments with a name and the id of what they lead to.
    """

    start: float
    stop: float
    cuts: Sequence[float] = ()
    quiet: Sequence[Span] = ()
    marks: Sequence[tuple[float, str, str]] = ()

    def at(self, time: float) -> float:
        """Where a moment is, 0 to 1, held within the ends."""
        return min(max((time - self.start) / (self.stop - self.start), 0.0), 1.0)


@dataclass(frozen=True)
class Curve:
    """One quantity over time.

    Attributes:
        name: in the legend.
        pieces: times and values (n,) each; the line is broken between them, and where a value is
            NaN.
        colour: number of its colour.
        thin: drawn thin, below the others: what was, under what became of it.
    """

    name: str
    pieces: Sequence[Piece]
    colour: int = 0
    thin: bool = False

    @property
    def values(self) -> Floats:
        """All that are known."""
        values = np.concatenate([np.zeros(0), *(piece[1] for piece in self.pieces)])
        return np.asarray(values[np.isfinite(values)], np.float64)


def decimated(times: Floats, values: Floats, most: int = MOST_POINTS) -> Piece:
    """A line of at most about ``most`` points that looks the same: the lowest and the highest of
    each of ``most / 2`` buckets, in the order in which they come. What is not known stays so where
    a whole bucket is not."""
    if len(times) <= most:
        return times, values
    kept: list[int] = []
    for bucket in np.array_split(np.arange(len(times)), most // 2):
        known = bucket[np.isfinite(values[bucket])]
        if len(known):
            kept += sorted({int(known[values[known].argmin()]), int(known[values[known].argmax()])})
        else:
            kept.append(int(bucket[0]))
    return times[kept], values[kept]


def path_of(axis: Axis, piece: Piece, limits: tuple[float, float]) -> str:
    """The SVG path of a line in a drawing of 1000 by 100, whose upper edge is the higher limit."""
    times, values = decimated(*piece)
    low, high = limits
    x = (times - axis.start) / (axis.stop - axis.start) * _WIDTH
    y = (high - values) / (high - low) * _HEIGHT
    words = []
    for first, last in stretches(np.isfinite(y)):
        points = [f"{a:.1f} {b:.2f}" for a, b in zip(x[first:last], y[first:last], strict=True)]
        # A point alone is drawn by its round end.
        words.append(f"M{'L'.join(points)}" + ("h0" if len(points) == 1 else ""))
    return "".join(words)


def limits_of(
    values: Floats, least: float = 0.0, ends: tuple[float | None, float | None] = (None, None)
) -> tuple[float, float]:
    """Ends of the vertical axis that hold all values with a little room.

    Args:
        values: (n,) known ones.
        least: they are at least so far apart.
        ends: values that the axis reaches in any case.
    """
    held = np.concatenate((values, [end for end in ends if end is not None]))
    low, high = (float(held.min()), float(held.max())) if len(held) else (0.0, 1.0)
    room = max(0.05 * (high - low), (least - (high - low)) / 2, 1e-6 * max(abs(low), abs(high)))
    room = room or 0.5
    return low - room, high + room


def merged(spans: Iterable[Span], finest: float) -> list[Span]:
    """Spans in order; those less than ``finest`` seconds apart become one, without a name."""
    kept: list[Span] = []
    for span in spans:
        if (
            kept
            and span.start - kept[-1].stop < finest
            and (span.stop - span.start < finest or kept[-1].stop - kept[-1].start < finest)
        ):
            kept[-1] = Span(kept[-1].start, max(kept[-1].stop, span.stop))
        else:
            kept.append(span)
    return kept


def thinned(moments: Iterable[float], finest: float) -> list[float]:
    """Moments in order without those less than ``finest`` seconds after one that is kept."""
    kept: list[float] = []
    for moment in moments:
        if not kept or moment - kept[-1] >= finest:
            kept.append(moment)
    return kept


def said(values: Floats, form: Callable[[float], str]) -> str:
    """Mean and range in words."""
    if not len(values):
        return "not known"
    low, mean, high = (form(float(v)) for v in (values.min(), values.mean(), values.max()))
    return mean if low == high else f"mean {mean}, {low} to {high}"


def plot(
    title: str,
    axis: Axis,
    curves: Sequence[Curve],
    *,
    about: str = "",
    limits: tuple[float, float] | None = None,
    levels: Sequence[tuple[float, str]] = (),
    form: Callable[[float], str] = "{:.2f}".format,
) -> Html:
    """A plot of quantities over time, with its legend.

    Args:
        title: what they are.
        axis: the time.
        curves: at most as many as there are colours.
        about: how to read it, a sentence.
        limits: ends of the vertical axis.
        levels: values that are marked, each with a name.
        form: a value in words.
    """
    known = np.concatenate([np.zeros(0), *(curve.values for curve in curves)])
    low, high = limits or limits_of(known)
    finest = FINEST * (axis.stop - axis.start)
    drawn: list[object] = [_ground(axis, span) for span in merged(axis.quiet, finest)]

    def y(value: float) -> float:
        return (high - value) / (high - low) * _HEIGHT

    values = ticks(low, high, 4)
    drawn += [_line(0, y(value), _WIDTH, y(value), "rule") for value in values]
    for cut in thinned(axis.cuts, finest):
        x = axis.at(cut) * _WIDTH
        drawn.append(_line(x, 0, x, _HEIGHT, "cut"))
    for time, _, _ in axis.marks:
        x = axis.at(time) * _WIDTH
        drawn.append(_line(x, 0, x, _HEIGHT, "mark"))
    drawn += [_line(0, y(v), _WIDTH, y(v), "level") for v, _ in levels if low <= v <= high]
    for curve in sorted(curves, key=lambda curve: not curve.thin):
        d = "".join(path_of(axis, piece, (low, high)) for piece in curve.pieces)
        kind = f"curve c{curve.colour % COLOURS}{' thin' if curve.thin else ''}"
        drawn.append(tag("path", class_=kind, d=d))
    spoken = "; ".join(f"{curve.name}: {said(curve.values, form)}" for curve in curves)
    legend = [
        tag(
            "li",
            tag("i", class_=f"key c{curve.colour % COLOURS}{' thin' if curve.thin else ''}"),
            tag("span", curve.name),
            tag("small", said(curve.values, form)),
        )
        for curve in curves
    ]
    seconds = f"{axis.start:.2f} to {axis.stop:.2f} s"
    return tag(
        "figure",
        tag("figcaption", tag("strong", title), tag("span", about) if about else None),
        tag("ul", legend, class_="legend"),
        tag(
            "div",
            tag(
                "div",
                [_placed(f"{v:g}", "top", y(v) / _HEIGHT) for v in values],
                class_="ys",
                aria_hidden="true",
            ),
            tag(
                "div",
                _drawing(drawn, f"Plot over time, {seconds}. {title}. {spoken}."),
                [
                    _placed(name, "top", y(v) / _HEIGHT, "level")
                    for v, name in levels
                    if low <= v <= high
                ],
                class_="field",
            ),
            _seconds(axis),
            class_="axes",
        ),
        class_="plot",
    )


@dataclass(frozen=True)
class Row:
    """A row of the timeline.

    Attributes:
        name: what it shows.
        spans: of each kind (``shot``, ``other``, ``face``, ``lost``, ``edited``, ``passed``), in
            the order in which they are drawn.
    """

    name: str
    spans: Sequence[tuple[str, Sequence[Span]]]


def timeline(axis: Axis, rows: Sequence[Row], spoken: str) -> Html:
    """Rows of bars over time, and the axis's marks as links.

    Args:
        axis: the time.
        rows: top to bottom.
        spoken: the same in words.
    """
    finest = FINEST * (axis.stop - axis.start)
    drawn = []
    for row in rows:
        bars: list[object] = []
        for kind, spans in row.spans:
            bars += [_bar(axis, span, kind) for span in merged(spans, finest)]
        bars += [
            _line(axis.at(cut) * _WIDTH, 0, axis.at(cut) * _WIDTH, _HEIGHT, "cut")
            for cut in thinned(axis.cuts, finest)
        ]
        drawn += [tag("span", row.name, class_="name"), _drawing(bars, "", hidden=True)]
    marks = [
        tag(
            "a",
            href=f"#{to}",
            class_="mark",
            style=f"left:{100 * axis.at(time):.3f}%",
            title=name,
            aria_label=f"Show {name}",
        )
        for time, name, to in axis.marks
    ]
    if marks:
        drawn += [tag("span", "Shown", class_="name"), tag("div", marks, class_="marks")]
    drawn += [tag("span"), _seconds(axis)]
    return tag(
        "div",
        tag("p", spoken, class_="unseen"),
        tag("div", drawn, class_="rows"),
        class_="timeline",
    )


def bar(share: float) -> Html:
    """A bar of a share from 0 to 1 of the room that there is."""
    return tag("span", style=f"width:{100 * share:.1f}%", class_="bar")


def times_of(spans: Sequence[tuple[int, int]], edges: Floats) -> list[Span]:
    """Stretches of frames, first and one past the last, as stretches of time.

    Args:
        spans: of frames.
        edges: (n + 1,) when each frame begins, and when the last one ends.
    """
    return [Span(float(edges[a]), float(edges[b]), f"frames {a} to {b - 1}") for a, b in spans]


def pieces_of(
    frames: NDArray[np.int64], tracks: NDArray[np.int64], times: Floats, values: NDArray[Any]
) -> list[Piece]:
    """Values (n,) of faces in rising frames as pieces of a line, one for each track in a row."""
    if not len(frames):
        return []
    edges = [0, *(np.flatnonzero(np.diff(tracks)) + 1).tolist(), len(frames)]
    return [(times[frames[a:b]], np.asarray(values[a:b], np.float64)) for a, b in pairwise(edges)]


def _drawing(drawn: Sequence[object], label: str, *, hidden: bool = False) -> Html:
    return tag(
        "svg",
        drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role=None if hidden else "img",
        aria_label=None if hidden else label,
        aria_hidden="true" if hidden else None,
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return tag("path", class_=kind, d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}")


def _bar(axis: Axis, span: Span, kind: str) -> Html:
    x, stop = axis.at(span.start) * _WIDTH, axis.at(span.stop) * _WIDTH
    words = f"{span.name}, {span.start:.2f} to {span.stop:.2f} s".removeprefix(", ")
    # Its title is what a pointer over it shows.
    return tag(
        "rect",
        tag("title", words),
        class_=kind,
        x=f"{x:.1f}",
        width=f"{max(stop - x, 1):.1f}",
        height=_HEIGHT,
    )


def _ground(axis: Axis, span: Span) -> Html:
    x, stop = axis.at(span.start) * _WIDTH, axis.at(span.stop) * _WIDTH
    return tag("rect", class_="quiet", x=f"{x:.1f}", width=f"{stop - x:.1f}", height=_HEIGHT)


def _placed(text: str, side: str, share: float, kind: str | None = None) -> Html:
    return tag("span", text, class_=kind, style=f"{side}:{100 * share:.2f}%")


def _seconds(axis: Axis) -> Html:
    labels = [
        _placed(f"{value:g} s", "left", axis.at(value)) for value in ticks(axis.start, axis.stop, 5)
    ]
    return tag("div", labels, class_="xs", aria_hidden="true")
