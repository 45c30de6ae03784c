from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.conftest import pattern, run_ffmpeg
from videdit.errors import StorageError
from videdit.media import segments
from videdit.media._planes import planes_of
from videdit.media.compose import EncodableFrame, Patch, compose
from videdit.media.encoding import CODECS, EncodeSpec
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.segments import QUEUED, SEGMENT_SUFFIX, write_segment
from videdit.media.timeline import Timeline


def write(path: Path, timeline: Timeline, spec: EncodeSpec, start: int = 0, stop: int = 5) -> Path:
    frames = (compose(frame) for frame in read_frames(timeline, start, stop))
    assert write_segment(path, timeline, spec, frames) == stop - start
    return path


def decoded(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[p.copy() for p in planes_of(f)[1]] for f in container.decode(video=0)]


@pytest.mark.parametrize("codec", [name for name in CODECS if not CODECS[name].on_gpu])
def test_segments_are_the_same_every_time(plain: Path, tmp_path: Path, codec: str) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline, codec)
    first = write(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, 3, 17)
    second = write(tmp_path / f"b{SEGMENT_SUFFIX}", timeline, spec, 3, 17)
    assert first.read_bytes() == second.read_bytes()
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        ticks = sorted(p.pts * stream.time_base for p in container.demux(stream) if p.size)
    wanted = timeline.pts[3:17] * timeline.time_base
    assert [t - ticks[0] for t in ticks] == [t - wanted[0] for t in wanted]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("h264", "yuv420p", "96x64"),
        ("h264", "yuv422p10le", "96x64"),
        ("h264", "yuv444p", "39x27"),
        ("hevc", "yuv420p10le", "96x64"),
        ("ffv1", "yuv411p", "39x27"),
        ("ffv1", "yuva444p10le", "39x27"),
        ("ffv1", "gray16le", "39x27"),
        ("ffv1", "bgr0", "39x27"),
        ("ffv1", "bgra", "39x27"),
        ("ffv1", "gbrap10le", "39x27"),
    ],
)
def test_frames_reach_the_encoder_unchanged(
    tmp_path: Path, codec: str, pix_fmt: str, size: str
) -> None:
    """A lossless encoding of unedited frames decodes to the source's samples."""
    source = tmp_path / "source.mkv"
    run_ffmpeg(
        *pattern(size, seconds=0.4),
        "-vf",
        f"format={pix_fmt}",
        "-c:v ffv1 -pix_fmt",
        pix_fmt,
        source,
    )
    timeline = probe(source)
    spec = EncodeSpec.for_source(timeline, codec)
    assert spec.notes == ()
    if codec == "h264":
        # x264 at 10 bits reaches lossless at crf -12; qp 0 does for all depths.
        spec = EncodeSpec(codec, 0, "fast", spec.pix_fmt, spec.color)
    path = write(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, 0, 10)
    frames = [frame.planes()[1] for frame in read_frames(timeline)]
    result = decoded(path)
    assert len(result) == len(frames)
    for got, planes in zip(result, frames, strict=True):
        for plane, source_plane in zip(got, planes, strict=True):
            if codec == "ffv1" or (codec == "h264" and spec.pix_fmt == "yuv420p"):
                np.testing.assert_array_equal(plane, source_plane)
            else:
                assert np.abs(plane.astype(int) - source_plane).mean() < 4


def test_hevc_of_a_frame_or_two_is_the_same_every_time(plain: Path, tmp_path: Path) -> None:
    """x265 gives such streams any decoding times."""
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline, "hevc")
    for count in (1, 2, 3):
        paths = [tmp_path / f"{count}-{k}{SEGMENT_SUFFIX}" for k in range(20)]
        made = {write(path, timeline, spec, 0, count).read_bytes() for path in paths}
        assert len(made) == 1
        with av.open(str(paths[0])) as container:
            assert sum(bool(packet.size) for packet in container.demux(video=0)) == count


def test_red_survives_conversion_from_rgb(tmp_path: Path) -> None:
    source = tmp_path / "red.mkv"
    run_ffmpeg(
        "-f",
        "lavfi",
        "-i color=red:size=32x32:duration=0.1 -vf format=bgr0 -c:v ffv1 -pix_fmt bgr0",
        source,
    )
    timeline = probe(source)
    for codec in ("h264", "prores", "vp9"):
        spec = EncodeSpec.for_source(timeline, codec)
        path = write(tmp_path / f"{codec}{SEGMENT_SUFFIX}", timeline, spec, 0, 2)
        with av.open(str(path)) as container:
            rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert np.abs(rgb.astype(int) - (255, 0, 0)).max() <= 6


def test_patched_frames_are_written(plain: Path, tmp_path: Path) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline)
    green = Patch(
        16, 16, np.tile(np.float32([0, 1, 0]), (16, 16, 1)), np.ones((16, 16), np.float32)
    )
    frames = [compose(frame, [green]) for frame in read_frames(timeline, 0, 3)]
    write_segment(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, frames)
    for planes in decoded(tmp_path / f"a{SEGMENT_SUFFIX}"):
        assert abs(int(planes[0][24, 24]) - 145) <= 3


def test_wrong_frames(plain: Path, tmp_path: Path) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline)
    with pytest.raises(ValueError, match="at least one"):
        write_segment(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, [])
    frames = [compose(frame) for frame in read_frames(timeline, 0, 3)]
    with pytest.raises(ValueError, match="follows"):
        write_segment(tmp_path / f"b{SEGMENT_SUFFIX}", timeline, spec, [frames[0], frames[2]])
    with pytest.raises(StorageError, match="does not exist"):
        write_segment(tmp_path / "none" / f"b{SEGMENT_SUFFIX}", timeline, spec, frames)


class Encoding:
    """What `_encodable`, the first thing done to a frame in the encoder's thread, was called with.

    Args:
        before: called first, with the frame's index.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[int], object]) -> None:
        self.indices: list[int] = []
        self.threads: set[threading.Thread] = set()
        original = segments._encodable

        def encodable(frame: EncodableFrame, timeline: Timeline, spec: EncodeSpec) -> av.VideoFrame:
            self.threads.add(threading.current_thread())
            before(frame.index)
            self.indices.append(frame.index)
            return original(frame, timeline, spec)

        monkeypatch.setattr(segments, "_encodable", encodable)


def test_frames_are_made_while_others_are_encoded(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline = probe(plain)
    permits = threading.Semaphore(0)
    encoding = Encoding(monkeypatch, lambda _: permits.acquire(timeout=60))

    def frames() -> Iterator[EncodableFrame]:
        assert threading.current_thread() is threading.main_thread()
        for frame in read_frames(timeline):
            # None but the oldest is waited for, and no more wait than are allowed to.
            assert len(encoding.indices) == max(0, frame.index - QUEUED)
            if frame.index >= QUEUED:
                permits.release()
            yield compose(frame)
        permits.release(QUEUED)

    path = tmp_path / f"a{SEGMENT_SUFFIX}"
    assert write_segment(path, timeline, EncodeSpec.for_source(timeline), frames()) == 25
    assert encoding.indices == list(range(25))
    (thread,) = encoding.threads
    assert thread is not threading.main_thread()
    assert not thread.is_alive()
    assert len(decoded(path)) == 25


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), RuntimeError("no"), StorageError("no")]
)
def test_errors_of_who_makes_the_frames(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    timeline = probe(plain)
    encoding = Encoding(monkeypatch, lambda _: None)

    def frames() -> Iterator[EncodableFrame]:
        yield from map(compose, read_frames(timeline, 0, 12))
        raise error

    with pytest.raises(type(error)) as caught:
        write_segment(tmp_path / "a", timeline, EncodeSpec.for_source(timeline), frames())
    assert caught.value is error
    assert not any(thread.is_alive() for thread in encoding.threads)


@pytest.mark.parametrize("at", [0, 3, 24])
def test_errors_of_the_encoder(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    timeline = probe(plain)

    def fail(index: int) -> None:
        if index == at:
            raise OSError(errno.ENOSPC, "no space")

    encoding = Encoding(monkeypatch, fail)
    made: list[int] = []

    def frames() -> Iterator[EncodableFrame]:
        for frame in read_frames(timeline):
            made.append(frame.index)
            yield compose(frame)

    with pytest.raises(StorageError, match="the disk is full"):
        write_segment(tmp_path / "a", timeline, EncodeSpec.for_source(timeline), frames())
    assert encoding.indices[:at] == list(range(at))
    assert made[-1] <= at + QUEUED + 1
    assert not any(thread.is_alive() for thread in encoding.threads)


def test_errors_of_the_file_s_end(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is written when the file is closed."""

    def close(segment: segments._Segment) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(segments._Segment, "close", close)
    timeline = probe(plain)
    with pytest.raises(StorageError, match="the disk is full"):
        write(tmp_path / "a", timeline, EncodeSpec.for_source(timeline))
