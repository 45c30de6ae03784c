"""Training a map on through pictures, so that the edit is right there, too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..editing.picture_classifier import Looks, PictureClassifier
from .classifier import Viewer
from .maps import Map, Part, TransformerTraining, descend
from .pool import Pool

_PAYS = 30
"""Compiling takes as long as some tens of steps."""


class Witness(nn.Module):
    """What the teacher says of the pictures of codes, with a gradient.

    Codes (n, 16, 512) to logits (n, k) and the face network's descriptors (n, 1024).
    """

    def __init__(self, viewer: Viewer, teacher: PictureClassifier) -> None:
        super().__init__()
        self.synthesis, self.readout = viewer.synthesis, viewer.readout
        self.face, self.teacher = viewer.face, teacher

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        pictures = self.readout.show(self.synthesis, codes)
        seen = self.face(pictures)
        parts = (seen.whole, F.avg_pool2d(seen.regions, 2), F.avg_pool2d(seen.parts, 4))
        looks = Looks(torch.cat(parts, 1), F.avg_pool2d(pictures, 4) * 255)
        return self.teacher(looks), seen.descriptor


@dataclass(frozen=True)
class Pictured:
    """Faces on which maps are refined, as the witness sees them.

    Attributes:
        witness: sees.
        coordinates: (n, 16, 512).
        logits: (n, k) the witness's.
        descriptors: (n, 1024).
    """

    witness: Callable[[Tensor], tuple[Tensor, Tensor]]
    coordinates: Tensor
    logits: Tensor
    descriptors: Tensor

    @staticmethod
    def of(
        pool: Pool, viewer: Viewer, teacher: PictureClassifier, how: TransformerTraining
    ) -> Pictured:
        """Some of the pool's inverted faces."""
        witness = Witness(viewer, teacher)
        rng = np.random.default_rng(how.seed)
        # What users edit are inverted codes; a folder without any has only the others.
        rows = np.flatnonzero(pool.inverted) if pool.inverted.any() else np.arange(len(pool.codes))
        chosen = rng.choice(rows, min(how.refining_faces, len(rows)), replace=False)
        logits, descriptors = [], []
        with torch.no_grad():
            for piece in np.array_split(chosen, max(1, len(chosen) // 10)):
                seen, who = witness(torch.from_numpy(pool.codes[piece]))
                logits.append(seen)
                descriptors.append(who)
        # Compiling for the CPU needs a C++ compiler; without one, it only takes three times longer.
        pays = how.refining_steps > _PAYS and shutil.which("g++") is not None
        fused = torch.compile(witness, dynamic=False) if pays else witness
        return Pictured(fused, pool.coordinates[chosen], torch.cat(logits), torch.cat(descriptors))


def refine_map(
    found: Map, pool: Pool, faces: Pictured, index: int, how: TransformerTraining
) -> None:
    """Train a map on through pictures: the same losses by the teacher's logits, and one more, that
    the face network still sees the same person."""
    if not how.refining_steps:
        return

    def see(after: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            seen, who = faces.witness(pool.space.codes(after))
        same = (1 - (who.float() * faces.descriptors[chosen]).sum(1)).mean()
        return seen.float(), how.identity * same

    torch.manual_seed(how.seed)
    part = Part(
        how.refining_steps,
        how.refining_batch,
        how.refining_rate,
        faces.coordinates,
        faces.logits,
        see,
    )
    descend(found, part, pool, index, how)
