"""Losses of the encoder's training: on codes, and on what codes show."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..faces.recognition import FaceNetwork
from ..generators.network import GeneratorNetwork
from ..inversion.losses import compare_faces, face_weight, picture_loss, seen
from ..inversion.readout import Readout
from .encoder_settings import EncoderTraining
from .views import generated

_FEATURE_BLOCKS = 3
_SCALES = 3


def mean_picture_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the pictures and of their finite differences, at three scales."""
    return picture_loss(a, b, _SCALES) / _SCALES


def code_losses(
    predicted: Tensor, codes: Tensor, synthesis: GeneratorNetwork, variance: Tensor
) -> tuple[Tensor, Tensor]:
    code_loss = (predicted - codes).square().mean() / variance
    # Half of the batch is enough for the features: they cost as much as the encoder.
    half = max(2, len(codes) // 2)
    with torch.no_grad():
        target = synthesis.features(codes[:half], _FEATURE_BLOCKS).float()
        spread = target.var(0, keepdim=True).mean((2, 3), keepdim=True) + 1e-4
    features = synthesis.features(predicted[:half], _FEATURE_BLOCKS).float()
    return code_loss, ((features - target).square() / spread).mean()


class Judge:
    """Compares what codes show with pictures, through the readout, or where there is none the
    generator itself, and the face network."""

    def __init__(
        self,
        synthesis: GeneratorNetwork,
        readout: Readout | None,
        face: FaceNetwork,
        settings: EncoderTraining,
        device: str,
        compiled: bool = False,
    ) -> None:
        self.synthesis = synthesis.to(device)
        self._show = generated(self.synthesis)
        if readout is not None:
            self._show = partial(readout.to(device).show, self.synthesis)
        self.face = face.to(device)
        self.settings = settings
        self.weight = face_weight(256).to(device)
        # Fused, a step of the generator takes a third of the time.
        self._losses = torch.compile(self._parts, dynamic=False) if compiled else self._parts

    def show(self, codes: Tensor) -> Tensor:
        """(n, rows, width) codes as (n, 3, 256, 256) pictures."""
        return self._show(codes)

    def _parts(self, codes: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shown = self.show(codes)
        pixels = mean_picture_loss(shown * self.weight, pictures * self.weight)
        parts, identity = compare_faces(self.face, shown, seen(self.face, pictures))
        return pixels, parts, identity

    def __call__(self, codes: Tensor, pictures: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The weighted loss and its parts."""
        pixels, parts, identity = self._losses(codes, pictures)
        s = self.settings
        loss = s.picture_weight * pixels + s.part_weight * parts + s.identity_weight * identity
        values = {"pixels": pixels, "parts": parts, "identity": identity}
        return loss, {k: float(v.detach()) for k, v in values.items()}
