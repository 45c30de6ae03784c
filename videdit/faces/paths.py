"""One track's landmarks over time: found again among the detections, gaps filled, calmed; and the
FFHQ quads that follow from them. All of it in windows: a piece of a track comes out as it would
from the whole, to the last bit, when it is padded by :func:`frames_around`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from videdit.faces.align import ffhq_quad
from videdit.faces.detection import Detections
from videdit.faces.flow import stabilise
from videdit.faces.parameters import DEFAULT, Aligning
from videdit.faces.smoothing import FloatArray, smooth, window
from videdit.faces.tracking import Tracks, TrackSummary, interpolated


@dataclass(frozen=True)
class TrackPath:
    """A track's landmarks in consecutive frames, as they were measured.

    Attributes:
        frames: (k,) int64 frame numbers, without gaps.
        points68: (k, 68, 2) float32 landmarks, pixels; interpolated where not measured.
        moved, ok: (k, 68, 2) float32 and (k, 68) bool, the flow to the next frame as in
            :class:`Detections`; where not measured the points themselves and False.
        measured: (k,) bool; False in a gap that was filled.
    """

    frames: NDArray[np.int64]
    points68: NDArray[np.float32]
    moved: NDArray[np.float32]
    ok: NDArray[np.bool_]
    measured: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frames)

    def between(self, start: int, stop: int) -> TrackPath:
        """Its part in ``start <= frame < stop``."""
        part = slice(*np.searchsorted(self.frames, (start, stop)))
        return TrackPath(
            self.frames[part],
            self.points68[part],
            self.moved[part],
            self.ok[part],
            self.measured[part],
        )


def measured_around(tracks: Tracks, track: TrackSummary, start: int, stop: int) -> tuple[int, int]:
    """The track's part ``start <= frame < stop``, which is not empty, widened to begin and end
    with frames where the face was measured: what a gap at its ends is filled from."""
    index = tracks.index_of(track)
    first, last = max(start, track.first) - track.first, min(stop, track.last + 1) - track.first
    while index[first] < 0:
        first -= 1
    while index[last - 1] < 0:
        last += 1
    return first + track.first, last + track.first


def track_path(
    tracks: Tracks, track: TrackSummary, faces: Detections, times_s: NDArray[np.float64]
) -> TrackPath:
    """A track's landmarks in the frames of ``faces``.

    Args:
        faces: some frames' faces; the track is measured in the first and the last of its frames
            among them (:func:`measured_around`).
        times_s: (n,) seconds of the source's frames.
    """
    start, stop = max(faces.start, track.first), min(faces.stop, track.last + 1)
    frames = np.arange(start, stop, dtype=np.int64)
    index = tracks.index_of(track)[start - track.first : stop - track.first]
    measured = index >= 0
    rows = faces.first_rows()[frames - faces.start] + index
    # In a gap, for now, whatever face: what is written over below.
    rows = np.where(measured, rows, rows[0])
    points, moved, ok = faces.points68[rows], faces.moved[rows], faces.ok[rows]
    ok[~measured] = False
    seen = np.flatnonzero(measured)
    for before, after in pairwise(seen):
        if after - before > 1:
            gap = slice(before + 1, after)
            points[gap] = interpolated(
                points[before],
                points[after],
                times_s[frames[before]],
                times_s[frames[after]],
                times_s[frames[gap]],
            )
            moved[gap] = points[gap]
    return TrackPath(frames, points, moved, ok, measured)


def frames_around(
    times_s: NDArray[np.float64],
    start: int,
    stop: int,
    parameters: Aligning = DEFAULT.aligning,
) -> tuple[int, int]:
    """The frames that the landmarks and quads of ``start <= frame < stop`` depend on."""
    smoothing = parameters.smoothing
    for pad_s in (
        smoothing.reach * smoothing.quad_sigma_s,
        smoothing.reach * smoothing.landmark_sigma_s,
        parameters.stabilising.reach_s,
    ):
        start, stop = window(times_s, start, stop, pad_s)
    return start, stop


def calm_landmarks(
    path: TrackPath, times_s: NDArray[np.float64], parameters: Aligning = DEFAULT.aligning
) -> NDArray[np.float32]:
    """(k, 68, 2) float32: the path's landmarks, stabilised by the flow and smoothed over time."""
    at = times_s[path.frames]
    calm = stabilise(path.points68, path.moved, path.ok, at, parameters.stabilising)
    smoothing = parameters.smoothing
    points = smooth(calm, at, smoothing.landmark_sigma_s, smoothing.reach)
    return points.astype(np.float32)


def smooth_quads(
    points68: NDArray[np.float32],
    times_s: NDArray[np.float64],
    parameters: Aligning = DEFAULT.aligning,
    pixel_aspect: float = 1.0,
) -> FloatArray:
    """(k, 4, 2) FFHQ quads of a track's landmarks (k, 68, 2), at times (k,) in seconds, smoothed
    over time; squares stay squares (the smoothing is linear).

    Args:
        pixel_aspect: width over height of a pixel. Where pixels are oblong, quads are squares as
            they are shown, so that the generator sees nobody squeezed.

    Raises:
        ValueError: landmarks that describe no face, or times that don't increase.
    """
    smoothing = parameters.smoothing
    shown = np.array([pixel_aspect, 1.0])
    quads = ffhq_quad(points68 * shown) / shown
    return smooth(quads, times_s, smoothing.quad_sigma_s, smoothing.reach)
