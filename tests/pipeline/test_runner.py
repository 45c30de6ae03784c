"""What is made, what is reused, what is made anew."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.pipeline.helpers import flip
from videdit.errors import Interrupted, NoFaceError, StorageError, UsageError
from videdit.media.source import content_id
from videdit.pipeline.records import StoredFile
from videdit.pipeline.runner import REMAKES, open_contexts, run
from videdit.pipeline.stage import Chunk, Stage, frame_chunks, stage_key
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import verify
from videdit.settings import RunSettings

NAMES = ["0000000", "0000004", "0000008"]


def test_the_first_run_makes_all_and_the_second_nothing(runs: Any) -> None:
    first = runs()
    assert runs.made == {
        "numbers": NAMES,
        "walk": NAMES,
        "doubled": NAMES,
        "joined": [*NAMES, "whole"],
    }
    assert [(s.chunks_done, s.chunks_reused) for s in runs.report.stages.values()] == [
        (3, 0),
        (3, 0),
        (3, 0),
        (4, 0),
    ]
    assert runs() == first
    assert not any(runs.made.values())
    assert [(s.chunks_done, s.chunks_reused) for s in runs.report.stages.values()] == [
        (0, 3),
        (0, 3),
        (0, 3),
        (0, 4),
    ]


def test_the_result_does_not_depend_on_the_chunks(runs: Any, tmp_path: Path) -> None:
    first = runs()
    runs.cache = tmp_path / "other"
    assert runs(chunk_frames=3) == first
    assert len(runs.made["numbers"]) == 4


def test_a_changed_setting_reruns_what_depends_on_it(runs: Any) -> None:
    first = runs()
    second = runs(face="all")
    assert second != first
    assert {stage for stage, made in runs.made.items() if made} == {"doubled", "joined"}
    assert runs(face="all", crf=20) == second
    assert {stage for stage, made in runs.made.items() if made} == {"joined"}
    assert runs() == first
    assert not any(runs.made.values())


def test_complete_stages_do_not_need_what_they_were_made_from(runs: Any) -> None:
    first = runs()
    shutil.rmtree(runs.folder("numbers"))
    shutil.rmtree(runs.folder("walk"))
    assert runs() == first
    assert not any(runs.made.values())
    assert runs(crf=20) == first
    assert {stage for stage, made in runs.made.items() if made} == {"joined"}
    runs(face="all")
    assert all(runs.made.values())


def test_an_interrupted_stage_goes_on(runs: Any) -> None:
    def stop_early(stages: list[Any]) -> None:
        make = stages[2].make

        def failing(ctx: Any, chunk: Chunk) -> Any:
            if chunk.start == 4:
                raise NoFaceError("no face")
            return make(ctx, chunk)

        stages[2].make = failing

    with pytest.raises(NoFaceError):
        runs(change=stop_early)
    runs()
    assert runs.made["doubled"] == NAMES[1:]
    assert runs.report.stages["doubled"].chunks_reused == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "delete chunk", "record"])
@pytest.mark.parametrize("stage", ["numbers", "walk", "doubled"])
def test_a_damaged_input_is_made_anew(runs: Any, stage: str, damage: str) -> None:
    first = runs()
    chunk = runs.folder(stage) / NAMES[1]
    if damage == "flip":
        flip(chunk / "data.npy")
    elif damage == "truncate":
        os.truncate(chunk / "data.npy", 50)
    elif damage == "delete":
        (chunk / "data.npy").unlink()
    elif damage == "delete chunk":
        shutil.rmtree(chunk)
    else:
        (chunk / "chunk.json").write_text("{}")
    shutil.rmtree(runs.folder("joined"))
    if stage != "doubled":  # so that somebody reads it
        shutil.rmtree(runs.folder("doubled"))
    assert runs() == first
    assert runs.made[stage] == [NAMES[1]]
    with Store(runs.cache) as store:
        assert verify(store) == ()
    assert runs() == first
    assert not any(runs.made.values())


def test_damage_of_damage_is_made_anew(runs: Any) -> None:
    first = runs()
    for stage in ("numbers", "walk", "doubled"):
        for name in NAMES:
            flip(runs.folder(stage) / name / "data.npy")
    shutil.rmtree(runs.folder("joined"))
    assert runs() == first
    for stage in ("numbers", "walk", "doubled"):
        assert sorted(set(runs.made[stage])) == NAMES
        assert runs.report.stages[stage].chunks_done == 3
        assert runs.report.stages[stage].chunks_remade == 3
    with Store(runs.cache) as store:
        assert verify(store) == ()


def test_a_damaged_chunk_of_the_stage_itself_is_made_anew(runs: Any) -> None:
    first = runs()
    for name in NAMES:
        flip(runs.folder("joined") / name / "data.npy")
    shutil.rmtree(runs.folder("joined") / "whole")
    assert runs() == first
    # Begun, found each chunk damaged in turn.
    assert [name for name in runs.made["joined"] if name != "whole"] == NAMES
    with Store(runs.cache) as store:
        assert verify(store) == ()


@pytest.mark.parametrize("file", ["0000004/data.npy", "whole/joined.bin"])
def test_damage_of_a_complete_result_is_found_and_made_anew(runs: Any, file: str) -> None:
    first = runs()
    before = (runs.folder("joined") / file).read_bytes()
    flip(runs.folder("joined") / file)
    assert runs() == first
    assert runs.made.pop("joined") == [file.split("/")[0]]
    assert not any(runs.made.values())
    assert (runs.folder("joined") / file).read_bytes() == before
    assert runs() == first
    assert runs.made["joined"] == []


@pytest.mark.parametrize("file", ["manifest.json", "0000004/chunk.json", ".lock", ".used"])
@pytest.mark.parametrize("text", ["", "rubbish"])
def test_no_damage_of_the_books_stops_a_run(runs: Any, file: str, text: str) -> None:
    first = runs()
    for stage in ("numbers", "walk", "doubled", "joined"):
        (runs.folder(stage) / file).write_text(text)
    assert runs() == first
    made = {stage: made for stage, made in runs.made.items() if made}
    only = [NAMES[1]]
    expected = {} if "chunk" not in file else dict.fromkeys(runs.made, only)
    assert made == expected
    assert runs() == first
    assert not any(runs.made.values())


def test_a_disk_that_damages_everything_is_given_up(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs()
    shutil.rmtree(runs.folder("joined"))
    look = StoredFile.problem

    def rotten(file: StoredFile, path: Path, **options: Any) -> str | None:
        if "doubled" in path.parts and NAMES[1] in path.parts:
            return "does not have its checksum"
        return look(file, path, **options)

    monkeypatch.setattr(StoredFile, "problem", rotten)
    with pytest.raises(StorageError, match=f"made anew {REMAKES} times") as caught:
        runs()
    assert "Check the disk" in caught.value.remedy
    assert runs.made["doubled"] == [NAMES[1]] * REMAKES


def test_a_full_disk_ends_the_run_and_nothing_is_lost(runs: Any) -> None:
    def fill_up(stages: list[Any]) -> None:
        make = stages[1].make

        def full(ctx: Any, chunk: Chunk) -> Any:
            if chunk.start == 8:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return make(ctx, chunk)

        stages[1].make = full

    with pytest.raises(StorageError, match="the disk is full"):
        runs(change=fill_up)
    runs()
    assert runs.made["walk"] == [NAMES[2]]


# --- stopping ------------------------------------------------------------------------------------


def _at_chunk(stages: list[Any], start: int, do: Any) -> None:
    make = stages[1].make

    def doing(ctx: Any, chunk: Chunk) -> Any:
        if chunk.start == start:
            do()
        return make(ctx, chunk)

    stages[1].make = doing


def test_signal_handlers_are_put_back(runs: Any) -> None:
    def mine(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(Interrupted, match="stopped at stage walk"):
            runs(change=lambda s: _at_chunk(s, 4, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    runs()
    assert runs.made["walk"] == [NAMES[2]]


def test_an_ignored_signal_stays_ignored(runs: Any) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        runs(change=lambda s: _at_chunk(s, 4, lambda: os.kill(os.getpid(), signal.SIGINT)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_fails_because_of_the_signal_is_an_interruption(runs: Any) -> None:
    def child_died() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("ffmpeg died of SIGINT")

    with pytest.raises(Interrupted):
        runs(change=lambda s: _at_chunk(s, 4, child_died))
    runs()
    assert runs.made["walk"] == NAMES[1:]


def test_a_run_in_another_thread_is_stopped_by_its_event(
    toy: Any, source: Path, cache: Path
) -> None:
    stop = threading.Event()
    stages = toy.chain(toy.Asked())
    _at_chunk(stages, 4, stop.set)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with Store(cache) as store:
                run(stages, store, "s1", source, stop=stop)
        except Interrupted as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert len(caught) == 1
    assert stages[1].made == NAMES[:2]


# --- keys, contexts, chunks ----------------------------------------------------------------------


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


def test_settings_as_json(source: Path) -> None:
    from videdit.editing.schedule import AlphaSchedule, Edit

    edit = Edit("Smiling", AlphaSchedule.parse("0s:0,2s:1.5"))
    plain = RunSettings(source, source, edits=(edit,), stop_s=2.5).to_json()
    assert plain["edits"] == ["Smiling=0.0s:0.0,2.0s:1.5"]
    assert plain["source"] == str(source)
    assert plain["stop_s"] == 2.5
    assert plain["start_s"] is None


def test_the_last_run_is_kept(source: Path, cache: Path) -> None:
    from videdit.editing.schedule import Edit

    edits = (Edit.parse("Smiling=0s:0,2s:1.5"), Edit.parse("Young=-0.5"))
    asked = RunSettings(source, source, edits, stop_s=2.5, crf=18, cache_dir=cache)
    with Store(cache) as store:
        assert store.last_run("s1") is None
        store.note_run("s1", asked.to_json())
        kept = store.last_run("s1")
        assert kept is not None
        assert RunSettings.from_json(kept) == asked
        flip(cache / "s1" / "last-run.json")
        assert store.last_run("s1") is None
    with pytest.raises(UsageError, match="cannot be read"):
        RunSettings.from_json({})
