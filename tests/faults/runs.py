"""A run of a small clip, as a command; and how many kills are asked for."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

COUNT = int(os.environ.get("VIDEDIT_KILLS", "0"))
"""How often runs are killed with each signal; ``make faults`` takes 50."""

MANY = pytest.mark.skipif(COUNT == 0, reason="minutes: VIDEDIT_KILLS, make faults")
"""What `make faults` does besides."""


def command(clip: Path, folder: Path, cache: Path | None = None) -> list[str]:
    """Smiling, quickly; result and, if nothing else is said, cache go to a folder."""
    return [
        *(sys.executable, "-m", "videdit", "run", str(clip), "--attr", "Smiling"),
        *("--quality", "fast", "--log-json", "--overwrite"),
        *("-o", str(folder / "out.mp4"), "--cache", str(cache or folder / "cache")),
    ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
