"""From faces per frame to tracks: one person's face through one shot.

All distances are in units of the inter-ocular distance and all durations in seconds, so that a
clip at twice the size or twice the frame rate gives the same tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from videdit.errors import NoFaceError, UsageError
from videdit.faces.backend import Detection, inter_ocular

MAX_GAP_S = 0.3
"""A face that is lost for longer starts a new track."""

MAX_SIZE_RATIO = 1.6
"""From one detection to the next a face grows or shrinks by no more."""

MIN_OVERLAP = 0.1
"""Its boxes overlap by at least this (intersection over union)."""

BASE_DISTANCE = 0.5
SPEED = 4.0
MAX_DISTANCE = 1.5
"""Its landmarks move by at most BASE_DISTANCE + SPEED * seconds in the mean, never by more than
MAX_DISTANCE, in inter-ocular distances."""

SPURIOUS_S = 0.25
SPURIOUS_SCORE = 0.75
"""A track is dropped if it is shorter than SPURIOUS_S, shorter than half its shot, and its mean
score is below SPURIOUS_SCORE."""

SAME_SIZE = 0.5
"""See :func:`choose`."""

_FORBIDDEN = 1e6


@dataclass(frozen=True)
class Track:
    """One face through consecutive frames of one shot.

    Attributes:
        id: 0-based, by first frame, then from left to right.
        shot: index of the shot.
        frames: (k,) int64 frame numbers, without gaps.
        points68: (k, 68, 2) float32 landmarks, pixels; interpolated where not measured.
        box: (k, 4) float32 left, top, right, bottom; interpolated where not measured.
        score: (k,) float32; 0 where not measured.
        measured: (k,) bool; False in a gap that was filled.
        index: (k,) int64, which of its frame's detections this is; -1 where not measured.
    """

    id: int
    shot: int
    frames: NDArray[np.int64]
    points68: NDArray[np.float32]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    measured: NDArray[np.bool_]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)

    def rows(self, counts: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Rows of this track's detections where all frames' detections are laid end to end.

        Args:
            counts: (n,) detections of each frame of the clip.

        Returns:
            (k,) int64 row numbers, -1 where not measured.
        """
        starts = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
        return np.where(self.measured, starts[self.frames] + self.index, -1)


@dataclass
class _Growing:
    """A track under construction."""

    frames: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    faces: list[Detection] = field(default_factory=list)

    def add(self, frame: int, index: int, face: Detection) -> None:
        self.frames.append(frame)
        self.index.append(index)
        self.faces.append(face)


def build_tracks(
    detections: Sequence[Sequence[Detection]],
    shots: Sequence[int],
    times_s: NDArray[np.floating[Any]],
    max_gap_s: float = MAX_GAP_S,
) -> list[Track]:
    """Join faces of neighbouring frames into tracks.

    Within a shot each frame's faces are assigned to the tracks that were seen at most
    ``max_gap_s`` before, so that the sum of (mean landmark distance + 1 - overlap + |log size
    ratio|) is least; a jump in place or size beyond the module's limits is another face. Gaps are
    filled by linear interpolation. Nothing is joined across a cut.

    Args:
        detections: for each of n frames its faces.
        shots: first frame of each shot, increasing, the first one 0.
        times_s: (n,) presentation times in seconds, increasing.
        max_gap_s: seconds for which a face may be lost.

    Returns:
        Tracks by id, spurious ones dropped.

    Raises:
        ValueError: lengths differ, or ``shots`` is not as described.
    """
    times = np.asarray(times_s, dtype=np.float64)
    count = len(detections)
    if times.shape != (count,):
        raise ValueError(f"{count} frames but {times.shape} times")
    bounds = np.array([*shots, count])
    if count and (len(shots) == 0 or bounds[0] != 0 or np.any(np.diff(bounds) <= 0)):
        raise ValueError(f"shots must start at 0 and increase: {list(shots)}")
    period = float(np.median(np.diff(times))) if count > 1 else 0.0

    found: list[tuple[int, _Growing]] = []
    for shot, (start, stop) in enumerate(pairwise(bounds)):
        grown = _grow(detections, times, int(start), int(stop), max_gap_s)
        shot_s = float(times[stop - 1] - times[start]) + period
        found += [(shot, track) for track in grown if not _spurious(track, times, period, shot_s)]
    found.sort(key=lambda item: (item[1].frames[0], float(item[1].faces[0].box[0])))
    return [_finished(number, shot, track, times) for number, (shot, track) in enumerate(found)]


def _grow(
    detections: Sequence[Sequence[Detection]],
    times: NDArray[np.float64],
    start: int,
    stop: int,
    max_gap_s: float,
) -> list[_Growing]:
    tracks: list[_Growing] = []
    open_tracks: list[_Growing] = []
    for frame in range(start, stop):
        faces = detections[frame]
        if not faces:
            continue
        # The frame right before is never a gap, however far apart frames are.
        open_tracks = [
            track
            for track in open_tracks
            if track.frames[-1] == frame - 1
            or times[frame] - times[track.frames[-1]] <= max_gap_s * (1 + 1e-9)
        ]
        costs = np.array(
            [
                [_cost(t.faces[-1], face, times[frame] - times[t.frames[-1]]) for face in faces]
                for t in open_tracks
            ]
        ).reshape(len(open_tracks), len(faces))
        taken = set()
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < _FORBIDDEN:
                open_tracks[row].add(frame, int(column), faces[column])
                taken.add(int(column))
        for column, face in enumerate(faces):
            if column not in taken:
                fresh = _Growing()
                fresh.add(frame, column, face)
                tracks.append(fresh)
                open_tracks.append(fresh)
    return tracks


def _cost(one: Detection, other: Detection, dt: float) -> float:
    sizes = inter_ocular(np.stack([one.points68, other.points68]))
    if not sizes.min() > 0:
        return _FORBIDDEN
    ratio = abs(float(np.log(sizes[1] / sizes[0])))
    apart = np.linalg.norm(one.points68.astype(np.float64) - other.points68, axis=1)
    distance = float(apart.mean() / sizes.mean())
    overlap = _overlap(one.box, other.box)
    if (
        ratio > np.log(MAX_SIZE_RATIO)
        or distance > min(BASE_DISTANCE + SPEED * dt, MAX_DISTANCE)
        or overlap < MIN_OVERLAP
    ):
        return _FORBIDDEN
    return distance + 1.0 - overlap + ratio


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    shared = float(np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)))
    total = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / total if total > 0 else 0.0


def _spurious(track: _Growing, times: NDArray[np.float64], period: float, shot_s: float) -> bool:
    length = float(times[track.frames[-1]] - times[track.frames[0]]) + period
    score = float(np.mean([face.score for face in track.faces]))
    return length < min(SPURIOUS_S, shot_s / 2) and score < SPURIOUS_SCORE


def _finished(number: int, shot: int, track: _Growing, times: NDArray[np.float64]) -> Track:
    seen = np.array(track.frames, dtype=np.int64)
    frames = np.arange(seen[0], seen[-1] + 1)
    at = np.searchsorted(seen, frames)  # the measurement at or after each frame
    measured = seen[at] == frames
    before = np.where(measured, at, at - 1)
    start, end = times[seen[before]], times[seen[at]]
    share = np.where(measured, 0.0, (times[frames] - start) / np.where(measured, 1.0, end - start))

    def filled(values: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        known = np.stack(values).astype(np.float64)
        weight = share.reshape(-1, *[1] * (known.ndim - 1))
        mixed: NDArray[np.float32] = (known[before] * (1 - weight) + known[at] * weight).astype(
            np.float32
        )
        return mixed

    scores = np.array([face.score for face in track.faces], dtype=np.float32)
    return Track(
        id=number,
        shot=shot,
        frames=frames,
        points68=filled([face.points68 for face in track.faces]),
        box=filled([face.box for face in track.faces]),
        score=np.where(measured, scores[at], np.float32(0)),
        measured=measured,
        index=np.where(measured, np.array(track.index, dtype=np.int64)[at], -1),
    )


def choose(tracks: Sequence[Track], face: str) -> list[Track]:
    """The tracks to edit.

    Args:
        tracks: from :func:`build_tracks`.
        face: ``"all"``; ``"track:N"``, the one with that id; or ``"largest"``: in every shot the
            track with the largest area summed over its frames, and then, in the order of that
            sum, further ones that share no frame with those taken and whose median size is at
            least SAME_SIZE of the first one's. So a person who is lost for a while goes on being
            edited, and never two at once.

    Returns:
        The chosen tracks by id, at least one.

    Raises:
        NoFaceError: there are no tracks.
        UsageError: the request is malformed, or there is no such track.
    """
    if face not in ("largest", "all") and not face.startswith("track:"):
        raise UsageError(f"--face does not know {face!r}", "Use largest, all, or track:N.")
    if not tracks:
        raise NoFaceError("no face was found", "Check the stretch, or try another --backend.")
    if face == "all":
        return sorted(tracks, key=lambda track: track.id)
    if face.startswith("track:"):
        number = face.removeprefix("track:")
        chosen = [track for track in tracks if str(track.id) == number]
        if not chosen:
            known = ", ".join(str(track.id) for track in sorted(tracks, key=lambda t: t.id))
            raise UsageError(f"there is no face track {number!r}", f"There are: {known}.")
        return chosen
    result: list[Track] = []
    for shot in sorted({track.shot for track in tracks}):
        sizes = {t.id: inter_ocular(t.points68) for t in tracks if t.shot == shot}
        ranked = sorted(
            (t for t in tracks if t.shot == shot),
            key=lambda t: (-float(np.sum(sizes[t.id] ** 2)), t.id),
        )
        least = SAME_SIZE * float(np.median(sizes[ranked[0].id]))
        taken: list[Track] = []
        for track in ranked:
            apart = all(
                track.frames[-1] < other.frames[0] or other.frames[-1] < track.frames[0]
                for other in taken
            )
            if apart and float(np.median(sizes[track.id])) >= least:
                taken.append(track)
        result += taken
    return sorted(result, key=lambda track: track.id)


def save_detections(path: Path, detections: Sequence[Sequence[Detection]]) -> None:
    """Write the faces of n frames to an ``.npz`` file of plain arrays.

    ``counts`` (n,) int32 faces per frame, and of all faces laid end to end ``box`` (m, 4),
    ``score`` (m,), ``points68`` (m, 68, 2) and ``mesh`` (m, 468, 3), float32; a face without a
    mesh has NaN there.
    """
    faces = [face for frame in detections for face in frame]
    absent = np.full((468, 3), np.nan, np.float32)
    meshes = [absent if face.mesh is None else face.mesh for face in faces]
    np.savez(
        path,
        counts=np.array([len(frame) for frame in detections], np.int32),
        box=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
        score=np.array([face.score for face in faces], np.float32),
        points68=np.array([face.points68 for face in faces], np.float32).reshape(-1, 68, 2),
        mesh=np.array(meshes, np.float32).reshape(-1, 468, 3),
    )


def load_detections(path: Path, *, meshes: bool = True) -> list[list[Detection]]:
    """Read what :func:`save_detections` wrote.

    Args:
        path: the file.
        meshes: False leaves the meshes on the disk, which saves most of the memory: tracking a
            long film doesn't need them.
    """
    with np.load(path, allow_pickle=False) as stored:
        counts, box, score = stored["counts"], stored["box"], stored["score"]
        points68 = stored["points68"]
        mesh = stored["mesh"] if meshes else None
    faces = [
        Detection(
            box=box[row],
            score=float(score[row]),
            points68=points68[row],
            mesh=None if mesh is None or np.isnan(mesh[row]).any() else mesh[row],
        )
        for row in range(len(score))
    ]
    ends = np.cumsum(counts, dtype=np.int64)
    return [faces[int(end) - int(n) : int(end)] for end, n in zip(ends, counts, strict=True)]


def save_tracks(path: Path, tracks: Sequence[Track]) -> None:
    """Write tracks to an ``.npz`` file of plain arrays.

    One row per track (``id``, ``shot``, ``length``), then the tracks' frames laid end to end
    under :class:`Track`'s names.
    """
    columns: dict[str, NDArray[Any]] = {}
    for name, (shape, kind) in _PER_FRAME.items():
        parts = [getattr(track, name) for track in tracks]
        columns[name] = np.concatenate(parts) if parts else np.zeros((0, *shape), kind)
    np.savez(
        path,
        id=np.array([track.id for track in tracks], np.int64),
        shot=np.array([track.shot for track in tracks], np.int64),
        length=np.array([len(track) for track in tracks], np.int64),
        allow_pickle=False,
        **columns,
    )


def load_tracks(path: Path) -> list[Track]:
    """Read what :func:`save_tracks` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in _PER_FRAME}
        heads = zip(stored["id"], stored["shot"], stored["length"], strict=True)
        rows = [(int(number), int(shot), int(length)) for number, shot, length in heads]
    tracks = []
    start = 0
    for number, shot, length in rows:
        part = slice(start, start + length)
        tracks.append(Track(number, shot, **{name: v[part] for name, v in columns.items()}))
        start += length
    return tracks


_PER_FRAME: dict[str, tuple[tuple[int, ...], type]] = {
    "frames": ((), np.int64),
    "points68": ((68, 2), np.float32),
    "box": ((4,), np.float32),
    "score": ((), np.float32),
    "measured": ((), np.bool_),
    "index": ((), np.int64),
}
