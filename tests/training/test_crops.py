from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.media.conftest import run_ffmpeg
from videdit.errors import InputError
from videdit.faces.detection import Detection
from videdit.training.crops import real_crops

POINTS = np.random.default_rng(0).uniform(-0.2, 0.2, (68, 2)).astype(np.float32)
POINTS[36:42] = (-0.12, -0.1)
POINTS[42:48] = (0.12, -0.1)
POINTS[48], POINTS[54] = (-0.08, 0.12), (0.08, 0.12)


class OneFace:
    """Finds a face in the middle of every picture that is not black."""

    threads = 1

    def detect(self, rgb8: NDArray[np.uint8]) -> list[Detection]:
        if rgb8.max() == 0:
            return []
        height, width = rgb8.shape[:2]
        points = POINTS * height + np.array([width / 2, height / 2], np.float32)
        box = np.array([0, 0, width, height], np.float32)
        return [Detection(box, 1.0, points.astype(np.float32), None)]


def picture(path: Path, value: int) -> Path:
    cv2.imwrite(str(path), np.full((96, 128, 3), value, np.uint8))
    return path


def test_every_fourth_source_is_held_out(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(9):
        picture(photos / f"{i}.png", 20 * i + 20)
    picture(photos / "black.png", 0)
    (photos / "index.csv").write_text("file\n")
    (photos / "broken.jpg").write_bytes(b"no picture")
    lines: list[str] = []
    work = tmp_path / "work"
    faces = real_crops([photos], OneFace(), work, lines.append)
    crops = faces.crops
    assert crops.shape == (6, 256, 256, 3)
    assert crops.dtype == np.uint8
    assert [int(c.mean().round()) for c in crops] == [40, 60, 80, 120, 140, 160]
    assert (work / "held_out.txt").read_text().split() == ["0.png", "4.png", "8.png"]
    assert any("broken.jpg is left out" in line for line in lines)
    # The second time they are read, the sources need not be there.
    again = real_crops([], OneFace(), work, lines.append)
    np.testing.assert_array_equal(crops, again.crops)
    np.testing.assert_array_equal(faces.points68, again.points68)
    # One that was written to since makes all of them anew.
    same = real_crops([photos], OneFace(), work, lines.append)
    np.testing.assert_array_equal(crops, same.crops)
    assert not any("changed" in line for line in lines)
    picture(photos / "1.png", 250)
    other = real_crops([photos], OneFace(), work, lines.append)
    assert int(other.crops[0].mean().round()) == 250
    assert any("changed" in line for line in lines)
    # The landmarks lie in the crop as they lie in the picture: the eyes above its middle, level.
    left, right = faces.points68[0, 36:42].mean(0), faces.points68[0, 42:48].mean(0)
    np.testing.assert_allclose(left[1], right[1], atol=0.5)
    np.testing.assert_allclose((left + right)[0] / 2, 128, atol=0.5)
    assert 80 < left[1] < 128


def test_a_clip_gives_a_frame_a_second(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 10)
    run_ffmpeg(
        "-f lavfi -i color=gray:size=128x96:rate=10:duration=2.5 -pix_fmt yuv420p",
        tmp_path / "b.mp4",
    )
    faces = real_crops([tmp_path], OneFace(), tmp_path / "work", lambda _: None)
    assert len(faces.crops) == len(faces.points68) == 3


def test_no_face_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no real face"):
        real_crops([picture(tmp_path / "x.png", 0)], OneFace(), tmp_path / "work")
