"""Whether a result can be written where and as what the user wants, found out before the work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import av

from videdit.errors import StorageError, UsageError
from videdit.media.encoding import CODECS

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffixes of videos and ffmpeg's names for their containers."""

_LONGEST = 255  # bytes of a file's name on the usual file systems

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Suffixes of pictures."""


def check_folder(folder: Path) -> None:
    """Refuse a folder in which nothing can be written.

    Raises:
        StorageError: it is missing or cannot be written.
    """
    if not folder.is_dir():
        raise StorageError(f"the output's folder {folder} does not exist", "Create it first.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"the output's folder {folder} cannot be written ({error.strerror})",
            "Choose another with -o.",
        ) from error


def check_place(source: Path, output: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that cannot be written. Needs nothing of the source but its name.

    Args:
        overwrite: whether an ordinary file that is there may be replaced.
    Raises:
        UsageError: it is a folder, the source itself, a device or a pipe, its name is too long; or
            it is there and is to stay.
        StorageError: its folder is missing or cannot be written, or the file is write-protected.
    """
    if os.path.isdir(output):
        raise UsageError(f"the output {output} is a folder", "Name a file, e.g. -o result.mp4.")
    if len(os.fsencode(output.name)) > _LONGEST:
        raise UsageError(
            f"the output's name is longer than {_LONGEST} bytes", "Choose a shorter one."
        )
    check_folder(output.absolute().parent)
    if not output.exists():
        return
    if source.exists() and output.samefile(source):
        raise UsageError("the output is the source itself", "Choose another name with -o.")
    if not output.is_file():
        raise UsageError(f"the output {output} is no ordinary file", "Name one with -o.")
    if not overwrite:
        raise UsageError(
            f"{output} exists",
            "Allow --overwrite (overwrite=True), or choose another name with -o.",
        )
    if not output.stat().st_mode & 0o222:
        raise StorageError(f"{output} is write-protected", "Choose another name with -o.")


def check_suffix(output: Path, codec: str | None) -> None:
    """Refuse a suffix that does not fit what is written.

    Args:
        codec: of a video, a key of `CODECS`; None for a picture.
    Raises:
        UsageError: the suffix is no picture's or no video's, or its container cannot hold `codec`.
    """
    suffix = output.suffix.lower()
    if codec is None:
        if suffix not in PICTURE_SUFFIXES:
            raise UsageError(
                f"a picture cannot be written as {output.suffix or 'a file without suffix'}",
                f"Use one of {', '.join(PICTURE_SUFFIXES)}.",
            )
        return
    if suffix not in CONTAINERS:
        raise UsageError(
            f"{output.name} has no video suffix", f"Use one of {', '.join(CONTAINERS)}"
        )
    held = held_codecs(CONTAINERS[suffix])
    # x265 goes by its codec's name there.
    fits = [n for n, c in CODECS.items() if {"libx265": "hevc"}.get(c.encoder, c.encoder) in held]
    if codec not in fits:
        anywhere = [name for name in fits if not CODECS[name].on_gpu]
        raise UsageError(
            f"a {suffix} file cannot hold {codec}",
            f"Use --codec {' or '.join(anywhere)}, or another suffix",
        )


def held_codecs(container: str) -> set[str]:
    """What a container can hold: ffmpeg's names of codecs, and of some of their encoders."""
    with av.open(os.devnull, "w", format=container) as probe:
        return set(probe.supported_codecs)
