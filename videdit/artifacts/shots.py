"""Where the shots of the stretch to edit begin: what ``frames`` leaves as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..pipeline.stage import Artifact

_SHOTS = "shots.json"


def write_shots(folder: Path, shots: Sequence[int]) -> None:
    """Write the first frame of each shot."""
    (folder / _SHOTS).write_text(json.dumps(list(shots)))


def read_shots(artifact: Artifact) -> list[int]:
    """The first frame of each shot.

    Raises:
        ChunkDamaged: they are missing or damaged.
    """
    shots = json.loads(artifact.path(artifact.whole, _SHOTS).read_text())
    return [int(shot) for shot in shots]
