"""Figures of attributes: kept, and what they say of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from videdit.editing.quality import Quality, Results, load_quality, save_quality
from videdit.errors import WeightsError

GOOD = Results(12, 0.9, 0.97, 0.3)


def test_what_does_not_work_reliably_says_so() -> None:
    assert Quality(GOOD, GOOD, 0.95).doubt == ""
    weak = Quality(Results(12, 0.5, 0.88, 0.3), GOOD, 0.95)
    assert weak.doubt == "+: often too weak, changes more than it should"
    assert Quality(GOOD, Results(2, 1.0, 1.0, 0.1), 0.95).doubt.startswith("-: too few")
    assert "hard to judge" in Quality(GOOD, GOOD, 0.7).doubt
    assert "too rare" in Quality(GOOD, GOOD, math.nan).doubt
    assert "too few" in Quality(Results(0), GOOD, 0.9).doubt


def test_figures_come_back(tmp_path: Path) -> None:
    figures = {"Smiling": Quality(GOOD, Results(0), 0.97), "Bald": Quality(GOOD, GOOD, math.nan)}
    save_quality(tmp_path / "q.json", figures)
    json.loads((tmp_path / "q.json").read_text(), parse_constant=lambda text: 1 / 0)
    loaded = load_quality(tmp_path / "q.json")
    assert loaded["Smiling"].more == GOOD
    assert loaded["Smiling"].less.lacked == 0
    assert math.isnan(loaded["Smiling"].less.seen)
    assert math.isnan(loaded["Bald"].judge_auc)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"Smiling": {"charm": 1}}', '{"Smiling": {"more": 1, "less": 1}}']
)
def test_damaged_figures_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(text)
    with pytest.raises(WeightsError, match=r"q\.json"):
        load_quality(tmp_path / "q.json")
