"""`videdit ui`: the local web page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.cli.options import BundleName, Cache, DeviceName


def ui(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A video or picture to begin with.",
            metavar="[INPUT]",
            show_default="opened in the page",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the results.",
            show_default="beside the input; here, of what is opened in the page",
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            help="Port of this machine to listen on.", min=0, max=65535, show_default="a free one"
        ),
    ] = 0,
    opening: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    editor: Annotated[
        str,
        typer.Option(
            help="What moves the codes, as of `videdit run`: its edits are what the page has."
        ),
    ] = "transformer",
    cache: Cache = None,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Look and try in a page of your own browser: videdit ui input.mp4

    It prints an address; open it. Nothing leaves this machine, and nobody without that address gets
    in. Ctrl-C ends it; a run that was going goes on when it is asked for again.
    """
    from videdit.ui.serve import serve

    def ready(address: str) -> None:
        print(f"open {address}\nCtrl-C ends it.", flush=True)
        if opening:
            import webbrowser

            if not webbrowser.open(address):
                print("no browser was found: open the address by hand", file=sys.stderr)

    serve(
        source,
        port=port,
        output=output,
        cache=cache,
        device=device,
        bundle=bundle,
        editor=editor,
        ready=ready,
    )
