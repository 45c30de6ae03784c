"""What is made, what is reused, what is made anew."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.helpers import flip
from videdit.errors import Interrupted, NoFaceError, StorageError
from videdit.pipeline.records import StoredFile
from videdit.pipeline.runner import REMAKES, run
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged
from videdit.pipeline.upkeep import verify

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


def test_a_pruned_stage_is_made_anew_for_who_asks_for_it(runs: Any) -> None:
    first = runs()
    shutil.rmtree(runs.folder("numbers"))
    shutil.rmtree(runs.folder("walk"))
    assert runs(targets=["walk", "joined"]) == first
    assert {stage for stage, made in runs.made.items() if made} == {"numbers", "walk"}
    shutil.rmtree(runs.folder("joined"))
    runs.report = None
    with pytest.raises(ChunkDamaged):  # nobody asked for what was joined
        runs(targets=["numbers"])
    assert not any(runs.made.values())


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
