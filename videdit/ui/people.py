"""Who is to be seen in a source, and when: shots, and each person's face through one of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..api import prepare
from ..artifacts.landmarks import DetectionReader, read_tracks
from ..artifacts.shots import read_shots
from ..faces.boxes import overlaps
from ..faces.choice import choose
from ..faces.tracking import TrackSummary
from ..media.reader import FrameReader
from ..media.timeline import Timeline
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.runner import run
from ..pipeline.store import Store
from ..settings import RunSettings

_SIDE = 160
"""Pixels a side of a face's picture, and the height of a shot's."""

_MOST = 24
"""Faces, and shots, that get a picture."""

_SAME = 0.3
"""Overlap of two boxes, from which on they are of one face."""


@dataclass(frozen=True)
class Face:
    """One person's face through one shot.

    Attributes:
        track: when it is to be seen.
        boxes: (n, 4) x0, y0, x1, y1 in each of its frames, pixels; where it is lost for a moment,
            what lies between.
        picture: (160, 160, 3) RGB; None of all but the largest.
    """

    track: TrackSummary
    boxes: NDArray[np.float32]
    picture: NDArray[np.uint8] | None = None

    def box(self, frame: int) -> NDArray[np.float32] | None:
        """(4,) where it is in a frame; None where it is not."""
        if not self.track.first <= frame <= self.track.last:
            return None
        return np.asarray(self.boxes[frame - self.track.first])


@dataclass(frozen=True)
class People:
    """What is to be seen in a stretch.

    Attributes:
        shots: the first frame of each shot, and its picture (160 high), None of those beyond the
            first few.
        faces: by the number of their track.
    """

    shots: tuple[tuple[int, NDArray[np.uint8] | None], ...] = ()
    faces: tuple[Face, ...] = ()

    def chosen(self, face: str, frame: int) -> list[NDArray[np.float32]]:
        """Boxes, in a frame, of the faces that are edited.

        Args:
            face: as ``videdit run --face`` takes it.
        """
        if not self.faces:
            return []
        ids = {track.id for track in choose([each.track for each in self.faces], face)}
        boxes = (each.box(frame) for each in self.faces if each.track.id in ids)
        return [box for box in boxes if box is not None]

    def same(self, boxes: Sequence[NDArray[np.float32]], frame: int = 0) -> list[int]:
        """Tracks whose faces, in a frame, are where these boxes are."""
        found = []
        for box in boxes:
            here = [(each.track.id, each.box(frame)) for each in self.faces]
            close = [
                (float(overlaps(box, other)), number) for number, other in here if other is not None
            ]
            best = max(close, default=(0.0, -1))
            if best[0] >= _SAME:
                found.append(best[1])
        return found


def look(
    source: Path,
    store: Store,
    networks: Networks,
    timeline: Timeline,
    *,
    start_s: float | None = None,
    stop_s: float | None = None,
    pictures: bool = True,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> People:
    """Find who is to be seen. What it takes is kept, and taken up by the run that follows.

    Args:
        networks: that find faces; used by nobody else meanwhile.
        timeline: of the source.
        start_s, stop_s: the stretch, as the run has it: tracks are counted in it.
        pictures: whether shots and faces get theirs.
        stop: set it in another thread to leave off.

    Raises:
        VideditError: the source cannot be read, or it was stopped.
    """
    shown = progress or Progress()
    asked = RunSettings(source, source, face="all", start_s=start_s, stop_s=stop_s)
    resources, chain = prepare(asked, store, shown, networks)
    names = [stage.name for stage in chain]
    with resources, shown:
        report = run(
            chain[: names.index("track") + 1],
            store,
            timeline.content_id,
            source,
            targets=("frames", "landmarks", "track"),
            progress=shown,
            stop=stop,
        )
        artifacts = report.artifacts
        tracks = read_tracks(artifacts["track"])
        shots = read_shots(artifacts["frames"])
        detections = DetectionReader(artifacts["landmarks"], artifacts["landmarks"].chunks)
        frames = resources.frames
        faces = []
        for track in tracks.summaries:
            if not (track.first < frames.stop and frames.start <= track.last):
                continue
            index = tracks.index_of(track)
            faces.append(Face(track, _boxes(detections, track, index)))
    seen = [shot for shot in shots if shot < frames.stop]
    if not pictures:
        return People(tuple((shot, None) for shot in seen), tuple(faces))
    return _with_pictures(timeline, frames, seen, faces)


def _boxes(
    detections: DetectionReader, track: TrackSummary, index: NDArray[np.int32]
) -> NDArray[np.float32]:
    boxes = np.full((len(index), 4), np.nan, np.float32)
    frame = track.first
    for piece in detections.pieces(range(track.first, track.last + 1)):
        rows = piece.first_rows()
        for k in range(len(piece.counts)):
            number = int(index[frame - track.first])
            if number >= 0:
                boxes[frame - track.first] = piece.box[rows[k] + number]
            frame += 1
    known = np.flatnonzero(np.isfinite(boxes[:, 0]))
    places = np.arange(len(boxes))
    columns = [np.interp(places, known, boxes[known, side]) for side in range(4)]
    return np.stack(columns, 1).astype(np.float32)


def _with_pictures(
    timeline: Timeline, frames: range, shots: Sequence[int], faces: Sequence[Face]
) -> People:
    """The same with pictures, each frame that they need read once."""
    large = sorted(faces, key=lambda face: -face.track.area)[:_MOST]
    wanted: dict[int, list[int]] = {}  # frame: tracks; -1 is the shot that begins there
    for face in large:
        first, last = max(face.track.first, frames.start), min(face.track.last, frames.stop - 1)
        wanted.setdefault((first + last) // 2, []).append(face.track.id)
    for shot in shots[:_MOST]:
        wanted.setdefault(max(shot, frames.start), []).append(-1)
    by_id = {face.track.id: face for face in faces}
    cut: dict[int, NDArray[np.uint8]] = {}
    whole: dict[int, NDArray[np.uint8]] = {}
    with FrameReader(timeline) as reader:
        for index in sorted(wanted):
            (frame,) = reader.read(index, index + 1)
            rgb = frame.rgb8
            for number in wanted[index]:
                box = by_id[number].box(index) if number >= 0 else None
                if box is None:
                    whole[index] = fitted(rgb, _SIDE * 16 // 9)
                else:
                    cut[number] = _around(rgb, box)
    return People(
        tuple((shot, whole.get(max(shot, frames.start))) for shot in shots),
        tuple(Face(face.track, face.boxes, cut.get(face.track.id)) for face in faces),
    )


def _around(rgb: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A square around a face, half as large again."""
    height, width = rgb.shape[:2]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = 0.75 * max(box[2] - box[0], box[3] - box[1])
    left, right = max(0, int(x - half)), min(width, int(x + half) + 1)
    top, bottom = max(0, int(y - half)), min(height, int(y + half) + 1)
    part = rgb[top:bottom, left:right]
    if not part.size:
        part = rgb
    side = min(part.shape[:2])
    part = part[:side, :side]
    return np.asarray(cv2.resize(part, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def fitted(rgb: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """A picture no longer than so many pixels on its longer side; even on both."""
    height, width = rgb.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2))
    if size == (width, height):
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
