"""`videdit attributes`: what can be edited, and how well the bundle does it."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.bundles.bundle import Bundle, load_bundle
from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.cli.options import BundleName, DeviceName, PrintJson
from videdit.device import Device
from videdit.editing.attributes import GROUPS, resolve
from videdit.editing.presets import PRESETS
from videdit.editing.quality import load_quality, plain_figures
from videdit.editing.touch import touch_of
from videdit.errors import UsageError
from videdit.faces.regions import WAYS

if TYPE_CHECKING:
    from videdit.evaluation.browse import Listing

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


_Editor = Annotated[
    str | None,
    typer.Option(
        "--editor",
        help="List what this editor can edit, by the names that it takes: one of `videdit run`'s, "
        "or a file of your own.",
        metavar="EDITOR",
        show_default="the attributes of the default one",
    ),
]
_Names = Annotated[
    list[str],
    typer.Option(
        "--attr", "-a", help="With --editor: this edit alone; repeat for several.", metavar="NAME"
    ),
]
_Sheet = Annotated[
    Path | None,
    typer.Option(
        "--sheet",
        help="With --editor: draw its edits on two generated faces, at alphas of -2 and 2, or of "
        "-3 and 3 where 1 is a standard deviation. Of ganspace, the first components.",
        metavar="FILE.jpg",
        show_default="no sheet",
    ),
]


@app.command()
def attributes(
    as_json: PrintJson = False,
    editor: _Editor = None,
    attr: _Names = [],  # noqa: B006 - typer copies it
    sheet: _Sheet = None,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """List what can be edited: what alpha > 0 does (alpha < 0 does the reverse), and how well.

    Measured on final pictures of real people, at an alpha of 1 and of -1, by a judge that took no
    part in the training. SEEN: in so many of the results of those who lacked it the judge sees it,
    for + and for -. KEPT: share of its judgements of the 39 other attributes that stay. APART:
    distance to the source (dlib's; under 0.6 is the same person). JUDGE: the judge's own AUC for
    the attribute. A ! marks what is not to be relied on, and why. TOUCHES: the regions of the face
    that may change. SHAPE: their own pixels are moved and shaded; COLOUR: they are recoloured;
    MATTER: they may come, go or be painted anew; RENEWED: their texture is, in part. Background and
    clothes never are. `videdit run --touch` changes it for one run.

    What another editor can: videdit attributes --editor ganspace --sheet sheet.jpg
    """
    if editor is not None:
        _of_editor(editor, attr, sheet, as_json=as_json, device=device, bundle=bundle)
        return
    if attr or sheet is not None:
        raise UsageError(
            f"{'--attr' if attr else '--sheet'} is about what an editor edits",
            "Name it: --editor transformer.",
        )
    found = load_bundle(bundle)
    if "quality" not in found.manifest.roles:
        _of_bundle(found, as_json=as_json)
        return
    table = load_quality(found.file("quality"))
    if as_json:
        rows = []
        for name, quality in table.items():
            touch = touch_of(name)
            ways = {way: sorted(getattr(touch, way)) for way in WAYS}
            about = asdict(resolve(name)) | plain_figures(quality)
            group = next(each for each, names in GROUPS.items() if name in names)
            rows.append(about | {"group": group, "doubt": quality.doubt, "touches": ways})
        print(json.dumps(rows, indent=2))
        return
    width = max(len(name) for name in (*table, "ATTRIBUTE"))
    does = max(len(resolve(name).plus) for name in table)
    print(
        f"{'ATTRIBUTE':<{width}}  {'ALPHA > 0':<{does}}  +SEEN   KEPT  APART"
        "  -SEEN   KEPT  APART  JUDGE"
    )
    groups = {group: [name for name in names if name in table] for group, names in GROUPS.items()}
    for group, names in groups.items():
        if names:
            print(f"\n{group}")
        for name in names:
            quality = table[name]
            line = f"{name:<{width}}  {resolve(name).plus:<{does}}"
            for one in quality.sides.values():
                line += (
                    f"  {_share(one.seen):>5}  {_share(one.kept):>5}  {_figure(one.identity):>5}"
                )
            line += f"  {_figure(quality.judge_auc):>5}"
            print(f"{line}  ! {quality.doubt}" if quality.doubt else line)
    print(f"\n{'ATTRIBUTE':<{width}}  TOUCHES")
    for names in groups.values():
        for name in names:
            print(f"{name:<{width}}  {touch_of(name)}")
    print(f"\n{'PRESET':<{width}}  EDITS")
    for preset in PRESETS:
        if not all(edit.attribute in table for edit in preset.edits):
            continue
        print(f"{preset.name:<{width}}  {', '.join(map(str, preset.edits))}: {preset.about}")
    print(f"\n{_LEGEND}")
    if found.of_user and (others := _lists(found, "transformer")):
        print("\nNot measured:")
        print("\n\n".join(f"--editor {name}\n{one.text()}" for name, one in others.items()))


def _lists(bundle: Bundle, but: str = "") -> dict[str, Listing]:
    """What each editor of a bundle can edit, but for one of them."""
    from videdit.evaluation.browse import list_edits
    from videdit.models.choices import EDITORS
    from videdit.models.networks import Networks

    networks = Networks(bundle, Device("cpu", "fp32"), "mesh")
    roles = bundle.manifest.roles
    chosen = [name for name in EDITORS if f"editor-{name}" in roles and name != but]
    return {name: list_edits(networks, name) for name in chosen}


def _of_bundle(bundle: Bundle, *, as_json: bool) -> None:
    """List what each editor of a bundle can edit, where nothing was measured."""
    listings = _lists(bundle)
    if as_json:
        print(json.dumps({name: one.plain() for name, one in listings.items()}, indent=2))
        return
    for name, one in listings.items():
        print(f"--editor {name}\n{one.text()}\n")
    if not listings:
        print("no editors: videdit weights import FILE brings some")
    print(f"How well the bundle {bundle.name!r} edits was not measured.")


def _of_editor(
    editor: str, names: list[str], sheet: Path | None, *, as_json: bool, device: str, bundle: str
) -> None:
    """List what an editor can edit, or draw it."""
    from videdit.evaluation.browse import check_drawn, draw_edits, list_edits, sheet_names
    from videdit.models.networks import Networks, open_networks

    if sheet is None:
        # A list needs none of the weights that are fetched.
        listing = list_edits(
            Networks(load_bundle(bundle), Device("cpu", "fp32"), "mesh"), editor, names
        )
        print(json.dumps(listing.plain(), indent=2) if as_json else listing.text())
        return
    from videdit.media.output import check_folder, check_suffix
    from videdit.media.pictures import write_picture
    from videdit.pipeline.store import compiled_dir

    check_drawn(editor)
    check_suffix(sheet, None)
    check_folder(sheet.absolute().parent)
    networks = open_networks(bundle, device, kept_in=compiled_dir(), say=_note)
    made = networks.editor(editor)
    drawn = sheet_names(networks, made, names)
    write_picture(sheet, draw_edits(networks, made, drawn, _note))
    if as_json:
        print(json.dumps(list_edits(networks, editor, drawn).plain(), indent=2))
    else:
        print(f"{sheet}: {len(drawn)} edit{'' if len(drawn) == 1 else 's'}")


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _share(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.0%}"


def _figure(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:.2f}"
