"""`videdit attributes`: what can be edited, and how well the bundle does it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from videdit.bundles.bundle import load_bundle
from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.editing.attributes import resolve
from videdit.editing.boundaries import Boundaries

app = typer.Typer(add_completion=False)


@app.command()
def attributes(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    bundle: Annotated[str, typer.Option("--bundle", help="The bundle's name.")] = DEFAULT_BUNDLE,
) -> None:
    """List what can be edited: what alpha > 0 does (alpha < 0 does the reverse), and how well.

    Figures are measured on generated faces that took no part in the fit; a linear probe fitted on
    other faces judges. AUC: how well the boundary tells faces with the attribute from the others.
    ADDED, REMOVED: share of the faces that gain it at alpha 1, lose it at alpha -1. KEPT: share of
    the 39 other attributes' judgements that stay as they were.
    """
    boundaries = Boundaries.load(load_bundle(bundle).path("boundaries.safetensors"))
    rows = [(resolve(name), boundaries.quality(name)) for name in boundaries.names]
    if as_json:
        print(json.dumps([asdict(what) | asdict(quality) for what, quality in rows], indent=2))
        return
    width = max(len(what.name) for what, _ in rows)
    does = max(len(what.plus) for what, _ in rows)
    head = f"{'ATTRIBUTE':<{width}}  {'ALPHA > 0':<{does}}"
    print(f"{head}   AUC  ADDED  REMOVED   KEPT")
    for what, quality in rows:
        print(
            f"{what.name:<{width}}  {what.plus:<{does}}  {quality.auc:.2f}  "
            f"{quality.added:>4.0%}   {quality.removed:>6.0%}   {quality.kept:>4.0%}"
        )
