"""Tracks over time: what was measured, and what smoothing makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.landmarks import DetectionReader
from ..faces.parameters import Aligning
from ..faces.paths import calm_landmarks, frames_around, measured_around, track_path
from ..faces.tracking import Tracks, TrackSummary
from ..plot import COLOURS, Line
from .over_time import Axis, lane_name, lanes, windows

_NOSE, _EYES = 30, (slice(36, 42), slice(42, 48))  # iBUG's 68 points
_LIPS = 62, 66  # the inner lips' middles
_PATHS = ("nose tip", "left eye", "right eye")  # as seen in the picture
_COLUMNS = 8  # of ``measures``


def measures(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(k, 8) of landmarks (k, 68, 2), pixels: x and y of the nose tip and of the eyes' centres, the
    inter-ocular distance, and how far the mouth is open, of that distance."""
    eyes = [points[:, eye].mean(1) for eye in _EYES]
    between = np.linalg.norm(eyes[1] - eyes[0], axis=1)
    mouth = np.linalg.norm(points[:, _LIPS[1]] - points[:, _LIPS[0]], axis=1)
    places = np.concatenate((points[:, _NOSE], *eyes), 1)
    return np.column_stack((places, between, mouth / np.maximum(between, 1e-6)))


def track_plots(
    tracks: Tracks,
    detections: DetectionReader,
    axis: Axis,
    parameters: Aligning,
) -> list[NDArray[np.uint8]]:
    """Raw against smoothed landmarks of all tracks, several plots for each lane; none for a
    picture, which has no time."""
    pictures: list[NDArray[np.uint8]] = []
    for lane in lanes(tracks.summaries) if len(axis.frames) > 1 else []:
        count = len(axis.frames)
        raw, calm = (np.full((count, _COLUMNS), np.nan) for _ in range(2))
        apart, score = (np.full(count, np.nan) for _ in range(2))
        gaps = np.zeros(count, bool)
        for track in lane:
            for start, stop in windows(track.first, track.last + 1):
                here = slice(start - axis.frames.start, stop - axis.frames.start)
                around = frames_around(axis.times, start, stop, parameters)
                faces = detections.window(*measured_around(tracks, track, *around))
                path = track_path(tracks, track, faces, axis.times)
                part = slice(*np.searchsorted(path.frames, (start, stop)))
                smoothed = calm_landmarks(path, axis.times, parameters)[part]
                measured = path.points68[part]
                raw[here], calm[here] = measures(measured), measures(smoothed)
                apart[here] = np.linalg.norm(measured - smoothed, axis=2).mean(1)
                gaps[here] = ~path.measured[part]
                score[here] = _scores(tracks, track, detections, start, stop)
        raw[gaps], apart[gaps] = np.nan, np.nan
        pictures += _plots(lane_name(lane), axis, raw, calm, apart, score, gaps)
    return pictures


def _scores(
    tracks: Tracks, track: TrackSummary, detections: DetectionReader, start: int, stop: int
) -> NDArray[np.float64]:
    """(n,) how sure the landmarker was of a track's face; NaN in gaps."""
    index = tracks.index_of(track)[start - track.first : stop - track.first]
    faces = detections.window(start, stop)
    rows, seen = faces.first_rows()[:-1] + index, index >= 0
    found = np.full(len(index), np.nan)
    found[seen] = faces.score[rows[seen]]
    return found


def _plots(
    name: str,
    axis: Axis,
    raw: NDArray[np.float64],
    calm: NDArray[np.float64],
    apart: NDArray[np.float64],
    score: NDArray[np.float64],
    gaps: NDArray[np.bool_],
) -> list[NDArray[np.uint8]]:
    def both(columns: Sequence[int], names: Sequence[str], middle: bool) -> list[Line]:
        lines = []
        for column, label, colour in zip(columns, names, COLOURS, strict=False):
            known = calm[np.isfinite(calm[:, column]), column]
            zero = float(np.median(known)) if middle and len(known) else 0.0
            lines.append(Line("", raw[:, column] - zero, colour, thin=True))
            lines.append(Line(label, calm[:, column] - zero, colour))
        return lines

    how = "thin: raw, thick: smoothed"
    drawn: list[tuple[str, list[Line], tuple[float, float] | None]] = [
        (f"{name}: x less its median, px ({how})", both((0, 2, 4), _PATHS, True), None),
        (f"{name}: y less its median, px ({how})", both((1, 3, 5), _PATHS, True), None),
        (f"{name}: inter-ocular distance, px ({how})", both((6,), ("",), False), None),
        (f"{name}: mouth open / inter-ocular distance ({how})", both((7,), ("",), False), None),
        (
            f"{name}: raw from smoothed, mean of 68 points, px",
            [Line("", apart, COLOURS[1])],
            None,
        ),
        (f"{name}: score of the landmarker", [Line("", score, COLOURS[2])], (0.0, 1.15)),
    ]
    return [axis.draw(title, lines, limits, gaps) for title, lines, limits in drawn]


def extent_plot(tracks: Tracks, axis: Axis) -> NDArray[np.uint8]:
    """When which track is there; broken in gaps."""
    lines, gaps = [], np.zeros(len(axis.frames), bool)
    for track in tracks.summaries:
        there = np.full(len(axis.frames), np.nan)
        seen = tracks.index_of(track) >= 0
        part = slice(track.first - axis.frames.start, track.last + 1 - axis.frames.start)
        there[part] = np.where(seen, track.id, np.nan)
        gaps[part] |= ~seen
        lines.append(Line("", there, COLOURS[track.id % len(COLOURS)]))
    top = max((track.id for track in tracks.summaries), default=0)
    return axis.draw(
        "tracks by their number, lost faces and cuts", lines, (-1, top + 1), gaps, height=130
    )
