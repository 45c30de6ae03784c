"""Predict, decode, correct: a second look at a crop beside what its first code shows.

The encoder's code is decoded to a coarse picture (`Readout`), the face network looks at the crop
and at this picture, and a small network turns what differs into a correction of the code (the idea
of *ReStyle*, Alaluf et al. 2021, with one pass and the difference taken in the features of a face
recognition network). Seeing its own error carries over to people it has never seen, where the
first guess alone falls back to people that it knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.tensors import load_weights, read_state
from ..faces.recognition import FaceFeatures, FaceNetwork
from ..generators.network import GeneratorNetwork
from ..generators.wspace import WStatistics
from .encoder import ROW_GROUPS, Encoder, Groups, Residual, RowPredictor, load_network
from .readout import Readout, readout_like

_WIDTH = 384


class Corrector(RowPredictor):
    """A crop, what its code shows, and the code to a better code; untrained, to the same code."""

    def __init__(self, stats: WStatistics, groups: Groups = ROW_GROUPS) -> None:
        super().__init__(stats, _WIDTH, tokens=64 + 49, head_std=0.0, groups=groups)
        self.trunk = nn.Sequential(
            nn.Conv2d(9, 32, 5, 4, 2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            Residual(32, 64, 2),
            Residual(64, 128, 2),
            Residual(128, 192, 2),
        )
        self.tokens = nn.Conv2d(192, _WIDTH, 1)
        self.face = nn.Conv2d(2 * (512 + 1024), _WIDTH, 1)
        self.who = nn.Linear(1024, _WIDTH)
        self.row_code = nn.Linear(len(stats.mean), _WIDTH)

    def forward(
        self,
        crops: Tensor,
        shown: Tensor,
        face: FaceFeatures,
        face_shown: FaceFeatures,
        codes: Tensor,
    ) -> Tensor:
        pixels = torch.cat((crops * 2 - 1, shown * 2 - 1, crops - shown), 1)

        def grid(features: FaceFeatures) -> Tensor:
            # relu6 ends each: a fourth brings both to about one.
            both = torch.cat((F.avg_pool2d(features.regions, 2), features.whole), 1)
            return both / 4

        ours, theirs = grid(face), grid(face_shown)
        faces = self.face(torch.cat((ours, ours - theirs), 1))
        tokens = self.placed((self.tokens(self.trunk(pixels)), faces))
        whitened = ((codes - self.mean) @ self.axes) / self.scale
        rows = self.queries + self.who((face.descriptor - face_shown.descriptor) * 32)[:, None]
        rows = rows + self.row_code(whitened)
        for gather in self.gathers:
            rows = gather(rows, torch.cat((tokens, rows), 1))
        return codes + self.offsets(rows)


class CorrectedEncoder(nn.Module):
    """Crops (n, 3, 256, 256), RGB in [0, 1], to codes (n, rows, width), looked at twice."""

    def __init__(
        self,
        encoder: Encoder,
        synthesis: GeneratorNetwork,
        readout: Readout,
        face: FaceNetwork,
        corrector: Corrector,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.synthesis = synthesis
        self.readout = readout
        self.face = face
        self.corrector = corrector

    def forward(self, crops: Tensor) -> Tensor:
        with torch.no_grad():
            codes = self.encoder(crops)
            shown = self.readout.show(self.synthesis, codes)
            face, face_shown = self.face(crops), self.face(shown)
        return cast(Tensor, self.corrector(crops, shown, face, face_shown, codes))


def load_corrected_encoder(
    encoder: Path,
    corrector: Path,
    stats: WStatistics,
    synthesis: GeneratorNetwork,
    face: FaceNetwork,
    groups: Groups = ROW_GROUPS,
) -> CorrectedEncoder:
    """The trained encoder with its second look, in evaluation mode.

    Args:
        encoder: file of the first guess.
        corrector: file of the corrector and the readout.
        stats: W's statistics.
        synthesis: the generator.
        face: the face network as published.
        groups: of rows, those of the latent space's bands.

    Raises:
        WeightsError: a file is damaged or belongs to another network.
    """
    second, readout = load_corrector(corrector, stats, groups)
    first = load_network(encoder, stats, groups)
    network = CorrectedEncoder(first, synthesis, readout, face, second)
    return network.eval().requires_grad_(False)


def load_corrector(
    path: Path, stats: WStatistics, groups: Groups = ROW_GROUPS
) -> tuple[Corrector, Readout]:
    """The corrector and its readout, in evaluation mode; see `load_corrected_encoder`.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    state = read_state(path, "corrector")
    head = "readout."
    own = {name.removeprefix(head): v for name, v in state.items() if name.startswith(head)}
    parts = nn.ModuleDict({"corrector": Corrector(stats, groups), "readout": readout_like(own, 3)})
    load_weights(parts, path, "corrector")
    return cast(Corrector, parts["corrector"]), cast(Readout, parts["readout"])
