"""The three metrics on judgements made up for them, and what is read off the curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from videdit.evaluation.curves import Curve, Seen, curve_of


def seen(signs: list[list[int]], first: list[float]) -> Seen:
    descriptors = np.zeros((len(first), 128))
    descriptors[:, 0] = first
    return Seen(np.array(signs, np.float32), descriptors)


def test_the_metrics_of_four_faces() -> None:
    before = seen([[-1, 1, -1], [-1, -1, -1], [1, 1, 1], [1, -1, 1]], [0, 0, 0, 0])
    after = [
        seen([[1, 1, -1], [-1, -1, -1], [1, 1, 1], [1, -1, 1]], [0.1, 0.1, 0.1, 0.1]),
        seen([[1, -1, -1], [1, -1, -1], [-1, 1, -1], [1, -1, 1]], [0.2, 0.4, 0.2, 0.4]),
    ]
    curve = curve_of(before, after, 0, (1.0, 2.0))
    assert curve.change == (0.25, 0.75)
    assert curve.preservation == (1.0, 6 / 8)
    assert curve.identity == pytest.approx((0.1, 0.3))
    # Deviations are 1: of four faces one went by 2, then three did, always to the other side; of
    # the eight other judgements two changed by 2 in the end.
    assert curve.moved == pytest.approx((0.5, 1.5))
    assert curve.dependency == pytest.approx((0, 0.5))
    assert curve.dependency_at(1.0) == pytest.approx(0.25)
    assert math.isnan(curve.dependency_at(1.6))


def test_curves_are_read_at_equal_change() -> None:
    curve = Curve(
        (1.0, 2.0, 3.0),
        (0.4, 0.3, 0.8),
        (0.98, 0.97, 0.9),
        (0.1, 0.2, 0.4),
        (0.5, 1.0, 2.0),
        (0.1, 0.3, 0.5),
    )
    assert curve.at(0.2) == pytest.approx((0.99, 0.05))
    assert curve.at(0.4) == pytest.approx((0.98, 0.1))
    # Between 0.4, which stays the most at the second strength, and 0.8.
    assert curve.at(0.6) == pytest.approx(((0.97 + 0.9) / 2, (0.2 + 0.4) / 2))
    assert all(math.isnan(v) for v in curve.at(0.81))
    assert curve.at(0) == (1, 0)
    assert curve.strength_at(0.2) == pytest.approx(0.5)
    assert curve.strength_at(0.6) == pytest.approx(2.5)
    assert curve.strength_at(0.9) == 3.0


def test_areas_are_means_over_changes() -> None:
    line = Curve((1.0,), (1.0,), (0.8,), (0.5,), (2.0,), (0.4,))
    kept, same = line.areas(1.0)
    assert kept == pytest.approx(0.9, abs=1e-6)
    assert same == pytest.approx(0.25, abs=1e-6)
    assert line.areas(0.5)[0] == pytest.approx(0.95, abs=1e-6)
