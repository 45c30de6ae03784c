"""`videdit inspect`: what each stage has left for a source, and pictures of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videdit.cli.options import Cache
from videdit.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videdit.pipeline.records import Json
    from videdit.pipeline.store import Store
    from videdit.pipeline.upkeep import ArtifactInfo

MOST_FRAMES = 100
"""Frames that are drawn at once."""

_RANGE = re.compile(r"(\d+)(?:-(\d+)(?:/(\d+))?)?")


def inspect(
    source: Annotated[Path, typer.Argument(help="The video or picture.", show_default=False)],
    stage: Annotated[
        str | None, typer.Argument(help="Draw what this stage left.", show_default="list all")
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Frames to draw: 0,70,140, or 0-90, or every tenth: 0-90/10.",
            show_default="six over the video",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The picture to write.", show_default="NAME-STAGE.png here"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="List everything that is known, as JSON.")
    ] = False,
    cache: Cache = None,
) -> None:
    """List what is kept for a source, or draw what a stage left: videdit inspect input.mp4 align

    A stage has a row for each of its settings. FOR says of which edits a row is; of a stage's
    settings those that differ between its rows come first. Drawn is what the last run of this
    source used, as one picture beside where you are.
    """
    if not source.exists():
        raise InputError(f"there is no file {source}", "Check the path.")
    if stage is not None and as_json:
        raise UsageError("--json lists what is kept, and draws nothing", "Name no stage.")
    from videdit.api import source_id_of
    from videdit.pipeline.store import Store
    from videdit.pipeline.upkeep import show

    with Store(cache) as store:
        source_id = source_id_of(source, store)
        kept = in_order(show(store, source_id))
        if not kept:
            raise UsageError(f"nothing is kept for {source.name}", "Run `videdit run` first.")
        if as_json:
            print(json.dumps(as_plain(source, source_id, kept), indent=1))
        elif stage is None:
            width = min(max(shutil.get_terminal_size((140, 24)).columns, 100), 160)
            print("\n".join(table(kept, width)))
            print(f"draw one: videdit inspect {source} {kept[0].stage}")
        else:
            name = output or Path(f"{source.stem}-{stage}.png")
            _draw(store, source_id, source, stage, frames, name)


# --- the list ----------------------------------------------------------------------------------


def as_plain(source: Path, source_id: str, kept: Sequence[ArtifactInfo]) -> dict[str, Any]:
    """All that is known of a source's artifacts, as plain JSON. The keys are stable:

    ``source`` (path), ``source_id``, and ``artifacts``, each after those that it was made
    from, with ``stage``, ``key``, ``version``, ``complete``, ``plans`` (names of the stretches that
    are; "" for everything), ``chunks``, ``frames`` (how many of the source's they cover),
    ``bytes``, ``seconds`` (spent on it), ``last_used`` (seconds since 1970), ``edits`` (those that
    it holds, also by what it was made from), ``settings``, ``models`` (file: content id),
    ``inputs`` (stage: key) and ``folder``.
    """
    columns = (
        *("stage", "key", "version", "complete", "plans", "chunks", "bytes", "seconds"),
        *("last_used", "settings", "models", "inputs"),
    )
    artifacts = []
    for info in kept:
        plain = {name: getattr(info, name) for name in columns}
        plain |= {"frames": frames_of(info, kept), "edits": edits_of(info, kept)}
        artifacts.append(plain | {"folder": str(info.folder)})
    return {"source": str(source), "source_id": source_id, "artifacts": artifacts}


def table(kept: Sequence[ArtifactInfo], width: int) -> list[str]:
    """Lines, at most ``width`` characters long: a head, and of each artifact its figures, then
    indented its settings and its models."""
    lines = [
        f"{'STAGE':<12} {'STATE':<10} {'FRAMES':>7} {'SIZE':>10} {'TIME':>9}  {'LAST USED':<16}"
        f"  {'KEY':<8}  FOR"
    ]
    for info in kept:
        used = datetime.fromtimestamp(info.last_used)
        state = "complete" if info.complete else "unfinished"
        figures = (
            f"{info.stage:<12} {state:<10} {frames_of(info, kept):>7} {info.bytes / 1e6:>7.1f} MB"
            f" {info.seconds:>7.1f} s  {used:%Y-%m-%d %H:%M}  {info.key[:8]}"
            f"  {', '.join(edits_of(info, kept))}"
        )
        lines.append(_cut(figures.rstrip(), width))
        for what, values in (
            ("settings", short_settings(info, kept)),
            ("models", short_models(info.models)),
        ):
            if values:
                lines.append(_cut(f"    {what}: {', '.join(values)}", width))
    return lines


def in_order(kept: Sequence[ArtifactInfo]) -> list[ArtifactInfo]:
    """Artifacts by stage, each stage after those that it was made from; those of a stage in the
    order in which they were last used."""
    by_key = {info.key: info for info in kept}
    depths: dict[str, int] = {}

    def depth(info: ArtifactInfo) -> int:
        made_from = [by_key[str(key)] for key in info.inputs.values() if str(key) in by_key]
        return 1 + max((depth(one) for one in made_from), default=0)

    for info in kept:
        depths[info.stage] = max(depths.get(info.stage, 0), depth(info))
    return sorted(kept, key=lambda info: (depths[info.stage], info.stage, info.last_used))


def frames_of(info: ArtifactInfo, kept: Sequence[ArtifactInfo]) -> int:
    """How many frames an artifact covers; of what has no chunks of frames, those of what it was
    made from."""
    by_key = {other.key: other for other in kept}
    made_from = [by_key[str(key)] for key in info.inputs.values() if str(key) in by_key]
    return info.frames or min((frames_of(one, kept) for one in made_from), default=0)


def edits_of(info: ArtifactInfo, kept: Sequence[ArtifactInfo]) -> list[str]:
    """The edits that an artifact or what it was made from holds."""
    by_key = {other.key: other for other in kept}
    todo = [info]
    while todo:
        one = todo.pop()
        edits = one.settings.get("edits")
        if isinstance(edits, list):
            return [str(edit) for edit in edits]
        todo += [by_key[key] for key in map(str, one.inputs.values()) if key in by_key]
    return []


def short_settings(info: ArtifactInfo, kept: Sequence[ArtifactInfo]) -> list[str]:
    """An artifact's settings, a few words each: those in which the stage's rows differ, then the
    others that a run is asked for. What else shapes the result is in groups of numbers, which are
    named only where they differ."""
    rows = [dict(_flat(other.settings)) for other in kept if other.stage == info.stage]
    own: dict[str, Any] = dict(_flat(info.settings))

    def differs(name: str) -> bool:
        return any(row.get(name) != own[name] for row in rows)

    def words(name: str) -> str:
        value = own[name]
        if name == "frames":  # as ranges are: first and one past the last
            parts = value if isinstance(value[0], list) else [value]
            value = list(dict.fromkeys(f"{first}-{stop - 1}" for first, stop in parts))
        return f"{name} {_short(value)}"

    # Which edits these are has its column.
    names = sorted((name for name in own if name != "edits"), key=lambda n: not differs(n))
    wanted = [name for name in names if differs(name) or "." not in name]
    return [words(name) for name in wanted if own[name] not in (None, "", [])]


def short_models(models: Mapping[str, Json]) -> list[str]:
    """Models by name, each with the beginnings of the content ids of its files."""
    ids: dict[str, list[str]] = {}
    for name, content in models.items():
        ids.setdefault(Path(name).stem, []).append(str(content)[:6])
    return [f"{name} {'+'.join(parts)}" for name, parts in ids.items()]


def _flat(settings: Mapping[str, Json], before: str = "") -> Iterator[tuple[str, Json]]:
    """Settings within groups, under names with dots."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _short(value: Json) -> str:
    if isinstance(value, list):
        return " ".join(_short(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


# --- the picture -------------------------------------------------------------------------------


def _draw(
    store: Store, source_id: str, source: Path, stage: str, frames: str | None, output: Path
) -> None:
    import numpy as np

    from videdit.api import prepare_last
    from videdit.media.output import check_suffix
    from videdit.media.pictures import write_picture
    from videdit.pipeline.progress import Progress, make_progress
    from videdit.pipeline.runner import open_contexts, run
    from videdit.pipeline.stage import Context
    from videdit.sheet import page

    check_suffix(output, None)  # before the work
    resources, stages = prepare_last(source, source_id, store, Progress())
    contexts = open_contexts(stages, store, source_id)
    by_name = {s.name: s for s in stages}
    if stage not in by_name:
        raise UsageError(f"there is no stage {stage!r}", f"Choose one of {', '.join(by_name)}.")
    chosen = by_name[stage]
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
        needed = (*chosen.takes, *chosen.shows)
        run(stages, store, source_id, source, targets=(stage, *needed), progress=progress)
        contexts = open_contexts(stages, store, source_id)
        inputs = {name: contexts[name].own for name in needed}
        pictures = chosen.preview(Context(contexts[stage].own, inputs), indices)
    if not pictures:
        raise UsageError(f"{stage} left nothing to draw for these frames", "Name others.")
    write_picture(output, page(pictures))
    print(f"frames {', '.join(map(str, indices))} of {stage}: {output}")


def parse_frames(text: str, count: int) -> list[int]:
    """Frame numbers, in the order in which they are named: a list with commas of numbers, ranges
    ``0-90`` (both ends count) and ranges with a step, ``0-90/10``.

    Raises:
        UsageError: no such list, frames beyond the video, or more than can be drawn.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"{text!r} is not a list of frames", _FORMS)
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if step < 1 or last < first:
            raise UsageError(f"{part.strip()!r} is no range of frames", _FORMS)
        if last >= count:
            raise UsageError(f"there are only frames 0 to {count - 1}", "Name others.")
        wanted = range(first, last + 1, step)
        # Before they are laid out: a slip of the keyboard fills no memory.
        if len(found) + len(wanted) > MOST_FRAMES:
            raise UsageError(
                f"{text!r} is more than the {MOST_FRAMES} frames that can be drawn at once",
                "Take fewer, or a step: 0-900/10.",
            )
        found |= dict.fromkeys(wanted)
    return list(found)


_FORMS = "Give e.g. 0,70,140, or 0-90, or 0-90/10."
