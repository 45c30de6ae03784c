from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.media.test_probe import jpeg_with_orientation
from videdit.errors import StorageError, UsageError
from videdit.media.pictures import write_picture
from videdit.media.probe import probe
from videdit.media.reader import read_frames


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 255, 32)
    rgb = np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 255 - ramp[None]), -1)
    rgb = rgb.astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    write_picture(path, rgb)
    first = path.read_bytes()
    back = cv2.imread(str(path))[..., ::-1]
    limit = 0 if suffix in (".png", ".tif") else 16
    assert np.abs(back.astype(int) - rgb).max() <= limit
    write_picture(path, rgb)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".jpg":
        assert probe(path).pix_fmt == "yuvj444p"


def test_deep_picture_with_alpha(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (6, 5, 4), np.uint16)
    source = tmp_path / "source.png"
    cv2.imwrite(str(source), pixels)
    timeline = probe(source)
    frame = next(read_frames(timeline))
    result = tmp_path / "result.png"
    write_picture(result, frame.rgb, timeline)
    np.testing.assert_array_equal(cv2.imread(str(result), cv2.IMREAD_UNCHANGED), pixels)


def test_picture_refusals(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError):
        write_picture(tmp_path / "a.doc", rgb)
    with pytest.raises(StorageError):
        write_picture(tmp_path / "none" / "a.png", rgb)


def test_exif_survives_and_says_upright(tmp_path: Path) -> None:
    source = tmp_path / "source.jpg"
    jpeg_with_orientation(source, 6)
    timeline = probe(source)
    rgb = next(read_frames(timeline)).rgb
    result = tmp_path / "result.jpg"
    write_picture(result, rgb, timeline)
    assert b"Exif\x00\x00" in result.read_bytes()
    again = probe(result)
    assert again.rotation == 0
    assert (again.width, again.height) == (timeline.width, timeline.height)
    assert np.abs(next(read_frames(again)).rgb.astype(int) - rgb).mean() < 3
