"""Tracking written down plainly, with the whole film in memory: what the stream must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from videdit.faces.detection import Detection, inter_ocular

FORBIDDEN = 1e6


@dataclass
class PlainTrack:
    """A track with all that is known of it."""

    shot: int = 0
    seen: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    faces: list[Detection] = field(default_factory=list)

    def points(self, times: NDArray[np.float64]) -> NDArray[np.float32]:
        """(k, 68, 2) of all its frames, gaps filled along straight lines."""
        known = np.stack([face.points68 for face in self.faces]).astype(np.float64)
        frames = np.arange(self.seen[0], self.seen[-1] + 1)
        filled = []
        for frame in frames:
            after = int(np.searchsorted(self.seen, frame))
            if self.seen[after] == frame:
                filled.append(known[after])
                continue
            start, end = times[self.seen[after - 1]], times[self.seen[after]]
            share = (times[frame] - start) / (end - start)
            filled.append(known[after - 1] * (1 - share) + known[after] * share)
        return np.stack(filled).astype(np.float32)


def plain_tracks(
    detections: Sequence[Sequence[Detection]], shots: Sequence[int], times: NDArray[np.float64]
) -> list[PlainTrack]:
    """The tracks by id; frames are numbered from 0."""
    count = len(detections)
    period = float(np.median(np.diff(times))) if count > 1 else 0.0
    found: list[PlainTrack] = []
    for shot, (start, stop) in enumerate(pairwise([*shots, count])):
        shot_s = float(times[stop - 1] - times[start]) + period
        for track in _grow(detections, times, start, stop):
            length = float(times[track.seen[-1]] - times[track.seen[0]]) + period
            score = float(np.mean([face.score for face in track.faces]))
            if length >= min(0.25, shot_s / 2) or score >= 0.75:
                track.shot = shot
                found.append(track)
    return sorted(found, key=lambda track: (track.seen[0], float(track.faces[0].box[0])))


def _grow(
    detections: Sequence[Sequence[Detection]], times: NDArray[np.float64], start: int, stop: int
) -> list[PlainTrack]:
    tracks: list[PlainTrack] = []
    for frame in range(start, stop):
        going = [
            track
            for track in tracks
            if track.seen[-1] == frame - 1 or times[frame] - times[track.seen[-1]] <= 0.3 + 3e-10
        ]
        faces = detections[frame]
        costs = np.array(
            [
                [_cost(t.faces[-1], f, times[frame] - times[t.seen[-1]]) for f in faces]
                for t in going
            ]
        ).reshape(len(going), len(faces))
        taken = {}
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < FORBIDDEN:
                taken[int(column)] = going[row]
        for column, face in enumerate(faces):
            track = taken.get(column)
            if track is None:
                track = PlainTrack()
                tracks.append(track)
            track.seen.append(frame)
            track.index.append(column)
            track.faces.append(face)
    return tracks


def _cost(one: Detection, other: Detection, dt: float) -> float:
    a, b = (float(inter_ocular(face.points68)) for face in (one, other))
    if not min(a, b) > 0:
        return FORBIDDEN
    ratio = abs(float(np.log(b / a)))
    apart = np.linalg.norm(one.points68.astype(np.float64) - other.points68, axis=1).mean()
    distance = float(apart / ((a + b) / 2))
    box, its = one.box.astype(np.float64), other.box.astype(np.float64)
    sides = np.clip(np.minimum(box[2:], its[2:]) - np.maximum(box[:2], its[:2]), 0, None)
    shared = float(np.prod(sides))
    overlap = shared / (float(np.prod(box[2:] - box[:2]) + np.prod(its[2:] - its[:2])) - shared)
    if ratio > np.log(1.6) or distance > min(0.5 + 4.0 * dt, 1.5) or overlap < 0.1:
        return FORBIDDEN
    return distance + 1.0 - overlap + ratio
