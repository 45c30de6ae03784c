"""Every kind of sound and subtitle that the bundled encoder makes, into every container."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.media.conftest import pattern, rewrite, run_ffmpeg, tone
from videdit.media.probe import probe
from videdit.media.streams import plan_streams

Clips = Callable[..., Path]

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
HOLDERS = ("matroska", "mov", "avi", "nut", "asf")
# Rates and channels: some encoders take one of them only.
SHAPES = ("-ar 48000 -ac 2", "-ar 22050 -ac 1", "-ar 16000 -ac 1", "-ar 8000 -ac 1", "-ar 96000")
TONE = "-f lavfi -i sine=440:duration=0.3"
CAPTION = "1\n00:00:00,000 --> 00:00:00,200\nHello there\n"


def encoders(kind: str) -> list[str]:
    listed = run_ffmpeg("-hide_banner -encoders").decode()
    return re.findall(rf"^ {kind}[\w.]{{5}} (\w+) ", listed, re.MULTILINE)


def tried(*words: str | Path) -> bool:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    command += [
        w for word in words for w in ([str(word)] if isinstance(word, Path) else word.split())
    ]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def heard(source: Path, index: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "quiet", "-i", str(source)]
    command += ["-map", f"0:{index}", "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, check=False).stdout


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By container, a clip with sound by each encoder whose sound goes into it, but into none
    before it."""
    folder = tmp_path_factory.mktemp("sounds")
    by_holder: dict[str, list[Path]] = {}
    for encoder in encoders("A"):
        path = folder / encoder
        done = (
            holder
            for shape in SHAPES
            for holder in HOLDERS
            if tried(TONE, f"-c:a {encoder} -strict -2 {shape} -f {holder}", path)
        )
        holder = next(done, None)
        if holder is not None:
            by_holder.setdefault(holder, []).append(path)
    picture = folder / "picture.nut"
    assert tried("-f lavfi -i testsrc=size=64x48:rate=20:duration=0.3 -c:v mpeg4", picture)
    made = {}
    for holder, paths in by_holder.items():
        made[holder] = folder / f"all.{holder}"
        inputs = [word for path in (picture, *paths) for word in ("-i", path)]
        maps = " ".join(f"-map {i}" for i in range(len(paths) + 1))
        assert tried(*inputs, maps, "-c copy -strict -2", f"-f {holder}", made[holder])
    return made


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_sound_is_lost(sounds: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    total = 0
    for holder, source in sounds.items():
        timeline = probe(source)
        before = [s.codec for s in timeline.streams if s.type == "audio"]
        output = tmp_path / f"{holder}{suffix}"
        _, _, report = rewrite(source, output)
        after = [s.codec for s in probe(output).streams if s.type == "audio"]
        said = [line for line in (*report.dropped, *report.changed) if "audio" in line]
        for line in report.dropped:
            # What cannot be read cannot be converted.
            index = line.split()[2]
            assert not heard(source, index), line
        assert len(after) == len(before) - len(report.dropped)
        assert len(said) == len(set(said))
        total += len(before)
    assert total > 50


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("encoder", encoders("S"))
def test_subtitles_are_kept_rewritten_or_named(
    clips: Clips, tmp_path: Path, encoder: str, suffix: str
) -> None:
    text = tmp_path / "a.srt"
    text.write_text(CAPTION)
    picture = clips("picture.mkv", *pattern(seconds=0.3), "-c:v libx264 -pix_fmt yuv420p")
    for holder in ("matroska", "mov", "nut", "avi"):
        source = tmp_path / f"source.{holder}"
        if tried(
            "-i", picture, "-i", text, f"-map 0 -map 1 -c:v copy -c:s {encoder} -f {holder}", source
        ):
            break
    else:
        pytest.skip("drawn subtitles can't be made from text")
    output = tmp_path / f"out{suffix}"
    _, _, report = rewrite(source, output)
    after = [s for s in probe(output).streams if s.type == "subtitle"]
    said = [line for line in report.dropped if "subtitle" in line]
    assert len(after) + len(said) == 1


def test_drawn_subtitles_stay_in_matroska(clips: Clips, tmp_path: Path) -> None:
    """PGS, built by hand: no encoder makes it."""
    source = tmp_path / "pgs.mkv"
    segments = b"".join(
        b"PG" + bytes(8) + bytes([kind]) + len(body).to_bytes(2, "big") + body
        for kind, body in ((0x16, bytes(11)), (0x80, b""))
    )
    stream = tmp_path / "a.sup"
    stream.write_bytes(segments)
    picture = clips("picture.mkv", *pattern(seconds=0.3), "-c:v libx264 -pix_fmt yuv420p")
    run_ffmpeg("-i", picture, "-f sup -i", stream, "-map 0 -map 1 -c copy", source)
    assert plan_streams(probe(source), ".mkv").dropped == ()
    assert "hdmv_pgs" in plan_streams(probe(source), ".mp4").dropped[0]


def test_a_cover_stays_a_cover_in_matroska(clips: Clips, tmp_path: Path) -> None:
    cover = tmp_path / "cover.jpg"
    run_ffmpeg("-f lavfi -i testsrc=size=40x40:rate=1:duration=1 -frames:v 1", cover)
    source = tmp_path / "a.mkv"
    run_ffmpeg(
        *pattern(),
        "-c:v libx264 -pix_fmt yuv420p -attach",
        cover,
        "-metadata:s:t mimetype=image/jpeg",
        source,
    )
    output = tmp_path / "out.mkv"
    _, _, report = rewrite(source, output)
    assert report.dropped == ()
    with av.open(str(output)) as container:
        streams = container.streams.video
        covers = [s for s in streams if s.disposition & av.stream.Disposition.attached_pic]
        assert (len(streams), len(covers)) == (2, 1)
        assert covers[0].metadata["mimetype"] == "image/jpeg"
        packet = next(p for p in container.demux(covers[0]) if p.size)
        assert bytes(packet) == cover.read_bytes()


def test_sound_that_is_converted_sounds_the_same(clips: Clips, tmp_path: Path) -> None:
    source = clips("u8.avi", *pattern(), *tone(), "-c:v libx264 -pix_fmt yuv420p -c:a pcm_u8")
    output = tmp_path / "out.mp4"
    _, _, report = rewrite(source, output)
    assert report.changed[0].endswith("rewritten as aac")
    first, second = (
        np.frombuffer(run_ffmpeg("-i", path, "-ac 1 -ar 8000 -f f32le -"), np.float32)
        for path in (source, output)
    )
    tone_at = [np.argmax(np.abs(np.fft.rfft(sound[:7000]))) for sound in (first, second)]
    assert tone_at[0] == tone_at[1]
    assert abs(len(first) - len(second)) < 800
