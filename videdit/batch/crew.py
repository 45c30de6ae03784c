"""Jobs spread over workers, wherever those are: one source's jobs go to one worker, and what a dead
worker had in hand is taken up by another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ..errors import VideditError
from ..pipeline.tally import Standing
from .jobs import Job
from .work import FAILED, WAITING, FilmPiece, Made, Outcome, failure

DEATHS = 2
"""Workers that a job, or a chunk, may cost before it counts as failed: it may be what kills them.
"""


class WorkerDied(Exception):
    """A worker ended without saying what became of its job; the text says how."""


def died_of(what: str, death: WorkerDied) -> VideditError:
    """What to tell of that which cost too many workers."""
    return VideditError(
        f"{what}: its workers died ({death})",
        "Out of memory, most likely: give less --jobs, or a machine with more.",
    )


class Board(Protocol):
    """Is told what goes on, from several threads."""

    def began(self, number: int, worker: int) -> None:
        """A worker took a job up."""

    def moved(self, number: int, standing: Standing) -> None:
        """A job moved on."""

    def noted(self, number: int, text: str) -> None:
        """There is something to say of a job."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """A job ended."""


class Seat(Protocol):
    """Where a worker sits: it holds networks, and does a job at a time."""

    def do(
        self, job: Job, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Outcome:
        """Do a job.

        Raises:
            WorkerDied: it did not end the job; the next call has a new worker.
        """

    def make(
        self, piece: FilmPiece, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Made:
        """Make a chunk of a run.

        Raises:
            WorkerDied: as above.
        """

    def stop(self) -> None:
        """Let the chunk in flight be finished; a second call ends the worker at once."""

    def close(self) -> None:
        """Send the worker home."""


def by_source(jobs: Sequence[Job]) -> list[list[int]]:
    """Numbers of the jobs, those of a source together, in the order of the first of each."""
    groups: dict[Path, list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.source, []).append(number)
    return list(groups.values())


class Crew:
    """Does jobs with some workers.

    Args:
        jobs: to do.
        seats: each makes a seat; called in the thread that uses it.
        board: told what goes on.
    """

    def __init__(
        self, jobs: Sequence[Job], seats: Sequence[Callable[[], Seat]], board: Board
    ) -> None:
        self.jobs = jobs
        self.outcomes = [Outcome(WAITING, str(job.output)) for job in jobs]
        self._board = board
        self._left = deque(by_source(jobs))
        self._deaths = [0] * len(jobs)
        self._lock = threading.RLock()  # a second signal may come while the first one is handled
        self._stopping = threading.Event()
        self._seats: list[Seat] = []
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._serve, args=(number, make), name=f"worker {number}")
            for number, make in enumerate(seats)
        ]

    def run(self) -> list[Outcome]:
        """Do them all.

        Returns:
            What became of each; those that :meth:`stop` came before are ``waiting``.

        Raises:
            VideditError: there can be no worker.
        """
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(0.2)  # in pieces, so that signals are handled meanwhile
        if self._failed:
            raise self._failed[0]
        return self.outcomes

    def stop(self) -> None:
        """Begin no job any more, and stop those in hand; a second call stops them at once."""
        self._stopping.set()
        with self._lock:
            seats = list(self._seats)
        for seat in seats:
            seat.stop()

    def _serve(self, worker: int, make: Callable[[], Seat]) -> None:
        try:
            seat = make()
        except BaseException as error:
            self._failed.append(error)
            self.stop()
            return
        with self._lock:
            self._seats.append(seat)
        try:
            while not self._stopping.is_set():
                with self._lock:
                    group = self._left.popleft() if self._left else None
                if group is None:
                    return
                self._do_group(worker, seat, group)
        except BaseException as error:
            self._failed.append(error)
            self.stop()
        finally:
            seat.close()

    def _do_group(self, worker: int, seat: Seat, group: list[int]) -> None:
        for place, number in enumerate(group):
            if self._stopping.is_set():
                return
            self._board.began(number, worker)
            try:
                outcome = seat.do(
                    self.jobs[number],
                    lambda standing, number=number: self._board.moved(number, standing),  # type: ignore[misc]
                    lambda text, number=number: self._board.noted(number, text),  # type: ignore[misc]
                )
            except WorkerDied as death:
                if self._stopping.is_set():
                    return
                self._deaths[number] += 1
                if self._deaths[number] < DEATHS:
                    self._board.noted(number, f"the worker died ({death}); another goes on")
                    with self._lock:
                        self._left.appendleft(group[place:])
                    return
                error = died_of(self.jobs[number].source.name, death)
                outcome = failure(self.jobs[number].output, error)
            self.outcomes[number] = outcome
            self._board.ended(number, outcome)


def worst(outcomes: Sequence[Outcome]) -> int:
    """The exit code of a batch: 0 when all is done, 7 where it was stopped, else that of what went
    worst."""
    codes = [outcome.exit_code for outcome in outcomes if outcome.state == FAILED]
    if any(outcome.state not in ("done", "skipped", FAILED) for outcome in outcomes):
        return 7
    return max(codes, default=0)
