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
from videdit.editing.quality import load_quality, plain_figures
from videdit.editing.touch import touch_of
from videdit.faces.regions import WAYS

app = typer.Typer(add_completion=False)

_LEGEND = """\
On final pictures of real people, alpha 1 (+) and -1 (-), by a judge that had no part in training:
  SEEN   in so many results of those who lacked it the judge sees it
  KEPT   share of its judgements of the other attributes that stay
  APART  distance to the source (dlib's descriptors); under 0.6 is the same person
  JUDGE  the judge's own AUC for the attribute; ! marks what is not to be relied on, and why
TOUCHES: the regions that may change, in shape (own pixels moved and shaded), in colour, in matter
(come, go or be painted anew), or renewed (their texture is, in part); background and clothes never.
See `videdit run --touch`."""


@app.command()
def attributes(as_json: PrintJson = False, bundle: BundleName = DEFAULT_BUNDLE) -> None:
    """List what can be edited: what alpha > 0 does (alpha < 0 does the reverse), and how well.

    Measured on final pictures of real people, at an alpha of 1 and of -1, by a judge that took no
    part in the training. SEEN: in so many of the results of those who lacked it the judge sees it,
    for + and for -. KEPT: share of its judgements of the 39 other attributes that stay. APART:
    distance to the source (dlib's; under 0.6 is the same person). JUDGE: the judge's own AUC for
    the attribute. A ! marks what is not to be relied on, and why. TOUCHES: the regions of the face
    that may change. SHAPE: their own pixels are moved and shaded; COLOUR: they are recoloured;
    MATTER: they may come, go or be painted anew; RENEWED: their texture is, in part. Background and
    clothes never are. `videdit run --touch` changes it for one run.
    """
    table = load_quality(load_bundle(bundle).file("quality"))
    if as_json:
        rows = []
        for name, quality in table.items():
            touch = touch_of(name)
            ways = {way: sorted(getattr(touch, way)) for way in WAYS}
            about = asdict(resolve(name)) | plain_figures(quality)
            rows.append(about | {"doubt": quality.doubt, "touches": ways})
        print(json.dumps(rows, indent=2))
        return
    width = max(len(name) for name in table)
    does = max(len(resolve(name).plus) for name in table)
    print(
        f"{'ATTRIBUTE':<{width}}  {'ALPHA > 0':<{does}}  +SEEN   KEPT  APART"
        "  -SEEN   KEPT  APART  JUDGE"
    )
    for name, quality in table.items():
        line = f"{name:<{width}}  {resolve(name).plus:<{does}}"
        for one in quality.sides.values():
            line += f"  {_share(one.seen):>5}  {_share(one.kept):>5}  {_figure(one.identity):>5}"
        line += f"  {_figure(quality.judge_auc):>5}"
        print(f"{line}  ! {quality.doubt}" if quality.doubt else line)
    print(f"\n{'ATTRIBUTE':<{width}}  TOUCHES")
    for name in table:
        print(f"{name:<{width}}  {touch_of(name)}")
    print(f"\n{_LEGEND}")


def _share(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.0%}"


def _figure(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.2f}"
