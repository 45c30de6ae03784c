"""The codes that maps are trained on, and the coordinates in which they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..editing.classifier import LatentClassifier
from ..editing.labelled import LabelledFaces
from ..editing.transformer import AffineMap
from ..generators.wspace import WStatistics
from .classifier import labelled_codes

Floats = npt.NDArray[np.float32]


class Space:
    """W's principal axes, each divided by the root of its deviation over W's."""

    def __init__(self, stats: WStatistics) -> None:
        self.mean = stats.mean
        self.unit = float(stats.scale.square().mean().sqrt())
        self.root = (stats.scale / self.unit).sqrt()
        self.axes = stats.axes

    def of(self, codes: Tensor) -> Tensor:
        """Coordinates of codes, (..., 512)."""
        return (codes - self.mean) @ self.axes / (self.unit * self.root)

    def principal(self, coordinates: Tensor) -> Tensor:
        """The classifier's coordinates."""
        return coordinates * self.root

    def codes(self, coordinates: Tensor) -> Tensor:
        """Codes of coordinates, (..., 512)."""
        return (coordinates * (self.unit * self.root)) @ self.axes.T + self.mean

    def affine(self, down: Tensor, up: Tensor, bias: Tensor) -> AffineMap:
        """A map of coordinates as one of codes."""
        into = self.axes / (self.unit * self.root)
        back = (self.unit * self.root)[:, None] * self.axes.T
        return AffineMap((into @ down).numpy(), (up @ back).numpy(), (bias @ back).numpy())


@dataclass(frozen=True)
class Pool:
    """What maps are trained on.

    Attributes:
        classifier: C, frozen.
        space: of the coordinates.
        codes: (n, 16, 512).
        inverted: (n,) which of them the encoder gave.
        coordinates: of the codes.
        logits: (n, k) C's, of the codes.
        correlation: (k, k) of the labels.
    """

    classifier: LatentClassifier
    space: Space
    codes: Floats
    inverted: npt.NDArray[np.bool_]
    coordinates: Tensor
    logits: Tensor
    correlation: Floats

    @staticmethod
    def of(
        folder: Path, classifier: LatentClassifier, own: LabelledFaces, stats: WStatistics
    ) -> Pool:
        """The labelled faces and those that the teacher labelled in ``folder``."""
        space = Space(stats)
        taught, _, inverted = labelled_codes(folder, "labelled")
        codes = np.concatenate((own.codes, taught))
        inverted = np.r_[np.zeros(len(own.codes), bool), inverted]
        rows = torch.cat([space.of(torch.from_numpy(c)) for c in np.array_split(codes, 50)])
        logits = torch.from_numpy(classifier.logits(codes))
        count = len(own.names)
        table = np.nan_to_num(np.corrcoef(own.labels[own.random].T)).reshape(count, count)
        return Pool(classifier, space, codes, inverted, rows, logits, table.astype(np.float32))

    def kept(self, index: int) -> Tensor:
        """(k,) how much an edit of the attribute in column ``index`` keeps the others."""
        weights = torch.from_numpy(1 - np.abs(self.correlation[index]))
        weights[index] = 0
        return weights
