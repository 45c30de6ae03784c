from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media.conftest import pattern, run_ffmpeg
from videdit.errors import InputError
from videdit.media.probe import probe
from videdit.media.reader import WINDOW, FrameReader, read_frames
from videdit.media.source import decode_frames
from videdit.media.timeline import Timeline

Clips = Callable[..., Path]

# Name of the clip and how it is coded; every kind of seeking trouble.
SEEKS = {
    "bframes.mp4": ["-c:v libx264 -g 7 -bf 3 -pix_fmt yuv420p"],
    "open.mp4": [
        "-c:v libx264 -x264-params open-gop=1:keyint=8:bframes=3:scenecut=0 -pix_fmt yuv420p"
    ],
    "open_hevc.mkv": [
        "-c:v libx265 -x265-params open-gop=1:keyint=8:log-level=error -pix_fmt yuv420p10le"
    ],
    "refresh.mp4": ["-c:v libx264 -x264-params intra-refresh=1:keyint=8 -pix_fmt yuv420p"],
    "mpeg2.mpg": ["-c:v mpeg2video -g 6 -bf 2 -qscale:v 3"],
    "stream.ts": ["-c:v libx264 -g 8 -pix_fmt yuv420p"],
    "old.avi": ["-c:v mpeg4 -g 8 -qscale:v 3"],
    "web.webm": ["-c:v libvpx-vp9 -g 8 -deadline realtime -cpu-used 8"],
    "vp8.webm": ["-c:v libvpx -g 8 -auto-alt-ref 1 -deadline good"],
    "moving.gif": [],
}


@pytest.mark.parametrize("name", SEEKS)
def test_any_start_gives_the_frames_of_a_full_read(clips: Clips, name: str) -> None:
    timeline = probe(clips(name, *pattern(seconds=1.2), *SEEKS[name]))
    assert len(timeline) == 30
    whole = list(read_frames(timeline))
    assert [frame.index for frame in whole] == list(range(30))
    assert [frame.pts for frame in whole] == timeline.pts.tolist()
    for start, stop in [(0, 3), (5, 9), (7, 8), (13, 30), (16, 19), (29, 30)]:
        part = list(read_frames(timeline, start, stop))
        assert [frame.index for frame in part] == list(range(start, stop))
        for frame in part:
            for got, expected in zip(
                frame.planes()[1], whole[frame.index].planes()[1], strict=True
            ):
                np.testing.assert_array_equal(got, expected)


def test_ranges(plain: Path) -> None:
    timeline = probe(plain)
    assert list(read_frames(timeline, 4, 4)) == []
    for start, stop in [(-1, 3), (5, 4), (0, 26)]:
        with pytest.raises(ValueError, match="not in a timeline"):
            next(read_frames(timeline, start, stop))


@pytest.fixture(scope="session")
def long_gop(clips: Clips) -> Path:
    """120 frames; keyframes 0, 50 and 100 only."""
    clip = clips(
        "long_gop.mp4",
        *pattern("48x32", seconds=4.8),
        "-c:v libx264 -x264-params keyint=50:scenecut=0:bframes=3 -pix_fmt yuv420p",
    )
    assert probe(clip).keyframes.tolist() == [0, 50, 100]
    return clip


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Per entry into the file, the ticks of the frames that were decoded."""
    found: list[list[int]] = []

    def counted(*arguments: Any, **options: Any) -> Iterator[VideoFrame]:
        ticks: list[int] = []
        found.append(ticks)
        for frame in decode_frames(*arguments, **options):
            assert frame.pts is not None
            ticks.append(frame.pts)
            yield frame

    monkeypatch.setattr("videdit.media.reader.decode_frames", counted)
    return found


@pytest.mark.parametrize("beyond", [0, 1, WINDOW])
def test_consecutive_chunks_decode_each_frame_once(
    long_gop: Path, entries: list[list[int]], beyond: int
) -> None:
    """Also when each request goes a little beyond its chunk, as for the flow into the next."""
    timeline = probe(long_gop)
    with FrameReader(timeline) as reader:
        for start in range(0, 120, 8):
            stop = min(start + 8 + beyond, 120)
            assert [f.index for f in reader.read(start, stop)] == list(range(start, stop))
    assert entries == [timeline.pts.tolist()]


def test_decoding_goes_on_or_seeks_whichever_is_shorter(
    long_gop: Path, entries: list[list[int]]
) -> None:
    timeline = probe(long_gop)
    with FrameReader(timeline) as reader:

        def decoded(start: int, stop: int) -> list[int]:
            before = [*map(len, entries), 0]
            list(reader.read(start, stop))
            entry = len(entries) - 1
            return np.searchsorted(timeline.pts, entries[entry][before[entry] :]).tolist()

        assert decoded(10, 12) == list(range(12))
        assert decoded(30, 33) == list(range(12, 33))  # no keyframe between
        assert len(entries) == 1
        assert decoded(70, 72) == list(range(50, 72))  # a keyframe, far ahead
        assert len(entries) == 2
        assert decoded(95, 96) == list(range(72, 96))
        assert decoded(101, 103) == list(range(96, 103))  # a keyframe, near
        assert len(entries) == 2
        assert decoded(60, 61) == list(range(50, 61))  # back
        assert len(entries) == 3
        assert decoded(61 - WINDOW, 61) == []  # back, but held
        assert decoded(60 - WINDOW, 61) == list(range(50, 61))
        assert len(entries) == 4


@st.composite
def requests(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Ranges, and how many frames of each are taken."""
    made = []
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, 120))
        stop = draw(st.integers(start, min(start + 12, 120)))
        made.append((start, stop, draw(st.integers(0, stop - start))))
    return made


@given(requests())
@settings(max_examples=40, deadline=None)
def test_any_requests_give_the_frames_of_one_off_reads(
    long_gop: Path, wanted: list[tuple[int, int, int]]
) -> None:
    timeline = probe_once(long_gop)
    with FrameReader(timeline) as reader:
        for start, stop, taken in wanted:
            for frame in islice(reader.read(start, stop), taken):
                (alone,) = read_frames(timeline, frame.index, frame.index + 1)
                assert frame.pts == alone.pts
                for got, expected in zip(frame.planes()[1], alone.planes()[1], strict=True):
                    np.testing.assert_array_equal(got, expected)


@cache
def probe_once(path: Path) -> Timeline:
    return probe(path)


def test_iterators_of_one_reader_may_take_turns(long_gop: Path) -> None:
    with FrameReader(probe(long_gop)) as reader:
        pairs = zip(reader.read(0, 12), reader.read(60, 72), strict=True)
        assert [(a.index, b.index) for a, b in pairs] == [(i, i + 60) for i in range(12)]


def test_a_reader_is_usable_after_an_error(plain: Path, vfr: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    shutil.copy(plain, path)
    timeline = probe(path)
    with FrameReader(timeline) as reader:
        with pytest.raises(ValueError, match="not in a timeline"):
            next(reader.read(0, 26))
        assert next(reader.read(13)).index == 13
        shutil.copy(vfr, path)
        with pytest.raises(InputError, match="not the file it was"):
            list(reader.read(0, 1))
        path.unlink()
        with pytest.raises(InputError, match="cannot be read"):
            list(reader.read(0, 1))
        shutil.copy(plain, path)
        assert [frame.index for frame in reader.read(4, 7)] == [4, 5, 6]


def test_an_interrupted_reader_starts_anew(long_gop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Iterator[VideoFrame]:
        for number, frame in enumerate(decode_frames(*arguments, **options)):
            if number == 20:
                raise KeyboardInterrupt
            yield frame

    with FrameReader(probe(long_gop)) as reader:
        with monkeypatch.context() as patched:
            patched.setattr("videdit.media.reader.decode_frames", interrupted)
            with pytest.raises(KeyboardInterrupt):
                list(reader.read(0, 30))
        assert [frame.index for frame in reader.read(20, 23)] == [20, 21, 22]


def test_the_end_of_a_file_that_lost_its_end(plain: Path, tmp_path: Path) -> None:
    """Matroska's frames are found from front to back, so the start can still be read."""
    path = tmp_path / "clip.mkv"
    run_ffmpeg("-i", plain, "-an -c copy", path)
    timeline = probe(path)
    os.truncate(path, path.stat().st_size * 2 // 3)
    with FrameReader(timeline) as reader:
        assert len(list(reader.read(0, 5))) == 5
        with pytest.raises(InputError, match="damaged at or shortly after frame"):
            list(reader.read(5))


def test_keyframes_that_cannot_be_reached_are_passed_over(
    long_gop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three before are tried, then the beginning, where no seek is needed."""
    timeline = replace(probe(long_gop), keyframes=np.array([0, 10, 20, 30, 40], np.int32))
    targets: list[int | None] = []

    def only_from_the_beginning(
        *arguments: Any, target: int | None = None, **options: Any
    ) -> Iterator[VideoFrame]:
        targets.append(target)
        if target is None:
            yield from decode_frames(*arguments, target=target, **options)

    monkeypatch.setattr("videdit.media.reader.decode_frames", only_from_the_beginning)
    with FrameReader(timeline) as reader:
        assert [frame.index for frame in reader.read(45, 48)] == [45, 46, 47]
    assert targets == [*timeline.pts[[40, 30, 20]].tolist(), None]


def open_files() -> list[str]:
    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return [link for link in links if link.endswith(".mp4")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_closing_releases_the_file(plain: Path) -> None:
    timeline = probe(plain)
    reader = FrameReader(timeline)
    assert open_files() == []
    frames = reader.read()
    first = next(frames)
    assert open_files() == [str(plain)]
    reader.close()
    assert open_files() == []
    # What was handed out stays, and reading may begin again.
    assert first.rgb8.shape == (64, 96, 3)
    assert next(frames).index == 1
    assert open_files() == [str(plain)]
    reader.close()
    with reader:
        list(reader.read(0, 2))
    assert open_files() == []
    next(read_frames(timeline))
    assert open_files() == []


def test_a_replaced_file_is_noticed(plain: Path, vfr: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(plain.read_bytes())
    timeline = probe(path)
    path.write_bytes(vfr.read_bytes())
    with pytest.raises(InputError, match="not the file it was"):
        list(read_frames(timeline))
    path.unlink()
    with pytest.raises(InputError):
        list(read_frames(timeline))


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_frames(clips: Clips) -> None:
    path = clips(
        "long.mp4", *pattern("480x360", "50", 20), "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
    )
    timeline = probe(path)
    assert len(timeline) == 1000
    early = 0
    for frame in read_frames(timeline):
        assert frame.rgb8.shape == (360, 480, 3)
        if frame.index == 100:
            early = resident()
    # 900 frames of 480x360 are 230 MB.
    assert resident() - early < 10e6
