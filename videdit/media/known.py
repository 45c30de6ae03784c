"""Timelines that were read before, so that a source is decoded and hashed once, not at every call.

A timeline is kept in a folder of the caller's, in a file named after the source's absolute path:
the SHA-256 of what follows, a line end, and JSON. It holds as long as nothing tells that the source
was written to or replaced since. Whatever is wrong with it, the source is read anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

from videdit.errors import StorageError
from videdit.files import make_private, write_atomically
from videdit.media.apart import probe_apart
from videdit.media.source import content_id
from videdit.media.timeline import Timeline

FORMAT = 4
"""Version of what is kept. Count it up when `Timeline` or what `probe` finds changes."""

# Another decoder may find other frames.
_DECODER = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"


def known_timeline(path: Path, folder: Path) -> Timeline:
    """The timeline of a source: the one in `folder` if the file is still the same, else `probe`'s.

    A file is the same if its absolute path, device, inode, size and the times of the last change of
    its content and of its attributes are. What was read is kept in `folder`, which is made if it is
    missing; where that cannot be, it is not kept.

    Raises:
        InputError: as `probe`.
    """
    path = path.absolute()
    before = _state(path)
    kept = _load(path, before, folder)
    if kept is not None:
        return kept
    timeline = probe_apart(path)
    # If the file changed meanwhile, it is not known which of the two was read.
    if before is not None and before == _state(path):
        _keep(timeline, before, folder)
    return timeline


def known_content_id(path: Path, folder: Path) -> str:
    """`content_id` of a source, taken from its timeline in `folder` if the file is still the same.

    Raises:
        InputError: as `content_id`.
    """
    path = path.absolute()
    kept = _load(path, _state(path), folder)
    return content_id(path) if kept is None else kept.content_id


def _state(path: Path) -> dict[str, Any] | None:
    """What is compared of a file, and of who read it; None if the file cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return {
        "format": FORMAT,
        "decoder": _DECODER,
        "path": str(path),
        "device": found.st_dev,
        "inode": found.st_ino,
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        # Also tells of a write after which the time above was set back.
        "ctime_ns": found.st_ctime_ns,
    }


def _entry(path: Path, folder: Path) -> Path:
    return folder / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"


def _load(path: Path, state: dict[str, Any] | None, folder: Path) -> Timeline | None:
    try:
        checksum, _, content = _entry(path, folder).read_bytes().partition(b"\n")
    except OSError:
        return None
    if checksum.decode(errors="replace") != hashlib.sha256(content).hexdigest():
        return None
    data = json.loads(content)
    return Timeline.from_json(data["timeline"]) if data["state"] == state else None


def _keep(timeline: Timeline, state: dict[str, Any], folder: Path) -> None:
    data = {"state": state, "timeline": timeline.to_json()}
    content = json.dumps(data, separators=(",", ":")).encode()
    checksum = hashlib.sha256(content).hexdigest().encode()
    with suppress(OSError, StorageError):
        make_private(folder)
        write_atomically(_entry(timeline.path, folder), checksum + b"\n" + content)
