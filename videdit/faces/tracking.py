"""From faces per frame to tracks: one person's face through one shot.

All distances are in units of the inter-ocular distance and all durations in seconds, so that a
clip at twice the size or twice the frame rate gives the same tracks. A film streams through: of
what was seen before only each open track's last face is kept, and a few bytes per face.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from videdit.faces.boxes import overlaps
from videdit.faces.detection import Detections, inter_ocular
from videdit.faces.parameters import DEFAULT, Tracking

_FORBIDDEN = 1e6


@dataclass(frozen=True)
class TrackSummary:
    """One face through consecutive frames of one shot, without its landmarks.

    Attributes:
        id: 0-based, by first frame, then from left to right.
        shot: index of the shot.
        first, last: its first and its last frame; there is a face in every frame between.
        area: sum over its frames of the squared inter-ocular distance, pixels.
        inter_ocular: median over its frames, pixels.
    """

    id: int
    shot: int
    first: int
    last: int
    area: float
    inter_ocular: float

    def __len__(self) -> int:
        return self.last + 1 - self.first


@dataclass(frozen=True)
class Tracks:
    """All tracks of a stretch.

    Attributes:
        summaries: by id.
        index: int32, the tracks' frames laid end to end: which of its frame's detections this is;
            -1 in a gap, where the face is lost for a moment.
    """

    summaries: tuple[TrackSummary, ...]
    index: NDArray[np.int32]

    def index_of(self, track: TrackSummary) -> NDArray[np.int32]:
        """(k,) :attr:`index` of one track's frames; the first and the last are no gaps."""
        start = self._starts[track.id]
        return self.index[start : start + len(track)]

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((len(track) for track in self.summaries), initial=0))


@dataclass(frozen=True)
class _Face:
    """A face as the next frame's faces are compared with it."""

    points68: NDArray[np.float32]
    box: NDArray[np.float32]
    size: float


@dataclass
class _Growing:
    """A track under construction; its columns have an entry per frame, gaps included."""

    first: int
    left: float
    seen: int  # the frame of its last measured face
    index: array[int] = field(default_factory=lambda: array("i"))
    size: array[float] = field(default_factory=lambda: array("d"))
    score: array[float] = field(default_factory=lambda: array("f"))  # of measured faces alone


def link_faces(
    pieces: Iterable[Detections],
    frames: range,
    shots: Sequence[int],
    times_s: NDArray[np.floating[Any]],
    parameters: Tracking = DEFAULT.tracking,
) -> Tracks:
    """Join faces of neighbouring frames into tracks.

    Within a shot each frame's faces are assigned to the tracks that were seen at most
    ``max_gap_s`` before, so that the sum of (mean landmark distance + 1 - overlap + |log size
    ratio|) is least; a jump in place or size beyond the limits is another face. Nothing is joined
    across a cut.

    Args:
        pieces: the faces of ``frames``, piece by piece in order.
        frames: the stretch.
        shots: first frame of each shot, increasing, the first one ``frames.start``.
        times_s: (n,) presentation times in seconds of the source's frames, increasing.
        parameters: the limits.

    Returns:
        The tracks, spurious ones dropped.

    Raises:
        ValueError: there are too few times, ``shots`` is not as described, or the pieces don't
            make up the frames.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if times.ndim != 1 or len(times) < frames.stop:
        raise ValueError(f"{frames.stop} frames but {times.shape} times")
    bounds = [*shots, frames.stop] if len(frames) else []
    if len(frames) and (bounds[0] != frames.start or any(b <= a for a, b in pairwise(bounds))):
        raise ValueError(f"shots must start at {frames.start} and increase: {list(shots)}")
    period = 0.0
    if len(frames) > 1:
        period = float(np.median(np.diff(times[frames.start : frames.stop])))

    summaries: list[TrackSummary] = []
    indices = [np.zeros(0, np.int32)]
    coming = _frame_by_frame(pieces, frames)
    for shot, (start, stop) in enumerate(pairwise(bounds)):
        linker = _Linker(times, parameters)
        for _ in range(start, stop):
            linker.add(*next(coming))
        shot_s = float(times[stop - 1] - times[start]) + period
        for track in sorted(linker.tracks, key=lambda t: (t.first, t.left)):
            if not _spurious(track, times, period, shot_s, parameters):
                summaries.append(_summary(len(summaries), shot, track))
                indices.append(np.array(track.index, np.int32))
    if next(coming, None) is not None:
        raise ValueError(f"there are faces beyond frame {frames.stop - 1}")
    return Tracks(tuple(summaries), np.concatenate(indices))


def _frame_by_frame(
    pieces: Iterable[Detections], frames: range
) -> Iterator[tuple[int, list[_Face], NDArray[np.float32]]]:
    """Each frame's number, its faces, and their scores."""
    expected = frames.start
    for piece in pieces:
        if piece.start != expected:
            raise ValueError(f"frame {expected} is missing: {piece.start} follows")
        sizes = inter_ocular(piece.points68)
        for at, (start, stop) in enumerate(pairwise(piece.first_rows())):
            # Copies: a view would keep the whole piece for as long as the face is remembered.
            faces = [
                _Face(piece.points68[k].copy(), piece.box[k].copy(), float(sizes[k]))
                for k in range(start, stop)
            ]
            yield piece.start + at, faces, piece.score[start:stop]
        expected = piece.stop
    if expected < frames.stop:
        raise ValueError(f"frame {expected} is missing: there are no more")


class _Linker:
    """Grows the tracks of one shot, frame by frame."""

    def __init__(self, times: NDArray[np.float64], parameters: Tracking) -> None:
        self.tracks: list[_Growing] = []
        self._times = times
        self._parameters = parameters
        self._open: list[tuple[_Growing, _Face]] = []  # with the last face seen

    def add(self, frame: int, faces: list[_Face], scores: NDArray[np.float32]) -> None:
        if not faces:
            return
        # The frame right before is never a gap, however far apart frames are.
        longest = self._parameters.max_gap_s * (1 + 1e-9)
        self._open = [
            (track, face)
            for track, face in self._open
            if track.seen == frame - 1 or self._times[frame] - self._times[track.seen] <= longest
        ]
        costs = self._costs(frame, faces)
        at: dict[int, int] = {}  # which open track a face goes on with
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < _FORBIDDEN:
                at[int(column)] = int(row)
        for column, face in enumerate(faces):
            if column in at:
                track, before = self._open[at[column]]
                self._fill(track, before, face, frame)
                self._open[at[column]] = track, face
            else:
                track = _Growing(frame, float(face.box[0]), frame)
                self.tracks.append(track)
                self._open.append((track, face))
            track.seen = frame
            track.index.append(column)
            track.size.append(face.size)
            track.score.append(float(scores[column]))

    def _costs(self, frame: int, faces: list[_Face]) -> NDArray[np.float64]:
        """(open tracks, faces) what it costs to go on with each; ``_FORBIDDEN`` where it can't."""
        if not self._open:
            return np.zeros((0, len(faces)))
        limits = self._parameters
        seen = [face for _, face in self._open]
        dt = self._times[frame] - self._times[[track.seen for track, _ in self._open]]
        ones, others = (np.array([face.size for face in group]) for group in (seen, faces))
        unit = (ones[:, None] + others) / 2
        apart = np.linalg.norm(
            np.stack([face.points68 for face in seen])[:, None].astype(np.float64)
            - np.stack([face.points68 for face in faces]),
            axis=-1,
        ).mean(axis=-1)
        overlap = overlaps(
            np.stack([face.box for face in seen])[:, None], np.stack([face.box for face in faces])
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # faces without a size are forbidden
            ratio = np.abs(np.log(others / ones[:, None]))
            distance = apart / unit
            farthest = np.minimum(limits.base_distance + limits.speed * dt, limits.max_distance)
            allowed = (
                (np.minimum(ones[:, None], others) > 0)
                & (ratio <= np.log(limits.max_size_ratio))
                & (distance <= farthest[:, None])
                & (overlap >= limits.min_overlap)
            )
        return np.where(allowed, distance + 1.0 - overlap + ratio, _FORBIDDEN)

    def _fill(self, track: _Growing, before: _Face, after: _Face, frame: int) -> None:
        """Adds the frames between its last face and ``frame``, where the face was lost."""
        gap = np.arange(track.seen + 1, frame)
        if len(gap):
            ends = self._times[track.seen], self._times[frame]
            points = interpolated(before.points68, after.points68, *ends, self._times[gap])
            track.index.extend([-1] * len(gap))
            track.size.extend(inter_ocular(points))


def interpolated(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    start_s: float,
    stop_s: float,
    times_s: NDArray[np.float64],
) -> NDArray[np.float32]:
    """A face lost for a moment: points (68, 2) on straight lines from those at ``start_s`` to those
    at ``stop_s``, for each of the times between; (k, 68, 2) float32."""
    share = ((times_s - start_s) / (stop_s - start_s))[:, None, None]
    mixed = before.astype(np.float64) * (1 - share) + after.astype(np.float64) * share
    return mixed.astype(np.float32)


def _spurious(
    track: _Growing,
    times: NDArray[np.float64],
    period: float,
    shot_s: float,
    parameters: Tracking,
) -> bool:
    length = float(times[track.seen] - times[track.first]) + period
    score = float(np.mean(np.array(track.score, np.float64)))
    return length < min(parameters.spurious_s, shot_s / 2) and score < parameters.spurious_score


def _summary(number: int, shot: int, track: _Growing) -> TrackSummary:
    sizes = np.array(track.size)
    area, median = float(np.sum(sizes**2)), float(np.median(sizes))
    return TrackSummary(number, shot, track.first, track.seen, area, median)
