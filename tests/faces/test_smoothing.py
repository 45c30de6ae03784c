"""Smoothing over time: less noise, no lag, no pull at the ends, any spacing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from videdit.faces.parameters import DEFAULT
from videdit.faces.smoothing import smooth, window

RATE = 30.0


def uneven(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Times as a phone records them: most at 30 per second, some frames missing, some late."""
    steps = np.random.default_rng(seed).choice([1 / 30, 2 / 30, 0.021, 0.05], size=count)
    return 100.0 + np.cumsum(steps)


def curve(times: NDArray[np.float64]) -> NDArray[np.float64]:
    return 300 + 40 * np.sin(2 * np.pi * 0.7 * times) + 15 * np.cos(2 * np.pi * 0.31 * times + 1)


def test_noise_is_reduced() -> None:
    times = np.arange(300) / RATE
    noise = np.random.default_rng(0).normal(0, 1, (300, 68, 2))
    out = smooth(curve(times)[:, None, None] + noise, times, 0.06)
    expected = smooth(curve(times), times, 0.06)[:, None, None]
    left = out - expected
    # In the middle a Gaussian of sigma s frames leaves 1 / sqrt(2 s sqrt(pi)) of white noise.
    assert left[30:-30].std() == pytest.approx((2 * 1.8 * np.sqrt(np.pi)) ** -0.5, rel=0.03)
    assert left[[0, -1]].std() < 0.9  # a line's end is known less well than its middle


def test_there_is_no_lag() -> None:
    times = np.arange(400) / RATE
    signal = curve(times) - 300
    rough = signal + np.random.default_rng(1).normal(0, 3, 400)
    calm = smooth(rough, times, 0.1)
    lags = range(-8, 9)
    match = [np.sum(calm[50:-50] * signal[50 + lag : 350 + lag]) for lag in lags]
    assert lags[int(np.argmax(match))] == 0
    # Looking back in time must give the same curve, to the last digit but rounding.
    mirrored = smooth(rough[::-1], -times[::-1], 0.1)[::-1]
    np.testing.assert_allclose(mirrored, calm, atol=1e-9)


@given(st.integers(2, 60), st.floats(0.001, 2.0), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_steady_motion_passes_unchanged_also_at_the_ends(
    count: int, sigma: float, seed: int
) -> None:
    times = uneven(count, seed)
    line = 7.0 - 250.0 * times
    np.testing.assert_allclose(smooth(line, times, sigma), line, rtol=0, atol=1e-5)


def test_uneven_times_agree_with_the_truth_on_even_ones() -> None:
    fine = np.arange(100.0, 112.0, 0.001)
    truth = smooth(curve(fine), fine, 0.05)
    times = uneven(250)
    times = times[(times > 100.5) & (times < 111)]
    out = smooth(curve(times), times, 0.05)
    error = np.abs(out - np.interp(times, fine, truth))[10:-10]
    moved = np.abs(curve(times) - np.interp(times, fine, truth))[10:-10]
    assert moved.max() > 0.8  # the smoothing does something to this curve
    assert error.max() < 0.2
    assert error.mean() < 0.1 * moved.mean()
    # Taking the frames for evenly spaced would be far off.
    wrong = smooth(curve(times), np.arange(len(times)) * np.diff(times).mean(), 0.05)
    assert np.abs(wrong - np.interp(times, fine, truth))[10:-10].max() > 2 * error.max()


def test_seconds_not_frames() -> None:
    slow, fast = np.arange(90) / 30.0, np.arange(360) / 120.0
    a, b = smooth(curve(slow), slow, 0.12), smooth(curve(fast), fast, 0.12)
    np.testing.assert_allclose(a[15:-15], b[::4][15:-15], atol=1e-3)


def test_scale_invariance_is_exact() -> None:
    times = uneven(80)
    points = np.random.default_rng(2).normal(500, 30, (80, 68, 2))
    np.testing.assert_array_equal(smooth(points * 2, times, 0.05), 2 * smooth(points, times, 0.05))


def test_degenerate_inputs() -> None:
    assert smooth(np.zeros((0, 68, 2)), np.zeros(0), 0.1).shape == (0, 68, 2)
    np.testing.assert_array_equal(smooth(np.array([[3.0]]), np.array([5.0]), 0.1), [[3.0]])
    far = np.array([0.0, 100.0, 200.0])  # too far apart to know of each other
    np.testing.assert_array_equal(smooth(np.array([1.0, 5.0, 2.0]), far, 0.1), [1.0, 5.0, 2.0])
    np.testing.assert_array_equal(smooth(far, far, 0.0), far)
    for bad_times, sigma in (([0, 0, 1], 0.1), ([0, 1], 0.1), ([0, 1, 2], -1), ([0, 1, 2], np.nan)):
        with pytest.raises(ValueError, match=r"times|sigma"):
            smooth(far, np.array(bad_times, np.float64), sigma)


def test_squares_stay_squares_and_steady_motion_stays() -> None:
    sigma = DEFAULT.aligning.smoothing.quad_sigma_s
    times = np.cumsum(np.random.default_rng(5).uniform(0.02, 0.06, 40))
    right = 30 * np.array([np.cos(0.26), np.sin(0.26)])
    down = np.array([-right[1], right[0]])
    corners = np.array([-right - down, -right + down, right + down, right - down])
    quads = corners + np.stack([100 + 50 * times, 80 - 20 * times], 1)[:, None]
    np.testing.assert_allclose(smooth(quads, times, sigma), quads, atol=1e-9)
    shaky = quads + np.random.default_rng(6).normal(0, 1, (40, 1, 2))
    steady = smooth(shaky, times, sigma)
    sides = np.linalg.norm(np.roll(steady, -1, axis=1) - steady, axis=2)
    np.testing.assert_allclose(sides, 60, atol=1e-9)
    assert np.abs(steady - quads).std() < 0.6 * np.abs(shaky - quads).std()


def test_window() -> None:
    times = np.arange(100) / 10
    assert window(times, 50, 60, 0.45) == (45, 65)  # 46 to 63 are within, and one on each side
    assert window(times, 0, 100, 1.0) == (0, 100)
    assert window(times, 0, 1, 0) == (0, 2)
    # What lies exactly at the end of the reach is within, however the sums are rounded.
    for rate in (24, 25, 30, 50, 60):
        even = 1000.0 + np.arange(400) / rate
        assert window(even, 200, 201, 12 / rate) == (187, 214)


@given(
    st.sampled_from([24.0, 25.0, 30.0, 60.0, 100.0, 0.0]),
    st.sampled_from([0.03, 0.12, 0.05, 0.4]),
    st.integers(0, 199),
    st.integers(1, 60),
    st.floats(0, 1e5),
)
@settings(max_examples=80, deadline=None)
def test_a_window_gives_the_same_bits_as_the_whole(
    rate: float, sigma: float, start: int, length: int, origin: float
) -> None:
    """At 25 fps, four times 0.12 s are exactly twelve frames."""
    times = origin + (np.arange(200) / rate if rate else uneven(200))
    values = np.random.default_rng(start).normal(500, 30, (200, 3, 2))
    stop = min(200, start + length)
    first, last = window(times, start, stop, 4 * sigma)
    here = smooth(values[first:last], times[first:last], sigma)
    np.testing.assert_array_equal(
        here[start - first : stop - first], smooth(values, times, sigma)[start:stop]
    )
