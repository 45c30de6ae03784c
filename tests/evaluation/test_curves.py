"""The three metrics on judgements made up for them, and what is read off the curves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from videdit.editing.quality import Quality, load_quality, save_quality
from videdit.errors import WeightsError
from videdit.evaluation.curves import Curve, Seen, curve_of, qualities


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
    assert curve.identity == pytest.approx((0.9, 0.7))


def test_curves_are_read_at_equal_change() -> None:
    curve = Curve((1.0, 2.0, 3.0), (0.4, 0.3, 0.8), (0.98, 0.97, 0.9), (0.9, 0.8, 0.6))
    assert curve.at(0.2) == pytest.approx((0.99, 0.95))
    assert curve.at(0.4) == pytest.approx((0.98, 0.9))
    # Between 0.4, which stays the most at the second strength, and 0.8.
    assert curve.at(0.6) == pytest.approx(((0.97 + 0.9) / 2, (0.8 + 0.6) / 2))
    assert all(math.isnan(v) for v in curve.at(0.81))
    assert curve.at(0) == (1, 1)
    assert curve.strength_at(0.2) == pytest.approx(0.5)
    assert curve.strength_at(0.6) == pytest.approx(2.5)
    assert curve.strength_at(0.9) == 3.0


def test_areas_are_means_over_changes() -> None:
    line = Curve((1.0,), (1.0,), (0.8,), (0.5,))
    kept, same = line.areas(1.0)
    assert kept == pytest.approx(0.9, abs=1e-6)
    assert same == pytest.approx(0.75, abs=1e-6)
    assert line.areas(0.5)[0] == pytest.approx(0.95, abs=1e-6)


def test_what_does_not_work_reliably_says_so(tmp_path: Path) -> None:
    curve = Curve((0.5, 1.0), (0.3, 0.55), (0.98, 0.88), (0.8, 0.7))
    found = qualities({"Smiling": curve, "Bald": curve}, {"Smiling": 0.97, "Bald": math.nan})
    assert found["Smiling"] == Quality(0.55, 0.88, 0.7, 0.97)
    assert found["Smiling"].doubt == "often too weak, changes more than it should"
    assert "too rare" in found["Bald"].doubt
    assert Quality(0.8, 0.97, 0.7, 0.95).doubt == ""
    assert "hard to measure" in Quality(0.8, 0.97, 0.7, 0.7).doubt
    save_quality(tmp_path / "q.json", found)
    loaded = load_quality(tmp_path / "q.json")
    assert loaded["Smiling"] == found["Smiling"]
    assert math.isnan(loaded["Bald"].judge_auc)
    (tmp_path / "q.json").write_text('{"Smiling": {"charm": 1}}')
    with pytest.raises(WeightsError):
        load_quality(tmp_path / "q.json")
