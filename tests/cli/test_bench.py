"""`videdit bench`: what the report says of two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from videdit.api import Result
from videdit.cli.bench import summarise, table
from videdit.evaluation.plain import PlainCost
from videdit.generators.cost import Cost, Costs
from videdit.pipeline.runner import RunReport, StageReport


def result(seconds: float) -> Result:
    stages = {"invert": StageReport(seconds=2.0), "decode": StageReport(seconds=4.0)}
    return Result(Path("o.mp4"), 10, list(range(10)), (), seconds, RunReport(stages))


def test_the_report_compares_runs_and_networks() -> None:
    bare = {"landmarks": 0.02, "landmarks_of_crop": 0.01, "encoder": 0.06, "generator": 0.2}
    costs = Costs(1024, Cost(3.0, 600_000_000), Cost(2.0, 400_000_000))
    plain = PlainCost(9.0, 1.0, 6.0)
    report = summarise(result(8.0), result(2.0), bare, 5_000_000, 1_000_000, costs, plain)
    assert report["seconds_per_frame"] == pytest.approx(0.8)
    assert report["stages"] == {"invert": pytest.approx(0.2), "decode": pytest.approx(0.4)}
    assert report["networks_alone"]["per_frame"] == pytest.approx(0.5)
    assert report["run_over_networks"] == pytest.approx(1.6)
    assert report["second_over_first"] == pytest.approx(0.25)
    assert report["cache_mb_per_minute_at_30fps"] == pytest.approx(900)
    assert report["peak_memory_mb"] > 10
    assert report["plain_pytorch"]["over_run"] == pytest.approx(20)
    text = table(report)
    assert "decode" in text
    assert "0.25 (another alpha)" in text
    assert "16000 ms a frame (S3FD 9000, pSp 1000, StyleGAN2 6000): 20.0 times this run's" in text
    assert "3000 ms and 600 MB a frame of 1024 pixels: 1.50 and 1.50 of its" in text
