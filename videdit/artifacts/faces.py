"""The table of faces to edit: which face, in which frame, where. Left by ``align``, read by all
stages after it; one row per face and frame, sorted by frame, then track.

It is kept in chunks of frames, and read in windows: a film's table need not fit into memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces.align import points_in_crop
from ..media.reader import Frame, FrameReader
from ..pipeline.stage import Artifact, Chunk

_FACES = "faces.npz"
_INDEX = "index.npz"
_COLUMNS: dict[str, tuple[tuple[int, ...], type]] = {
    "frame": ((), np.int64),
    "track": ((), np.int64),
    "quad": ((4, 2), np.float64),
    "points": ((68, 2), np.float32),
    "size": ((), np.int64),
}
_KEPT = 8  # chunks that a table keeps for its next windows


@dataclass(frozen=True)
class Faces:
    """The faces of some consecutive frames, sorted by frame, then track.

    Attributes:
        first_row: number of the first row in the whole table.
        frame: (m,) frame indices, not decreasing.
        track: (m,) track ids.
        quad: (m, 4, 2) smoothed FFHQ quads, frame pixels.
        points: (m, 68, 2) smoothed landmarks, frame pixels.
        size: (m,) side of the crops of the face's track, pixels.
    """

    first_row: int
    frame: NDArray[np.int64]
    track: NDArray[np.int64]
    quad: NDArray[np.float64]
    points: NDArray[np.float32]
    size: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, start: int, stop: int) -> range:
        """Positions, in this object, of the faces in the frames ``start <= frame < stop``."""
        first, last = np.searchsorted(self.frame, (start, stop))
        return range(int(first), int(last))

    def name(self, k: int) -> str:
        """A file name for the pictures of the face at position ``k``, without suffix."""
        return f"{self.frame[k]:07d}-{self.track[k]}"

    @property
    def span(self) -> tuple[int, int]:
        """Their first frame and the one after their last; equal where there are none."""
        return (int(self.frame[0]), int(self.frame[-1]) + 1) if len(self) else (0, 0)

    def only(self, at: Sequence[int]) -> Faces:
        """Those at some positions, in this order; their ``first_row`` means nothing."""
        columns = (getattr(self, name)[list(at)] for name in _COLUMNS)
        return Faces(0, *columns)

    def points_in_crop(self, k: int) -> NDArray[np.float64]:
        """(68, 2) landmarks of the face at position ``k``, in crop units."""
        return points_in_crop(self.points[k], self.quad[k], 1)


@dataclass(frozen=True)
class FaceTrack:
    """A track to edit.

    Attributes:
        id: its number.
        first, last: its first and its last frame; there is a face in every frame between.
        size: side of its crops, pixels.
        asked: which of the run's faces (``RunSettings.faces``) it is, the first one being bit 0.
    """

    id: int
    first: int
    last: int
    size: int
    asked: int = 1


class FaceTable:
    """The whole table; opens its small index only, and reads chunks when asked for faces.

    Args:
        artifact: of ``align``, complete.

    Attributes:
        tracks: the tracks by id.
        first_frame: the first frame with a face.
        stop_frame: one past the last frame with a face.

    Raises:
        ChunkDamaged: the index, or in a method a chunk, is missing or damaged.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        with np.load(artifact.path(artifact.whole, _INDEX), allow_pickle=False) as stored:
            columns = [stored[field.name] for field in fields(FaceTrack)]
        self.tracks = tuple(
            FaceTrack(*row) for row in zip(*(c.tolist() for c in columns), strict=True)
        )
        self._first, self._stop = columns[1], columns[2] + 1
        self.first_frame, self.stop_frame = int(self._first.min()), int(self._stop.max())
        self._chunks: tuple[Chunk, ...] = artifact.chunks
        self._starts = [chunk.start for chunk in self._chunks]
        self._kept: dict[str, Faces] = {}

    def __len__(self) -> int:
        return self._before(self.stop_frame)

    def rows(self, start: int, stop: int) -> range:
        """Numbers of the rows of the frames ``start <= frame < stop``; reads no chunk."""
        return range(self._before(start), self._before(max(start, stop)))

    def window(self, start: int, stop: int) -> Faces:
        """The faces of the frames ``start <= frame < stop``; keeps the last few chunks read."""
        rows = self.rows(start, stop)
        first = max(0, bisect_right(self._starts, start) - 1)
        last = max(first + 1, bisect_right(self._starts, stop - 1))
        parts = [self._chunk(chunk) for chunk in self._chunks[first:last]]
        skipped = rows.start - parts[0].first_row
        taken = slice(skipped, skipped + len(rows))
        columns = [[getattr(part, name) for part in parts] for name in _COLUMNS]
        joined = (c[0] if len(parts) == 1 else np.concatenate(c) for c in columns)
        return Faces(rows.start, *(values[taken] for values in joined))

    def _before(self, frame: int) -> int:
        """How many rows lie before a frame: no track has a gap."""
        return int((np.clip(frame, self._first, self._stop) - self._first).sum())

    def _chunk(self, chunk: Chunk) -> Faces:
        faces = self._kept.pop(chunk.name, None)
        if faces is None:
            path = self._artifact.path(chunk.name, _FACES)
            with np.load(path, allow_pickle=False) as stored:
                faces = Faces(self._before(chunk.start), *(stored[name] for name in _COLUMNS))
        self._kept[chunk.name] = faces
        while len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return faces


def write_faces(folder: Path, parts: Sequence[Faces]) -> None:
    """Write a chunk of the table, ``faces.npz``: plain arrays under the names of :class:`Faces`.

    Args:
        folder: where to.
        parts: the chunk's faces in any order; their ``first_row`` does not matter.
    """
    columns = {
        name: np.concatenate([np.zeros((0, *shape), kind), *(getattr(p, name) for p in parts)])
        for name, (shape, kind) in _COLUMNS.items()
    }
    order = np.lexsort((columns["track"], columns["frame"]))
    ordered: dict[str, Any] = {name: values[order] for name, values in columns.items()}
    np.savez(folder / _FACES, **ordered)


def write_index(folder: Path, tracks: Sequence[FaceTrack]) -> None:
    """Write what the table as a whole needs, ``index.npz``: a column per field of the tracks."""
    columns: dict[str, Any] = {
        field.name: np.array([getattr(track, field.name) for track in tracks], np.int64)
        for field in fields(FaceTrack)
    }
    np.savez(folder / _INDEX, **columns)


def frames_with_faces(
    reader: FrameReader, faces: Faces, start: int, stop: int
) -> Iterator[tuple[Frame, list[tuple[int, NDArray[Any]]]]]:
    """The frames ``start <= index < stop`` in order, each with the positions in ``faces`` of its
    faces and, with each position, the frame's pixels (H, W, 3). Frames without a face are not
    converted to RGB."""
    for frame in reader.read(start, stop):
        yield frame, faces_of(frame, faces)


def faces_of(frame: Frame, faces: Faces) -> list[tuple[int, NDArray[Any]]]:
    """The positions in ``faces`` of a frame's faces and, with each, its pixels (H, W, 3)."""
    rows = faces.rows(frame.index, frame.index + 1)
    rgb = frame.rgb if rows else None
    return [(row, rgb) for row in rows if rgb is not None]
