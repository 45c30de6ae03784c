from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tests.media.conftest import pattern, run_ffmpeg, tone
from videdit.errors import InputError
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.source import FrameDamage, content_id, decode_frames

Clips = Callable[..., Path]
HDR = "setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
X264 = ("-c:v", "libx264", "-pix_fmt yuv420p")


def test_plain(plain: Path) -> None:
    timeline = probe(plain)
    assert len(timeline) == 25
    assert (timeline.width, timeline.height) == (96, 64)
    assert timeline.average_rate == 25
    np.testing.assert_allclose(timeline.times(), np.arange(25) / 25, atol=1e-12)
    assert timeline.durations.sum() * timeline.time_base == 1
    assert timeline.keyframes.tolist() == [0, 8, 16, 24]
    assert [s.type for s in timeline.streams] == ["audio"]
    assert not timeline.is_image
    assert timeline.content_id == content_id(plain)


def test_vfr_with_a_late_start(vfr: Path) -> None:
    timeline = probe(vfr)
    numbers = [n for n in range(60) if n % 3 == 0 or n % 7 == 0]
    expected = [n * 512 + 507 + (i % 2) * 37 for i, n in enumerate(numbers)]
    assert timeline.time_base == Fraction(1, 15360)
    assert timeline.pts.tolist() == expected
    assert timeline.durations[:-1].tolist() == np.diff(expected).tolist()


def test_ntsc(clips: Clips) -> None:
    timeline = probe(clips("ntsc.mp4", *pattern(rate="30000/1001"), *X264))
    assert timeline.average_rate == Fraction(30000, 1001)
    steps = np.unique(np.diff(timeline.pts))
    assert [int(step) * timeline.time_base for step in steps] == [Fraction(1001, 30000)]


def test_frames_cut_off_by_an_edit_list_are_not_there(plain: Path, clips: Clips) -> None:
    # Cutting at 0.4 s (frame 10) without re-encoding keeps frames 8 and 9 in the file, hidden.
    timeline = probe(clips("edit.mp4", "-ss 0.4 -i", plain, "-an -c copy"))
    assert len(timeline) == 15
    assert len(list(read_frames(timeline))) == 15


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [False, True])
def test_orientation_agrees_with_ffmpeg(
    clips: Clips, tmp_path: Path, angle: int, flip: bool
) -> None:
    base = clips("base_rot.mov", *pattern("32x16", seconds=0.2), "-c:v ffv1 -pix_fmt gbrp10le")
    turned = tmp_path / "turned.mov"
    flags = ["-display_rotation", str(angle)] + (["-display_hflip"] if flip else [])
    run_ffmpeg(*flags, "-i", base, "-c copy", turned)
    timeline = probe(turned)
    size = (16, 32) if angle in (90, 270) else (32, 16)
    assert (timeline.width, timeline.height) == size
    raw = run_ffmpeg("-i", turned, "-frames:v 1 -f rawvideo -pix_fmt gbrp10le -")
    upright = np.frombuffer(raw, np.uint16).reshape(3, size[1], size[0])
    _, planes = next(read_frames(timeline)).planes()
    np.testing.assert_array_equal(planes, upright)


def jpeg_with_orientation(path: Path, orientation: int) -> None:
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :8] = 255
    picture[:8, 16:] = (255, 0, 0)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    tiff = b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)
    exif = b"Exif\x00\x00" + tiff
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_agrees_with_opencv(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "photo.jpg"
    jpeg_with_orientation(path, orientation)
    timeline = probe(path)
    assert timeline.is_image
    assert len(timeline) == 1
    expected = cv2.imread(str(path))[..., ::-1]
    rgb = next(read_frames(timeline)).rgb
    assert rgb.shape == expected.shape == (timeline.height, timeline.width, 3)
    # Two JPEG decoders: chroma is upsampled differently at the patches' borders.
    assert np.abs(rgb.astype(int) - expected).mean() < 12


def test_picture_kinds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (7, 9, 3), np.uint8)
    for suffix in (".png", ".bmp", ".tiff"):
        path = tmp_path / f"a%03d{suffix}"
        cv2.imwrite(str(path), picture)
        timeline = probe(path)
        assert timeline.is_image
        np.testing.assert_array_equal(next(read_frames(timeline)).rgb, picture[..., ::-1])
    deep = rng.integers(0, 65536, (5, 4, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    frame = next(read_frames(probe(tmp_path / "deep.png")))
    np.testing.assert_array_equal(frame.rgb, deep[..., ::-1])
    assert frame.rgb8.dtype == np.uint8
    assert np.abs(frame.rgb8 - deep[..., ::-1] / 257).max() <= 0.5


def test_webp_and_gif(clips: Clips) -> None:
    webp = probe(clips("still.webp", *pattern(), "-frames:v 1 -c:v libwebp"))
    assert webp.is_image
    gif = probe(clips("short.gif", *pattern("20x20", "10", 0.5)))
    assert not gif.is_image
    assert len(gif) == 5
    assert gif.has_alpha


def test_one_frame_and_two_pixels(clips: Clips) -> None:
    timeline = probe(clips("tiny.mp4", *pattern("2x2"), "-frames:v 1", *X264))
    assert len(timeline) == 1
    assert not timeline.is_image
    assert timeline.durations[0] > 0
    assert timeline.times().tolist() == [0]
    assert next(read_frames(timeline)).rgb.shape == (2, 2, 3)


def test_tags(clips: Clips) -> None:
    timeline = probe(
        clips(
            "tags.mp4",
            *pattern(),
            "-vf",
            f"setsar=4/3,format=yuv420p10le,{HDR}",
            "-c:v libx264",
        )
    )
    assert timeline.bit_depth == 10
    assert timeline.sample_aspect == Fraction(4, 3)
    color = timeline.color
    assert (color.range, color.primaries, color.transfer, color.matrix) == (1, 9, 16, 9)
    assert timeline.matrix == 9
    assert not timeline.full_range


def test_matrix_guess(clips: Clips) -> None:
    assert probe(clips("small.mp4", *pattern(), *X264)).matrix == 6
    big = clips("big.mp4", *pattern("1280x720"), "-frames:v 1", *X264)
    assert probe(big).matrix == 1


def check_error(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        probe(path)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.remedy
    for word in (str(path), *words):
        assert word in text


def test_bad_files(tmp_path: Path, plain: Path, clips: Clips) -> None:
    check_error(tmp_path / "none.mp4", "does not exist")
    check_error(tmp_path, "folder")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    check_error(empty, "empty")
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 1000)
    check_error(text)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{plain}\n#EXT-X-ENDLIST\n")
    check_error(playlist)
    check_error(clips("sound.m4a", *tone(), "-c:a aac"), "sound")


@pytest.mark.parametrize("name", ["head.mp4", "tail.mp4", "cut.mkv"])
def test_truncated(plain: Path, clips: Clips, tmp_path: Path, name: str) -> None:
    front = ["-movflags +faststart"] if name == "head.mp4" else []
    whole = clips(f"whole_{name}", "-i", plain, "-c copy", *front)
    path = tmp_path / name
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.7)])
    check_error(path)
    # The whole file is fine.
    assert len(probe(whole)) == 25


def test_damaged_middle(clips: Clips, tmp_path: Path) -> None:
    whole = clips("noisy.mp4", *pattern("320x240"), "-vf noise=alls=40:allf=t", *X264)
    data = bytearray(whole.read_bytes())
    middle = data.find(b"mdat") + len(data) // 2
    data[middle : middle + 4000] = bytes(np.random.default_rng(0).integers(0, 256, 4000, np.uint8))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    # Every time: decoders on several threads were seen to overlook it now and then.
    for _ in range(15):
        check_error(path, "damaged", "frame")


def test_the_verdict_on_a_doubtful_file_is_one_thread_s(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = probe(plain)
    threads = []

    def doubting(
        path: Path, container: InputContainer, stream: VideoStream, **options: Any
    ) -> Iterator[VideoFrame]:
        threads.append(stream.codec_context.thread_count)
        alone = threads[-1] == 1
        for index, frame in enumerate(decode_frames(path, container, stream, **options)):
            if not alone and index == 12:
                raise FrameDamage(path, index)
            yield frame

    monkeypatch.setattr("videdit.media.probe.decode_frames", doubting)
    assert probe(plain).pts.tolist() == whole.pts.tolist()
    assert [count == 1 for count in threads] == [False, True]


def test_a_changing_size_is_refused(clips: Clips, tmp_path: Path) -> None:
    parts = [clips(f"s{s}.ts", *pattern(s), *X264) for s in ("96x64", "64x96")]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    check_error(path, "size")
