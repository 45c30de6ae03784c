"""Landmarks of crops."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.faces.detection import Detection, landmarks_in


class Corners:
    """Sees a face in bright pictures, its landmarks where the picture's right lower corner is."""

    threads = 1

    def detect(self, rgb8: np.ndarray) -> list[Detection]:
        assert rgb8.dtype == np.uint8
        size = float(rgb8.shape[0])
        if rgb8.mean() < 100:
            return []
        points = np.full((68, 2), size, np.float32)
        narrow = Detection(np.array([0, 0, 2, 2], np.float32), 0.9, 0 * points, None)
        return [narrow, Detection(np.array([0, 0, size, size], np.float32), 0.9, points, None)]


@pytest.mark.parametrize("size", [60, 256, 512])
def test_landmarks_of_the_widest_face_in_crop_units(size: int) -> None:
    found = landmarks_in(Corners(), np.full((size, size, 3), 200, np.uint8))
    assert found is not None
    np.testing.assert_allclose(found, np.ones((68, 2)))


def test_no_face_no_landmarks() -> None:
    assert landmarks_in(Corners(), np.zeros((64, 64, 3), np.uint8)) is None


def test_a_face_in_a_frame_that_is_shown_wider() -> None:
    rng = np.random.default_rng(0)
    box, points, mesh = (rng.random(shape).astype(np.float32) for shape in (4, (68, 2), (468, 3)))
    wide = Detection(box, 0.9, points, mesh).stretched(2)
    np.testing.assert_array_equal(wide.box, box * [2, 1, 2, 1])
    np.testing.assert_array_equal(wide.points68, points * [2, 1])
    np.testing.assert_array_equal(wide.mesh, mesh * [2, 1, 1])
    assert wide.points68.dtype == np.float32
    assert Detection(box, 0.9, points, None).stretched(0.5).mesh is None
