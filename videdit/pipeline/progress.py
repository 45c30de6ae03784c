"""How a run shows where it stands: a live table on a terminal, plain lines elsewhere.

Both write to standard error. Time left comes from the frames made in this run; reused ones are done
from the start and tell nothing about speed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

LINE_EVERY_S = 5.0
"""Least time between two lines about the same stage in a plain log."""


@dataclass
class _Row:
    """Where one stage stands. Frames, and seconds of a monotonic clock."""

    name: str
    total: int = 0
    reused: int = 0
    made: int = 0
    in_chunk: int = 0
    chunk: int = 0
    began: float | None = None
    ended: float | None = None
    seen: float = 0.0
    state: str = "waiting"

    @property
    def done(self) -> int:
        return min(self.total, self.reused + self.made + self.in_chunk)

    def rate(self, now: float) -> float | None:
        """Frames a second of those made in this run."""
        made = self.made + self.in_chunk
        if self.began is None or made == 0:
            return None
        seconds = (self.ended if self.ended is not None else now) - self.began
        return made / seconds if seconds > 0 else None

    def left(self, now: float) -> float | None:
        """Seconds that the rest takes at that rate."""
        rate = self.rate(now)
        return (self.total - self.done) / rate if rate else None


class Progress:
    """Keeps count of the stages; shows nothing by itself. Use it as a context manager.

    The runner calls :meth:`begin`, :meth:`chunk`, :meth:`chunk_end` and :meth:`end`, a stage
    :meth:`tick` and :meth:`note` through its context.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plan(self, stages: Sequence[str]) -> None:
        """The stages of the run, in order."""
        with self._lock:
            self._rows = {name: _Row(name) for name in stages}

    def begin(self, stage: str, total: int, reused: int) -> None:
        """A stage begins: it has ``total`` frames, of which ``reused`` are there already."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row(stage))
            row.total, row.reused, row.made, row.in_chunk = total, reused, 0, 0
            row.began, row.ended, row.state = self._clock(), None, "working"
            row.seen = row.began
        self._begun(row)

    def chunk(self, stage: str, frames: int) -> None:
        """A chunk of ``frames`` frames begins (again, when the last one did not end)."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row(stage))
            row.chunk, row.in_chunk = frames, 0

    def tick(self, stage: str, frames: int) -> None:
        """``frames`` more frames of the chunk in flight are done."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row(stage))
            row.in_chunk = min(row.chunk, row.in_chunk + frames)
        self._changed(row)

    def chunk_end(self, stage: str) -> None:
        """The chunk in flight is committed."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row(stage))
            row.made, row.chunk, row.in_chunk = row.made + row.chunk, 0, 0
        self._changed(row)

    def finishing(self, stage: str) -> None:
        """All frames of the stage are done, it puts them together."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row(stage))
            row.state = "finishing"
        self._changed(row)

    def end(self, stage: str, *, reused: bool = False) -> None:
        """The stage is complete, or was from the start (``reused``)."""
        with self._lock:
            row = self._rows.setdefault(stage, _Row(stage))
            row.ended, row.state = self._clock(), "reused" if reused else "done"
        self._ended(row)

    def note(self, text: str) -> None:
        """A line for the user."""

    def _begun(self, row: _Row) -> None:
        """Hook: a stage began."""

    def _changed(self, row: _Row) -> None:
        """Hook: a stage moved on."""

    def _ended(self, row: _Row) -> None:
        """Hook: a stage ended."""


class PlainProgress(Progress):
    """Lines in a log: a stage's beginning, then one every few seconds, then its end."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self._stream = stream

    def note(self, text: str) -> None:
        self._line(text)

    def _begun(self, row: _Row) -> None:
        reused = f", {row.reused} reused" if row.reused else ""
        self._line(f"{row.name}: {row.total - row.reused} frames to do{reused}")

    def _changed(self, row: _Row) -> None:
        now = self._clock()
        with self._lock:
            if row.state != "working" or now - row.seen < LINE_EVERY_S:
                return
            row.seen = now
            parts = [f"{row.done}/{row.total} frames"]
            rate, left = row.rate(now), row.left(now)
            if rate is not None:
                parts.append(rate_text(rate))
            if left is not None:
                parts.append(f"{duration_text(left)} left")
        self._line(f"{row.name}: {', '.join(parts)}")

    def _ended(self, row: _Row) -> None:
        if row.state == "reused":
            self._line(f"{row.name}: reused")
            return
        now = self._clock()
        took = duration_text(now - row.began) if row.began is not None else "0:00"
        parts = [f"done in {took}"]
        if row.made:
            parts.append(f"{row.made} frames")
        rate = row.rate(now)
        if rate is not None:
            parts.append(rate_text(rate))
        if row.reused:
            parts.append(f"{row.reused} frames reused")
        self._line(f"{row.name}: {', '.join(parts)}")

    def _line(self, text: str) -> None:
        # Looked up each time: tests and hosts replace sys.stderr.
        stream = self._stream if self._stream is not None else sys.stderr
        with suppress(OSError, ValueError):  # the log's reader has gone: no reason to stop
            print(time.strftime("%H:%M:%S"), text, file=stream, flush=True)


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
        """The table as it stands."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for _ in range(2):
            table.add_column(no_wrap=True)
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        now = self._clock()
        with self._lock:
            for row in self._rows.values():
                rate, left = row.rate(now), row.left(now)
                if row.state == "working":
                    last = "" if left is None else f"{duration_text(left)} left"
                elif row.state == "done" and row.began is not None and row.ended is not None:
                    last = duration_text(row.ended - row.began)
                else:
                    last = row.state
                shown = row.state in ("working", "finishing", "done") and row.total > 0
                table.add_row(
                    row.name,
                    ProgressBar(total=row.total, completed=row.done, width=30) if shown else "",
                    f"{row.done}/{row.total}" if shown else "",
                    "" if rate is None else rate_text(rate),
                    last,
                )
        return table


def make_progress(quiet: bool = False) -> Progress:
    """The progress that fits standard error: a table on a terminal, else lines; none if quiet."""
    if quiet:
        return Progress()
    stream = sys.stderr
    try:
        terminal = stream is not None and stream.isatty()
    except ValueError:  # closed
        terminal = False
    if terminal and os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown"):
        return LiveProgress()
    return PlainProgress()


def duration_text(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}:{minutes:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}"


def rate_text(rate: float) -> str:
    """Frames per second with as many digits as say something."""
    return f"{rate:.0f} frames/s" if rate >= 100 else f"{rate:.3g} frames/s"
