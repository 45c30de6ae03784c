from __future__ import annotations

import json
from pathlib import Path

import pytest

from videdit.evaluation.curves import Curve, mean_curve
from videdit.evaluation.report import table_of, write_tables


def test_tables_hold_every_method_and_its_mean(tmp_path: Path) -> None:
    a = Curve((1.0, 2.0), (0.5, 0.9), (0.98, 0.95), (0.8, 0.7), (1.0, 2.0), (0.2, 0.4))
    b = Curve((1.0, 2.0), (0.7, 1.0), (0.96, 0.91), (0.6, 0.5), (1.0, 3.0), (0.1, 0.2))
    methods = {"transformer": {"Smiling": a, "Young": b}, "ganspace": {"Smiling": b}}
    mean = mean_curve([a, b])
    assert mean.change == pytest.approx((0.6, 0.95))
    assert mean.preservation == pytest.approx((0.97, 0.93))
    report = write_tables(tmp_path, methods, {"faces": 2})
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))
    table = table_of(methods)
    assert table["transformer"]["Smiling"]["at_change"]["0.95"]["identity"] is None
    assert table["transformer"]["mean"]["area"]["up_to_change"] == pytest.approx(0.95)
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[1] == "transformer,Smiling,1,0.5,0.98,0.8,1,0.2"
    assert len(lines) == 1 + 6
