"""Where the stages of a run stand, how fast they go, and how long the rest takes.

A stage's rate counts the units made in this run over the time it took, loading left out; what was
there already tells nothing about speed. A stage that has not begun is reckoned with its usual cost,
scaled by how this machine did on the stages before. Where nothing can be said, nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WAIT_S = 2.0
"""A wait of this length is explained."""


@dataclass(frozen=True)
class Expected:
    """What is known of a stage before it begins.

    Attributes:
        unit: what its work is counted in.
        cost: seconds per unit on a laptop of two cores.
        work: units, None where nobody knows.
        finishing: what it does when it puts its chunks together, in words.
    """

    name: str
    unit: str = "frames"
    cost: float = 0.01
    work: int | None = None
    finishing: str = "finishing"


class Standing(NamedTuple):
    """Where a run stands.

    Attributes:
        stage: the one at work, and its ``number`` of the ``planned`` ones, from 1.
        done, total: units of its work, called ``unit``.
        rate: units a second, if there are any yet.
        left: seconds that all of the run takes from now on, where that can be said.
        doing: what goes on that is not counted, in words.
    """

    stage: str = ""
    number: int = 0
    planned: int = 0
    done: int = 0
    total: int = 0
    unit: str = "frames"
    rate: float | None = None
    left: float | None = None
    doing: str = ""


class Wait(NamedTuple):
    """Something that goes on without being counted: what, and since when on the clock."""

    what: str
    since: float


@dataclass
class Row:
    """Where one stage stands. Units of work, and seconds of a monotonic clock.

    Attributes:
        number: its place in the chain, from 1; 0 where it was not planned.
        state: ``waiting``, ``working``, ``finishing``, ``done`` or ``reused``.
        seen: when something was last said about it.
        doing: what goes on in it that is no work on units, such as loading; outermost first.
        loaded: seconds that this took so far.
    """

    expected: Expected
    number: int = 0
    total: int = 0
    reused: int = 0
    made: int = 0
    in_chunk: int = 0
    chunk: int = 0
    began: float | None = None
    ended: float | None = None
    seen: float = 0.0
    state: str = "waiting"
    doing: list[Wait] = field(default_factory=list)
    loaded: float = 0.0
    finishing_since: float = 0.0

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.expected.name

    @property
    def done(self) -> int:
        """Units that are there."""
        return min(self.total, self.reused + self.made + self.in_chunk)

    @property
    def wait(self) -> Wait | None:
        """What goes on in it now without being counted; None while it counts."""
        if self.doing:
            return self.doing[-1]
        if self.state == "finishing":
            return Wait(self.expected.finishing, self.finishing_since)
        return None

    def seconds(self, now: float) -> float:
        """Time spent on it in this run, loading left out."""
        if self.began is None:
            return 0.0
        unfinished = now - self.doing[0].since if self.doing else 0.0
        return (
            (self.ended if self.ended is not None else now)
            - self.began
            - (self.loaded + unfinished)
        )

    def rate(self, now: float) -> float | None:
        """Units a second of those made in this run."""
        made, seconds = self.made + self.in_chunk, self.seconds(now)
        return made / seconds if made and seconds > 0 else None

    def left(self, now: float) -> float | None:
        """Seconds that the rest of its units takes at that rate; None without rate or rest."""
        rate = self.rate(now)
        return (self.total - self.done) / rate if rate and self.total > self.done else None

    def outlook(self, now: float, scale: float) -> float | None:
        """Seconds that it takes from now on; None where that cannot be said.

        Args:
            scale: how many times the usual cost this machine takes.
        """
        if self.state in ("done", "reused"):
            return 0.0
        if self.state == "finishing" and now - self.finishing_since >= WAIT_S:
            return None
        if self.rate(now):
            return self.left(now) or 0.0
        work = self.total - self.done if self.total else self.expected.work
        if work is None and self.began is None:
            return None
        usual = (work or 0) * self.expected.cost * scale
        spent = self.seconds(now)
        # Beyond that it takes longer than usual, and nothing done tells how much longer.
        return max(0.0, usual - spent) if spent < max(usual, WAIT_S) else None


class Tally:
    """The stages of a run."""

    def __init__(self, stages: Sequence[Expected] = ()) -> None:
        self.planned = len(stages)
        self.rows = {each.name: Row(each, i + 1) for i, each in enumerate(stages)}

    def row(self, stage: str) -> Row:
        """The stage's row; made where it was not planned."""
        return self.rows.setdefault(stage, Row(Expected(stage)))

    def place(self, row: Row) -> str:
        """Its place in words of the log: ``[3/8] ``; empty where it was not planned."""
        return f"[{row.number}/{self.planned}] " if row.number else ""

    def scale(self, now: float) -> float:
        """How many times their usual cost the stages took so far; 1 before anything is known."""
        rows = [row for row in self.rows.values() if row.rate(now)]
        usual = sum((row.made + row.in_chunk) * row.expected.cost for row in rows)
        return sum(row.seconds(now) for row in rows) / usual if usual > 0 else 1.0

    def left(self, now: float) -> float | None:
        """Seconds that all the rest takes; None where nothing is left or nothing can be said."""
        scale = self.scale(now)
        outlooks = [row.outlook(now, scale) for row in self.rows.values()]
        known = [seconds for seconds in outlooks if seconds is not None]
        total = sum(known)
        return total if total > 0 and len(known) == len(outlooks) else None


def duration_text(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}:{minutes:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}"


def left_text(seconds: float) -> str:
    """Time that is left, as :func:`duration_text`; a second at least, since something is."""
    return duration_text(max(1, round(seconds)))


def rate_text(rate: float, unit: str = "frames") -> str:
    """Units per second with as many digits as say something."""
    return f"{rate:.0f} {unit}/s" if rate >= 100 else f"{rate:.3g} {unit}/s"
