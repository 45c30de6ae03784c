"""What a stage has to say to the user of the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..pipeline.stage import Artifact

_NOTES = "notes.json"


def write_notes(folder: Path, notes: Sequence[str]) -> None:
    """Write a chunk's notes, a line each."""
    (folder / _NOTES).write_text(json.dumps(list(notes)), encoding="utf-8")


def read_notes(artifact: Artifact) -> list[str]:
    """All notes, each once.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    notes: dict[str, None] = {}
    for chunk in artifact.chunks:
        for note in json.loads(artifact.path(chunk.name, _NOTES).read_text(encoding="utf-8")):
            notes[note] = None
    return list(notes)
