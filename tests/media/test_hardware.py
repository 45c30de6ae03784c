"""Decoding on a GPU. None need be there: a decoder in software stands in for its, and hands its
frames out as that does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.codec import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from tests.media.conftest import pattern, run_ffmpeg
from tests.media.test_reader import SEEKS
from videdit.errors import InputError
from videdit.media import hardware
from videdit.media._planes import layout_of, planes_of
from videdit.media.hardware import HardwareDecoder
from videdit.media.probe import probe
from videdit.media.reader import FrameReader, read_frames
from videdit.media.timeline import Timeline

Clips = Callable[..., Path]

CODED = {
    **{name: SEEKS[name] for name in ("bframes.mp4", "open.mp4", "open_hevc.mkv", "stream.ts")},
    "web.webm": [*SEEKS["web.webm"], "-pix_fmt yuv420p"],
    "ten.mp4": ["-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p10le"],
    "full.mp4": ["-vf scale=out_range=pc -c:v libx264 -color_range pc -pix_fmt yuvj420p"],
    "odd.webm": ["-vf crop=95:63 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p"],
    "av1.mp4": ["-c:v libsvtav1 -preset 12 -g 8 -svtav1-params lp=1 -pix_fmt yuv420p"],
}


def interleaved(frame: VideoFrame) -> VideoFrame:
    """A planar frame of 8 or 10 bits as a GPU gives it: NV12, or P010 with the value in the high
    bits."""
    layout, (y, u, v) = planes_of(frame)
    name, up = ("nv12", 0) if layout.depth == 8 else ("p010le", 6)
    made = VideoFrame(frame.width, frame.height, name)
    for plane, samples in zip(made.planes, (y, np.stack([u, v], -1)), strict=True):
        rows = np.frombuffer(plane, layout.dtype)  # type: ignore[arg-type]
        line = plane.line_size // rows.itemsize
        samples = samples.reshape(len(samples), -1) << up
        rows[: line * len(samples)].reshape(-1, line)[:, : samples.shape[1]] = samples
    made.pts = frame.pts
    return made


class Card:
    """Stands in for the GPU.

    Attributes:
        opened: how many decoders were.
        packets: that were decoded.
        threads: that decoded them.
        failing: the packet that fails.
        change: what is done to a frame before it is handed out.
    """

    def __init__(self) -> None:
        self.opened = self.packets = 0
        self.threads: set[threading.Thread] = set()
        self.failing: int | None = None
        self.change: Callable[[VideoFrame], VideoFrame] = interleaved

    def open(self, codec: str) -> VideoCodecContext:
        self.opened += 1
        return cast(VideoCodecContext, _Decoder(self, {"av1": "libdav1d"}.get(codec, codec)))


class _Decoder:
    """The decoder's context: everything is the real one's but what it decodes to."""

    def __init__(self, card: Card, codec: str) -> None:
        self.__dict__.update(card=card, real=CodecContext.create(codec, "r"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.real, name, value)

    def decode(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        card = self.card
        card.packets += 1
        card.threads.add(threading.current_thread())
        if card.packets == card.failing:
            raise av.error.ExternalError(542398533, "the GPU fell off the bus")
        return [card.change(frame) for frame in self.real.decode(packet)]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    monkeypatch.setattr(hardware, "_on_gpu", made.open)
    return made


def same(found: Iterable[Any], expected: Iterable[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.index, one.pts) == (other.index, other.pts)
        (layout, planes), (true_layout, true) = one.planes(), other.planes()
        assert layout == true_layout
        for plane, samples in zip(planes, true, strict=True):
            assert plane.dtype == samples.dtype
            np.testing.assert_array_equal(plane, samples)
        np.testing.assert_array_equal(one.rgb, other.rgb)


@pytest.mark.parametrize("name", CODED)
def test_frames_are_those_of_software(
    clips: Clips, card: Card, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """From any start, all by one decoder."""
    timeline = probe(clips(name, *pattern(seconds=1.2), *CODED[name]))
    caplog.set_level(logging.DEBUG)
    with FrameReader(timeline) as software, FrameReader(timeline, on_gpu=True) as reader:
        same(reader.read(), software.read())
        for start, stop in [(0, 3), (7, 9), (20, 30), (5, 30)]:
            same(reader.read(start, stop), software.read(start, stop))
    assert card.opened == 1
    assert card.packets >= 30
    assert not caplog.records


@pytest.mark.parametrize(("planar", "packed"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("size", [(1920, 1080), (95, 63), (34, 18), (1, 1)])
def test_every_sample_is_only_moved(planar: str, packed: str, size: tuple[int, int]) -> None:
    layout = layout_of(planar)[0]
    width, height = size
    rng = np.random.default_rng(0)
    small = -(-height // 2), -(-width // 2)
    samples = [
        rng.integers(0, layout.peak + 1, shape).astype(layout.dtype)
        for shape in ((height, width), small, small)
    ]
    frame = VideoFrame(width, height, planar)
    for plane, values in zip(frame.planes, samples, strict=True):
        rows = np.frombuffer(plane, layout.dtype)  # type: ignore[arg-type]
        line = plane.line_size // rows.itemsize
        rows[: line * len(values)].reshape(-1, line)[:, : values.shape[1]] = values
    given = interleaved(frame)
    assert given.format.name == packed
    given.color_range = 2  # as players stretch it, and nothing here may
    found, planes = planes_of(hardware.unpacked(given))
    assert found == layout
    for plane, values in zip(planes, samples, strict=True):
        np.testing.assert_array_equal(plane, values)


def test_it_decodes_ahead_in_a_thread_that_ends(plain: Path, card: Card) -> None:
    with FrameReader(probe(plain), on_gpu=True) as reader:
        frames = reader.read()
        next(frames)
        (thread,) = card.threads
        assert thread is not threading.main_thread()
        assert thread.is_alive()
        # Left in the middle, as by an error of the caller's.
        reader.close()
        assert not thread.is_alive()
        assert 1 < card.packets < 25
        assert [frame.index for frame in frames] == list(range(1, 25))


@pytest.mark.parametrize("failing", [1, 5, 20])
def test_software_goes_on_where_the_gpu_fails(
    plain: Path, card: Card, caplog: pytest.LogCaptureFixture, failing: int
) -> None:
    card.failing = failing
    timeline = probe(plain)
    with caplog.at_level(logging.DEBUG), FrameReader(timeline, on_gpu=True) as reader:
        same(reader.read(), read_frames(timeline))
        same(reader.read(3, 6), read_frames(timeline, 3, 6))
    assert card.packets == failing
    assert card.opened == 1
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "plain.mp4 is decoded in software: " in record.getMessage()
    assert "fell off the bus" in record.getMessage()
    assert not any(thread.is_alive() for thread in card.threads)


def test_a_gpu_that_decodes_to_something_else_is_left(
    plain: Path, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    timeline = probe(plain)

    def spoilt(frame: VideoFrame) -> VideoFrame:
        made = interleaved(frame)
        if frame.pts == timeline.pts[7]:
            np.frombuffer(made.planes[1], np.uint8)[40] ^= 1  # type: ignore[arg-type]
        return made

    def late(frame: VideoFrame) -> VideoFrame:
        made = interleaved(frame)
        assert frame.pts is not None
        made.pts = frame.pts + (frame.pts == timeline.pts[20])
        return made

    def wide(frame: VideoFrame) -> VideoFrame:
        return VideoFrame(frame.width + 16, frame.height, "nv12")

    def packed(frame: VideoFrame) -> VideoFrame:
        return frame.reformat(format="uyvy422")

    for change, words in [
        (spoilt, "frame 7 is not as in software"),
        (late, "not the file it was"),
        (wide, "instead of"),
        (packed, "instead of"),
    ]:
        card.change = change
        caplog.clear()
        with caplog.at_level(logging.DEBUG), FrameReader(timeline, on_gpu=True) as reader:
            same(reader.read(), read_frames(timeline))
        assert [words in record.getMessage() for record in caplog.records] == [True]


def test_a_damaged_file_is_the_same_error(clips: Clips, card: Card, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    run_ffmpeg(
        "-i", clips("plain.mkv", *pattern(), "-c:v libx264 -pix_fmt yuv420p"), "-c copy", path
    )
    timeline = probe(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :: 7] = bytes(len(data[len(data) // 2 :: 7]))
    path.write_bytes(data)
    errors = []
    for on_gpu in (False, True):
        with FrameReader(timeline, on_gpu=on_gpu) as reader, pytest.raises(InputError) as caught:
            list(reader.read())
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    assert card.packets
    path.unlink()
    with (
        FrameReader(timeline, on_gpu=True) as reader,
        pytest.raises(InputError, match="cannot be read"),
    ):
        list(reader.read())


def test_what_a_gpu_is_asked_for(plain: Path, clips: Clips) -> None:
    def asked(name: str, *arguments: str) -> bool:
        return HardwareDecoder.may_decode(probe(clips(name, *pattern(seconds=0.2), *arguments)))

    assert HardwareDecoder.may_decode(probe(plain))
    for name in CODED:
        assert asked(name, *CODED[name])
    assert not asked("wide.mp4", "-c:v libx264 -pix_fmt yuv444p")
    assert not asked("half.mp4", "-c:v libx264 -pix_fmt yuv422p")
    assert not asked("deep.mp4", "-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p12le")
    assert not asked("old.avi", "-c:v mpeg4")
    assert not asked("fields.mp4", "-c:v libx264 -flags +ilme+ildct -pix_fmt yuv420p")
    assert not asked("alpha.webm", "-c:v libvpx-vp9 -pix_fmt yuva420p")
    assert not asked("still.png", "-frames:v 1")


def without_a_gpu() -> bool:
    try:
        hardware._on_gpu("h264")
    except av.FFmpegError:
        return True
    return False


@pytest.mark.skipif(not without_a_gpu(), reason="there is a GPU")
def test_no_gpu_is_no_error(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    timeline: Timeline = probe(plain)
    with caplog.at_level(logging.DEBUG), FrameReader(timeline, on_gpu=True) as reader:
        same(reader.read(), read_frames(timeline))
    assert len(caplog.records) == 1


@pytest.mark.skipif(without_a_gpu(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["bframes.mp4", "ten.mp4", "av1.mp4"])
def test_a_gpu_gives_software_s_samples(clips: Clips, name: str) -> None:
    large = pattern("640x360", seconds=1.2)
    timeline = probe(clips(name, *large, *CODED[name]))
    with FrameReader(timeline, on_gpu=True) as reader:
        same(reader.read(), read_frames(timeline))
