from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from videdit.training import morph
from videdit.training.morph import Morpher, _warp

SIZE = 128


def face(shift: float, value: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A disc with a dark dot at its 30th landmark."""
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = 64 + 30 * np.stack((np.cos(turn), np.sin(turn)), 1)
    points[30] = (64 + shift, 64)
    picture = np.full((SIZE, SIZE, 3), value, np.uint8)
    cv2.circle(picture, (64 + int(shift), 64), 5, (0, 0, 0), -1)
    return picture, points.astype(np.float32)


def centre_of_dot(picture: NDArray[np.uint8]) -> float:
    dark = 255.0 - picture[50:78, 40:88, 0]
    dark = np.where(dark > dark.max() / 2, dark, 0)
    return float((dark.sum(0) * np.arange(40, 88)).sum() / dark.sum())


def test_a_warp_moves_landmarks_and_holds_the_border() -> None:
    picture, points = face(0, 200)
    picture[0], picture[-1], picture[:, 0], picture[:, -1] = 50, 60, 70, 80
    wanted = points.copy()
    wanted[30, 0] += 8
    warped = _warp(picture, points, wanted)
    assert centre_of_dot(warped) == pytest.approx(72, abs=1.5)
    np.testing.assert_allclose(warped[0, 2:-2].astype(int), picture[0, 2:-2], atol=3)
    # Nothing to move: nothing moves.
    np.testing.assert_allclose(_warp(picture, points, points).astype(int), picture, atol=1)


def test_half_way_between_two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    (a, pa), (b, pb) = face(-6, 200), face(6, 120)
    morpher = Morpher(np.stack((a, b)), np.stack((pa, pb)))
    monkeypatch.setattr(morph, "_SHAPE", (0.5, 0.5))
    monkeypatch.setattr(morph, "_TEXTURE", (0.5, 0.5))
    between = morpher(0, np.random.default_rng(0))
    assert centre_of_dot(between) == pytest.approx(64, abs=1.5)
    # Surroundings stay the first one's, and the partner's skin takes its light.
    assert int(between[4, 4, 0]) == 200
    assert abs(int(between[80, 64, 0]) - 200) < 25


def test_the_same_numbers_give_the_same_morph() -> None:
    rng = np.random.default_rng(2)
    crops = rng.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
    points = np.stack([face(shift, 100)[1] for shift in range(5)])
    morpher = Morpher(crops, points)
    one, other = (morpher(3, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, crops[3])
    assert one.shape == crops[3].shape


def test_partners_are_those_with_the_closest_landmarks() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(120, 68, 2)).astype(np.float32).cumsum(0)
    morpher = Morpher(np.zeros((120, 4, 4, 3), np.uint8), points)
    apart = np.linalg.norm(points[:, None] - points[None], axis=3).mean(2)
    np.testing.assert_array_equal(morpher._partners, np.argsort(apart, 1)[:, 1:49])
    few = Morpher(np.zeros((3, 4, 4, 3), np.uint8), points[:3])
    assert [set(row) for row in few._partners] == [{1, 2}, {0, 2}, {0, 1}]


def test_memory_grows_with_the_crops_and_not_with_their_square() -> None:
    points = np.random.default_rng(0).normal(size=(1500, 68, 2)).astype(np.float32)
    crops = np.broadcast_to(np.zeros((), np.uint8), (1500, 4, 4, 3))
    tracemalloc.start()
    Morpher(crops, points)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # all to all takes 1.2 GB
