from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.helpers import face68
from videdit.blending.masks import MAP_SIZE, difference_map, edit_mask, face_region

POINTS = face68() * 0.22 + (0.5, 0.42)
FACE = face_region(POINTS)
EXPLAINED = np.zeros((MAP_SIZE, MAP_SIZE), np.float32)


def change(value: float) -> np.ndarray:
    return np.full((MAP_SIZE, MAP_SIZE), value, np.float32)


def test_face_region_holds_the_face_and_not_the_corners() -> None:
    assert FACE.shape == (MAP_SIZE, MAP_SIZE)
    assert FACE.min() >= 0
    assert FACE.max() <= 1
    for point in (POINTS[30], POINTS[36:42].mean(0), POINTS[42:48].mean(0), POINTS[48:].mean(0)):
        column, row = (point * MAP_SIZE).astype(int)
        assert FACE[row, column] > 0.95
    # The forehead counts: above the brows, well above the highest landmark.
    column, row = ((POINTS[17:27].mean(0) - (0, 0.1)) * MAP_SIZE).astype(int)
    assert FACE[row, column] > 0.8
    for corner in (FACE[0, 0], FACE[0, -1], FACE[-1, 0], FACE[-1, -1]):
        assert corner < 1e-3


def test_difference_map() -> None:
    one = np.zeros((256, 256, 3), np.float32)
    other = one.copy()
    assert not difference_map(one, other).any()
    other[64:128, 128:192] = (0.3, 0.6, 0)
    found = difference_map(one, other)
    assert found.shape == (MAP_SIZE, MAP_SIZE)
    assert found[24, 40] == pytest.approx(0.3, abs=1e-3)
    assert found[40, 24] == 0
    np.testing.assert_array_equal(found, difference_map(other, one))


@pytest.mark.parametrize("size", [256, 512])
def test_nothing_changed_is_an_empty_mask(size: int) -> None:
    mask = edit_mask(change(0), EXPLAINED, FACE, size)
    assert mask.shape == (size, size)
    assert not mask.any()


@pytest.mark.parametrize("size", [64, 256, 512, 1024])
def test_the_crops_border_is_never_touched(size: int) -> None:
    mask = edit_mask(change(1), EXPLAINED, np.ones_like(FACE), size)
    assert mask[size // 2, size // 2] == 1
    for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert not side.any()


def test_a_small_change_counts_in_the_face_only() -> None:
    mask = edit_mask(change(0.06), EXPLAINED, FACE, 256)
    column, row = (POINTS[30] * 256).astype(int)
    assert mask[row, column] == pytest.approx(1, abs=1e-3)
    assert mask[20:45, 20:45].max() == 0
    assert edit_mask(change(0.3), EXPLAINED, FACE, 256)[30:45, 30:45].min() > 0.5


def test_what_the_inversion_missed_stays_outside_the_face() -> None:
    missed = change(0.15)
    mask = edit_mask(change(0.3), missed, FACE, 256)
    assert mask[20:45, 20:45].max() == 0
    column, row = (POINTS[30] * 256).astype(int)
    assert mask[row, column] == pytest.approx(1, abs=1e-3)


def test_a_change_smaller_than_what_the_inversion_missed_is_not_pasted() -> None:
    assert not edit_mask(change(0.1), change(0.15), FACE, 256).any()


def test_the_mask_lies_around_the_change() -> None:
    local = change(0)
    local[44:50, 26:38] = 0.2  # the mouth
    mask = edit_mask(local, EXPLAINED, FACE, 256)
    assert mask[188, 128] == pytest.approx(1, abs=1e-3)
    assert not mask[:140].any()
    # It is soft: no step between neighbours larger than a tenth of the range.
    assert np.abs(np.diff(mask, axis=0)).max() < 0.15


@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 200, 256]))
@settings(max_examples=20, deadline=None)
def test_masks_are_in_range_and_grow_with_the_change(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    some = (rng.random((MAP_SIZE, MAP_SIZE)) * 0.2).astype(np.float32)
    mask = edit_mask(some, EXPLAINED, FACE, size)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert (edit_mask(some * 2, EXPLAINED, FACE, size) >= mask - 0.02).all()
