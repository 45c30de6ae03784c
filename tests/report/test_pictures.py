from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from videdit.report.pictures import LARGEST, data_uri, eight_bits, first_side, fitted, reduced


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """As hard to compress as pictures get."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def read(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    found = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found[:, :, ::-1]


def test_a_picture_is_what_it_was() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[:, :30] = (200, 40, 90)
    assert np.abs(read(data_uri(rgb, 90)).astype(int) - rgb)[:, :26].max() < 12


@pytest.mark.parametrize("budget", [30_000, 150_000])
def test_pictures_keep_to_their_budget(budget: int) -> None:
    pictures = [noise(200, 300, seed) for seed in range(4)] + [noise(100, 80)]
    made = fitted(pictures, budget)
    assert 0.4 * budget < sum(map(len, made)) <= budget
    shapes = [read(one).shape[:2] for one in made]
    # All are smaller by the same share.
    shares = [shape[1] / one.shape[1] for shape, one in zip(shapes, pictures, strict=True)]
    assert np.ptp(shares) < 0.02
    assert shares[0] < 1


def test_what_fits_stays_as_large_as_it_is() -> None:
    flat = np.full((90, 160, 3), 120, np.uint8)
    assert [read(one).shape for one in fitted([flat, flat], 100_000)] == [flat.shape] * 2
    assert fitted([], 10) == []


def test_what_is_held_is_bounded() -> None:
    assert first_side(8, (640, 360)) == 640
    assert first_side(8, (3840, 2160)) == LARGEST
    for count in (1, 8, 100):
        side = first_side(count, (7680, 4320))
        assert count * 2 * side * side * 9 / 16 < 60e6
    assert first_side(100, (7680, 4320)) < LARGEST


def test_sizes_and_bits() -> None:
    assert reduced(noise(200, 100), 50).shape == (50, 25, 3)
    small = noise(10, 20)
    assert reduced(small, 50) is small
    assert reduced(noise(3, 900), 100).shape == (1, 100, 3)
    assert eight_bits(small) is small
    assert eight_bits(np.array([[[0, 32_896, 65_535]]], np.uint16)).tolist() == [[[0, 128, 255]]]
