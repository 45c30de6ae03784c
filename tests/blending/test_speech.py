"""A mouth that is kept open: against the motion that would close it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.blending.alignment import bending_field, placed
from videdit.blending.speech import kept_open, opened
from videdit.faces.detection import inter_ocular

SIDE = 128
OPEN = face68() * 0.22 + (0.5, 0.42)
OPEN[[67, 66, 65]] += (0, 0.03)
OPEN[[61, 62, 63]] -= (0, 0.03)


def motion(x: float = 0, narrower: float = 0) -> np.ndarray:
    """All moves by ``x``; the lips approach each other by ``narrower``, linear over 0.1."""
    middle = OPEN[60:68].mean(0)[1]
    rows = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE - middle
    field = np.zeros((SIDE, SIDE, 2), np.float32)
    field[:, :, 0] = -x
    field[:, :, 1] = (narrower / 2 * np.clip(rows / 0.02, -1, 1))[:, None]
    return field


def gap(points: np.ndarray) -> float:
    return float((points[[67, 66, 65]] - points[[61, 62, 63]])[:, 1].mean())


@pytest.mark.parametrize("narrower", [0.01, 0.03, 0.05])
def test_closing_lips_are_kept_apart(narrower: float) -> None:
    field = motion(0.02, narrower)
    before, closing = gap(OPEN), gap(placed(OPEN, field))
    assert closing < before - 0.7 * narrower
    kept = kept_open(field, OPEN)
    assert abs(gap(placed(OPEN, kept)) - before) < 0.25 * (before - closing)
    # The rest of the motion stays, and so do eyes and all that is far away.
    np.testing.assert_allclose(kept[:, :, 0], field[:, :, 0], atol=1e-6)
    np.testing.assert_allclose(kept[: SIDE // 4], field[: SIDE // 4], atol=1e-6)


def test_how_open_a_mouth_is() -> None:
    shut = OPEN.copy()
    shut[[67, 66, 65]] = shut[[61, 62, 63]]
    assert opened(OPEN) == opened(7 * OPEN[:, ::-1]) == 1
    assert opened(shut) == 0
    ajar = shut + 0
    ajar[[67, 66, 65]] += (0, 0.035 * inter_ocular(OPEN))
    assert 0.4 < opened(ajar) < 0.6


def test_nothing_is_turned_inside_out() -> None:
    kept = kept_open(motion(0, 0.05), OPEN)
    rows = (np.arange(SIDE) + 0.5) / SIDE
    assert (np.diff(rows[:, None] + kept[:, :, 1], axis=0) > -1e-4).all()


@pytest.mark.parametrize("field", [motion(0.03), motion(0, -0.03)])
def test_other_motions_are_left_alone(field: np.ndarray) -> None:
    assert kept_open(field, OPEN) is field


def test_a_head_that_lies_on_its_side_is_no_different() -> None:
    turned = OPEN[:, ::-1].copy()
    field = motion(0.02, 0.03)
    across = np.ascontiguousarray(field.transpose(1, 0, 2)[:, :, ::-1])
    expected = kept_open(field, OPEN).transpose(1, 0, 2)[:, :, ::-1]
    np.testing.assert_allclose(kept_open(across, turned), expected, atol=1e-5)


def test_points_lie_where_the_field_takes_them_from() -> None:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (68, 2))
    moved = points + np.random.default_rng(1).normal(0, 0.01, (68, 2))
    field = bending_field(points, moved)
    found = placed(moved, field)
    x, y = np.floor(found * field.shape[0]).astype(int).T
    np.testing.assert_allclose(found + field[y, x], moved, atol=2e-3)
