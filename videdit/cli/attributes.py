"""`videdit attributes`: what can be edited, and how well the bundle does it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import typer

from videdit.bundles.bundle import load_bundle
from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.cli.options import BundleName, PrintJson
from videdit.editing.attributes import resolve
from videdit.editing.quality import load_quality

app = typer.Typer(add_completion=False)


@app.command()
def attributes(as_json: PrintJson = False, bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """List what can be edited: what alpha > 0 does (alpha < 0 does the reverse), and how well.

    Measured at an alpha of 1 towards what a face is not, on generated faces that nothing was
    trained on, by a judge that took no part in the training. CHANGED: share of the faces that the
    judge then calls otherwise. KEPT: share of its judgements of the 39 other attributes that stay.
    SAME: similarity to the unedited face (1 - dlib's distance; above 0.4 is the same person).
    JUDGE: the judge's own AUC for the attribute. A ! marks what is not to be relied on, and why.
    """
    table = load_quality(load_bundle(bundle).file("quality"))
    if as_json:
        rows = []
        for name, quality in table.items():
            figures = {k: None if math.isnan(v) else v for k, v in asdict(quality).items()}
            rows.append(asdict(resolve(name)) | figures | {"doubt": quality.doubt})
        print(json.dumps(rows, indent=2))
        return
    width = max(len(name) for name in table)
    does = max(len(resolve(name).plus) for name in table)
    print(f"{'ATTRIBUTE':<{width}}  {'ALPHA > 0':<{does}}  CHANGED  KEPT  SAME  JUDGE")
    for name, quality in table.items():
        judge = "   ?" if math.isnan(quality.judge_auc) else f"{quality.judge_auc:.2f}"
        line = (
            f"{name:<{width}}  {resolve(name).plus:<{does}}  {quality.change:>7.0%}  "
            f"{quality.preservation:>4.0%}  {quality.identity:.2f}  {judge:>5}"
        )
        print(f"{line}  ! {quality.doubt}" if quality.doubt else line)
