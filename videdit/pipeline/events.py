"""What happens in a run as JSON, one object a line, for programs that start runs.

Every object has ``schema`` (the version of what follows: fields may be added to it, none is taken
away or changed), ``time`` (UTC, ISO 8601) and ``event``. docs/batch.md lists the events.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TextIO

from videdit.pipeline.progress import BeatingProgress, write_line
from videdit.pipeline.records import Json
from videdit.pipeline.tally import Row, Standing

SCHEMA = 1
EVERY_S = 5.0
"""Time between two events that say how far a stage is."""


class EventLog:
    """Writes events, from any thread.

    Args:
        stream: standard error, if not said.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, event: str, **fields: Json) -> None:
        """Write one event."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"schema": SCHEMA, "time": now, "event": event, **fields})
        with self._lock:
            write_line(line, self._stream)


def standing_fields(standing: Standing) -> dict[str, Json]:
    """The fields of a ``progress`` event; seconds and rates with three digits behind the point."""
    found: dict[str, Json] = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in standing._asdict().items()
    }
    return found


class EventProgress(BeatingProgress):
    """A run's progress as events: plan, stage_begin, progress, stage_end and note."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(EVERY_S)
        self._log = log

    def note(self, text: str) -> None:
        self._log.write("note", text=text)

    def beat(self) -> None:
        standing = self.standing()
        if standing != Standing():
            self._log.write("progress", **standing_fields(standing))

    def _planned(self, reused: Sequence[str]) -> None:
        names: list[Json] = list(self._tally.rows)
        self._log.write("plan", stages=names, reused=list(reused))

    def _begun(self, row: Row) -> None:
        self._log.write(
            "stage_begin",
            stage=row.name,
            number=row.number,
            planned=self._tally.planned,
            total=row.total,
            reused=row.reused,
            unit=row.expected.unit,
        )

    def _ended(self, row: Row) -> None:
        if row.state == "reused":
            return  # the plan said so
        now = self._clock()
        took = 0.0 if row.began is None else now - row.began
        self._log.write("stage_end", stage=row.name, made=row.made, seconds=round(took, 3))
