"""Jobs over workers that die, are stopped, or cannot be had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from videdit.batch.crew import Crew, WorkerDied, by_source, worst
from videdit.batch.jobs import Job
from videdit.batch.work import DONE, FAILED, INTERRUPTED, SKIPPED, WAITING, Outcome
from videdit.editing.schedule import Edit
from videdit.errors import UsageError
from videdit.pipeline.tally import Standing


def jobs_of(*names: str) -> list[Job]:
    edit = (Edit.parse("Smiling"),)
    return [Job(Path(name), edit, Path(f"{n}.mp4")) for n, name in enumerate(names)]


class Seat:
    """Does jobs by a function; keeps what it was asked."""

    def __init__(self, work: Callable[[Job], Outcome]) -> None:
        self.work = work
        self.asked: list[str] = []
        self.stops = 0
        self.closed = False

    def do(
        self, job: Job, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Outcome:
        self.asked.append(job.output.stem)
        moved(Standing("edit"))
        return self.work(job)

    def stop(self) -> None:
        self.stops += 1

    def close(self) -> None:
        self.closed = True


class Board:
    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def began(self, number: int, worker: int) -> None:
        self.told.append(("began", number))

    def moved(self, number: int, standing: Standing) -> None:
        self.told.append(("moved", number, standing.stage))

    def noted(self, number: int, text: str) -> None:
        self.told.append(("noted", number))

    def ended(self, number: int, outcome: Outcome) -> None:
        self.told.append(("ended", number, outcome.state))


def done(job: Job) -> Outcome:
    return Outcome(DONE, str(job.output))


def test_jobs_of_a_source_stay_together_in_the_order_of_the_first() -> None:
    assert by_source(jobs_of("a", "b", "a", "c", "b")) == [[0, 2], [1, 4], [3]]


def test_everything_is_done_once_and_told() -> None:
    board, seat = Board(), Seat(done)
    outcomes = Crew(jobs_of("a", "b", "a"), [lambda: seat], board).run()
    assert [outcome.state for outcome in outcomes] == [DONE] * 3
    assert seat.asked == ["0", "2", "1"]
    assert seat.closed
    assert board.told[:3] == [("began", 0), ("moved", 0, "edit"), ("ended", 0, DONE)]


def test_two_workers_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(job: Job) -> Outcome:
        both.wait()
        return done(job)

    seats = [Seat(work), Seat(work)]
    outcomes = Crew(jobs_of("a", "b"), [lambda: seats[0], lambda: seats[1]], Board()).run()
    assert [outcome.state for outcome in outcomes] == [DONE, DONE]


def test_what_a_dead_worker_had_in_hand_is_taken_up() -> None:
    deaths = iter([True])

    def work(job: Job) -> Outcome:
        if job.output.stem == "1" and next(deaths, False):
            raise WorkerDied("SIGKILL")
        return done(job)

    board, seat = Board(), Seat(work)
    outcomes = Crew(jobs_of("a", "a", "a"), [lambda: seat], board).run()
    assert [outcome.state for outcome in outcomes] == [DONE] * 3
    assert seat.asked == ["0", "1", "1", "2"]
    assert ("noted", 1) in board.told


def test_a_job_that_kills_its_workers_fails_and_the_others_go_on() -> None:
    def work(job: Job) -> Outcome:
        if job.source.name == "a":
            raise WorkerDied("SIGKILL")
        return done(job)

    outcomes = Crew(jobs_of("a", "b"), [lambda: Seat(work)], Board()).run()
    assert [outcome.state for outcome in outcomes] == [FAILED, DONE]
    assert "SIGKILL" in outcomes[0].message
    assert worst(outcomes) == 1


def test_stopping_begins_nothing_more() -> None:
    crews: list[Crew] = []

    def work(job: Job) -> Outcome:
        crews[0].stop()
        return Outcome(INTERRUPTED, "", exit_code=7)

    seat = Seat(work)
    crews.append(Crew(jobs_of("a", "b"), [lambda: seat], Board()))
    outcomes = crews[0].run()
    assert [outcome.state for outcome in outcomes] == [INTERRUPTED, WAITING]
    assert seat.stops == 1
    assert worst(outcomes) == 7


def test_a_death_while_stopping_is_no_failure() -> None:
    crews: list[Crew] = []

    def work(job: Job) -> Outcome:
        crews[0].stop()
        raise WorkerDied("SIGTERM")

    crews.append(Crew(jobs_of("a"), [lambda: Seat(work)], Board()))
    assert [outcome.state for outcome in crews[0].run()] == [WAITING]


def test_no_worker_can_be_had() -> None:
    def none() -> Seat:
        raise UsageError("there is no GPU")

    with pytest.raises(UsageError, match="no GPU"):
        Crew(jobs_of("a"), [none], Board()).run()


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([(DONE, 0), (SKIPPED, 0)], 0),
        ([(DONE, 0), (FAILED, 3), (FAILED, 4)], 4),
        ([(FAILED, 3), (INTERRUPTED, 7)], 7),
        ([(DONE, 0), (WAITING, 0)], 7),
    ],
)
def test_exit_code(states: list[tuple[str, int]], code: int) -> None:
    assert worst([Outcome(state, "", exit_code=number) for state, number in states]) == code
