from __future__ import annotations

import numpy as np
import pytest

from videdit.media.shots import find_cuts, thumbnail


def scene(seed: int, length: int, motion: float = 0.0, noise: float = 3.0) -> list[np.ndarray]:
    """Thumbnails of a soft random picture that drifts sideways."""
    rng = np.random.default_rng(seed)
    picture = np.kron(rng.random((6, 16, 3)), np.ones((6, 8, 1)))
    frames = []
    for number in range(length):
        shift = round(number * motion)
        view = np.roll(picture, shift, axis=1)[:, :64] * 255
        frames.append(np.clip(view + rng.normal(0, noise, view.shape), 0, 255).astype(np.uint8))
    return frames


def test_cuts_are_found_at_their_frames() -> None:
    frames = scene(1, 40) + scene(2, 30, motion=0.3) + scene(3, 50)
    assert find_cuts(frames, 25) == [0, 40, 70]


@pytest.mark.parametrize("frames", [scene(1, 80), scene(4, 80, motion=0.5), scene(5, 1)])
def test_no_cut_without_one(frames: list[np.ndarray]) -> None:
    assert find_cuts(frames, 25) == [0]


def test_a_cut_near_the_end_is_found() -> None:
    assert find_cuts(scene(1, 40) + scene(2, 9), 25) == [0, 40]


def test_a_fade_is_not_a_cut() -> None:
    still = scene(1, 1, noise=0)[0].astype(float)
    frames = [(still * k).astype(np.uint8) for k in np.linspace(1, 0.05, 50)]
    assert find_cuts(frames, 25) == [0]


def dissolve(before: list[np.ndarray], after: list[np.ndarray], length: int) -> list[np.ndarray]:
    """Two runs of frames of which the last and the first `length` are mixed."""
    shares = (np.arange(length) + 0.5) / length
    mixed = [
        np.rint(one * (1 - share) + other * share).astype(np.uint8)
        for one, other, share in zip(before[-length:], after[:length], shares, strict=True)
    ]
    return [*before[:-length], *mixed, *after[length:]]


@pytest.mark.parametrize("rate", [25, 50])
@pytest.mark.parametrize("seconds", [0.3, 1, 2])
@pytest.mark.parametrize("motion", [0, 0.02])
def test_a_dissolve_is_a_cut_in_its_middle(rate: int, seconds: float, motion: float) -> None:
    length = round(rate * seconds)
    before, after = (scene(seed, 3 * rate, motion) for seed in (1, 2))
    frames = dissolve(before, after, length)
    starts = find_cuts(frames, rate)
    assert len(starts) == 2
    assert abs(starts[1] - (3 * rate - length / 2)) <= 0.1 * length


def test_a_dissolve_among_cuts() -> None:
    frames = scene(3, 40) + dissolve(scene(1, 60), scene(2, 60), 20) + scene(4, 40)
    assert find_cuts(frames, 25) == [0, 40, 90, 140]


@pytest.mark.parametrize("speed", [0.1, 0.2, 0.3, 0.5, 1, 2])
def test_a_camera_that_moves_makes_no_dissolve(speed: float) -> None:
    assert find_cuts(scene(1, 90, motion=speed), 25) == [0]


@pytest.mark.parametrize("level", [16, 100, 235])
def test_a_fade_makes_no_dissolve(level: int) -> None:
    rng = np.random.default_rng(0)
    flat = [rng.normal(level, 2, (36, 64, 3)).astype(np.uint8) for _ in range(60)]
    assert find_cuts(dissolve(flat, scene(1, 60), 25), 25) == [0]
    assert find_cuts(dissolve(scene(1, 60), flat, 25), 25) == [0]


def test_light_that_changes_makes_no_dissolve() -> None:
    still = scene(1, 1, noise=0)[0].astype(float)
    evening = still * (0.5, 0.35, 0.3) + 10
    frames = [
        np.rint(still * (1 - share) + evening * share).astype(np.uint8)
        for share in np.clip((np.arange(90) - 30) / 30, 0, 1)
    ]
    assert find_cuts(frames, 25) == [0]


def test_something_that_crosses_the_picture_makes_no_dissolve() -> None:
    frames = scene(1, 90)
    for number, frame in enumerate(frames):
        frame[4:, max(0, number - 20) : max(0, number)] = (20, 60, 200)
    assert find_cuts(frames, 25) == [0]


def test_the_shortest_shot_is_in_seconds() -> None:
    flash = [np.full((36, 64, 3), 255, np.uint8)] * 4
    frames = scene(1, 40) + flash + scene(1, 40)
    assert find_cuts(frames, 25) == [0, 40]
    # At 10 frames/s the same four frames last 0.4 s.
    assert find_cuts(frames, 10) == [0, 40, 44]


def test_odd_rates_and_nothing() -> None:
    assert find_cuts([], 25) == []
    assert find_cuts(scene(1, 20) + scene(2, 20), 30000 / 1001) == [0, 20]
    assert find_cuts(scene(1, 20), 0) == [0]


def test_thumbnail_averages() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (360, 640, 3), np.uint8)
    small = thumbnail(picture)
    assert small.shape == (36, 64, 3)
    assert small.dtype == np.uint8
    mean = picture.reshape(36, 10, 64, 10, 3).mean((1, 3))
    assert np.abs(small - mean).max() <= 1
    assert thumbnail(picture[:2, :2]).shape == (36, 64, 3)
