"""`videdit cache`: what runs have left on the disk, whether it is whole, and making room."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.cli.options import Cache
from videdit.errors import StorageError, UsageError

if TYPE_CHECKING:
    from videdit.pipeline.store import Store

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, show, verify or prune what runs have left.\n\nExample: videdit cache ls",
)

_SIZE_UNITS = {
    "": 1,
    "b": 1,
    **{unit: 1000**i for i, unit in enumerate(("kb", "mb", "gb", "tb"), 1)},
    **{unit: 1000**i for i, unit in enumerate(("k", "m", "g", "t"), 1)},
    **{unit: 1024**i for i, unit in enumerate(("kib", "mib", "gib", "tib"), 1)},
}
_AGE_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")


@app.command("ls")
def list_sources(cache: Cache = None) -> None:
    """List the sources, the one used last first.

    Example: videdit cache ls
    """
    from videdit.pipeline import upkeep

    store = _store(cache)
    sources = upkeep.sources(store)
    if not sources:
        print(f"nothing in {store.root}")
        return
    rows: list[tuple[str, ...]] = [("SOURCE", "NAME", "SIZE", "LAST USED", "STAGES")]
    rows += [
        (
            s.source_id[:12],
            s.name or "?",
            size_text(s.bytes),
            _when(s.last_used),
            " ".join(s.stages),
        )
        for s in sources
    ]
    _print_columns(rows)
    print(f"\n{size_text(sum(s.bytes for s in sources))} in {store.root}")


@app.command("show")
def show_source(
    source: Annotated[str, typer.Argument(help="A source's id (its beginning will do) or file.")],
    cache: Cache = None,
) -> None:
    """Show what each stage has left for one source.

    Example: videdit cache ls

    Example: videdit cache show input.mp4
    """
    from videdit.pipeline import upkeep

    store = _store(cache)
    source_id = _find(store, source)
    known = next(s for s in upkeep.sources(store) if s.source_id == source_id)
    print(f"{known.path or known.name or '?'}\n{store.root / source_id}\n")
    rows: list[tuple[str, ...]] = [
        ("STAGE", "KEY", "VERSION", "STATE", "CHUNKS", "SIZE", "TOOK", "LAST USED")
    ]
    for a in upkeep.show(store, source_id):
        state = "complete" if a.complete else "partial"
        if a.complete and "" not in a.plans:  # only stretches of the source were asked for
            state = f"{len(a.plans)} part{'s' if len(a.plans) > 1 else ''}"
        took = f"{a.seconds:.1f} s" if a.complete else "-"
        size = size_text(a.bytes)
        rows.append(
            (a.stage, a.key, str(a.version), state, str(a.chunks), size, took, _when(a.last_used))
        )
    _print_columns(rows)


@app.command("verify")
def verify_store(
    source: Annotated[
        str | None,
        typer.Argument(help="Only this source: its id or file.", show_default="all"),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Take damaged chunks out; the next run makes them anew."),
    ] = False,
    cache: Cache = None,
) -> None:
    """Compare every file with its checksum; exit code 6 when something is damaged.

    Example: videdit cache verify --repair
    """
    from videdit.pipeline import upkeep

    store = _store(cache)
    source_id = None if source is None else _find(store, source)
    with store:
        damage = upkeep.verify(
            store,
            source_id,
            repair=repair,
            waiting=lambda text: print(text, file=sys.stderr),
        )
    for each in damage:
        chunk = f", chunk {each.chunk}" if each.chunk else ""
        print(f"{each.source_id[:12]}/{each.stage}/{each.key}{chunk}: {each.problem}")
    if not damage:
        print("everything is whole")
    elif repair:
        print(f"took out what is damaged ({len(damage)}); the next run makes it anew")
    else:
        raise StorageError(
            f"{len(damage)} damaged in {store.root}",
            "A run makes what it needs anew by itself; `videdit cache verify --repair` takes the "
            "rest out.",
        )


@app.command("prune")
def prune_store(
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size",
            help="Remove what was used longest ago, down to this: 5GB.",
            show_default="any size",
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Remove what was not used for so long: 30d, 12h.",
            show_default="any age",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    cache: Cache = None,
) -> None:
    """Remove artifacts by size or age; those of sources that a run is using stay.

    Example: videdit cache prune --max-size 5GB
    """
    if max_size is None and older_than is None:
        raise UsageError(
            "nothing said about what to remove",
            "Give --max-size 5GB, --older-than 30d, or both; --max-size 0 removes everything.",
        )
    max_bytes = None if max_size is None else parse_size(max_size)
    older_than_s = None if older_than is None else parse_age(older_than)
    from videdit.pipeline import upkeep

    pruned = upkeep.prune(_store(cache), max_bytes, older_than_s, dry_run=dry_run)
    for a in pruned.removed:
        print(f"{a.source_id[:12]}/{a.stage}/{a.key}  {size_text(a.bytes)}  {_when(a.last_used)}")
    verb = "would free" if dry_run else "freed"
    print(f"{verb} {size_text(pruned.bytes_freed)}, {size_text(pruned.bytes_left)} left")
    if pruned.in_use:
        print(f"{len(pruned.in_use)} artifacts are in use by a run and stay")


def parse_size(text: str) -> int:
    """``5GB``, ``500 MiB``, ``0`` as bytes (K, M, G, T and KB… decimal, KiB… binary).

    Raises:
        UsageError: it is no size.
    """
    number, unit = _quantity(text, "size", "5GB or 500MiB")
    if unit.lower() not in _SIZE_UNITS:
        raise UsageError(f"{text!r} is not a size", "Write it like 5GB or 500MiB.")
    return int(number * _SIZE_UNITS[unit.lower()])


def parse_age(text: str) -> float:
    """``30d``, ``12h``, ``2w`` as seconds.

    Raises:
        UsageError: it is no length of time.
    """
    number, unit = _quantity(text, "length of time", "30d or 12h")
    if unit.lower() not in _AGE_UNITS:
        raise UsageError(f"{text!r} is not a length of time", "Write it like 30d or 12h.")
    return number * _AGE_UNITS[unit.lower()]


def size_text(size: int) -> str:
    """Bytes for people, in decimal units: ``1.4 GB``."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _quantity(text: str, what: str, like: str) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a {what}", f"Write it like {like}.")
    return float(match["number"]), match["unit"]


def _store(cache: Path | None) -> Store:
    from videdit.pipeline.store import Store

    return Store(cache)


def _find(store: Store, text: str) -> str:
    """The id of the source meant by ``text``: an id, its beginning, or a file."""
    from videdit.pipeline import upkeep

    known = [s.source_id for s in upkeep.sources(store)]
    if Path(text).is_file():
        from videdit.api import source_id_of

        source_id = source_id_of(Path(text), store)
        if source_id in known:
            return source_id
        raise UsageError(
            f"nothing in {store.root} is about {text}", "`videdit cache ls` lists what there is."
        )
    matching = [source_id for source_id in known if text and source_id.startswith(text)]
    if len(matching) == 1:
        return matching[0]
    what = "several sources" if matching else "no source or file"
    raise UsageError(f"{what}: {text!r}", "`videdit cache ls` lists what there is.")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "never"


def _print_columns(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
