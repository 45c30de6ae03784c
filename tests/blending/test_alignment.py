from __future__ import annotations

import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.blending.alignment import bending_field
from videdit.blending.maps import bent

POINTS = face68() * 0.22 + (0.5, 0.42)
SIZE = 192


def at(field: np.ndarray, point: np.ndarray) -> np.ndarray:
    """The field's value in the cell that holds a point in crop units."""
    column, row = (point * len(field)).astype(int)
    return field[row, column]


def spot(point: np.ndarray) -> np.ndarray:
    """A picture with a soft white spot at a point in crop units."""
    axis = (np.arange(SIZE) + 0.5) / SIZE
    squared = (axis[None] - point[0]) ** 2 + (axis[:, None] - point[1]) ** 2
    return np.repeat(np.exp(-squared / (2 * 0.02**2))[:, :, None], 3, 2).astype(np.float32)


def centre(picture: np.ndarray) -> np.ndarray:
    weight = np.maximum(picture[:, :, 0], 0)
    axis = (np.arange(SIZE) + 0.5) / SIZE
    return np.array([weight.sum(0) @ axis, weight.sum(1) @ axis]) / weight.sum()


def test_no_difference_is_no_field_and_no_change() -> None:
    field = bending_field(POINTS, POINTS)
    assert field.shape == (48, 48, 2)
    assert not field.any()
    picture = np.random.default_rng(0).random((SIZE, SIZE, 3)).astype(np.float32)
    assert np.array_equal(bent(picture, field), picture)
    plane = np.ascontiguousarray(picture[:, :, 0])
    assert np.array_equal(bent(plane, field), plane)


@pytest.mark.parametrize("shift", [(0.02, 0), (0, -0.03), (-0.02, 0.02)])
def test_landmarks_come_to_where_the_source_has_them(shift: tuple[float, float]) -> None:
    field = bending_field(POINTS, POINTS + shift)
    for index in (30, 36, 45, 51, 57):  # nose, eyes, mouth
        point = POINTS[index]
        np.testing.assert_allclose(at(field, point), shift, atol=0.35 * np.abs(shift).max())
        moved = centre(bent(spot(point + shift), field))
        assert np.linalg.norm(moved - point) < 0.35 * np.linalg.norm(shift)
    assert np.abs(field[0]).max() < 0.1 * np.abs(shift).max()  # the crop's border stays


def test_only_the_mouth_moves() -> None:
    moved = POINTS.copy()
    moved[48:] += (0, 0.02)
    field = bending_field(POINTS, moved)
    assert at(field, POINTS[48:].mean(0))[1] > 0.014
    assert np.abs(at(field, POINTS[36:42].mean(0))).max() < 0.001


def test_wild_landmarks_are_bounded() -> None:
    field = bending_field(POINTS, POINTS + np.array([0.5, 0]))
    assert 0.03 < np.linalg.norm(field, axis=2).max() <= 0.06
