"""What the rows of a chunk were made from: by this a run takes rows over that another one made.

Who edits a second of a film and then a minute has two tables of faces, and so two of everything
that rests on them; yet the faces of that second are the same to the last bit. A stage that marks
its rows finds them in what it left before (:meth:`Artifact.kin`) and makes the others only.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pipeline.stage import Artifact, Chunk, StoredArtifact
from ..pipeline.stored import ChunkDamaged
from .faces import Faces
from .pictures import picture_path, placed_picture

_MARKS = "marks.npz"
_BYTES = 16


class Marks:
    """A digest per face of all that its row was made from, but for the stage's settings and models,
    which all of its rows have in common.

    Args:
        faces: a chunk's.
        parts: arrays with an entry per face. The frame counts in any case.

    Attributes:
        digests: (k, 16) uint8.
        names: of the faces' pictures.
    """

    def __init__(self, faces: Faces, *parts: NDArray[Any]) -> None:
        self.names = [faces.name(k) for k in range(len(faces))]
        columns = [np.ascontiguousarray(part) for part in (faces.frame, *parts)]
        digests = [
            hashlib.blake2b(b"".join(column[k].tobytes() for column in columns), digest_size=_BYTES)
            for k in range(len(faces))
        ]
        joined = b"".join(each.digest() for each in digests)
        self.digests = np.frombuffer(joined, np.uint8).reshape(-1, _BYTES)

    def write(self, folder: Path) -> None:
        """Write them, ``marks.npz``."""
        np.savez(folder / _MARKS, digest=self.digests, name=np.array(self.names, np.str_))


@dataclass(frozen=True)
class KnownRow:
    """A row that another run made."""

    artifact: StoredArtifact
    chunk: str
    row: int
    name: str

    def values(self, filename: str) -> NDArray[Any]:
        """Its entry in one of the chunk's npy files.

        Raises:
            ChunkDamaged: the chunk was damaged since it was found.
        """
        return np.asarray(
            np.load(self.artifact.path(self.chunk, filename), mmap_mode="r")[self.row]
        )

    def copy_picture(self, folder: Path, name: str) -> None:
        """Copy its picture into another chunk, under a name of its own.

        Raises:
            ChunkDamaged: the chunk was damaged since it was found.
        """
        found = picture_path(self.artifact, self.chunk, self.name)
        shutil.copyfile(found, placed_picture(folder, name))


class KnownRows:
    """The rows that a stage left for this source when it was asked for other faces."""

    def __init__(self, own: Artifact) -> None:
        self._kin = list(own.kin())

    def find(self, chunk: Chunk, marks: Marks) -> dict[int, KnownRow]:
        """Of a chunk's rows those that are known, by their positions. Damaged chunks don't count:
        they are nobody's input here, and made anew when they are somebody's."""
        wanted = {digest.tobytes(): k for k, digest in enumerate(marks.digests)}
        found: dict[int, KnownRow] = {}
        for artifact in self._kin:
            for other in artifact.overlapping(chunk.start, chunk.stop):
                if len(found) == len(wanted):
                    return found
                rows = _rows(artifact, other.name)
                here = {wanted[d]: row for d, row in rows.items() if d in wanted}
                if here.keys() - found.keys() and artifact.problem(other.name) is None:
                    found |= here
        return found


def _rows(artifact: StoredArtifact, chunk: str) -> dict[bytes, KnownRow]:
    """A chunk's rows by their digests; none where it is damaged or was not marked."""
    try:
        with np.load(artifact.path(chunk, _MARKS), allow_pickle=False) as stored:
            pairs = zip(stored["digest"], stored["name"].tolist(), strict=True)
            return {
                digest.tobytes(): KnownRow(artifact, chunk, row, name)
                for row, (digest, name) in enumerate(pairs)
            }
    except ChunkDamaged:
        return {}
