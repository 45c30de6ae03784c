"""What ``landmarks`` leaves: the faces of single frames and their flow, in chunks of frames that
depend on nothing else; and how they are linked to tracks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..faces.detection import Detection, Detections
from ..faces.tracking import Tracks, TrackSummary
from ..pipeline.stage import Artifact, Chunk

_DETECTIONS = "detections.npz"
_FLOW = "flow.npz"
_TRACKS = "tracks.npz"


def write_detections(
    folder: Path,
    found: Sequence[Sequence[Detection]],
    moved: Sequence[NDArray[np.float32]],
    ok: Sequence[NDArray[np.bool_]],
) -> None:
    """Write a chunk, ``detections.npz`` and ``flow.npz``: plain arrays.

    ``counts`` (n,) int32 faces per frame, and of all faces laid end to end ``box`` (m, 4),
    ``score`` (m,), ``points68`` (m, 68, 2) and ``mesh`` (m, 468, 3), float32; a face without a
    mesh has NaN there, and where none has one ``mesh`` is (0, 468, 3). ``moved`` (m, 68, 2)
    float32 and ``ok`` (m, 68) bool are the flow's.

    Args:
        folder: an empty one.
        found: the faces of each frame.
        moved, ok: of each face, laid end to end, as :func:`videdit.faces.flow.flow_points` gives
            them.
    """
    faces = [face for frame in found for face in frame]
    absent = np.full((468, 3), np.nan, np.float32)
    meshes = [absent if face.mesh is None else face.mesh for face in faces]
    if all(face.mesh is None for face in faces):
        meshes = []
    np.savez(
        folder / _DETECTIONS,
        counts=np.array([len(frame) for frame in found], np.int32),
        box=np.array([face.box for face in faces], np.float32).reshape(-1, 4),
        score=np.array([face.score for face in faces], np.float32),
        points68=np.array([face.points68 for face in faces], np.float32).reshape(-1, 68, 2),
        mesh=np.array(meshes, np.float32).reshape(-1, 468, 3),
    )
    np.savez(
        folder / _FLOW,
        moved=np.array(moved, np.float32).reshape(-1, 68, 2),
        ok=np.array(ok, bool).reshape(-1, 68),
    )


class DetectionReader:
    """Reads the chunks. The meshes stay on the disk.

    Args:
        artifact: of ``landmarks``; it need not be finished.
        chunks: its chunks, in order, without gaps.
    """

    def __init__(self, artifact: Artifact, chunks: Sequence[Chunk]) -> None:
        self._artifact = artifact
        self._chunks = list(chunks)
        self._starts = [chunk.start for chunk in chunks]
        self._kept: dict[str, Detections] = {}

    def pieces(self, frames: range) -> Iterator[Detections]:
        """The faces of ``frames`` in order, a chunk of them in memory at a time.

        Raises:
            ChunkDamaged: one is missing or damaged.
        """
        for chunk in self._chunks:
            first, last = max(chunk.start, frames.start), min(chunk.stop, frames.stop)
            if first < last:
                yield self._read(chunk).between(first, last)

    def window(self, start: int, stop: int) -> Detections:
        """The faces of ``start <= frame < stop``, which the chunks must hold, at least one frame.

        The chunks that it lies in are kept until another window does without them.

        Raises:
            ValueError: no frame, or one that the chunks don't hold.
            ChunkDamaged: a chunk is missing or damaged.
        """
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, stop - 1)
        chunks = self._chunks[max(0, first) : last]
        if not chunks or start < chunks[0].start or stop > chunks[-1].stop or start >= stop:
            raise ValueError(f"the detections don't hold frames {start} to {stop - 1}")
        kept = self._kept
        self._kept = {c.name: kept[c.name] if c.name in kept else self._read(c) for c in chunks}
        parts = [self._kept[chunk.name].between(start, stop) for chunk in chunks]
        return Detections.join(parts) if len(parts) > 1 else parts[0]

    def _read(self, chunk: Chunk) -> Detections:
        path = self._artifact.path(chunk.name, _DETECTIONS)
        with np.load(path, allow_pickle=False) as stored:
            columns = [stored[name] for name in ("counts", "box", "score", "points68")]
        with np.load(self._artifact.path(chunk.name, _FLOW), allow_pickle=False) as stored:
            columns += [stored["moved"], stored["ok"]]
        return Detections(chunk.start, *columns)


def write_tracks(folder: Path, tracks: Tracks) -> None:
    """Write ``tracks.npz``: the columns of the summaries, and ``index`` as in :class:`Tracks`."""
    columns = {
        name: np.array([getattr(track, name) for track in tracks.summaries], kind)
        for name, kind in _SUMMARY.items()
    }
    np.savez(folder / _TRACKS, index=tracks.index, allow_pickle=False, **columns)


def read_tracks(artifact: Artifact) -> Tracks:
    """Read what :func:`write_tracks` wrote into the last chunk.

    Raises:
        ChunkDamaged: it is missing or damaged.
    """
    with np.load(artifact.path(artifact.whole, _TRACKS), allow_pickle=False) as stored:
        columns = [stored[name].tolist() for name in _SUMMARY]
        rows = zip(*columns, strict=True)
        return Tracks(tuple(TrackSummary(*row) for row in rows), stored["index"])


_SUMMARY = {
    "id": np.int64,
    "shot": np.int64,
    "first": np.int64,
    "last": np.int64,
    "area": np.float64,
    "inter_ocular": np.float64,
}
