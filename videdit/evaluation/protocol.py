"""`videdit evaluate attributes` from start to end: loads what it takes, measures, writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import keep_arrays
from ..bundles import DEFAULT_BUNDLE
from ..editing.editor import Editor
from ..editing.labelled import TEST, LabelledFaces
from ..editing.picture_classifier import load_picture_classifier
from ..errors import NoFaceError, UsageError
from ..files import sha256_of
from ..media.pictures import write_picture
from ..models.networks import Networks, open_networks
from ..pipeline.store import compiled_dir
from ..sheet import tile
from .attributes import (
    AttributeMeter,
    Block,
    Eye,
    Protocol,
    equal_change_sheet,
    invert,
)
from .curves import Curve, mean_curve
from .report import draw_curves, write_tables

USUAL_METHODS = ("transformer", "interfacegan", "interfacegan+keep", "ganspace")
"""What is measured if nothing is said, as far as the bundle has them."""

ALL_METHODS = (*USUAL_METHODS, "stylespace", "styleflow")
"""What ``all`` stands for, likewise."""

_SETTINGS = "settings.json"
_BLOCK = 50
"""Faces that are measured together."""

_SURE = 0.9
"""AUC of the judge, on faces left out, from which its judgements count."""

_KEEPING = "+keep"

_SHEET_HEIGHT = 160
"""Height of the faces in ``sheet.jpg``, pixels."""


def evaluate_attributes(
    folder: Path,
    methods: Sequence[str],
    protocol: Protocol,
    data: Path,
    report: Callable[[str], None] = print,
    device: str = "cpu",
    bundle: str = DEFAULT_BUNDLE,
) -> dict[str, Any]:
    """Measure editors on the test faces of ``data`` and write the report into ``folder``.

    The pictures that are inverted are those of the generator that the faces are of, whichever
    bundle is measured; all that is judged is what its own generator makes of what its encoder gives
    for them.

    Leaves ``report.json``, ``curves.csv``, ``change-preservation.png``, ``change-identity.png``
    and ``sheet.jpg``.

    Args:
        folder: is made; holds finished parts of a measurement that was stopped.
        methods: editors, see ``Networks.editor``; ``interfacegan+keep`` is the conditional one,
            whose steps are orthogonal to the normals of all other attributes that are measured;
            ``all`` stands for all editors of attributes that the bundle has, none at all for the
            usual ones of these.
        protocol: what is measured; the attribute ``all`` stands for all of the judge's.
        data: labelled codes.
        report: takes lines of progress.
        device: where the networks run.
        bundle: whose editors are measured.

    Raises:
        UsageError: unknown attribute or editor, editors that know none of the attributes, or the
            folder holds another measurement.
        WeightsError: the bundle lacks an editor, or what it takes to show faces.
        NoFaceError: none of the faces is one after the bundle's networks had them.
    """
    networks = open_networks(bundle, device, "fp32", kept_in=compiled_dir(), say=report)
    roles = networks.bundle.manifest.roles
    if not methods or tuple(methods) == ("all",):
        wanted = ALL_METHODS if methods else USUAL_METHODS
        methods = [m for m in wanted if f"editor-{m.removesuffix(_KEEPING)}" in roles]
    if not methods:
        raise UsageError(
            f"the bundle {bundle!r} has no editor of attributes",
            f"Bring one: videdit weights import FILE --as {bundle}; or train one: videdit train"
            f" classifier FOLDER --bundle {bundle}, then transformer.",
        )
    for role in ("judge", "encoder"):
        networks.bundle.manifest.role(role)
    judge, notes = load_picture_classifier(networks.bundle.file("judge"))
    if protocol.attributes == ("all",):
        protocol = replace(protocol, attributes=judge.names)
    unknown = [name for name in protocol.attributes if name not in judge.names]
    if unknown:
        raise UsageError(
            f"the judge knows no {', '.join(unknown)}", f"It knows {', '.join(judge.names)}."
        )
    editors = {method: _editor(networks, method, protocol.attributes) for method in methods}
    for method, editor in list(editors.items()):
        if not set(editor.names) & set(protocol.attributes):
            report(f"{method} is left out: it knows none of {', '.join(protocol.attributes)}")
            del editors[method]
    if not editors:
        raise UsageError(
            f"no editor of the bundle {bundle!r} that is to be measured knows these attributes",
            f"Name others: videdit attributes --bundle {bundle} lists them.",
        )
    methods = list(editors)
    ids = {method: networks.editor_ids(method.removesuffix(_KEEPING)) for method in methods}
    what = networks.ids("judge", "recognition", "generator", "encoder")
    # Not the faces: a measurement of more of them goes on from one of fewer.
    settings = asdict(protocol) | ids | {"networks": what, "data": _checksum(data)}
    del settings["faces"]
    _same(folder, settings)
    eye = Eye(
        networks.generator,
        networks.recognition,
        judge,
        lambda: networks.landmarker,
        networks.device.name,
    )
    blocks = _faces(folder, data, protocol.faces, eye, networks, report)
    sure = {name for name, auc in notes["auc"].items() if auc is not None and auc >= _SURE}
    counted = np.array([name in sure for name in judge.names])
    meter = AttributeMeter(folder, eye, blocks, protocol, report, counted)
    ceiling = meter.ceiling(lambda: networks.encoder)
    curves: dict[str, Mapping[str, Curve]] = {
        method: meter.measure(method, editor) for method, editor in editors.items()
    }
    about = {
        "faces": len(meter.codes),
        "attributes": protocol.attributes,
        "strengths": protocol.strengths,
        "identity": "distance of dlib's descriptors; under 0.6 passes for the same person",
        "judge": notes,
        "not_counted": [name for name in judge.names if name not in sure],
        "ceiling": ceiling,
        "spread": {
            "reconstruction": meter.spread(networks.statistics)[0],
            **{name: meter.spread(networks.statistics, one) for name, one in editors.items()},
        },
        "locality": {
            method: meter.locality(method, editors[method], curves[method], networks.parser.parse)
            for method in editors
        },
        "weights": ids,
    }
    sequences = {
        method: asdict(found)
        for method, editor in editors.items()
        if (found := meter.sequence(method, editor)) is not None
    }
    result = write_tables(folder, curves, about, sequences)
    draw_curves(folder, curves)
    rows = equal_change_sheet(meter, editors, curves)
    write_picture(folder / "sheet.jpg", tile(rows, _SHEET_HEIGHT))
    for method, by_name in curves.items():
        mean = mean_curve(list(by_name.values()))
        kept, same = mean.at(0.9)
        report(
            f"{method}: at a change of 90 % preservation {kept:.1%}"
            f" ({kept / ceiling['recompressed']:.1%} of the ceiling), distance {same:.3f};"
            f" attribute dependency at one deviation {mean.dependency_at(1):.3f};"
            f" at |alpha| {mean.strengths[-1]:g} change {mean.change[-1]:.1%}"
        )
    for method, one in sequences.items():
        report(
            f"{method}: of {len(one['left'])} edits one after the other"
            f" {np.mean(one['left']):.1%} are there at the end, distance {one['identity'][-1]:.3f}"
        )
    return result


def _editor(networks: Networks, method: str, attributes: Sequence[str]) -> Editor:
    if not method.endswith(_KEEPING):
        return networks.editor(method)
    choice = method.removesuffix(_KEEPING)
    known = networks.editor(choice).names
    return networks.editor(choice, [name for name in attributes if name in known])


def _checksum(data: Path) -> str:
    """Of the labelled codes."""
    path = data / "latents.npz"
    return sha256_of(path)[:16] if path.exists() else ""


def _same(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse to mix measurements; methods may be added."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _SETTINGS
    plain = json.loads(json.dumps(settings))
    if path.exists():
        known = json.loads(path.read_text())
        if any(known[key] != value for key, value in plain.items() if key in known):
            raise UsageError(
                f"{folder} holds a measurement with other settings or weights",
                "Take another folder, or delete it.",
            )
        plain = known | plain
    path.write_text(json.dumps(plain, indent=1) + "\n")


def _faces(
    folder: Path,
    data: Path,
    count: int,
    eye: Eye,
    networks: Networks,
    report: Callable[[str], None],
) -> list[Block]:
    """The test's first faces, inverted; kept in the folder.

    Raises:
        NoFaceError: no reconstruction shows one.
    """
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    faces = LabelledFaces.load(data).of(TEST)
    drawn = eye  # which shows the faces that are inverted
    if len(faces.codes) < count:
        report(f"only {len(faces.codes)} faces are held out")
    blocks = []
    for start in range(0, min(count, len(faces.codes)), _BLOCK):
        stop = min(start + _BLOCK, count, len(faces.codes))
        name = f"{start}-{stop}"
        path = parts / f"faces.{name}.npz"
        if path.exists():
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                block = Block(name, arrays["codes"], list(arrays["points"]))
        else:
            if drawn is eye and networks.bundle.name != faces.bundle:
                # They are another generator's.
                drawn = eye.of(networks.of(faces.bundle).generator)
            block = invert(drawn.pictures(faces.codes[start:stop]), eye, networks.encoder, name)
            keep_arrays(path, codes=block.codes, points=np.reshape(block.points, (-1, 68, 2)))
        if len(block.codes):
            blocks.append(block)
    if not blocks:
        raise NoFaceError(
            f"no face is seen in what the bundle {networks.bundle.name!r} makes of faces",
            "See whether its encoder belongs to its generator: videdit evaluate inversion --bundle"
            f" {networks.bundle.name} PORTRAITS.",
        )
    return blocks
