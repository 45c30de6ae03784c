"""Artifacts without the stages that make them, and a table of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.faces.helpers import face68
from videdit.artifacts.faces import Faces, FaceTrack, write_faces, write_index
from videdit.faces.align import ffhq_quad
from videdit.pipeline.stage import Artifact, Chunk, frame_chunks
from videdit.pipeline.store import Store

# Track 0 leaves and comes back as track 1; track 2 is there most of the time. Nobody is there in
# the frames 45 to 59.
TRACKS = (
    FaceTrack(0, 3, 19, 256),
    FaceTrack(1, 31, 44, 512),
    FaceTrack(2, 8, 37, 256),
    FaceTrack(5, 60, 66, 1024),
)
FIRST, STOP = 3, 67
FIELDS = ("frame", "track", "quad", "points", "size")


def whole_table() -> Faces:
    """All rows, in order."""
    rows = sorted((f, t.id, t.size) for t in TRACKS for f in range(t.first, t.last + 1))
    frame, track, size = np.array(rows, np.int64).T
    points = (face68() * 30 + (100, 80))[None] + np.arange(len(rows))[:, None, None]
    return Faces(0, frame, track, ffhq_quad(points), points.astype(np.float32), size)


ALL = whole_table()


def made(
    store: Store,
    stage: str,
    chunks: Sequence[Chunk],
    write: Callable[[Path, Chunk], None],
    whole: Callable[[Path], None] | None = None,
) -> Artifact:
    """A complete artifact of these chunks, and of one made of all others where there is such."""
    meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
    key = f"{max((chunk.frames for chunk in chunks), default=0):016d}"
    artifact = store.open("source", stage, key, meta)
    plan = list(chunks)
    for chunk in chunks:
        with artifact.commit(chunk) as folder:
            write(folder, chunk)
    if whole is not None:
        plan.append(Chunk(artifact.whole, FIRST, STOP))
        with artifact.commit(plan[-1]) as folder:
            whole(folder)
    artifact.finish(plan)
    return artifact


def stored_table(store: Store, size: int) -> Artifact:
    """The table in chunks of ``size`` frames, each chunk's rows written in two shuffled parts."""

    def write(folder: Path, chunk: Chunk) -> None:
        rows = np.array(ALL.rows(chunk.start, chunk.stop), np.int64)[::-1]
        parts = [
            Faces(9, *(getattr(ALL, name)[some] for name in FIELDS))
            for some in np.array_split(rows, 2)
        ]
        write_faces(folder, parts if len(rows) else [])

    chunks = frame_chunks(FIRST, STOP, size)
    return made(store, "align", chunks, write, lambda folder: write_index(folder, TRACKS))
