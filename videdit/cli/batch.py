"""`videdit batch`: many edits of many sources."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.cli.log import LogJson, event_log
from videdit.cli.options import Cache, Quiet
from videdit.cli.run import (
    Alphas,
    Attributes,
    Certificate,
    EditTexts,
    Key,
    NoTag,
    Overwrite,
    PresetNames,
    say,
)
from videdit.cli.whose import Faces, edits_of_faces, options_in_order
from videdit.errors import UsageError

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from videdit.batch.crew import Seat
    from videdit.batch.jobs import Job
    from videdit.batch.work import Outcome, Worker
    from videdit.pipeline.events import EventLog
    from videdit.pipeline.tally import Standing

_LINE_EVERY_S = 10.0
_SUMMARY_EVERY_S = 5.0


def batch(
    ctx: typer.Context,
    jobs: Annotated[
        Path,
        typer.Argument(help="A .toml or .csv file of jobs, or a folder.", show_default=False),
    ],
    attr: Attributes = [],  # noqa: B006 - typer copies it
    alpha: Alphas = [],  # noqa: B006
    edit: EditTexts = [],  # noqa: B006
    preset: PresetNames = [],  # noqa: B006
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the results; made if it is missing.",
            show_default="beside each input",
        ),
    ] = None,
    overwrite: Overwrite = False,
    face: Faces = [],  # noqa: B006
    quality: Annotated[str, typer.Option(help="As `videdit run --quality`.")] = "balanced",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    no_tag: NoTag = False,
    sign: Certificate = None,
    key: Key = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Sources worked on at the same time.",
            show_default="1; with --ray one per GPU, or node",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Spread the work over a Ray cluster: its address, auto, or local.",
            show_default="this machine",
            metavar="ADDRESS",
        ),
    ] = None,
    spread: Annotated[
        bool,
        typer.Option(
            "--spread",
            help="One source at a time, spread over all workers: for long films.",
        ),
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            help="What no name in the file may lead out of.", show_default="the file's folder"
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            help="Where the summary goes.", show_default="summary.json beside jobs or results"
        ),
    ] = None,
    cache: Cache = None,
    log_json: LogJson = False,
    quiet: Quiet = False,
) -> int:
    """Edit many sources: videdit batch jobs.toml, or videdit batch clips/ --attr Smiling -o results

    A file has a table for each job, with input, edit, output and any option of `videdit run`, or is
    a CSV with these as columns: docs/batch.md. What is said here holds for jobs that say nothing
    else. A job that fails stops no other; the exit code is that of the one that went worst. Running
    it again does only what is not done.
    """
    from videdit.batch.crew import Crew, worst
    from videdit.batch.film import FilmSeat
    from videdit.batch.jobs import read_jobs
    from videdit.batch.local import stopping_by_signal
    from videdit.batch.summary import counts, table, write_summary
    from videdit.batch.work import Worker

    with event_log(log_json) as log:
        if not jobs.exists():
            raise UsageError(f"there is no {jobs}", "Name a .toml or .csv file, or a folder.")
        if spread and ray is None and (workers or 1) == 1:
            raise UsageError("--spread has one worker", "Say how many with --jobs, or use --ray.")
        whose, edits = edits_of_faces(options_in_order(ctx), face, attr, alpha, edit, preset)
        said: dict[str, object] = {"face": whose, "quality": quality, "device": device}
        said |= {"precision": precision, "tag": not no_tag, "sign": sign, "key": key}
        asked = read_jobs(jobs, edits, said, output, root)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
        place = summary or (output or (jobs if jobs.is_dir() else jobs.parent)) / "summary.json"
        began = time.monotonic()
        board = _board(asked, log, quiet)
        worker = Worker(None if cache is None else cache.absolute(), overwrite)
        with ExitStack() as stack:
            seats = _seats(ray, workers, worker, stack)
            if spread:
                seats = [partial(FilmSeat, worker.cache, overwrite, seats)]
            crew = Crew(asked, seats[: len({job.source for job in asked})], board)

            written = 0.0

            def keep() -> None:
                nonlocal written
                if time.monotonic() - written >= _SUMMARY_EVERY_S:
                    write_summary(place, asked, crew.outcomes, time.monotonic() - began)
                    written = time.monotonic()

            board.after_each = keep
            keep()  # now, for a folder that cannot be written
            stack.enter_context(stopping_by_signal(crew.stop, board.say))
            with board.shown():
                outcomes = crew.run()
        write_summary(place, asked, outcomes, time.monotonic() - began)
        code = worst(outcomes)
        if log is not None:
            log.write(
                "summary",
                counts=counts(outcomes),
                seconds=round(time.monotonic() - began, 3),
                file=str(place),
                exit_code=code,
            )
        elif not quiet:
            say(table(asked, outcomes))
            say(f"summary: {place}")
        else:
            for job, outcome in zip(asked, outcomes, strict=True):
                if outcome.message:
                    print(f"videdit: {job}: {outcome.message}", file=sys.stderr)
        return code


def _seats(
    address: str | None, workers: int | None, worker: Worker, stack: ExitStack
) -> list[Callable[[], Seat]]:
    from videdit.batch.local import local_seats

    if address is not None:
        from videdit.batch.spread import ray_seats

        return stack.enter_context(ray_seats(address, worker, workers))
    return [*local_seats(worker, workers or 1)]


class Board:
    """Shows what goes on: lines in a log.

    Args:
        jobs: all.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.after_each: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._ended = 0
        self._seen: dict[int, float] = {}

    def shown(self) -> AbstractContextManager[object]:
        """Held while the batch runs."""
        return nullcontext()

    def began(self, number: int, worker: int) -> None:
        """See `videdit.batch.crew.Board`."""
        self._seen[number] = time.monotonic()
        self.say(f"{self._head(number)}begins")

    def moved(self, number: int, standing: Standing) -> None:
        """See `videdit.batch.crew.Board`."""
        now = time.monotonic()
        if now - self._seen.get(number, now) >= _LINE_EVERY_S:
            self._seen[number] = now
            self.say(self._head(number) + standing_text(standing))

    def noted(self, number: int, text: str) -> None:
        """See `videdit.batch.crew.Board`."""
        self.say(self._head(number) + text)

    def ended(self, number: int, outcome: Outcome) -> None:
        """See `videdit.batch.crew.Board`."""
        with self._lock:
            self._ended += 1
            self.after_each()
        what = outcome.message or outcome.output
        self.say(f"{self._head(number)}{outcome.state}, {what}")

    def say(self, text: str) -> None:
        """A line."""
        from videdit.pipeline.progress import timed, write_line

        write_line(timed(text))

    def _head(self, number: int) -> str:
        return f"[{number + 1}/{len(self.jobs)}] {self.jobs[number]}: "


class EventBoard(Board):
    """Shows what goes on as events."""

    def __init__(self, jobs: list[Job], log: EventLog) -> None:
        super().__init__(jobs)
        self._log = log

    def began(self, number: int, worker: int) -> None:
        job = self.jobs[number]
        self._log.write(
            "job_begin",
            job=number,
            worker=worker,
            input=str(job.source),
            edits=[str(edit) for edit in job.edits],
        )

    def moved(self, number: int, standing: Standing) -> None:
        from videdit.pipeline.events import EVERY_S, standing_fields

        now = time.monotonic()
        if now - self._seen.get(number, -EVERY_S) >= EVERY_S:
            self._seen[number] = now
            self._log.write("job_progress", job=number, **standing_fields(standing))

    def noted(self, number: int, text: str) -> None:
        self._log.write("job_note", job=number, text=text)

    def ended(self, number: int, outcome: Outcome) -> None:
        from dataclasses import asdict

        with self._lock:
            self.after_each()
        self._log.write("job_end", job=number, **asdict(outcome))

    def say(self, text: str) -> None:
        self._log.write("note", text=text)


class LiveBoard(Board):
    """Shows what goes on as a table on the terminal: a row per job in hand, and one for all."""

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(jobs)
        self._standings: dict[int, Standing | None] = {}
        self._live: Live | None = None

    def shown(self) -> AbstractContextManager[object]:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True), get_renderable=self.table, refresh_per_second=4
        )
        return self._live

    def began(self, number: int, worker: int) -> None:
        with self._lock:
            self._standings[number] = None

    def moved(self, number: int, standing: Standing) -> None:
        with self._lock:
            self._standings[number] = standing

    def ended(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            self._standings.pop(number, None)
        super().ended(number, outcome)

    def say(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)

    def table(self) -> Table:
        """The table as it stands."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        with self._lock:
            for number, standing in sorted(self._standings.items()):
                done, total = (standing.done, standing.total) if standing else (0, 0)
                table.add_row(
                    str(self.jobs[number]),
                    ProgressBar(total=total, completed=done, width=20) if total else "",
                    standing_text(standing) if standing else "begins",
                )
            bar = ProgressBar(total=len(self.jobs), completed=self._ended, width=20)
            table.add_row("all", bar, f"{self._ended}/{len(self.jobs)} jobs")
        return table


class QuietBoard(Board):
    """Says nothing."""

    def say(self, text: str) -> None:
        pass


def standing_text(standing: Standing) -> str:
    """Where a job stands, in a few words."""
    from videdit.pipeline.tally import left_text, rate_text

    if not standing.stage:
        return standing.doing or "begins"
    parts = [f"[{standing.number}/{standing.planned}] {standing.stage}"]
    if standing.doing:
        parts.append(standing.doing)
    elif standing.total:
        parts.append(f"{standing.done}/{standing.total} {standing.unit}")
        if standing.rate:
            parts.append(rate_text(standing.rate, standing.unit))
    if standing.left:
        parts.append(f"{left_text(standing.left)} left")
    return ", ".join(parts)


def _board(jobs: list[Job], log: EventLog | None, quiet: bool) -> Board:
    from videdit.pipeline.progress import on_terminal

    if log is not None:
        return EventBoard(jobs, log)
    if quiet:
        return QuietBoard(jobs)
    return LiveBoard(jobs) if on_terminal() else Board(jobs)
