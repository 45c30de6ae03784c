"""A run of a small clip, as a command."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def command(clip: Path, folder: Path, cache: Path | None = None) -> list[str]:
    """Smiling, quickly; result and, if nothing else is said, cache go to a folder."""
    return [
        *(sys.executable, "-m", "videdit", "run", str(clip), "--attr", "Smiling"),
        *("--quality", "fast", "--log-json", "--overwrite"),
        *("-o", str(folder / "out.mp4"), "--cache", str(cache or folder / "cache")),
    ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
