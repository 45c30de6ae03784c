from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.conftest import run_ffmpeg
from tests.media.heif import write_tiled_heic
from videdit.errors import InputError
from videdit.media.pictures import write_picture
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.stills import jpeg_end, more_in


def coded(suffix: str, shade: int = 90, size: tuple[int, int] = (40, 60)) -> bytes:
    picture = np.full((*size, 3), shade, np.uint8)
    picture[::7] = 200
    return bytes(cv2.imencode(suffix, picture)[1])


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    chunk = struct.pack(">I", len(content)) + name + content
    return png[:33] + chunk + struct.pack(">I", zlib.crc32(name + content)) + png[33:]


def test_a_profile_of_colours_in_a_png_does_not_crash_the_process(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(with_chunk(coded(".png"), b"iCCP", b"sRGB\0\0" + zlib.compress(b"x" * 600)))
    code = "import gc, sys; from videdit.media.probe import probe; probe(sys.argv[1]); gc.collect()"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)
    assert done.returncode == 0, done


@pytest.mark.parametrize("second", [coded(".jpg", 20), coded(".jpg", 20, (80, 20))])
def test_the_first_jpeg_of_a_file_counts(tmp_path: Path, second: bytes) -> None:
    path = tmp_path / "phone.jpg"
    first = coded(".jpg")
    path.write_bytes(first + b"\0\0" + second)
    timeline = probe(path)
    assert timeline.is_image
    assert len(timeline) == 1
    assert (timeline.width, timeline.height) == (60, 40)
    assert any("after the first" in text for text in timeline.unkept)
    shown = next(read_frames(timeline)).rgb
    np.testing.assert_allclose(shown, cv2.imdecode(np.frombuffer(first, np.uint8), 1), atol=4)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_that_is_cut_off_is_no_picture(tmp_path: Path, share: float) -> None:
    data = coded(".jpg", size=(400, 300))
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="cut off"):
        probe(path)


@given(st.binary(max_size=300))
def test_bytes_after_a_jpeg_do_not_move_its_end(rest: bytes) -> None:
    data = coded(".jpg")
    assert jpeg_end(data + rest) == len(data)


@given(st.binary(max_size=60))
def test_whatever_follows_the_first_bytes_an_end_is_within_or_none(rest: bytes) -> None:
    data = b"\xff\xd8\xff" + rest
    end = jpeg_end(data)
    assert end is None or data[:end].endswith(b"\xff\xd9")


def test_a_progressive_jpeg_with_a_thumbnail_inside_has_one_end(tmp_path: Path) -> None:
    picture = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    data = bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    small = coded(".jpg", size=(8, 8))
    block = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small
    whole = data[:2] + block + data[2:]
    assert jpeg_end(whole) == len(whole)


def test_an_animated_webp_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes([0x02]) + bytes(9)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
    with pytest.raises(InputError, match="animated WebP"):
        probe(path)


@pytest.mark.parametrize("suffix", [".avif", ".ppm", ".jp2", ".gif", ".bmp", ".tif"])
def test_a_still_of_any_kind_is_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p{suffix}"
    run_ffmpeg("-f lavfi -i testsrc2=size=64x48:rate=1:duration=1 -frames:v 1", path)
    timeline = probe(path)
    assert timeline.is_image
    assert len(timeline) == 1
    assert next(read_frames(timeline)).rgb8.shape == (48, 64, 3)
    assert more_in(path) == []


def four_corners(height: int = 90, width: int = 150) -> np.ndarray:
    """A smooth (H, W, 3) picture in which no side looks like another."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)]
    return np.stack(channels, -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("turns", "mirror"), [(0, None), (1, None), (2, None), (3, None), (0, 0), (0, 1), (1, 1)]
)
def test_a_picture_of_tiles_is_whole_and_upright(
    tmp_path: Path, turns: int, mirror: int | None
) -> None:
    path = tmp_path / "phone.heic"
    picture = four_corners()
    write_tiled_heic(path, picture, turns=turns, mirror=mirror)
    upright = np.rot90(picture, turns)
    upright = upright if mirror is None else np.flip(upright, mirror)
    timeline = probe(path)
    assert timeline.is_image
    assert len(timeline) == 1
    assert (timeline.height, timeline.width) == upright.shape[:2]
    assert timeline.unkept == ()
    np.testing.assert_allclose(next(read_frames(timeline)).rgb.astype(int), upright, atol=6)


def test_the_grid_counts_not_what_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "phone.heic"
    picture = four_corners()
    write_tiled_heic(path, picture, thumbnail=True, gain_map=True)
    timeline = probe(path)
    assert timeline.unkept == ("the gain map of an HDR picture",)
    np.testing.assert_allclose(next(read_frames(timeline)).rgb.astype(int), picture, atol=6)


def test_the_profile_of_a_picture_of_tiles_is_kept(tmp_path: Path) -> None:
    path, result = tmp_path / "phone.heic", tmp_path / "result.jpg"
    profile = b"wide" * 50
    write_tiled_heic(path, four_corners(), profile=profile)
    timeline = probe(path)
    assert write_picture(result, next(read_frames(timeline)).rgb, timeline) == ()
    raw = np.frombuffer(result.read_bytes(), np.uint8)
    _, kinds, blocks = cv2.imdecodeWithMetadata(raw, cv2.IMREAD_UNCHANGED)
    found = dict(zip(map(int, kinds), blocks, strict=True))
    assert found[int(cv2.IMAGE_METADATA_ICCP)].tobytes() == profile


@pytest.mark.parametrize("share", [0.7, 0.99])
def test_a_picture_that_lacks_tiles_is_damaged(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.heic"
    write_tiled_heic(path, four_corners())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="missing or damaged"):
        probe(path)
