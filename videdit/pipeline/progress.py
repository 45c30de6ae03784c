"""How a run shows where it stands: a live table on a terminal, plain lines elsewhere.

Both write to standard error.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, TypeVar

from videdit.errors import UsageError
from videdit.pipeline.tally import (
    WAIT_S,
    Expected,
    Row,
    Standing,
    Tally,
    Wait,
    duration_text,
    left_text,
    rate_text,
)

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

LINE_EVERY_S = 5.0
"""Least time between two lines about the same thing in a plain log."""

_BEAT_S = 0.5


class Progress:
    """Keeps count of the stages; shows nothing by itself. Use it as a context manager.

    The runner calls :meth:`plan`, :meth:`begin`, :meth:`chunk`, :meth:`chunk_end`,
    :meth:`finishing` and :meth:`end`, a stage :meth:`tick`, :meth:`doing` and :meth:`note` through
    its context.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tally = Tally()
        self._doing: list[Wait] = []  # what goes on outside of the stages, outermost first
        self._lock = threading.RLock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plan(self, stages: Sequence[Expected], reused: Sequence[str] = ()) -> None:
        """The stages of the run, in order, and the names of those with nothing to do."""
        with self._lock:
            self._tally = Tally(stages)
            for name in reused:
                self._tally.row(name).state = "reused"
        self._planned(reused)

    def begin(self, stage: str, total: int, reused: int) -> None:
        """A stage begins: it has ``total`` units of work, of which ``reused`` are done already."""
        with self._lock:
            row = self._tally.row(stage)
            row.total, row.reused, row.made, row.in_chunk = total, reused, 0, 0
            row.began, row.ended, row.state = self._clock(), None, "working"
            row.seen, row.loaded, row.doing = row.began, 0.0, []
        self._begun(row)

    def chunk(self, stage: str, units: int) -> None:
        """A chunk of so many units begins (again, when the last one did not end)."""
        with self._lock:
            row = self._tally.row(stage)
            row.chunk, row.in_chunk = units, 0

    def tick(self, stage: str, units: int) -> None:
        """So many more units of the chunk in flight are done."""
        with self._lock:
            row = self._tally.row(stage)
            row.in_chunk = min(row.chunk, row.in_chunk + units)
        self._changed(row)

    def chunk_end(self, stage: str) -> None:
        """The chunk in flight is committed."""
        with self._lock:
            row = self._tally.row(stage)
            row.made, row.chunk, row.in_chunk = row.made + row.chunk, 0, 0
        self._changed(row)

    def finishing(self, stage: str) -> None:
        """All chunks of the stage are done, it puts them together."""
        with self._lock:
            row = self._tally.row(stage)
            row.state, row.finishing_since = "finishing", self._clock()

    @contextmanager
    def doing(self, what: str, stage: str = "") -> Iterator[None]:
        """Says ``what`` goes on while the block runs ("loading the encoder"), when it lasts.

        The time is not counted in the rate of the ``stage``, if it is in one.
        """
        with self._lock:
            row = self._tally.row(stage) if stage else None
            waits = row.doing if row else self._doing
            wait = Wait(what, self._clock())
            waits.append(wait)
        try:
            yield
        finally:
            with self._lock:
                waits.remove(wait)
                if row and not waits:
                    row.loaded += self._clock() - wait.since

    def end(self, stage: str, *, reused: bool = False) -> None:
        """The stage is complete, or was from the start (``reused``)."""
        with self._lock:
            row = self._tally.row(stage)
            row.ended, row.state = self._clock(), "reused" if reused else "done"
        self._ended(row)

    def note(self, text: str) -> None:
        """A line for the user."""

    def standing(self) -> Standing:
        """Where the run stands now."""
        now = self._clock()
        with self._lock:
            rows = [row for row in self._tally.rows.values() if row.state in _AT_WORK]
            if not rows:
                return Standing(doing=self._doing[-1].what if self._doing else "")
            row = rows[-1]
            return Standing(
                row.name,
                row.number,
                self._tally.planned,
                row.done,
                row.total,
                row.expected.unit,
                row.rate(now),
                self._tally.left(now),
                row.wait.what if row.wait else "",
            )

    def _planned(self, reused: Sequence[str]) -> None:
        """Hook: the stages are known."""

    def _begun(self, row: Row) -> None:
        """Hook: a stage began."""

    def _changed(self, row: Row) -> None:
        """Hook: a stage moved on."""

    def _ended(self, row: Row) -> None:
        """Hook: a stage ended."""


_Beating = TypeVar("_Beating", bound="BeatingProgress")


class BeatingProgress(Progress):
    """Calls :meth:`beat` every so often while it is entered: what lasts says nothing by itself, so
    somebody else has to look at the clock.

    Args:
        every_s: seconds between two beats.
    """

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._every_s = every_s
        self._over = threading.Event()
        self._beating: threading.Thread | None = None

    def __enter__(self: _Beating) -> _Beating:
        self._over.clear()
        self._beating = threading.Thread(target=self._beat_on, name="progress", daemon=True)
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._beating is not None:
            self._beating.join()

    def _beat_on(self) -> None:
        while not self._over.wait(self._every_s):
            self.beat()

    def beat(self) -> None:
        """Hook: some time went by."""


class PlainProgress(BeatingProgress):
    """Lines in a log: what is reused, a stage's beginning, one every few seconds, its end."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(_BEAT_S, clock)
        self._stream = stream
        self._said: dict[Wait, float] = {}

    def beat(self) -> None:
        """Says what is going on, where nothing was said of it for long. Called now and then."""
        with self._lock:
            rows = [row for row in self._tally.rows.values() if row.state in _AT_WORK]
            if self._doing:
                self._say_wait("", self._doing[-1])
            for row in rows:
                self._changed(row)

    def note(self, text: str) -> None:
        self._line(text)

    def _planned(self, reused: Sequence[str]) -> None:
        if reused:
            self._line(f"reused: {', '.join(reused)}")

    def _begun(self, row: Row) -> None:
        to_do = row.total - row.reused
        if not to_do:  # it only has to put together what is there
            return
        parts = [f"{to_do} {row.expected.unit} to do"]
        if row.reused:
            parts.append(f"{row.reused} reused")
        self._say(row, [*parts, *self._left_for_all()])

    def _changed(self, row: Row) -> None:
        now = self._clock()
        with self._lock:
            wait = row.wait
            if wait is not None:
                self._say_wait(self._head(row), wait)
                return
            if row.state != "working" or now - row.seen < LINE_EVERY_S:
                return
            row.seen = now
            parts = [f"{row.done}/{row.total} {row.expected.unit}"] if row.total else ["at work"]
            rate, left = row.rate(now), row.left(now)
            if rate is not None:
                parts.append(rate_text(rate, row.expected.unit))
            if left is not None:
                parts.append(f"{left_text(left)} left")
            self._say(row, [*parts, *self._left_for_all()])

    def _say_wait(self, head: str, wait: Wait) -> None:
        """A line about what goes on, at first when it is worth a word, then every few seconds."""
        now = self._clock()
        last = self._said.get(wait)
        if now - wait.since < WAIT_S or (last is not None and now - last < LINE_EVERY_S):
            return
        self._said[wait] = now
        self._line(f"{head}{wait.what}, {duration_text(now - wait.since)}")

    def _ended(self, row: Row) -> None:
        if row.state == "reused":
            self._say(row, ["reused"])
            return
        now = self._clock()
        took = duration_text(now - row.began) if row.began is not None else "0:00"
        parts = [f"done in {took}"]
        if row.made:
            parts.append(f"{row.made} {row.expected.unit}")
        rate = row.rate(now)
        if rate is not None:
            parts.append(rate_text(rate, row.expected.unit))
        if row.loaded >= 1:
            parts.append(f"loading {duration_text(row.loaded)}")
        if row.reused:
            parts.append(f"{row.reused} {row.expected.unit} reused")
        self._say(row, parts)

    def _left_for_all(self) -> list[str]:
        left = self._tally.left(self._clock())
        return [] if left is None else [f"{left_text(left)} for all"]

    def _head(self, row: Row) -> str:
        return f"{self._tally.place(row)}{row.name}: "

    def _say(self, row: Row, parts: Sequence[str]) -> None:
        self._line(self._head(row) + ", ".join(parts))

    def _line(self, text: str) -> None:
        write_line(timed(text), self._stream)


class LiveProgress(Progress):
    """One table on the terminal that is drawn again four times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._live: Live | None = None

    def __enter__(self) -> LiveProgress:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True), get_renderable=self.table, refresh_per_second=4
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)

    def table(self) -> Table:
        """The table as it stands: a row per stage, and one for all."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for _ in range(2):
            table.add_column(no_wrap=True)
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        now = self._clock()
        with self._lock:
            for row in self._tally.rows.values():
                rate = row.rate(now)
                shown = row.state in (*_AT_WORK, "done") and row.total > 0
                table.add_row(
                    row.name,
                    ProgressBar(total=row.total, completed=row.done, width=30) if shown else "",
                    f"{row.done}/{row.total}" if shown else "",
                    "" if rate is None else rate_text(rate, row.expected.unit),
                    _state_text(row, now),
                )
            for wait in self._doing[-1:]:
                table.add_row("", "", "", "", _wait_text(wait, now))
            at_work = [row for row in self._tally.rows.values() if row.state in _AT_WORK]
            if at_work and at_work[-1].number:
                left = self._tally.left(now)
                table.add_row(
                    f"stage {at_work[-1].number} of {self._tally.planned}",
                    "",
                    "",
                    "",
                    "" if left is None else f"{left_text(left)} for all",
                )
        return table


class CalledProgress(Progress):
    """Calls a function with a stage's name, what of it is done, and what there is to do, whenever
    that changes."""

    def __init__(self, function: Callable[[str, int, int], object]) -> None:
        super().__init__()
        self._function = function

    def _begun(self, row: Row) -> None:
        self._changed(row)

    def _changed(self, row: Row) -> None:
        self._function(row.name, row.done, row.total)

    def _ended(self, row: Row) -> None:
        self._changed(row)


def timed(text: str) -> str:
    """A line of a log, with the time before it."""
    return f"{time.strftime('%H:%M:%S')} {text}"


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Writes a line to a log, standard error if none is given. That its reader has gone, or that
    there never was one, is no reason to stop."""
    # Looked up each time: tests and hosts replace sys.stderr.
    stream = stream if stream is not None else sys.stderr
    with suppress(OSError, ValueError, AttributeError):
        stream.write(f"{line}\n")  # at once: two threads write
        stream.flush()


def note_from_handler(note: Callable[[str], None], text: str) -> None:
    """Says something from within a signal handler. The handler may have broken into whoever holds
    the lock of the same log, which would wait for it for ever: another thread says it."""

    def say() -> None:
        with suppress(Exception):
            note(text)

    # Not threading.Thread, whose start takes a lock of its own.
    with suppress(RuntimeError):
        _thread.start_new_thread(say, ())


def as_progress(asked: Progress | Callable[[str, int, int], object] | None) -> Progress:
    """A :class:`Progress` of what a caller gave as one.

    Raises:
        UsageError: it is neither a Progress nor a function.
    """
    if asked is None:
        return Progress()
    if isinstance(asked, Progress):
        return asked
    if callable(asked):
        return CalledProgress(asked)
    raise UsageError(
        f"{type(asked).__name__} is no progress",
        "Give a videdit.Progress, or a function of a stage's name, what is done and what is to do.",
    )


_AT_WORK = ("working", "finishing")


def _state_text(row: Row, now: float) -> str:
    """What stands in the last column of a stage's row."""
    if row.wait is not None:
        return _wait_text(row.wait, now)
    if row.state == "working":
        left = row.left(now)
        return "" if left is None else f"{left_text(left)} left"
    if row.state == "done" and row.began is not None and row.ended is not None:
        return duration_text(row.ended - row.began)
    return row.state


def _wait_text(wait: Wait, now: float) -> str:
    waited = now - wait.since
    return wait.what + (f", {duration_text(waited)}" if waited >= WAIT_S else "")


def make_progress(quiet: bool = False) -> Progress:
    """The progress that fits standard error: a table on a terminal, else lines; none if quiet."""
    if quiet:
        return Progress()
    return LiveProgress() if on_terminal() else PlainProgress()


def on_terminal() -> bool:
    """Whether standard error is a terminal on which a table can be drawn."""
    stream = sys.stderr
    try:
        terminal = stream is not None and stream.isatty()
    except ValueError:  # closed
        terminal = False
    return terminal and os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")
