"""Files that `videdit train` and `videdit evaluate` leave, for a bundle of the user's: what they
are, and whether they are of its codes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from ..bundles.latent import LatentSpace
from ..editing import directions, linear, styleflow, stylespace
from ..editing.classifier import load_classifier
from ..editing.files import read_description, readable
from ..editing.quality import load_quality
from ..editing.transformer import load_lengths, load_transformers
from ..errors import WeightsError
from ..generators.wspace import assumed
from ..inversion.corrector import load_corrector
from ..inversion.encoder import load_network
from .choices import ALONE, CORRECTED, ENCODERS

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANOTHER = "It was made for another generator; import it into that one's bundle: --as NAME."

_NEEDED = ("generator", "statistics", "recognition")

_KINDS = {
    "videdit.transformers": ("transformer", "latent-transformers", ()),
    linear.NORMALS: ("interfacegan", "normals", ()),
    styleflow.FORMAT: ("styleflow", "styleflow", ("statistics", "classifier")),
    stylespace.FORMAT: ("stylespace", "style-channels", ("generator",)),
    directions.FORMAT: ("ganalyze", "directions", ()),
}
"""By the format that a file names: editor, architecture, and the roles that it needs."""


@dataclass(frozen=True)
class TrainedFile:
    """A file of this project's own.

    Attributes:
        path: of the file.
        role, architecture, needs: of a manifest's role.
        what: in words.
        more: whether it stands beside the role's first file, and not in its place.
    """

    path: Path
    role: str
    architecture: str
    what: str
    needs: tuple[str, ...] = ()
    more: bool = False

    def check(self, space: LatentSpace, classifier: Path | None) -> None:
        """See whether it is of a bundle's codes.

        Args:
            space: the bundle's.
            classifier: the file of its latent classifier, if it has one.

        Raises:
            WeightsError: it is not, or it is damaged.
        """
        path, shape = self.path, space.shape
        if self.role == "encoder":
            stats = assumed(torch.zeros(space.width))
            (load_corrector if self.more else load_network)(path, stats, space.groups)
        elif self.role == "classifier":
            found = load_classifier(path, space.rows)
            self._same(found.width == space.width, f"codes {found.width} wide")
        elif self.role == "editor-transformer" and not self.more:
            load_transformers(path, shape=shape)
        elif self.role == "editor-interfacegan":
            linear.load_normals(path, shape)
        elif self.role == "editor-ganalyze":
            directions.load_directions(path).editor(shape)
        elif self.role == "editor-stylespace":
            layers = stylespace.load_channels(path).layers
            self._same(tuple(layers) == space.styles, "other style channels")
        elif self.role == "editor-ganspace":
            last = max(one.last for one in linear.load_components(path).values())
            self._same(last < space.rows, f"row {last}")
        elif self.role == "editor-styleflow" and classifier is not None:
            about = read_description(path)
            mine = styleflow.fingerprint(load_classifier(classifier, space.rows))
            self._same(about["classifier"] == mine, "another latent classifier")

    def _same(self, same: bool, of: str) -> None:
        if not same:
            raise WeightsError(f"{self.path.name} is of {of}", _ANOTHER)


def trained_file(path: Path) -> TrainedFile | None:
    """What a file of this project's own is; None where it is none.

    Raises:
        WeightsError: it is damaged.
    """
    if path.suffix == ".json" and path.is_file():
        return _table(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    with readable(path, "the file", "Train it anew."):
        about = read_description(path)
    names = ", ".join(map(str, about.get("names", ())))
    kind = str(about.get("format", ""))
    if not kind and "members" in about:
        return TrainedFile(path, "classifier", "latent-classifier", f"latent classifier: {names}")
    if not kind:
        with readable(path, "the file", "Train it anew."), safe_open(str(path), "np") as file:
            keys = set(file.keys())
        if {"queries", "trunk.0.weight"} <= keys:
            return TrainedFile(path, "encoder", ALONE, ENCODERS[ALONE], _NEEDED)
        if {"corrector.queries", "readout.style1.weight"} <= keys:
            what = "corrector of an encoder"
            return TrainedFile(path, "encoder", CORRECTED, what, _NEEDED, more=True)
    found = _KINDS.get(kind) or _KINDS.get(kind.rpartition(".")[0])
    if found is None:
        return None
    editor, architecture, needs = found
    return TrainedFile(path, f"editor-{editor}", architecture, f"editor {editor}: {names}", needs)


def _table(path: Path) -> TrainedFile | None:
    try:
        held: Mapping[str, object] = json.loads(path.read_text(encoding="utf-8"))
        kinds = {type(value) for value in held.values()}
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path.name} cannot be read ({error})", "Make it anew.") from error
    if kinds == {list}:
        load_lengths(path)
        what = f"lengths of an alpha of 1: {', '.join(held)}"
        return TrainedFile(path, "editor-transformer", "latent-transformers", what, more=True)
    if kinds == {dict} and all("sigma" in value for value in held.values()):  # type: ignore[operator]
        linear.load_components(path)
        what = f"components named {', '.join(held)}"
        return TrainedFile(path, "editor-ganspace", "components", what, ("statistics",))
    load_quality(path)
    what = f"how well transformers edit: {', '.join(held)}"
    return TrainedFile(path, "quality", "quality-table", what, ("editor-transformer",))
