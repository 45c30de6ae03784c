"""`videdit report`: the last run of a source as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from videdit.cli.options import Cache
from videdit.errors import InputError


def report(
    source: Annotated[
        Path, typer.Argument(help="The video or picture that was edited.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The page to write.", show_default="NAME-report.html, here"
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Frames to show: 0,70,140, or 0-90, or every tenth: 0-90/10.",
            show_default="eight over the stretch that was edited",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the page if it exists.")
    ] = False,
    cache: Cache = None,
) -> None:
    """Write a page about the last run of a source: videdit report input.mp4

    Frames before and after, the timeline, how like the person it stays and how it moves, settings,
    times, and the command that does the same again: one HTML file that needs nothing else and loads
    nothing. It holds pictures of the people in the source, and paths.
    """
    if not source.exists():
        raise InputError(f"there is no file {source}", "Check the path.")
    from videdit.api import timeline_of
    from videdit.cli.inspect import parse_frames
    from videdit.pipeline.progress import make_progress
    from videdit.pipeline.store import Store
    from videdit.report.make import check_output, write_report

    page = output or Path(f"{source.stem}-report.html")
    check_output(source, page, overwrite=overwrite)  # before the work
    with Store(cache) as store, make_progress() as progress:
        chosen = None
        if frames is not None:
            chosen = parse_frames(frames, len(timeline_of(source, store)))
        shown = write_report(
            source, page, store, frames=chosen, overwrite=overwrite, progress=progress
        )
    print(f"frames {', '.join(map(str, shown))}: {page}")
