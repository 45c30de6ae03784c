"""One source at a time, its chunks spread over the workers: for long films."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import error_of
from ..pipeline.hands import DamageMet, HandLost, Piece
from ..pipeline.tally import Standing
from ..settings import RunSettings
from .crew import DEATHS, Seat, WorkerDied, died_of
from .jobs import Job
from .local import Relay, local_seats
from .work import FilmPiece, Made, Outcome, Worker


class FilmSeat:
    """A seat (:class:`videdit.batch.crew.Seat`) whose worker has others make its chunks.

    Args:
        cache, overwrite: as of a :class:`Worker`; all of them see the cache under this name.
        seats: make the seats of the others.
    """

    def __init__(
        self, cache: Path | None, overwrite: bool, seats: Sequence[Callable[[], Seat]]
    ) -> None:
        self._cache, self._overwrite = cache, overwrite
        self._seats = [make() for make in seats]
        self._stop = threading.Event()

    def do(
        self, job: Job, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Outcome:
        def say(what: Standing | str) -> None:
            if isinstance(what, str):
                noted(what)
            else:
                moved(what)

        def hands(run: RunSettings) -> SeatedHands:
            return SeatedHands(self._seats, run, noted)

        worker = Worker(self._cache, self._overwrite, hands)
        return worker.do(job, Relay(say), self._stop)

    def make(
        self, piece: FilmPiece, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Made:
        raise AssertionError("this one gives chunks out")

    def stop(self) -> None:
        self._stop.set()
        for seat in self._seats:
            seat.stop()

    def close(self) -> None:
        for seat in self._seats:
            seat.close()


@contextmanager
def local_hands(
    count: int, cache: Path | None, noted: Callable[[str], None]
) -> Iterator[Callable[[RunSettings], SeatedHands] | None]:
    """Processes of this machine that make the chunks of a run, while inside.

    Args:
        count: how many; 1 is this process by itself, and gives None.
        cache: folder of the kept work; None for the usual one.
        noted: told what is to be said of it, once each.

    Returns:
        ``hands`` for ``edit_video``.
    """
    if count == 1:
        yield None
        return
    worker = Worker(None if cache is None else cache.absolute())
    with ExitStack() as stack:
        seats = [make() for make in local_seats(worker, count)]
        for seat in seats:
            stack.callback(seat.close)
        yield lambda run: SeatedHands(seats, run, noted)


class SeatedHands:
    """Workers that make the chunks of a run (:class:`videdit.pipeline.hands.Hands`).

    Args:
        seats: where they sit.
        run: the settings of the run.
        noted: told what is to be said of it, once each.
    """

    def __init__(
        self, seats: Sequence[Seat], run: RunSettings, noted: Callable[[str], None]
    ) -> None:
        self._run, self._noted = run, noted
        self._free: queue.SimpleQueue[Seat] = queue.SimpleQueue()
        for seat in seats:
            self._free.put(seat)
        self._count = len(seats)
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._said: set[str] = set()

    @property
    def count(self) -> int:
        return self._count

    def make(self, piece: Piece, made: Callable[[int], None]) -> None:
        seat = self._free.get()
        try:
            done = seat.make(
                FilmPiece(self._run, piece), lambda standing: made(standing.done), self._note
            )
        except WorkerDied as death:
            which = (piece.stage, piece.chunk.name)
            self._deaths[which] += 1
            if self._deaths[which] < DEATHS:
                self._note(f"a worker died ({death}); another makes its chunk")
                raise HandLost(str(death)) from None
            raise died_of(f"{piece.stage}, chunk {piece.chunk.name}", death) from None
        finally:
            self._free.put(seat)
        if done.damaged is not None:
            raise DamageMet(*done.damaged)
        if done.exit_code:
            raise error_of(done.exit_code, done.message, done.remedy)

    def _note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._noted(text)
