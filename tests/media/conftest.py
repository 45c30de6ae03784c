"""Tiny clips of every awkward kind, made on the spot with ffmpeg's bundled binary."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from videdit.media.compose import compose
from videdit.media.encoding import EncodeSpec
from videdit.media.mux import AssembleReport, assemble
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.segments import SEGMENT_SUFFIX, write_segment
from videdit.media.tag import Tag
from videdit.media.timeline import Timeline


def run_ffmpeg(*arguments: str | Path) -> bytes:
    """Run ffmpeg and return what it wrote to stdout. Strings are split at spaces, paths are not."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *["-nostdin", "-v", "error", "-y"]]
    words = [w for a in arguments for w in ([str(a)] if isinstance(a, Path) else a.split())]
    done = subprocess.run([*command, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def pattern(size: str = "96x64", rate: str = "25", seconds: float = 1) -> list[str]:
    return ["-f lavfi -i", f"testsrc=size={size}:rate={rate}:duration={seconds}"]


def tone(seconds: float = 1) -> list[str]:
    return ["-f lavfi -i", f"sine=frequency=440:sample_rate=44100:duration={seconds}"]


def packets(path: Path, kind: str) -> list[tuple[bytes, int | None, int | None, int | None]]:
    """Bytes, pts, dts and duration of all packets of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(bytes(p), p.pts, p.dts, p.duration) for p in container.demux(stream) if p.size]


def rewrite(
    source: Path,
    output: Path,
    *,
    codec: str | None = None,
    crf: int | None = None,
    chunk: int = 10,
    tag: Tag | None = None,
) -> tuple[Timeline, EncodeSpec, AssembleReport]:
    """Take a clip through the whole room without editing it."""
    timeline = probe(source)
    spec = EncodeSpec.for_source(timeline, codec, crf, output.suffix)
    folder = output.parent / f"{output.name}.segments"
    folder.mkdir()
    segments = []
    for start in range(0, len(timeline), chunk):
        path = folder / f"{start}{SEGMENT_SUFFIX}"
        frames = read_frames(timeline, start, min(start + chunk, len(timeline)))
        write_segment(path, timeline, spec, (compose(frame) for frame in frames))
        segments.append(path)
    return timeline, spec, assemble(output, timeline, spec, segments, tag=tag)


def all_rgb(path: Path) -> np.ndarray:
    return np.stack([frame.rgb for frame in read_frames(probe(path))])


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """clips(name, *arguments): the clip ffmpeg makes with these arguments, made once."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str, *arguments: str | Path) -> Path:
        # Tests may use one name for different clips.
        path = folder / hashlib.sha256(repr(arguments).encode()).hexdigest()[:8] / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            run_ffmpeg(*arguments, path)
        return path

    return make


@pytest.fixture(scope="session")
def plain(clips: Callable[..., Path]) -> Path:
    """25 frames, B-frames, a keyframe every 8, AAC."""
    return clips(
        "plain.mp4",
        *pattern(),
        *tone(),
        "-c:v libx264 -pix_fmt yuv420p -g 8 -bf 2 -c:a aac -shortest",
    )


@pytest.fixture(scope="session")
def vfr(clips: Callable[..., Path]) -> Path:
    """Uneven frame times in 1/15360 s, starting 507 ticks late, with sound from 0."""
    return clips(
        "vfr.mp4",
        *pattern(rate="30", seconds=2),
        *tone(2),
        "-filter_complex [0:v]select='not(mod(n,3))+not(mod(n,7))',settb=1/15360,"
        "setpts='PTS+507+mod(N,2)*37'[v]",
        "-map [v] -map 1:a -fps_mode passthrough -enc_time_base 1:15360",
        "-video_track_timescale 15360 -movie_timescale 15360 -c:v libx264 -pix_fmt yuv420p",
        "-c:a aac",
    )
