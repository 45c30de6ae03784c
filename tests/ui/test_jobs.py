"""Runs one after another: stopped, taken up again, cut short by the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from videdit.batch.crew import WorkerDied
from videdit.batch.jobs import Job
from videdit.batch.work import DONE, FAILED, INTERRUPTED, Made, Outcome, Worker
from videdit.editing.schedule import Edit
from videdit.pipeline.tally import Standing
from videdit.ui.jobs import STOPPING, WORKING, RunQueue, free_name


class Chair:
    """A seat whose worker does what it is told to."""

    def __init__(self, _: Worker) -> None:
        self.go = threading.Event()
        self.stopped = 0
        self.dies = ""
        self.done: list[str] = []
        self.closed = False

    def do(
        self, job: Job, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Outcome:
        moved(Standing("edit", 1, 2, 3, 10))
        noted("a note")
        before = self.stopped
        assert self.go.wait(20)
        self.go.clear()
        if self.dies:
            raise WorkerDied(self.dies)
        if self.stopped > before:
            return Outcome(INTERRUPTED, str(job.output), exit_code=7)
        self.done.append(job.output.name)
        return Outcome(DONE, str(job.output))

    def make(self, *_: object) -> Made:
        raise AssertionError

    def stop(self) -> None:
        self.stopped += 1
        self.go.set()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def queue() -> Iterator[tuple[RunQueue, Chair]]:
    chairs: list[Chair] = []

    def seat(worker: Worker) -> Chair:
        chairs.append(Chair(worker))
        return chairs[-1]

    made = RunQueue(Worker(), seat)
    yield made, chairs[0]
    made.close()
    assert chairs[0].closed


def job(name: str) -> Job:
    return Job(Path("in.mp4"), (Edit.parse("Smiling"),), Path(name))


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def states(queue: RunQueue) -> list[str]:
    return [run.state for run in queue.runs()]


def test_one_at_a_time_in_order(queue: tuple[RunQueue, Chair]) -> None:
    runs, chair = queue
    runs.add(job("a.mp4"), owner="one")
    runs.add(job("b.mp4"), owner="two")
    until(lambda: states(runs) == [WORKING, "waiting"] and runs.runs()[0].note == "a note")
    assert runs.runs()[0].standing.done == 3
    assert runs.going
    assert runs.outputs == {Path("a.mp4"), Path("b.mp4")}
    chair.go.set()
    until(lambda: states(runs) == [DONE, WORKING])
    chair.go.set()
    until(lambda: not runs.going)
    assert chair.done == ["a.mp4", "b.mp4"]


def test_stopped_and_taken_up_again(queue: tuple[RunQueue, Chair]) -> None:
    runs, chair = queue
    runs.add(job("a.mp4"))
    runs.add(job("b.mp4"))
    until(lambda: states(runs)[0] == WORKING)
    runs.stop(1)  # before it began
    runs.stop(0)
    assert states(runs)[0] in (STOPPING, INTERRUPTED)
    until(lambda: states(runs) == [INTERRUPTED, INTERRUPTED])
    runs.again(0)
    until(lambda: states(runs)[0] == WORKING)
    chair.go.set()
    until(lambda: states(runs)[0] == DONE)
    assert chair.done == ["a.mp4"]
    runs.again(1)
    chair.go.set()
    until(lambda: states(runs)[1] == DONE)


def test_a_worker_that_dies_fails_its_run_alone(queue: tuple[RunQueue, Chair]) -> None:
    runs, chair = queue
    runs.add(job("a.mp4"))
    chair.dies = "SIGKILL"
    chair.go.set()
    until(lambda: states(runs) == [FAILED])
    outcome = runs.runs()[0].outcome
    assert outcome is not None
    assert "SIGKILL" in outcome.message
    chair.dies = ""
    runs.add(job("b.mp4"))
    chair.go.set()
    until(lambda: states(runs)[1] == DONE)


def test_the_end_cuts_short_and_says_so(queue: tuple[RunQueue, Chair]) -> None:
    runs, chair = queue
    runs.add(job("a.mp4"))
    runs.add(job("b.mp4"))
    until(lambda: states(runs)[0] == WORKING)
    assert runs.close()
    assert states(runs) == [INTERRUPTED, INTERRUPTED]
    assert chair.stopped == 1
    assert not runs.close()


def test_free_names(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    assert free_name(path, set()) == path
    path.touch()
    assert free_name(path, {tmp_path / "a-2.mp4"}) == tmp_path / "a-3.mp4"
