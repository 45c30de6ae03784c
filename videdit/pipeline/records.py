"""What the store writes down: JSON that carries its own checksum, and the records of chunks."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from videdit.files import measure, sync_folder, write_atomically, write_synced

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What settings and manifests are made of."""

MANIFEST = "manifest.json"
RECORD = "chunk.json"

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names of the store's folders."""

ELSEWHERE = "choose another cache folder with VIDEDIT_CACHE"
"""What helps when the cache cannot be written."""


@dataclass(frozen=True)
class Chunk:
    """A named piece of a stage's work: the frames ``start <= index < stop`` of the source."""

    name: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not SAFE_NAME.fullmatch(self.name) or self.name in (MANIFEST, RECORD):
            raise ValueError(f"not a chunk name: {self.name!r}")
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a range of frames: {self.start}..{self.stop}")

    @property
    def frames(self) -> int:
        """How many frames it holds."""
        return self.stop - self.start


@dataclass(frozen=True)
class StoredFile:
    """A file of a chunk: its size and the hex sha256 of its content."""

    bytes: int
    sha256: str

    def problem(self, path: Path, *, content: bool = True) -> str | None:
        """What is wrong with the file at ``path``, in words; None where it is what was stored.

        Args:
            content: reads it; else only its size is looked at.
        """
        try:
            size = os.stat(path).st_size
            if size != self.bytes:
                return f"has {size} bytes instead of {self.bytes}"
            if content and measure(path)[1] != self.sha256:
                return "does not have its checksum"
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return None


@dataclass(frozen=True)
class Record:
    """The content of a valid ``chunk.json``.

    Attributes:
        files: by name, with ``/`` for files in subfolders; sorted.
        seconds: time spent on the chunk.
        sum: the record's own checksum, and so that of everything in the chunk.
    """

    chunk: Chunk
    files: Mapping[str, StoredFile]
    seconds: float
    sum: str

    def intact(self, folder: Path) -> bool:
        """Whether its files are in the chunk's ``folder`` in the right size."""
        try:
            return all(os.stat(folder / name).st_size == f.bytes for name, f in self.files.items())
        except OSError:
            return False


def canonical_json(value: Json) -> str:
    """``value`` as JSON text that is the same for equal values: sorted keys, no blanks.

    Raises:
        TypeError, ValueError: not plain JSON (an array, a path, NaN).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_sealed(path: Path) -> dict[str, Any] | None:
    """The JSON object that :func:`write_sealed` wrote, or None when it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
        seal = content.pop("sum")
        return content if seal == _sum(content) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


def write_sealed(
    path: Path, content: Mapping[str, Any], temporary_folder: Path | None = None
) -> None:
    """Writes a JSON object with a checksum of itself (``sum``), durably and all at once.

    Args:
        temporary_folder: where it is written first; beside ``path`` by default.

    Raises:
        StorageError: it cannot be written; what was at ``path`` is still there.
    """
    write_atomically(path, _sealed(content), ELSEWHERE, temporary_folder=temporary_folder)


def seal_chunk(folder: Path, chunk: Chunk, seconds: float) -> Record:
    """Makes what a stage wrote into ``folder`` durable, measures it, and adds the chunk's record.

    Raises:
        OSError: the disk reports an error.
        ValueError: it holds a link, or a file of the record's name.
    """
    files: dict[str, StoredFile] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"a chunk holds files, not links: {path}")
        if path.is_dir():
            sync_folder(path)
        else:
            name = path.relative_to(folder).as_posix()
            files[name] = StoredFile(*measure(path, sync=True))
    if RECORD in files:
        raise ValueError(f"a chunk's file cannot be called {RECORD}")
    content = {
        "chunk": chunk.name,
        "start": chunk.start,
        "stop": chunk.stop,
        "seconds": round(seconds, 3),
        "files": {name: {"bytes": f.bytes, "sha256": f.sha256} for name, f in files.items()},
    }
    write_synced(folder / RECORD, _sealed(content))
    sync_folder(folder)
    return Record(chunk, files, round(seconds, 3), _sum(content))


def read_record(folder: Path) -> Record | None:
    """The record of the chunk in ``folder``; None when it is missing or damaged."""
    content = read_sealed(folder / RECORD)
    if content is None:
        return None
    try:
        chunk = Chunk(content["chunk"], content["start"], content["stop"])
        files = {
            str(file): StoredFile(int(entry["bytes"]), str(entry["sha256"]))
            for file, entry in content["files"].items()
        }
        seconds = float(content["seconds"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if chunk.name != folder.name:  # somebody renamed the folder
        return None
    return Record(chunk, files, seconds, _sum(content))


def _sealed(content: Mapping[str, Any]) -> bytes:
    sealed = {**content, "sum": _sum(content)}
    return (json.dumps(sealed, indent=1, allow_nan=False) + "\n").encode()


def _sum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
