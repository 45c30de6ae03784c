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
