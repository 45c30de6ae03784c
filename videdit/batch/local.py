"""Workers that are processes of this machine.

A process each, for a worker that runs out of memory, or whose codec crashes, takes none with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from ..device import THREADS, calm, threads
from ..pipeline.progress import BeatingProgress, note_from_handler
from ..pipeline.tally import Standing
from .crew import WorkerDied
from .jobs import Job
from .work import INTERRUPTED, FilmPiece, Made, Outcome, Worker

_EVERY_S = 0.5
_PATIENCE_S = 5.0


class LocalSeat:
    """A seat (:class:`videdit.batch.crew.Seat`) whose worker is a process of this machine.

    Args:
        worker: as it begins.
        threads: that it may use.
    """

    def __init__(self, worker: Worker, threads: int) -> None:
        self._worker, self._threads = worker, threads
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def do(
        self, job: Job, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Outcome:
        outcome = self._ask(job, moved, noted)
        assert isinstance(outcome, Outcome)
        return outcome

    def make(
        self, piece: FilmPiece, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Made:
        made = self._ask(piece, moved, noted)
        assert isinstance(made, Made)
        return made

    def _ask(
        self,
        asked: Job | FilmPiece,
        moved: Callable[[Standing], None],
        noted: Callable[[str], None],
    ) -> Outcome | Made:
        if self._pipe is None or self._process is None or not self._process.is_alive():
            self._begin()
        assert self._pipe is not None
        try:
            self._pipe.send(asked)
            while True:
                said = self._pipe.recv()
                if isinstance(said, Outcome | Made):
                    return said
                if isinstance(said, Standing):
                    moved(said)
                else:
                    noted(said)
        except (EOFError, OSError):
            raise WorkerDied(self._ending()) from None

    def stop(self) -> None:
        process = self._process
        if process is not None and process.is_alive():
            process.terminate()

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.join(_PATIENCE_S)
            if self._process.is_alive():
                self._process.kill()
            self._process.join()
        self._pipe = self._process = None

    def _begin(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        with _starting:  # the environment is everyone's
            before = os.environ.get(THREADS)
            os.environ[THREADS] = str(self._threads)
            try:
                self._process = spawning.Process(
                    target=_serve, args=(theirs, self._worker), daemon=True
                )
                self._process.start()
            finally:
                if before is None:
                    del os.environ[THREADS]
                else:
                    os.environ[THREADS] = before
        theirs.close()
        self._pipe = ours

    def _ending(self) -> str:
        """How the process ended, in words."""
        assert self._process is not None
        self._process.join(_PATIENCE_S)
        code = self._process.exitcode
        self.close()
        if code is None:
            return "it was silent"
        if code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"


def local_seats(worker: Worker, count: int) -> list[Callable[[], LocalSeat]]:
    """What makes so many seats, which share this machine's processors."""
    return [lambda: LocalSeat(worker, max(1, threads() // count))] * count


_starting = threading.Lock()


class _Asked(BaseException):
    """A signal came outside of a run, which handles its own."""


def _serve(pipe: Connection, worker: Worker) -> None:
    """The process: takes jobs and pieces until the pipe ends."""
    # Ctrl-C reaches all processes of a terminal; the first one passes it on to the others.
    with contextlib.suppress(OSError):
        os.setsid()
    calm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _raise_asked)
    threading.Thread(target=_outlive_nobody, name="parent", daemon=True).start()
    lock, stop = threading.Lock(), threading.Event()

    def say(what: Any) -> None:
        with lock, contextlib.suppress(OSError):
            pipe.send(what)

    relay = Relay(say)

    def work() -> None:
        asked = pipe.recv()
        if isinstance(asked, FilmPiece):
            with stopping_by_signal(stop.set, relay.note):
                say(worker.make(asked, relay, stop))
            return
        try:
            worker.leave_film()
            outcome = worker.do(asked, relay)
        except (_Asked, KeyboardInterrupt):
            outcome = Outcome(INTERRUPTED, str(asked.output), exit_code=7)
        say(outcome)

    with contextlib.suppress(EOFError, OSError, _Asked):
        while not stop.is_set():
            work()


def _raise_asked(_: int, __: FrameType | None) -> None:
    raise _Asked


def _outlive_nobody() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class Relay(BeatingProgress):
    """Passes on where a run stands, twice a second if it moved, and what it notes.

    Args:
        say: takes a :class:`Standing`, or a note.
    """

    def __init__(self, say: Callable[[Standing | str], None]) -> None:
        super().__init__(_EVERY_S)
        self._say = say
        self._last: Standing | None = None

    def note(self, text: str) -> None:
        self._say(text)

    def beat(self) -> None:
        standing = self.standing()
        if standing != self._last:
            self._say(standing)
        self._last = standing


@contextlib.contextmanager
def stopping_by_signal(stop: Callable[[], None], note: Callable[[str], None]) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM call ``stop``; a third one ends the process."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    times = 0

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal times
        times += 1
        if times > 2:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        if times == 1:
            note_from_handler(
                note, "stopping when the chunks in flight are done; the same again stops at once"
            )
        stop()

    try:
        for number, found in before.items():
            if found is not signal.SIG_IGN:
                signal.signal(number, handle)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
