"""`--log-json`: what a verb does, and how it ends, as events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.errors import Interrupted, VideditError

if TYPE_CHECKING:
    from videdit.api import Forecast, Result
    from videdit.editing.schedule import Edit
    from videdit.pipeline.events import EventLog

LogJson = Annotated[
    bool,
    typer.Option(
        "--log-json", help="Log to standard error as JSON, one object a line: docs/batch.md."
    ),
]


@contextmanager
def event_log(asked: bool) -> Iterator[EventLog | None]:
    """The log, if it is asked for. What ends the block is written to it as ``error`` then, and
    its exit code becomes the process's."""
    if not asked:
        yield None
        return
    from videdit.pipeline.events import EventLog

    log = EventLog()
    try:
        yield log
    except KeyboardInterrupt:
        error = Interrupted("interrupted", "Run the same command again to resume.")
        write_error(log, error)
        raise typer.Exit(error.exit_code) from None
    except VideditError as error:
        write_error(log, error)
        raise typer.Exit(error.exit_code) from None


def write_error(log: EventLog, error: VideditError, **fields: str) -> None:
    """Writes an ``error``; more fields say what it is about."""
    log.write(
        "error",
        message=" ".join(error.message.split()),
        remedy=error.remedy,
        exit_code=error.exit_code,
        **fields,
    )


def write_result(log: EventLog, source: str, result: Result, edits: list[Edit]) -> None:
    """Writes a ``result``."""
    log.write(
        "result",
        input=source,
        output=str(result.output),
        comparison=None if result.comparison is None else str(result.comparison),
        edits=[str(edit) for edit in edits],
        frames=result.frames,
        edited=len(result.edited),
        notes=list(result.notes),
        seconds=round(result.seconds, 3),
    )


def write_forecast(log: EventLog, source: str, forecast: Forecast, edits: list[Edit]) -> None:
    """Writes a ``forecast``."""
    from dataclasses import asdict

    log.write(
        "forecast",
        input=source,
        output=str(forecast.output),
        comparison=None if forecast.comparison is None else str(forecast.comparison),
        edits=[str(edit) for edit in edits],
        frames=forecast.frames,
        stages=[asdict(stage) for stage in forecast.stages],
        cache=str(forecast.cache),
        free=forecast.free,
    )
