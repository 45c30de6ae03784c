"""What ``blend`` leaves: encoded pieces of the output, or the picture, and which frames changed."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.compose import Touched
from ..media.encoding import EncodeSpec
from ..media.segments import SEGMENT_SUFFIX, decode_segment, shown_rgb
from ..media.timeline import Timeline
from ..pipeline.stage import Artifact, Chunk

_SEGMENT = "segment" + SEGMENT_SUFFIX
_PICTURE = "picture.npy"
_EDITED = "edited.json"
_TOUCHED = "touched.npz"


def segment_path(folder: Path) -> Path:
    """Where a chunk's encoded segment goes."""
    return folder / _SEGMENT


def write_blended_picture(folder: Path, rgb: NDArray[Any]) -> None:
    """Write a picture as it is, (H, W, 3) at its own depth."""
    np.save(folder / _PICTURE, rgb)


def write_edited(folder: Path, frames: Sequence[int]) -> None:
    """Write the indices of a chunk's frames that were changed."""
    (folder / _EDITED).write_text(json.dumps(list(frames)))


def write_touched(folder: Path, frames: Mapping[int, Touched]) -> None:
    """Write which pixels of a chunk's frames may have been changed, by the frames' indices."""
    places = [(index, t.x, t.y, *t.inside.shape) for index, t in frames.items()]
    bits = [np.packbits(t.inside) for t in frames.values()]
    np.savez_compressed(
        folder / _TOUCHED,
        places=np.array(places, np.int32).reshape(-1, 5),
        bits=np.concatenate([np.zeros(0, np.uint8), *bits]),
    )


def read_touched(artifact: Artifact, chunk: str) -> dict[int, Touched]:
    """The pixels of a chunk's frames that may have been changed, by the frames' indices; those of
    other frames are the source's.

    Raises:
        ChunkDamaged: it is missing or damaged.
    """
    with np.load(artifact.path(chunk, _TOUCHED)) as stored:
        places, bits = stored["places"], stored["bits"]
    frames = {}
    at = 0
    for index, x, y, height, width in places.tolist():
        size = -(-height * width // 8)
        inside = np.unpackbits(bits[at : at + size], count=height * width).astype(np.bool_)
        frames[index] = Touched(x, y, inside.reshape(height, width))
        at += size
    return frames


def read_edited(artifact: Artifact) -> list[int]:
    """The indices of all frames that were changed.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    return [frame for chunk in artifact.chunks for frame in _edited(artifact, chunk)]


def made_at(artifact: Artifact) -> float:
    """When the last of its chunks was made, seconds since 1970.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    files = (artifact.path(chunk.name, _EDITED) for chunk in artifact.chunks)
    return max(path.stat().st_mtime for path in files)


def read_segments(artifact: Artifact) -> list[Path]:
    """The segments in order.

    Raises:
        ChunkDamaged: one is missing or damaged.
    """
    return [read_segment(artifact, chunk.name) for chunk in artifact.chunks]


def read_segment(artifact: Artifact, chunk: str) -> Path:
    """The segment of a chunk.

    Raises:
        ChunkDamaged: it is missing or damaged.
    """
    return artifact.path(chunk, _SEGMENT)


def read_blended_picture(artifact: Artifact) -> NDArray[Any]:
    """The picture.

    Raises:
        ChunkDamaged: it is missing or damaged.
    """
    return np.asarray(np.load(artifact.path(artifact.chunks[0].name, _PICTURE)))


class ResultReader:
    """The frames of a result as they were encoded; of a run that has not finished those that are
    there.

    Args:
        artifact: of ``blend``; it need not be complete.
        chunks: all that it has, or will have.
        timeline: the source's.
        spec: how the result is encoded; None for a picture.

    Attributes:
        chunks: those that are there.
    """

    def __init__(
        self,
        artifact: Artifact,
        chunks: Sequence[Chunk],
        timeline: Timeline,
        spec: EncodeSpec | None,
    ) -> None:
        self._artifact, self._timeline, self._spec = artifact, timeline, spec
        self.chunks = [chunk for chunk in chunks if artifact.holds(chunk)]

    def there(self) -> NDArray[np.bool_]:
        """(n,) which of the source's frames there are."""
        there = np.zeros(len(self._timeline), bool)
        for chunk in self.chunks:
            there[chunk.start : chunk.stop] = True
        return there

    def edited(self) -> list[int]:
        """The indices of the frames that were changed.

        Raises:
            ChunkDamaged: a chunk is damaged.
        """
        return [frame for chunk in self.chunks for frame in _edited(self._artifact, chunk)]

    def read(self, frames: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Those of some frames (rising) that are there, each with its index: (H, W, 3) RGB, uint8
        or uint16.

        Raises:
            ChunkDamaged: a chunk is damaged.
        """
        for chunk in self.chunks:
            first, last = (bisect_left(frames, edge) for edge in (chunk.start, chunk.stop))
            wanted = frames[first:last]
            if not wanted:
                continue
            if self._spec is None:
                path = self._artifact.path(chunk.name, _PICTURE)
                yield chunk.start, np.asarray(np.load(path))
                continue
            shown = decode_segment(read_segment(self._artifact, chunk.name), self._spec)
            for index, planes in enumerate(shown, chunk.start):
                if index in wanted:
                    yield index, shown_rgb(planes, self._timeline, self._spec)
                if index == wanted[-1]:
                    break


def _edited(artifact: Artifact, chunk: Chunk) -> list[int]:
    return [int(i) for i in json.loads(artifact.path(chunk.name, _EDITED).read_text())]
