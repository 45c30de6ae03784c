from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from videdit.evaluation.motion import follow, jitter, openings, survives


@given(
    arrays(np.float64, (9, 2), elements=st.floats(-5, 5)),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
def test_even_motion_is_no_jitter(values: np.ndarray, start: float, speed: float) -> None:
    frames = np.arange(9)
    drift = (start + speed * frames)[:, None]
    assert jitter(values + drift, frames) == pytest.approx(jitter(values, frames), abs=1e-6)


def test_jitter() -> None:
    zigzag = np.array([0.0, 1, 0, 1, 0])
    assert jitter(zigzag, np.arange(5)) == pytest.approx(2)
    # Frames on both sides of a gap say nothing about each other.
    assert np.isnan(jitter(zigzag[:4], np.array([0, 1, 5, 6])))
    assert np.isnan(jitter(zigzag[:2], np.arange(2)))


def test_openings() -> None:
    points = np.zeros((2, 68, 2))
    points[1, [41, 40, 47, 46], 1] = 0.1
    points[1, [65, 66, 67], 1] = 0.3
    np.testing.assert_allclose(openings(points), [[0, 0], [0.1, 0.3]])


@given(st.integers(-4, 4), st.integers(0, 1000))
def test_a_late_signal_is_found_late(lag: int, seed: int) -> None:
    long = np.random.default_rng(seed).standard_normal(80)
    source, late = long[10:70], long[10 - lag : 70 - lag]
    correlation, found = follow(source, 3 * late + 1, 5)
    assert found == lag
    assert correlation == pytest.approx(1)


def test_what_does_not_move_follows_nothing() -> None:
    correlation, lag = follow(np.arange(9.0), np.zeros(9), 3)
    assert np.isnan(correlation)
    assert lag == 0
    # A straight line is equally like itself at every lag.
    assert follow(np.arange(9.0), np.arange(9.0), 3)[1] == 0


def test_half_of_a_movement_survives() -> None:
    moving = np.array([0.0, 1, 0, 2, 1])
    assert survives(moving, 3 + moving / 2) == pytest.approx(0.5)
    assert survives(moving, np.full(5, 0.7)) == pytest.approx(0)
    assert np.isnan(survives(np.ones(5), moving))
