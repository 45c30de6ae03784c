"""Runs one after another, in a process beside the page's: a crash there leaves the page alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..batch.crew import Seat, WorkerDied, died_of
from ..batch.jobs import Job
from ..batch.local import LocalSeat
from ..batch.work import DONE, INTERRUPTED, SKIPPED, WAITING, Outcome, Worker, failure
from ..device import threads
from ..errors import Interrupted, explained
from ..pipeline.tally import Standing

WORKING, STOPPING = "working", "stopping"
_PENDING = (WAITING, WORKING, STOPPING)


@dataclass(frozen=True)
class Run:
    """One of the queue's, as it stands.

    Attributes:
        number: from 0, in the order in which they were asked for.
        owner: who asked for it.
        job: what is to be done; its output names a file.
        command: the command line that does the same.
        state: waiting, working, stopping, or how it ended: done, failed, interrupted.
        standing: how far it is.
        note: what was last said of it.
        outcome: how it ended.
        began: on the monotonic clock.
    """

    number: int
    owner: str
    job: Job
    command: str = ""
    state: str = WAITING
    standing: Standing = field(default_factory=Standing)
    note: str = ""
    outcome: Outcome | None = None
    began: float = 0.0

    @property
    def pending(self) -> bool:
        """Whether it is still to end."""
        return self.state in _PENDING


class RunQueue:
    """Does jobs one at a time, in the order in which they come.

    Args:
        worker: as it begins.
        seat: makes where it sits; by default a process that may use all processors.
    """

    def __init__(self, worker: Worker, seat: Callable[[Worker], Seat] | None = None) -> None:
        self._seat = (seat or (lambda worker: LocalSeat(worker, threads())))(worker)
        self._changed = threading.Condition()
        self._runs: list[Run] = []
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)
        self._thread.start()

    def add(self, job: Job, *, owner: str = "", command: str = "") -> Run:
        """Put a job at the end."""
        with self._changed:
            run = Run(len(self._runs), owner, job, command)
            self._runs.append(run)
            self._changed.notify_all()
        return run

    def stop(self, number: int) -> None:
        """Stop a run after the chunk in flight; a second call ends it at once. What it worked out
        is kept."""
        with self._changed:
            run = self._runs[number]
            if run.state == WAITING:
                self._set(number, state=INTERRUPTED)
            elif run.pending:
                self._set(number, state=STOPPING)
                self._seat.stop()

    def again(self, number: int) -> None:
        """Take up a run that did not end well: it goes on where it stopped."""
        with self._changed:
            if not self._runs[number].pending:
                self._set(number, state=WAITING, outcome=None, standing=Standing(), note="")
                self._changed.notify_all()

    def runs(self) -> list[Run]:
        """All, in the order in which they were asked for."""
        with self._changed:
            return list(self._runs)

    @property
    def outputs(self) -> set[Path]:
        """Files that are written, or are to be."""
        return {run.job.output for run in self.runs()}

    @property
    def going(self) -> bool:
        """Whether there is a run that has not ended."""
        return any(run.pending for run in self.runs())

    def close(self) -> bool:
        """Stop what goes on, wait for its chunk in flight, and send the worker home; a second call,
        from a signal's handler, ends it at once.

        Returns:
            Whether a run was cut short.
        """
        with self._changed:
            cut = self.going
            again, self._closing = self._closing, True
            for run in self._runs:
                if run.state == WAITING:
                    self._set(run.number, state=INTERRUPTED)
            self._changed.notify_all()
            if again or any(run.pending for run in self._runs):
                self._seat.stop()
        while self._thread.is_alive():
            self._thread.join(0.2)
        return cut

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                run = self._runs[number]
                try:
                    outcome = self._seat.do(
                        run.job,
                        lambda standing, n=number: self._update(n, standing=standing),  # type: ignore[misc]
                        lambda text, n=number: self._update(n, note=text),  # type: ignore[misc]
                    )
                except WorkerDied as death:
                    outcome = self._died(number, death)
                except Exception as error:  # the queue goes on
                    outcome = failure(run.job.output, explained(error, ""))
                state = DONE if outcome.state == SKIPPED else outcome.state
                self._update(number, state=state, outcome=outcome)
        finally:
            self._seat.close()

    def _next(self) -> int | None:
        """The number of the next run, when there is one; None where no more are begun."""
        with self._changed:
            while not self._closing:
                for run in self._runs:
                    if run.state == WAITING:
                        self._set(run.number, state=WORKING, began=time.monotonic())
                        return run.number
                self._changed.wait()
        return None

    def _died(self, number: int, death: WorkerDied) -> Outcome:
        job = self._runs[number].job
        if self._runs[number].state == STOPPING or self._closing:
            return Outcome(INTERRUPTED, str(job.output), exit_code=Interrupted.exit_code)
        return failure(job.output, died_of(job.source.name, death))

    def _update(self, number: int, **values: object) -> None:
        with self._changed:
            self._set(number, **values)

    def _set(self, number: int, **values: object) -> None:
        self._runs[number] = replace(self._runs[number], **values)  # type: ignore[arg-type]


def free_name(path: Path, taken: set[Path]) -> Path:
    """The path, or the first of ``NAME-2``, ``NAME-3`` ... that is neither there nor taken."""
    number, found = 1, path
    while found in taken or found.exists() or found.is_symlink():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found
