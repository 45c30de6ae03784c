"""Arrays with a row for each face of the table, kept in the chunks that the table is kept in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces.smoothing import smooth
from ..pipeline.stage import Artifact
from .faces import Faces, FaceTable


def read_rows(
    artifact: Artifact,
    filename: str,
    table: FaceTable,
    start: int,
    stop: int,
    load: Callable[[Path], NDArray[Any]] = np.load,
) -> NDArray[Any]:
    """The rows of the faces in ``start <= frame < stop``, out of the chunks that hold them.

    Args:
        artifact: complete; its chunks hold the frames with faces.
        filename: of an npy file in each chunk, one row per face of the chunk's frames.
        load: reads a file that is kept otherwise.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    wanted = table.rows(start, stop)
    parts = []
    for chunk in artifact.overlapping(start, stop):
        rows = table.rows(chunk.start, chunk.stop)
        values = load(artifact.path(chunk.name, filename))
        first, last = max(rows.start, wanted.start), min(rows.stop, wanted.stop)
        parts.append(values[first - rows.start : last - rows.start])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def smooth_rows(
    values: NDArray[Any], faces: Faces, times: NDArray[np.float64], sigma_s: float
) -> NDArray[np.float64]:
    """Smooth per-face values (len(faces), ...) over time, each track by itself."""
    out = np.empty(values.shape, np.float64)
    seconds = times[faces.frame]
    for track in np.unique(faces.track):
        chosen = faces.track == track
        out[chosen] = smooth(values[chosen], seconds[chosen], sigma_s)
    return out
