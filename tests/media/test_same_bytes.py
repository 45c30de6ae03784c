"""The same frames give the same bytes in any process, whatever its memory held before."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.media.conftest import run_ffmpeg
from videdit.media.compose import compose
from videdit.media.encoding import CODECS, EncodeSpec
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.segments import SEGMENT_SUFFIX, write_segment

EVERYWHERE = [name for name in CODECS if not CODECS[name].on_gpu]


def _digests(clip: str, folder: str) -> None:
    """Print one digest per codec (run in a process of its own)."""
    timeline = probe(Path(clip))
    frames = [compose(frame) for frame in read_frames(timeline, 0, len(timeline))]
    for codec in EVERYWHERE:
        path = Path(folder) / f"{codec}{SEGMENT_SUFFIX}"
        write_segment(path, timeline, EncodeSpec.for_source(timeline, codec), frames)
        print(codec, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc fills memory on request")
def test_the_same_bytes_from_any_memory(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    # 29 blocks wide, and motion: what x264's AVX-512 routines got wrong.
    run_ffmpeg(
        "-f lavfi -i mandelbrot=size=464x320:rate=25:start_scale=0.2 -frames:v 15"
        " -vf noise=alls=12:allf=t -c:v libx264 -pix_fmt yuv420p",
        clip,
    )
    call = f"from {__name__} import _digests; _digests"
    results = []
    for fill in ("85", "170"):
        folder = tmp_path / fill
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", f"{call}({str(clip)!r}, {str(folder)!r})"],
            env={**os.environ, "MALLOC_PERTURB_": fill},
            capture_output=True,
            text=True,
            check=True,
        )
        results.append(done.stdout)
    assert len(results[0].splitlines()) == len(EVERYWHERE)
    assert results[0] == results[1]
