"""A part of an artifact asked for: what is shared with other parts, what is kept, what is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from videdit.errors import Interrupted, StorageError
from videdit.pipeline.manifest import FORMAT
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.stage import Artifact, Chunk, Context, Json, Stage, frame_chunks, stage_key
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import show, verify

FRAMES, SIZE = 12, 4
A, B, C = "0000000", "0000004", "0000008"


class _Part(Stage):
    """Made for the frames ``start <= i < stop``, or for all."""

    def __init__(self, part: tuple[int, int] | None = None, aligned: bool = True) -> None:
        self.part = part
        self.aligned = aligned
        self.made: list[str] = []

    def settings(self) -> dict[str, Json]:
        return {}

    def plan(self) -> str:
        return f"{self.part[0]}-{self.part[1]}" if self.part else ""

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        raise AssertionError


class Squares(_Part):
    """Frame by frame: the same whichever part is asked for."""

    name: ClassVar[str] = "squares"

    def chunks(self, ctx: Context) -> list[Chunk]:
        start, stop = self.part or (0, FRAMES)
        if not self.aligned:
            return frame_chunks(start, stop, SIZE)
        return [c for c in frame_chunks(0, FRAMES, SIZE) if c.start < stop and start < c.stop]

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        self.made.append(chunk.name)
        numbers = [i * i for i in range(chunk.start, chunk.stop)]
        (folder / "numbers.json").write_text(json.dumps(numbers))


class Total(_Part):
    """The sum over the part that was asked for."""

    name: ClassVar[str] = "total"
    takes: ClassVar[tuple[str, ...]] = ("squares",)

    def chunks(self, ctx: Context) -> list[Chunk]:
        return []

    def finish(self, ctx: Context, folder: Path) -> None:
        self.made.append(ctx.own.whole)
        squares = ctx.input("squares")
        paths = [squares.path(chunk.name, "numbers.json") for chunk in squares.chunks]
        total = sum(sum(json.loads(path.read_text())) for path in paths)
        (folder / "total.json").write_text(json.dumps(total))


class Runs:
    def __init__(self, cache: Path, source: Path) -> None:
        self.cache, self.source = cache, source
        self.made: list[str] = []
        self.report: RunReport | None = None

    def __call__(self, part: tuple[int, int] | None = None, aligned: bool = True) -> int:
        stages = [Squares(part, aligned), Total(part)]
        with Store(self.cache) as store:
            try:
                self.report = run(stages, store, "s1", self.source)
            finally:
                self.made = stages[0].made + stages[1].made
        total = self.report.artifacts["total"]
        return int(total.path(total.whole, "total.json").read_text())


@pytest.fixture
def runs(cache: Path, source: Path) -> Runs:
    return Runs(cache, source)


def squares(start: int, stop: int) -> int:
    return sum(i * i for i in range(start, stop))


def test_a_part_and_then_everything(runs: Runs, cache: Path) -> None:
    assert runs((4, 8)) == squares(4, 8)
    assert runs.made == [B, "whole-4-8"]
    assert runs() == squares(0, 12)
    assert runs.made == [A, C, "whole"]  # the part's chunk is shared
    for part in ((4, 8), None):
        runs(part)
        assert runs.made == []
    assert runs((2, 6)) == squares(0, 8)
    assert runs.made == ["whole-2-6"]
    assert [len(list((cache / "s1" / stage).iterdir())) for stage in ("squares", "total")] == [1, 1]
    with Store(cache) as store:
        assert verify(store) == ()
        shown = {info.stage: info for info in show(store, "s1")}
    assert shown["squares"].complete
    assert shown["squares"].chunks == 3
    assert shown["squares"].plans == ("", "2-6", "4-8")


def test_the_part_is_not_in_the_key() -> None:
    assert stage_key(Squares((4, 8)), {}) == stage_key(Squares(), {})


def test_another_parts_unfinished_work_stays(
    runs: Runs, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs((0, 4))
    make = Squares.run_chunk

    def stopped(stage: Squares, ctx: Context, chunk: Chunk, folder: Path) -> None:
        if chunk.name == C:
            raise Interrupted("stopped")
        make(stage, ctx, chunk, folder)

    monkeypatch.setattr(Squares, "run_chunk", stopped)
    with pytest.raises(Interrupted):
        runs((4, 12))
    assert runs.made == [B]
    monkeypatch.undo()
    runs((0, 3))  # finishes a plan that B belongs to no more than to "0-4"
    assert runs((4, 12)) == squares(4, 12)
    assert runs.made == [C, "whole-4-12"]


def test_chunks_of_one_name_with_other_frames_are_not_shared(runs: Runs, cache: Path) -> None:
    assert runs((4, 6), aligned=False) == squares(4, 6)
    assert runs((4, 7), aligned=False) == squares(4, 7)
    assert runs.made == [B, "whole-4-7"]
    # The first part is not taken for complete with the second one's chunk.
    (total,) = cache.glob("s1/total/*/whole-4-6/total.json")
    total.unlink()
    assert runs((4, 6), aligned=False) == squares(4, 6)
    assert runs.made == [B, "whole-4-6"]


def test_a_damaged_shared_chunk_is_made_anew_once(runs: Runs, cache: Path) -> None:
    runs((4, 8))
    runs()
    (path,) = cache.glob(f"s1/squares/*/{B}/numbers.json")
    path.unlink()
    for whole in cache.glob("s1/total/*/whole*/total.json"):
        whole.unlink()
    assert runs() == squares(0, 12)
    assert runs.made == [B, "whole"]
    assert runs((4, 8)) == squares(4, 8)
    assert runs.made == ["whole-4-8"]


# --- the store -----------------------------------------------------------------------------------


def _put(artifact: Artifact, *names: str) -> list[Chunk]:
    chunks = [
        Chunk(name, 4 * "abcde".index(name[0]), 4 * "abcde".index(name[0]) + 4) for name in names
    ]
    for chunk in chunks:
        with artifact.commit(chunk) as folder:
            (folder / "x").write_text(chunk.name)
    return chunks


def test_every_question_is_about_the_plan(store: Store) -> None:
    part = store.open("s1", "codes", "k1", plan="0-8")
    other = store.open("s1", "codes", "k1", plan="4-12")
    assert store.open("s1", "codes", "k1", plan="0-8") is part
    assert part.folder == other.folder
    whole = Chunk(part.whole, 0, 8)
    chunks = _put(part, "a", "b")
    with part.commit(whole):
        pass
    part.finish([*chunks, whole])
    assert part.complete
    assert part.chunks == tuple(chunks)
    assert part.count == 3
    assert part.overlapping(0, 99) == tuple(chunks)
    other.reload()
    assert not other.complete
    assert other.count == 0
    with pytest.raises(StorageError, match="not complete"):
        other.check()
    # What is there counts for both.
    assert other.holds(chunks[1])
    later = _put(other, "c")
    other.finish([chunks[1], *later])
    assert other.chunks == (chunks[1], *later)
    part.reload()
    assert part.complete
    assert part.chunks == tuple(chunks)
    with pytest.raises(ValueError, match="not a name for a part"):
        store.open("s1", "codes", "k1", plan="../x")


def test_only_where_everything_was_ever_asked_for_are_strays_removed(store: Store) -> None:
    whole = store.open("s1", "codes", "k1")
    a, _ = _put(whole, "a", "b")
    whole.finish([a])
    assert not whole.done("b")
    part = store.open("s1", "codes", "k1", plan="4-8")
    (b,) = _put(part, "b")
    part.finish([b])
    _put(part, "c")
    whole.reload()
    whole.finish([a])
    assert whole.done("b")
    assert whole.done("c")


def test_an_artifact_of_another_format_is_not_looked_at(store: Store) -> None:
    from videdit.pipeline.records import read_sealed, write_sealed

    artifact = store.open("s1", "codes", "k1")
    artifact.finish(_put(artifact, "a"))
    path = artifact.folder / "manifest.json"
    content = read_sealed(path)
    assert content is not None
    write_sealed(path, {**content, "format": FORMAT + 1})
    artifact.reload()
    assert not artifact.complete
    assert verify(store) == ()
    assert not show(store, "s1")[0].complete
