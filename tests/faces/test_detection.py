"""Landmarks of crops."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.faces.detection import Detection, landmarks_in


class Corners:
    """Sees a face in bright pictures, its landmarks where the picture's right lower corner is."""

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
