"""Labelled codes: the data that classifiers, transformers and baselines are trained on.

A folder holds

- ``latents.npz``: ``id`` (n,) and either ``codes`` (n, rows, width), or ``w_a``, ``w_b`` (n, width)
  and ``from_a`` (n, rows) (rows of the first or the second code); perhaps ``bundle``, the name of
  the bundle whose generator's codes they are, the embedded one's if it is not there;
- ``labels.csv``: a line per face: ``id``, perhaps ``sampling`` (``random`` for faces drawn without
  looking; others never estimate a rate), then one column of 0 and 1 per attribute, named freely;
- perhaps ``split.csv``: ``id,part`` with the parts below. Without it, parts are drawn.
"""

from __future__ import annotations

import csv
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundles.manifest import DEFAULT_BUNDLE, read_manifest
from ..errors import InputError

EDIT, JUDGE, TEST = PARTS = ("edit", "judge", "test")
"""Faces that classifier, transformers and baselines learn from; faces that the judge of edits
learns from; faces that nobody learns from, on which everything is measured."""

_SHARES = (0.58, 0.27, 0.15)


@dataclass(frozen=True)
class LabelledFaces:
    """A folder's faces.

    Attributes:
        codes: (n, rows, width) float32, W units.
        labels: (n, k) float32, 0 or 1.
        names: of the k attributes.
        random: (n,) bool, whether the face was drawn without looking at it.
        part: (n,) which of ``PARTS`` it belongs to.
        bundle: whose generator's codes they are.
    """

    codes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    names: tuple[str, ...]
    random: npt.NDArray[np.bool_]
    part: npt.NDArray[np.str_]
    bundle: str = DEFAULT_BUNDLE

    @classmethod
    def load(cls, folder: Path) -> LabelledFaces:
        """The faces of a folder; see the module's head.

        Raises:
            InputError: missing, damaged, or the files don't belong together.
        """
        return load_labelled(folder / "latents.npz", folder / "labels.csv", folder / "split.csv")

    def chosen(self, which: npt.NDArray[np.bool_]) -> LabelledFaces:
        """Some of the faces."""
        return LabelledFaces(
            self.codes[which],
            self.labels[which],
            self.names,
            self.random[which],
            self.part[which],
            self.bundle,
        )

    def of(self, part: str) -> LabelledFaces:
        """The faces of one part; of the test, those alone that were drawn without looking."""
        which = self.part == part
        return self.chosen(which & self.random if part == TEST else which)


def load_labelled(latents: Path, labels: Path, split: Path | None = None) -> LabelledFaces:
    """Labelled codes from their files; see the module's head.

    Args:
        latents: the npz file.
        labels: the CSV file.
        split: the parts' CSV file; drawn where there is none.

    Raises:
        InputError: missing, damaged, or the files don't belong together.
        UsageError: there is no bundle of the name that the codes have.
    """
    try:
        with open(labels, newline="", encoding="utf-8") as file:
            header, *table = list(csv.reader(file))
        if header[:1] != ["id"]:
            raise ValueError("the first column of the labels is not 'id'")
        first = 2 if header[1:2] == ["sampling"] else 1
        names = tuple(header[first:])
        if not names or len(set(names)) != len(names):
            raise ValueError("the labels need columns with different names")
        for name in names:
            # They become names of files.
            if not re.fullmatch(r"\w[\w.+ -]{0,79}", name):
                raise ValueError(f"{name!r} is no name of letters, digits, '_', '-', '.' and '+'")
        values = np.array([[float(v) for v in row[first:]] for row in table], np.float32)
        if values.shape != (len(table), len(names)) or not np.isin(values, (0, 1)).all():
            raise ValueError("labels are 0 or 1, one for each column")
        random = np.array([first == 1 or row[1] == "random" for row in table])
        arrays = _read(latents)
        bundle = str(arrays.get("bundle", DEFAULT_BUNDLE))
        codes = _codes(arrays, bundle)
        ids = [row[0] for row in table]
        if [str(i) for i in arrays["id"].tolist()] != ids:
            raise ValueError("the codes and the labels list different faces")
        if split is not None and split.exists():
            part = _parts(split, ids)
        else:
            order = np.random.default_rng(0).permutation(len(ids)) / len(ids)
            part = np.array(PARTS)[np.searchsorted(np.cumsum(_SHARES)[:-1], order, "right")]
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"the labelled faces {latents} and {labels.name} cannot be read ({error})",
            "Their format is described in training_data/faces/README.md.",
        ) from error
    return LabelledFaces(codes, values, names, random, part, bundle)


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    # Opened here: numpy leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _codes(arrays: dict[str, npt.NDArray[Any]], bundle: str) -> npt.NDArray[np.float32]:
    if "codes" in arrays:
        codes = arrays["codes"].astype(np.float32)
    else:
        first = arrays["from_a"].astype(bool)[:, :, None]
        codes = np.where(first, arrays["w_a"][:, None], arrays["w_b"][:, None]).astype(np.float32)
    latent = read_manifest(bundle).latent
    if latent is None or codes.shape[1:] != latent.shape or not np.isfinite(codes).all():
        raise ValueError(
            f"codes have the shape {codes.shape}, not that of the bundle {bundle!r}, or are not"
            " finite"
        )
    return codes


def _parts(path: Path, ids: list[str]) -> npt.NDArray[np.str_]:
    with open(path, newline="", encoding="utf-8") as file:
        parts = {row["id"]: row["part"] for row in csv.DictReader(file)}
    if set(parts.values()) - set(PARTS) or set(ids) - set(parts):
        raise ValueError(f"{path.name} must give each face one of {', '.join(PARTS)}")
    return np.array([parts[i] for i in ids])
