"""`videdit inspect`: what each stage has left for a source, and pictures of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.cli.options import Cache
from videdit.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videdit.pipeline.store import Store
    from videdit.pipeline.upkeep import ArtifactInfo


def inspect(
    source: Annotated[Path, typer.Argument(help="The video or picture.", show_default=False)],
    stage: Annotated[
        str | None, typer.Argument(help="Draw what this stage left.", show_default="list all")
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="Frames to draw, e.g. 0,70,140.", show_default="six over the video"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The picture to write.")
    ] = None,
    cache: Cache = None,
) -> None:
    """List what is kept for a source, or draw what a stage left: videdit inspect input.mp4 align

    A stage has a row for each of its settings: MADE WITH says of which edits, or method. Drawn is
    what the last run of this source used, as one picture beside where you are.
    """
    if not source.exists():
        raise InputError(f"there is no file {source}", "Check the path.")
    from videdit.api import source_id_of
    from videdit.pipeline.store import Store
    from videdit.pipeline.upkeep import show

    with Store(cache) as store:
        source_id = source_id_of(source, store)
        kept = show(store, source_id)
        if not kept:
            raise UsageError(f"nothing is kept for {source.name}", "Run `videdit run` first.")
        if stage is None:
            print(HEAD)
            for info in kept:
                print(describe(info, made_with(info, kept)))
            print(f"draw one: videdit inspect {source} {kept[0].stage}")
            return
        _draw(store, source_id, source, stage, frames, output or Path(f"{source.stem}-{stage}.png"))


HEAD = (
    f"{'STAGE':<12} {'KEY':<16}  {'STATE':<10} {'CHUNKS':>11} {'SIZE':>11} {'TIME':>9}"
    f"  {'LAST USED':<16}  MADE WITH"
)


def made_with(info: ArtifactInfo, kept: Sequence[ArtifactInfo]) -> str:
    """The edits that an artifact or what it was made from holds, else its method or backend."""
    by_key = {other.key: other for other in kept}
    todo = [info]
    while todo:
        one = todo.pop()
        edits = one.settings.get("edits")
        if isinstance(edits, list):
            return ", ".join(map(str, edits))
        todo += [by_key[key] for key in map(str, one.inputs.values()) if key in by_key]
    return " ".join(str(info.settings[k]) for k in ("method", "backend") if k in info.settings)


def describe(info: ArtifactInfo, how: str = "") -> str:
    """One line about an artifact."""
    state = "complete" if info.complete else "unfinished"
    used = datetime.fromtimestamp(info.last_used)
    return (
        f"{info.stage:<12} {info.key}  {state:<10} {info.chunks:>4} chunks"
        f" {info.bytes / 1e6:>8.1f} MB {info.seconds:>7.1f} s  {used:%Y-%m-%d %H:%M}  {how}"
    ).rstrip()


def _draw(
    store: Store, source_id: str, source: Path, stage: str, frames: str | None, output: Path
) -> None:
    import numpy as np

    from videdit.api import prepare
    from videdit.media.pictures import write_picture
    from videdit.pipeline.progress import Progress, make_progress
    from videdit.pipeline.runner import open_contexts, run
    from videdit.settings import RunSettings
    from videdit.sheet import contact_sheet

    kept = store.last_run(source_id)
    if kept is None:
        raise UsageError("nothing is known of the last run", "Run `videdit run` again.")
    settings = replace(RunSettings.from_json(kept), source=source)
    resources, stages = prepare(settings, store, Progress())
    contexts = open_contexts(stages, store, source_id)
    chosen = {s.name: s for s in stages}
    if stage not in chosen:
        raise UsageError(f"there is no stage {stage!r}", f"Choose one of {', '.join(chosen)}.")
    # What was made from this stage may be there though it was pruned itself: it is made again then.
    if not (contexts[stage].own.complete or contexts[stages[-1].name].own.complete):
        raise UsageError(
            f"{stage} is not complete for the last run of {source.name}",
            "Run the same `videdit run` command again.",
        )
    span = resources.frames
    indices = (
        [int(i) for i in np.linspace(span.start, span.stop - 1, min(6, len(span)))]
        if frames is None
        else parse_frames(frames, len(resources.timeline))
    )
    with resources, make_progress() as progress:
        targets = (stage, *chosen[stage].takes)
        run(stages, store, source_id, source, targets=targets, progress=progress)
        contexts = open_contexts(stages, store, source_id)
        pictures = chosen[stage].preview(contexts[stage], indices)
    if not pictures:
        raise UsageError(f"{stage} left nothing to draw for these frames", "Name others.")
    write_picture(output, contact_sheet(pictures))
    print(f"frames {', '.join(map(str, indices))} of {stage}: {output}")


def parse_frames(text: str, count: int) -> list[int]:
    """Frame numbers from ``0,70,140``.

    Raises:
        UsageError: not numbers, or beyond the video.
    """
    try:
        frames = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{text!r} is not a list of frames", "Give e.g. 0,70,140.") from None
    if any(not 0 <= frame < count for frame in frames):
        raise UsageError(f"there are only frames 0 to {count - 1}", "Name others.")
    return frames
