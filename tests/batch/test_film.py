"""One film spread over workers: the same film, though one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import pytest

from tests.batch.test_crew import Board, jobs_of
from tests.clips import write_small
from tests.faults.runs import MANY
from videdit.api import edit_video
from videdit.batch.crew import Crew, Seat, WorkerDied
from videdit.batch.film import FilmSeat, SeatedHands, local_hands
from videdit.batch.jobs import Job
from videdit.batch.local import LocalSeat
from videdit.batch.work import DONE, FAILED, FilmPiece, Made, Worker
from videdit.editing.schedule import Edit
from videdit.errors import NoFaceError, VideditError
from videdit.pipeline.hands import DamageMet, HandLost, Piece
from videdit.pipeline.records import Chunk
from videdit.pipeline.tally import Standing
from videdit.settings import RunSettings


class Maker:
    """A seat that answers the same."""

    def __init__(self, answer: Callable[[], Made]) -> None:
        self.answer = answer
        self.closed = False

    def make(
        self,
        piece: FilmPiece,
        moved: Callable[[Standing], None],
        noted: Callable[[str], None],
    ) -> Made:
        moved(Standing("decode", done=3))
        noted("a word")
        return self.answer()

    def do(self, *_: object) -> object:
        raise AssertionError

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


PIECE = Piece("decode", "k", Chunk("0000000", 0, 25), Path("folder"))


def hands(answer: Callable[[], Made], noted: Callable[[str], None] = print) -> SeatedHands:
    seat: Seat = Maker(answer)  # type: ignore[assignment]
    return SeatedHands([seat], RunSettings(Path("a.mp4"), Path("b.mp4")), noted)


def test_what_a_worker_says_is_passed_on() -> None:
    said: list[str] = []
    done: list[int] = []
    both = hands(Made, said.append)
    both.make(PIECE, done.append)
    both.make(PIECE, done.append)
    assert done == [3, 3]
    assert said == ["a word"]  # every worker says it


def test_what_goes_wrong_is_what_it_was() -> None:
    with pytest.raises(NoFaceError, match=r"no face\. Look"):
        hands(lambda: Made(message="no face", remedy="Look.", exit_code=4)).make(PIECE, print)
    with pytest.raises(DamageMet) as met:
        hands(lambda: Made(("encode", "0000025", "is missing"))).make(PIECE, print)
    assert (met.value.stage, met.value.chunk) == ("encode", "0000025")


def test_a_chunk_that_kills_its_workers_is_given_up() -> None:
    def die() -> Made:
        raise WorkerDied("SIGKILL")

    made = hands(die)
    with pytest.raises(HandLost):
        made.make(PIECE, print)
    with pytest.raises(VideditError, match=r"its workers died \(SIGKILL\)"):
        made.make(PIECE, print)


def test_a_source_that_is_none_is_its_job_s_end(tmp_path: Path) -> None:
    seat = Maker(Made)
    made: Seat = FilmSeat(tmp_path / "cache", False, [lambda: seat])  # type: ignore[list-item, return-value]
    jobs = jobs_of(str(tmp_path / "none.mp4"))
    (outcome,) = Crew(jobs, [lambda: made], Board()).run()
    assert (outcome.state, outcome.exit_code) == (FAILED, 3)
    assert seat.closed


@pytest.mark.weights
def test_a_killed_worker_s_chunks_are_made_by_another(
    example: Path, tmp_path: Path, default_cache: Path
) -> None:
    film = write_small(tmp_path / "film.mp4", example, 5)
    how = {"quality": "fast", "chunk_frames": 2}
    alone, spread = tmp_path / "alone.mp4", tmp_path / "spread.mp4"
    edit_video(film, alone, {"Smiling": 1}, settings={**how, "cache_dir": tmp_path / "alone"})
    killed: list[int] = []

    class Killing(Board):
        def moved(self, number: int, standing: Standing) -> None:
            super().moved(number, standing)
            if standing.stage == "reconstruct" and not killed:
                killed.append(max(int(each.pid or 0) for each in active_children()))
                os.kill(killed[0], signal.SIGKILL)

    cache = tmp_path / "spread"
    seats = [lambda: LocalSeat(Worker(cache), 1)] * 2
    made: Seat = FilmSeat(cache, False, seats)  # type: ignore[arg-type]
    board = Killing()
    job = Job(film, (Edit.parse("Smiling=1"),), spread, how)
    (outcome,) = Crew([job], [lambda: made], board).run()
    assert (outcome.state, outcome.frames, outcome.edited) == (DONE, 5, 5), outcome
    assert killed
    assert ("noted", 0) in board.told
    assert spread.read_bytes() == alone.read_bytes()
    assert not list(cache.rglob(".tmp/*"))


@pytest.fixture(scope="module")
def film(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the example's size, in two chunks."""
    return write_small(tmp_path_factory.mktemp("film") / "film.mp4", example, 52)


def videdit(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "videdit", *map(str, words)]


EDIT = ("--attr", "Smiling", "--quality", "fast")


@MANY
@pytest.mark.weights
@pytest.mark.usefixtures("default_cache")
def test_the_same_by_the_command_line(film: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.mp4"
    run = videdit("run", film, *EDIT, "-o", alone, "--cache", tmp_path / "alone")
    assert subprocess.run(run, capture_output=True, timeout=600).returncode == 0
    shared = videdit("run", film, *EDIT, "-j", 2, "-o", tmp_path / "shared.mp4")
    assert subprocess.run([*shared, "--cache", tmp_path / "shared"], timeout=600).returncode == 0
    assert (tmp_path / "shared.mp4").read_bytes() == alone.read_bytes()
    out = tmp_path / "out"
    spread = ("--jobs", "2", "--spread", "--log-json", "--cache", tmp_path / "cache", "-o", out)
    killed = 0
    with subprocess.Popen(
        videdit("batch", film.parent, *EDIT, *spread), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if not killed and '"stage": "reconstruct"' in line:
                killed = max(workers_of(process.pid))
                os.kill(killed, signal.SIGKILL)
        assert process.wait(300) == 0
    assert killed
    (job,) = json.loads((out / "summary.json").read_text())["jobs"]
    assert (job["state"], job["frames"], job["edited"]) == ("done", 52, 52)
    assert (out / "film-Smiling+1.mp4").read_bytes() == alone.read_bytes()
    assert not list((tmp_path / "cache").rglob(".tmp/*"))


def workers_of(batch: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(batch)], capture_output=True, text=True
    ).stdout
    found = [line.split(None, 1) for line in listed.splitlines() if "spawn_main" in line]
    return [int(pid) for pid, _ in found]


def test_one_worker_is_none(film: Path) -> None:
    run = subprocess.run(
        videdit("batch", film.parent, *EDIT, "--spread"), capture_output=True, text=True
    )
    assert run.returncode == 2
    assert "--jobs" in run.stderr


def test_one_process_is_this_one_and_more_begin_when_there_is_work(tmp_path: Path) -> None:
    def say(text: str) -> None:
        raise AssertionError(text)

    with local_hands(1, tmp_path, say) as alone:
        assert alone is None
    run = RunSettings(Path("a.mp4"), Path("b.mp4"))
    before = active_children()
    with local_hands(3, tmp_path, say) as hands:
        assert hands is not None
        assert hands(run).count == 3
        assert active_children() == before
