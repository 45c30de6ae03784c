"""What ``blend`` leaves: encoded pieces of the output, or the picture, and which frames changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.segments import SEGMENT_SUFFIX
from ..pipeline.stage import Artifact

_SEGMENT = "segment" + SEGMENT_SUFFIX
_PICTURE = "picture.npy"
_EDITED = "edited.json"


def segment_path(folder: Path) -> Path:
    """Where a chunk's encoded segment goes."""
    return folder / _SEGMENT


def write_blended_picture(folder: Path, rgb: NDArray[Any]) -> None:
    """Write a picture as it is, (H, W, 3) at its own depth."""
    np.save(folder / _PICTURE, rgb)


def write_edited(folder: Path, frames: Sequence[int]) -> None:
    """Write the indices of a chunk's frames that were changed."""
    (folder / _EDITED).write_text(json.dumps(list(frames)))


def read_edited(artifact: Artifact) -> list[int]:
    """The indices of all frames that were changed.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    edited: list[int] = []
    for chunk in artifact.chunks:
        edited += json.loads(artifact.path(chunk.name, _EDITED).read_text())
    return edited


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
    return [artifact.path(chunk.name, _SEGMENT) for chunk in artifact.chunks]


def read_blended_picture(artifact: Artifact) -> NDArray[Any]:
    """The picture.

    Raises:
        ChunkDamaged: it is missing or damaged.
    """
    return np.asarray(np.load(artifact.path(artifact.chunks[0].name, _PICTURE)))
