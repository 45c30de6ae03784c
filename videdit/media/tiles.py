"""Pictures made of tiles, as phones write HEIC: ffmpeg puts them together, PyAV cannot."""

from __future__ import annotations

import io
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import av
import imageio_ffmpeg
from av.container import InputContainer

from videdit.errors import InputError

_LARGEST = 1_200_000_000
"""Bytes that ffmpeg may make room for at once: eight for each of the most pixels accepted."""


def is_tiled(container: InputContainer) -> bool:
    """Whether the picture that counts is a grid of others.

    A grid has no stream of its own: its tiles have, which depend on it, and none of them is the
    default. Thumbnails and gain maps may have one each, before or after the tiles.
    """
    dispositions = [stream.disposition for stream in container.streams.video]
    kinds = av.stream.Disposition
    return any(d & kinds.dependent for d in dispositions) and not any(
        d & kinds.default for d in dispositions
    )


def put_together(path: Path, container: InputContainer) -> BinaryIO:
    """The whole picture of an open file of tiles, upright and lossless, as a video of one frame.

    Samples, range and matrix are the tiles'. What else the file holds is not in it.

    Raises:
        InputError: a tile is missing or damaged.
    """
    tile = next(
        s for s in container.streams.video if s.disposition & av.stream.Disposition.dependent
    ).codec_context
    # The range is told by the name of the format as well, and ffmpeg would convert it.
    tags = ["-pix_fmt", (tile.pix_fmt or "yuv420p").replace("yuvj", "yuv")]
    if tile.color_range:
        tags += ["-color_range", str(int(tile.color_range))]
    info = path.stat()
    return io.BytesIO(_composed(path, (info.st_size, info.st_mtime_ns), tuple(tags)))


@lru_cache(maxsize=1)
def _composed(path: Path, stamp: tuple[int, int], tags: tuple[str, ...]) -> bytes:
    """Kept for the next opening of the same file: a picture is opened several times in a run."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-xerror"]
    # Nothing but this file is opened; without a map, the grid that counts is chosen.
    command += ["-max_alloc", str(_LARGEST)]
    command += ["-protocol_whitelist", "file", "-err_detect", "explode", "-f", "mov"]
    command += ["-i", f"file:{path}", "-an", "-sn", "-dn", "-frames:v", "1"]
    command += ["-map_metadata", "-1", "-c:v", "ffv1", *tags, "-f", "matroska", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise InputError(
            f"{path} is a picture made of tiles, of which some are missing or damaged",
            "Check that it is complete and opens, or convert it to JPEG or PNG first",
        )
    return done.stdout
