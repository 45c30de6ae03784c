"""What a run would do is what it then does."""

from __future__ import annotations

import shutil
from types import ModuleType
from typing import Any

import pytest

from tests.pipeline.conftest import Runs
from videdit.errors import NoFaceError
from videdit.media.source import content_id
from videdit.pipeline.forecast import StageForecast, forecast
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store


def look(toy: ModuleType, runs: Runs, **asked: Any) -> dict[str, StageForecast]:
    stages = toy.chain(toy.Asked(**asked))
    for stage in stages:
        stage.size = 10
    with Store(runs.cache) as store:
        return {one.name: one for one in forecast(stages, store, content_id(runs.source))}


def test_nothing_is_there_and_nothing_is_made(toy: ModuleType, runs: Runs) -> None:
    found = look(toy, runs)
    assert [(one.work, one.kept, one.reused, one.bytes) for one in found.values()] == [
        (10, 0, False, 100)
    ] * 4
    assert found["walk"].seconds == pytest.approx(10 * 0.01)
    assert not runs.cache.exists()


def test_what_is_kept_is_not_done_again(toy: ModuleType, runs: Runs) -> None:
    def fail(stages: list[Any]) -> None:
        make = stages[2].make

        def failing(ctx: Any, chunk: Chunk) -> Any:
            if chunk.start == 8:
                raise NoFaceError("no face")
            return make(ctx, chunk)

        stages[2].make = failing

    with pytest.raises(NoFaceError):
        runs(change=fail)
    found = look(toy, runs)
    assert found["walk"].reused
    assert (found["doubled"].work, found["doubled"].kept) == (2, 8)
    assert (found["joined"].work, found["joined"].kept) == (10, 0)
    runs()
    assert all(one.reused and one.bytes == 0 for one in look(toy, runs).values())


def test_another_setting_needs_what_depends_on_it(toy: ModuleType, runs: Runs) -> None:
    runs()
    found = look(toy, runs, crf=20)
    assert [name for name, one in found.items() if not one.reused] == ["joined"]


def test_what_was_pruned_and_is_not_needed_is_not_made(toy: ModuleType, runs: Runs) -> None:
    runs()
    shutil.rmtree(runs.folder("numbers"))
    assert look(toy, runs)["numbers"].reused


def test_what_nobody_expects_is_not_known(toy: ModuleType, runs: Runs) -> None:
    stages = toy.chain(toy.Asked())
    stages[1].expected = lambda: None
    with Store(runs.cache) as store:
        found = forecast(stages, store, content_id(runs.source))
    assert (found[1].work, found[1].seconds, found[1].bytes) == (None, None, None)
