"""Rates, and the time left for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.pipeline.helpers import Clock
from videdit.pipeline.progress import Progress
from videdit.pipeline.tally import Expected, duration_text, left_text, rate_text


def _tally(clock: Clock, *stages: Expected) -> tuple[Progress, Callable[[], float | None]]:
    progress = Progress(clock)
    progress.plan(stages)
    return progress, lambda: progress._tally.left(clock.now)


def test_stages_to_come_are_reckoned_by_how_this_machine_did() -> None:
    clock = Clock()
    progress, left = _tally(
        clock, Expected("a", cost=0.1, work=100), Expected("b", work=300, cost=1)
    )
    assert left() == pytest.approx(10 + 300)
    progress.begin("a", 100, 0)
    progress.chunk("a", 100)
    clock.now += 5  # half the usual time
    progress.chunk_end("a")
    progress.end("a")
    assert left() == pytest.approx(150)
    progress.begin("b", 300, 0)
    progress.chunk("b", 300)
    clock.now += 6
    assert left() == pytest.approx(144)
    progress.tick("b", 3)  # now it is known: 2 s each
    assert left() == pytest.approx(594)


def test_nothing_is_said_of_all_while_a_stage_is_unknown() -> None:
    clock = Clock()
    progress, left = _tally(clock, Expected("a", work=100), Expected("b"), Expected("c", work=0))
    assert left() is None
    for stage in ("a", "b"):
        progress.begin(stage, 100, 0)
        assert (left() is None) == (stage == "a")
        progress.end(stage)
    assert left() is None  # nothing is left


def test_what_is_reused_takes_no_time() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.plan([Expected("a", work=1000), Expected("edit", "steps", 0.02, 500)], ["a"])
    assert progress._tally.left(clock.now) == pytest.approx(10)


def test_words() -> None:
    assert duration_text(59.6) == "1:00"
    assert duration_text(3725) == "1:02:05"
    assert duration_text(-1) == "0:00"
    assert rate_text(0.1234) == "0.123 frames/s"
    assert rate_text(1234.5) == "1234 frames/s"
    assert rate_text(2, "steps") == "2 steps/s"
    assert left_text(0.2) == "0:01"
