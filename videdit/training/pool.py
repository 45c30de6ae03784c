"""The codes that maps are trained on, and the coordinates in which they are."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..editing.classifier import LatentClassifier
from ..editing.labelled import EDIT, LabelledFaces
from ..editing.transformer import AffineMap
from ..errors import InputError
from ..generators.wspace import WStatistics
from .classifier import labelled_codes

if TYPE_CHECKING:
    from ..models.networks import Networks

Floats = npt.NDArray[np.float32]

REAL = "real_codes.npz"
"""In the working folder, if a user puts it there: ``codes`` (n, rows, width) of real people."""

_REAL_SHARE = 0.25


class Space:
    """W's principal axes, each divided by the root of its deviation over W's."""

    def __init__(self, stats: WStatistics) -> None:
        self.stats = stats
        self.unit = float(stats.scale.square().mean().sqrt())
        self.root = (stats.scale / self.unit).sqrt()

    def to(self, device: str) -> Space:
        """The same on another device."""
        return Space(self.stats.to(device))

    def of(self, codes: Tensor) -> Tensor:
        """Coordinates of codes, (..., width)."""
        return (codes - self.stats.mean) @ self.stats.axes / (self.unit * self.root)

    def principal(self, coordinates: Tensor) -> Tensor:
        """The classifier's coordinates."""
        return coordinates * self.root

    def codes(self, coordinates: Tensor) -> Tensor:
        """Codes of coordinates, (..., width)."""
        return (coordinates * (self.unit * self.root)) @ self.stats.axes.T + self.stats.mean

    def affine(self, down: Tensor, up: Tensor, bias: Tensor) -> AffineMap:
        """A map of coordinates, on the CPU, as one of codes."""
        axes, root = self.stats.axes.cpu(), self.root.cpu()
        into = axes / (self.unit * root)
        back = (self.unit * root)[:, None] * axes.T
        return AffineMap((into @ down).numpy(), (up @ back).numpy(), (bias @ back).numpy())


@dataclass(frozen=True)
class Pool:
    """What maps are trained on.

    Attributes:
        classifier: C, frozen.
        space: of the coordinates.
        inverted: (n,) which of them the encoder gave.
        shown: (n,) of each the row whose picture it shows: that which the encoder saw, where it is
            known, else its own.
        coordinates: (n, rows, width) of the codes.
        logits: (n, k) C's, of the codes.
        correlation: (k, k) of the labels.
    """

    classifier: LatentClassifier
    space: Space
    inverted: npt.NDArray[np.bool_]
    shown: npt.NDArray[np.int64]
    coordinates: Tensor
    logits: Tensor
    correlation: Floats

    @staticmethod
    def of(
        folder: Path,
        classifier: LatentClassifier,
        own: LabelledFaces,
        stats: WStatistics,
        device: str = "cpu",
        labels: LabelledFaces | None = None,
    ) -> Pool:
        """The labelled faces, those that the teacher labelled in ``folder``, and real people's
        where `REAL` is there: as often as makes a quarter of those that are inverted. The
        classifier moves to the device.

        Args:
            labels: which go together is seen in these, if not in the labelled faces.

        Raises:
            InputError: `REAL` holds no codes.
        """
        space = Space(stats).to(device)
        classifier = classifier.to(device)
        taught, _, shown = labelled_codes(folder, "labelled")
        inverted = shown != np.arange(len(shown))
        parts = [own.codes, taught]
        flags = [np.zeros(len(own.codes), bool), inverted]
        shows = [np.arange(len(own.codes)), shown + len(own.codes)]
        if (folder / REAL).exists():
            real = _real(folder / REAL, taught.shape[1:])
            wanted = _REAL_SHARE / (1 - _REAL_SHARE) * inverted.sum()
            times = max(1, round(wanted / len(real)))
            start = len(own.codes) + len(taught)
            parts += [real] * times
            flags += [np.ones(len(real), bool)] * times
            shows.append(np.arange(start, start + times * len(real)))
        rows, logits = [], []
        with torch.no_grad():
            for part in filter(len, parts):
                for piece in np.array_split(part, max(1, len(part) // 1000)):
                    codes = torch.from_numpy(piece).to(device)
                    rows.append(space.of(codes))
                    logits.append(classifier(codes))
        told = own if labels is None else labels
        count = len(told.names)
        table = np.nan_to_num(np.corrcoef(told.labels[told.random].T)).reshape(count, count)
        return Pool(
            classifier,
            space,
            np.concatenate(flags),
            np.concatenate(shows),
            torch.cat(rows),
            torch.cat(logits),
            table.astype(np.float32),
        )

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.coordinates.device

    def kept(self, index: int) -> Tensor:
        """(k,) how much an edit of the attribute in column ``index`` keeps the others."""
        weights = torch.from_numpy(1 - np.abs(self.correlation[index]))
        weights[index] = 0
        return weights


def _real(path: Path, shape: tuple[int, ...]) -> Floats:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            codes = arrays["codes"].astype(np.float32)
        if codes.shape[1:] != shape or not len(codes) or not np.isfinite(codes).all():
            raise ValueError(f"codes of the shape {codes.shape}")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} holds no codes of real people ({error})",
            f"It takes `codes`, (n, {shape[0]}, {shape[1]}); or delete it.",
        ) from error
    return np.asarray(codes)


def own_faces(data: LabelledFaces, networks: Networks) -> LabelledFaces:
    """The labelled faces whose codes are learned from: none, where those are of another generator
    than the bundle's."""
    own = data.of(EDIT)
    if data.bundle == networks.bundle.name:
        return own
    none = own.chosen(np.zeros(len(own.codes), bool))
    codes = np.zeros((0, *networks.space.shape), np.float32)
    return replace(none, codes=codes, bundle=networks.bundle.name)


def pool_of(
    folder: Path, classifier: LatentClassifier, data: LabelledFaces, networks: Networks
) -> Pool:
    """`Pool.of` the labelled faces for a bundle's generator, on its device."""
    own, device = own_faces(data, networks), networks.device.name
    return Pool.of(folder, classifier, own, networks.statistics, device, data.of(EDIT))
