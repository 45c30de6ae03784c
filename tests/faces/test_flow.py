"""Optical flow of landmarks, and landmarks stabilised by it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.faces.helpers import face68, plainly_stabilised
from videdit.faces.detection import inter_ocular
from videdit.faces.flow import flow_points, stabilise
from videdit.faces.parameters import Flow, Stabilising
from videdit.faces.smoothing import window


def texture(height: int, width: int, grain: float, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), grain)
    return 128 + 45 * soft / soft.std()


def shifted(picture: NDArray[np.float32], dx: float, dy: float) -> NDArray[np.uint8]:
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    h, w = picture.shape
    out = cv2.warpAffine(picture, move, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("size", "limit"), [(20.0, 0.1), (60.0, 0.1), (400.0, 0.6)])
def test_a_known_shift_is_found(size: float, limit: float) -> None:
    """Small, usual and large faces (the last is reduced); the error stays far below 1 %."""
    side = round(size * 5)
    picture = texture(side, side, max(1.5, size / 30))
    points = (face68() * size * 0.9 + (side / 2, side * 0.4)).astype(np.float32)
    step = np.array([0.043, -0.027]) * size
    moved, ok = flow_points(shifted(picture, 0, 0), shifted(picture, *step), points)
    assert ok.mean() > 0.9
    assert np.abs(moved - points - step)[ok].max() < limit
    np.testing.assert_array_equal(moved[~ok], points[~ok])


def test_points_on_nothing_are_not_trusted() -> None:
    flat = np.full((300, 300), 90, np.uint8)
    points = face68() * 50 + (150, 120)
    other = np.clip(texture(300, 300, 3, seed=5), 0, 255).astype(np.uint8)
    unrelated = np.clip(texture(300, 300, 3, seed=6), 0, 255).astype(np.uint8)
    moved, ok = flow_points(other, unrelated, points)
    assert ok.mean() < 0.3
    moved, ok = flow_points(flat, flat, points)
    np.testing.assert_allclose(moved, points, atol=1e-3)
    moved, ok = flow_points(other, unrelated, points + 4000)
    assert not ok.any()
    np.testing.assert_allclose(moved, points + 4000)


@pytest.mark.parametrize("hw", [(1, 1), (2, 2), (5, 400)])
def test_tiny_frames(hw: tuple[int, int]) -> None:
    frame = np.zeros(hw, np.uint8)
    moved, ok = flow_points(frame, frame, face68() * 50)
    assert moved.shape == (68, 2)
    assert not ok.any()


def test_flow_refuses_frames_that_differ() -> None:
    frame = np.zeros((50, 50), np.uint8)
    with pytest.raises(ValueError, match="frames"):
        flow_points(frame, frame[:40], face68())
    with pytest.raises(ValueError, match="finite"):
        flow_points(frame, frame, np.full((68, 2), np.nan))


def clip(
    count: int, speed: float, noise: float, size: float = 80.0, rate: float = 30.0
) -> tuple[NDArray[np.float64], ...]:
    """Times, true points, noisy points and perfect flow of a face that sways.

    ``speed``: its highest, in inter-ocular distances per second.
    """
    times = np.arange(count) / rate
    sway = speed / (2 * np.pi * 0.8) * np.sin(2 * np.pi * 0.8 * times)
    truth = (face68() + np.stack([sway, 0 * sway], axis=-1)[:, None]) * size + 400
    rough = truth + np.random.default_rng(0).normal(0, noise * size, truth.shape)
    step = np.diff(truth, axis=0, append=truth[-1:])
    return times, truth, rough, rough + step


def test_a_still_face_stops_trembling() -> None:
    times, truth, rough, moved = clip(90, 0.0, 0.01)
    calm = stabilise(rough, moved, np.ones((90, 68), bool), times)
    assert (calm - truth).std() < 0.5 * (rough - truth).std()
    assert np.diff(calm, axis=0).std() < 0.35 * np.diff(rough, axis=0).std()


def test_slow_motion_is_followed_without_lag() -> None:
    times, truth, rough, moved = clip(150, 0.8, 0.01)
    calm = stabilise(rough, moved, np.ones((150, 68), bool), times)
    assert (calm - truth).std() < 0.6 * (rough - truth).std()
    path = calm.mean(axis=1)[:, 0] - truth.mean()
    true_path = truth.mean(axis=1)[:, 0] - truth.mean()
    lags = range(-5, 6)
    match = [np.sum(path[20:-20] * true_path[20 + lag : 130 + lag]) for lag in lags]
    assert lags[int(np.argmax(match))] == 0
    # Nor any part of a frame: the error does not go with the velocity.
    velocity = np.gradient(true_path)
    lag = np.sum((path - true_path) * velocity) / np.sum(velocity**2)
    assert abs(lag) < 0.02


def test_fast_motion_and_wrong_flow_stay_with_the_landmarker() -> None:
    times, truth, rough, moved = clip(60, 0.0, 0.005)
    stuck = np.ones((60, 68), bool)
    jump = truth.copy()
    jump[30:] += 40.0  # half an inter-ocular distance from one frame to the next
    rough_jump = rough + (jump - truth)
    calm = stabilise(rough_jump, rough_jump, stuck, times)  # flow says: nothing moved
    assert np.abs(calm - jump).max() < 6 * 0.005 * 80
    fast_times, _, fast_rough, fast_moved = clip(60, 12.0, 0.01)
    fast = stabilise(fast_rough, fast_moved, stuck, fast_times)
    slow = stabilise(rough, moved, stuck, times)
    change_fast = np.abs(fast - fast_rough).mean() / (0.01 * 80)  # in units of the noise
    change_slow = np.abs(slow - rough).mean() / (0.005 * 80)
    assert change_fast < 0.7 * change_slow


def test_untrusted_flow_changes_nothing() -> None:
    times, _, rough, moved = clip(30, 0.5, 0.02)
    out = stabilise(rough, moved + 1000, np.zeros((30, 68), bool), times)
    np.testing.assert_array_equal(out, rough)


def test_a_cut_in_trust_is_not_crossed() -> None:
    """Two stretches without a link between them come out as they would alone."""
    times, _, rough, moved = clip(40, 0.3, 0.02)
    ok = np.ones((40, 68), bool)
    ok[19] = False
    both = stabilise(rough, moved, ok, times)
    np.testing.assert_array_equal(both[:20], stabilise(rough[:20], moved[:20], ok[:20], times[:20]))
    np.testing.assert_array_equal(both[20:], stabilise(rough[20:], moved[20:], ok[20:], times[20:]))


def test_stabilising_is_scale_invariant_exactly() -> None:
    times, _, rough, moved = clip(40, 0.7, 0.02)
    ok = np.random.default_rng(3).random((40, 68)) < 0.9
    np.testing.assert_array_equal(
        stabilise(rough * 2, moved * 2, ok, times), 2 * stabilise(rough, moved, ok, times)
    )


def test_the_frame_rate_does_not_matter() -> None:
    """The same noise power per second leaves the same error at 30 and 120 frames per second."""
    left = []
    for rate, factor in ((30.0, 1.0), (120.0, 2.0)):
        count = round(rate * 4)
        times, truth, rough, moved = clip(count, 0.0, 0.0025 * factor, rate=rate)
        calm = stabilise(rough, moved, np.ones((count, 68), bool), times)
        left.append((calm - truth)[count // 4 : -count // 4].std())
    assert left[1] == pytest.approx(left[0], rel=0.15)


def test_stabilise_checks_its_input() -> None:
    times, _, rough, moved = clip(5, 0, 0.01)
    ok = np.ones((5, 68), bool)
    np.testing.assert_array_equal(stabilise(rough[:1], moved[:1], ok[:1], times[:1]), rough[:1])
    with pytest.raises(ValueError, match="length"):
        stabilise(rough, moved[:4], ok, times)
    with pytest.raises(ValueError, match="increase"):
        stabilise(rough, moved, ok, times * 0)


def some_times(count: int, kind: str) -> NDArray[np.float64]:
    """Even ones at which frames lie exactly on the end of the reach, or as a phone records them."""
    rates = {"25": 25.0, "30": 30.0, "60": 60.0, "120": 120.0}
    if kind in rates:
        return 7.0 + np.arange(count) / rates[kind]
    rng = np.random.default_rng(4)
    return 3600.0 + np.cumsum(
        rng.choice([1 / 60, 1 / 24, 1 / 10, 0.9, 2.0], count, p=[0.3, 0.4, 0.2, 0.05, 0.05])
    )


@pytest.mark.parametrize("speed", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("kind", ["25", "120", "uneven"])
def test_a_finite_reach_hardly_differs_from_an_infinite_one(speed: float, kind: str) -> None:
    times = some_times(300, kind)
    _, truth, rough, moved = clip(300, speed, 0.02)
    rng = np.random.default_rng(1)
    moved = moved + rng.normal(0, 0.004 * 80, moved.shape)  # flow drifts
    ok = rng.random((300, 68)) < 0.97
    difference = stabilise(rough, moved, ok, times) - plainly_stabilised(rough, moved, ok, times)
    assert np.abs(difference).max() / inter_ocular(truth).mean() < 1e-3


@given(
    st.sampled_from(["25", "30", "60", "uneven"]),
    st.integers(0, 149),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.sampled_from([Stabilising(), Stabilising(memory_s=0.3, reach_s=0.4)]),
)
@settings(max_examples=40, deadline=None)
def test_a_window_gives_the_same_bits_as_the_whole(
    kind: str, start: int, length: int, seed: int, parameters: Stabilising
) -> None:
    times = some_times(150, kind)
    _, _, rough, moved = clip(150, 1.0, 0.02)
    rng = np.random.default_rng(seed)
    rough, ok = rough + rng.normal(0, 1, rough.shape), rng.random((150, 68)) < 0.98
    whole = stabilise(rough, moved, ok, times, parameters)
    stop = min(150, start + length)
    first, last = window(times, start, stop, parameters.reach_s)
    part = slice(first, last)
    here = stabilise(rough[part], moved[part], ok[part], times[part], parameters)
    np.testing.assert_array_equal(here[start - first : stop - first], whole[start:stop])


def test_the_reach_ends_where_it_says() -> None:
    times, _, rough, moved = clip(60, 0.0, 0.01, rate=10.0)
    ok = np.ones((60, 68), bool)
    far = rough.copy()
    far[:20] += 0.3  # seconds 0 to 1.9
    limits = Stabilising(reach_s=1.0)
    changed = stabilise(far, moved + (far - rough), ok, times, limits)
    same = changed == stabilise(rough, moved, ok, times, limits)
    assert same[30:].all()
    assert not same[29].all()  # one second after frame 19, within the last of the reach
    assert not same[:20].any()


def test_how_points_are_followed_is_a_parameter() -> None:
    picture = texture(300, 300, 2.0)
    points = (face68() * 54 + (150, 120)).astype(np.float32)
    frames = shifted(picture, 0, 0), shifted(picture, 8.6, 4.3)
    _, ok = flow_points(*frames, points)
    _, near = flow_points(*frames, points, Flow(levels=0))
    _, strict = flow_points(*frames, points, Flow(closure=1e-5))
    assert ok.mean() > 0.9
    assert near.mean() < 0.5
    assert strict.mean() < ok.mean() - 0.2
