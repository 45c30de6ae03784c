"""Keys, contexts, and what a stage may ask of its own."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from videdit.errors import Interrupted
from videdit.media.source import content_id
from videdit.pipeline.progress import PlainProgress
from videdit.pipeline.runner import open_contexts, run
from videdit.pipeline.stage import Chunk, Context, Stage, frame_chunks, stage_key
from videdit.pipeline.store import Store

NAMES = ["0000000", "0000004", "0000008"]


class _Plain(Stage):
    name: ClassVar[str] = "plain"

    def __init__(self, settings: Any = None, models: Any = None) -> None:
        self._settings, self._models = settings or {}, models or {}

    def settings(self) -> Any:
        return self._settings

    def models(self) -> Any:
        return self._models

    def chunks(self, ctx: Any) -> list[Chunk]:
        return [Chunk("a", 0, 1)]

    def run_chunk(self, ctx: Any, chunk: Chunk, folder: Path) -> None:
        pass


def test_a_key_depends_on_everything_that_counts() -> None:
    class Newer(_Plain):
        version: ClassVar[int] = 2

    class Taking(_Plain):
        takes: ClassVar[tuple[str, ...]] = ("before",)

    keys = [
        stage_key(_Plain(), {})[0],
        stage_key(_Plain({"a": 1}), {})[0],
        stage_key(_Plain({"a": 2}), {})[0],
        stage_key(_Plain(None, {"net": "1"}), {})[0],
        stage_key(Newer(), {})[0],
        stage_key(Taking(), {"before": "1"})[0],
        stage_key(Taking(), {"before": "2"})[0],
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 for key in keys)
    assert stage_key(_Plain({"b": 1, "a": 2}), {}) == (
        stage_key(_Plain({"a": 2, "b": 1}), {"other": "x"})
    )
    with pytest.raises(TypeError):
        stage_key(_Plain({"a": np.zeros(2)}), {})


def test_contexts_give_inputs_and_keep_things(runs: Any, toy: Any) -> None:
    runs()
    with Store(runs.cache) as store:
        contexts = open_contexts(toy.chain(toy.Asked()), store, content_id(runs.source))
        context = contexts["doubled"]
        assert context.own.complete
        assert context.input("walk") is contexts["walk"].own
        with pytest.raises(KeyError):
            context.input("joined")
        assert context.once("net", lambda: [1]) is context.once("net", lambda: [2])
        context.check_stop()
        with pytest.raises(ValueError, match="comes before"):
            open_contexts(toy.chain(toy.Asked())[::-1], store, "s1")


def test_what_once_kept_is_let_go_after_the_stage(toy: Any, source: Path, cache: Path) -> None:
    made: list[str] = []
    stages = toy.chain(toy.Asked())
    make = stages[1].make

    def dear(ctx: Any, chunk: Chunk) -> Any:
        ctx.once("net", lambda: made.append(chunk.name) or "net")
        contexts.append(ctx)
        return make(ctx, chunk)

    contexts: list[Any] = []
    stages[1].make = dear
    with Store(cache) as store:
        run(stages, store, "s1", source)
    assert made == [NAMES[0]]
    contexts[0].once("net", lambda: made.append("again"))
    assert made == [NAMES[0], "again"]


def test_chunks_of_one_name_are_a_mistake(source: Path, cache: Path) -> None:
    class Twice(_Plain):
        def chunks(self, ctx: Any) -> list[Chunk]:
            return [Chunk("a", 0, 1), Chunk("a", 1, 2)]

    with Store(cache) as store, pytest.raises(ValueError, match="same name"):
        run([Twice()], store, "s1", source)


def test_a_stage_without_chunks_is_complete(source: Path, cache: Path) -> None:
    class Nothing(_Plain):
        def chunks(self, ctx: Any) -> list[Chunk]:
            return []

    with Store(cache) as store:
        report = run([Nothing()], store, "s1", source)
        assert report.artifacts["plain"].complete
        assert report.artifacts["plain"].chunks == ()


def test_frame_chunks() -> None:
    assert [(c.start, c.stop) for c in frame_chunks(0, 10, 4)] == [(0, 4), (4, 8), (8, 10)]
    assert [(c.start, c.stop) for c in frame_chunks(3, 9, 4)] == [(3, 4), (4, 8), (8, 9)]
    assert [(c.start, c.stop) for c in frame_chunks(4, 8, 4)] == [(4, 8)]
    assert frame_chunks(5, 5, 4) == []
    assert [c.name for c in frame_chunks(0, 5, 4, "t1-")] == ["t1-0000000", "t1-0000004"]
    with pytest.raises(ValueError, match="at least one frame"):
        frame_chunks(0, 5, 0)


class _Steps(_Plain):
    """Two tracks of ten steps each, whose frames don't say how long they take."""

    name: ClassVar[str] = "steps"
    unit: ClassVar[str] = "steps"

    def __init__(self, at_step: dict[int, Any] | None = None) -> None:
        super().__init__()
        self.at_step = at_step or {}
        self.begun: list[str] = []

    def chunks(self, ctx: Context) -> list[Chunk]:
        return [Chunk("a", 0, 3), Chunk("b", 1, 9000)]

    def work(self, ctx: Context, chunk: Chunk) -> int:
        return 10

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        self.begun.append(chunk.name)
        for step in range(10):
            ctx.check_stop()
            if chunk.name == "b":
                self.at_step.get(step, lambda: None)()
            ctx.tick()
        (folder / "x").write_text(chunk.name)


def test_a_long_chunk_is_stopped_between_its_steps(source: Path, cache: Path) -> None:
    stop = threading.Event()
    stage = _Steps({4: stop.set})
    with Store(cache) as store:
        with pytest.raises(Interrupted, match="stopped at stage steps") as caught:
            run([stage], store, "s1", source, stop=stop)
        assert "same command" in caught.value.remedy
    assert stage.begun == ["a", "b"]
    again = _Steps()
    with Store(cache) as store:
        report = run([again], store, "s1", source)
    assert again.begun == ["b"]  # what was committed stays, what was stopped is begun anew
    assert report.stages["steps"].chunks_reused == 1


def test_work_is_counted_in_the_stages_unit(source: Path, cache: Path) -> None:
    stream = io.StringIO()
    with Store(cache) as store:
        run([_Steps()], store, "s1", source, progress=PlainProgress(stream))
    first, last = stream.getvalue().splitlines()
    assert "[1/1] steps: 20 steps to do" in first
    assert "[1/1] steps: done in 0:00, 20 steps, " in last


def test_what_is_loaded_is_not_counted(source: Path, cache: Path) -> None:
    now = 0.0

    class Loading(_Steps):
        def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
            nonlocal now
            with ctx.loading("the network"):
                now += 100
            now += 2
            ctx.tick(10)

    stream = io.StringIO()
    with Store(cache) as store:
        run([Loading()], store, "s1", source, progress=PlainProgress(stream, lambda: now))
    last = stream.getvalue().splitlines()[-1]
    assert last.endswith("steps: done in 3:24, 20 steps, 5 steps/s, loading 3:20")


def test_a_run_says_once_what_it_reuses(runs: Any, toy: Any) -> None:
    runs()
    stream = io.StringIO()
    with Store(runs.cache) as store:
        stages = toy.chain(toy.Asked(face="all"))
        source_id = content_id(runs.source)
        run(stages, store, source_id, runs.source, progress=PlainProgress(stream))
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines[0] == "reused: numbers, walk"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "[3/4] doubled",
        "[3/4] doubled",
        "[4/4] joined",
        "[4/4] joined",
    ]
