"""Quantities of faces over a video's time, drawn with the shots and the frames that are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..artifacts.faces import FaceTable
from ..plot import Line, plot, stretches
from ..sheet import GAP, PAGE

MOST_LANES = 3
"""Faces beside each other in time that are drawn."""

_WINDOW = 256  # frames that are read at a time


class _Track(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...


T = TypeVar("T", bound=_Track)


def lanes(tracks: Sequence[T]) -> list[list[T]]:
    """Tracks in as few groups as can be in which none overlaps another in time; at most
    ``MOST_LANES``, those that hold most frames."""
    made: list[list[T]] = []
    for track in sorted(tracks, key=lambda t: (t.first, t.id)):
        free = [lane for lane in made if lane[-1].last < track.first]
        if free:
            free[0].append(track)
        else:
            made.append([track])
    longest = sorted(made, key=lambda lane: -sum(t.last + 1 - t.first for t in lane))
    return longest[:MOST_LANES]


def lane_name(lane: Sequence[_Track]) -> str:
    """Which tracks a lane holds, short."""
    ids = sorted(track.id for track in lane)
    if len(ids) > 4:
        return f"tracks {ids[0]} to {ids[-1]}"
    return f"track{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


def windows(first: int, stop: int) -> list[tuple[int, int]]:
    """A stretch of frames in pieces that fit into memory."""
    edges = [*range(first, stop, _WINDOW), stop]
    return list(pairwise(edges))


def by_lane(
    table: FaceTable, frames: range, measure: Callable[[int, int], NDArray[np.floating[Any]]]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Quantities of the table's faces, by lane: its name and (n, q), NaN where it has no face.

    Args:
        frames: n of them, those of interest.
        measure: the quantities (k, q) of the faces in ``start <= frame < stop``.
    """
    groups = lanes([t for t in table.tracks if t.first < frames.stop and frames.start <= t.last])
    found: list[NDArray[np.float64]] = []
    first, stop = max(table.first_frame, frames.start), min(table.stop_frame, frames.stop)
    for a, b in windows(first, stop):
        if not len(table.rows(a, b)):
            continue
        faces, values = table.window(a, b), measure(a, b)
        if not found:
            found = [np.full((len(frames), values.shape[1]), np.nan) for _ in groups]
        for lane, kept in zip(groups, found, strict=True):
            here = np.isin(faces.track, [track.id for track in lane])
            kept[faces.frame[here] - frames.start] = values[here]
    return [(lane_name(lane), kept) for lane, kept in zip(groups, found, strict=False)]


@dataclass(frozen=True)
class Axis:
    """The time that plots of one sheet share.

    Attributes:
        frames: those it covers.
        times: (n,) seconds of all frames of the source.
        shown: frames that are drawn below, which are marked.
        shots: first frames of the shots, if they are known.
    """

    frames: range
    times: NDArray[np.float64]
    shown: Sequence[int]
    shots: Sequence[int] = ()

    def draw(
        self,
        title: str,
        lines: Sequence[Line],
        limits: tuple[float, float] | None = None,
        gaps: NDArray[np.bool_] | None = None,
        height: int = 230,
    ) -> NDArray[np.uint8]:
        """A plot of lines with a value for each of the frames; ``gaps`` (n,) are marked."""
        times = self.times[self.frames.start : self.frames.stop]
        spans: list[tuple[float, float]] = []
        if gaps is not None:
            # From the frame before to the frame after: as wide as what is missing.
            spans = [
                (float(times[max(0, a - 1)]), float(times[min(b, len(times) - 1)]))
                for a, b in stretches(gaps)
            ]
        if len(times) == 1:  # a picture: its values as level lines
            times = np.array([times[0], times[0] + 1])
            lines = [replace(line, values=np.repeat(line.values, 2)) for line in lines]
        inside = [f for f in self.shown if f in self.frames]
        return plot(
            title,
            times,
            lines,
            size=((PAGE - GAP) // 2, height),
            limits=limits,
            marks=[(float(self.times[f]), str(f)) for f in inside],
            cuts=[float(self.times[f]) for f in self.shots if f in self.frames[1:]],
            gaps=spans,
        )
