"""Decoding through a model that OpenVINO made of a generator in PyTorch.

On one core StyleGAN2 takes a third of the time that PyTorch takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundles.latent import LatentSpace
from ..compiled import compiled, traced
from .decoder import TorchDecoder
from .latents import Latents

if TYPE_CHECKING:
    from .network import GeneratorNetwork

_GRAPH = "2"
"""Version of what is made of a network here; to be raised when that, or the network, changes."""


class TracedDecoder:
    """A generator on the CPU, whatever it is made of.

    Args:
        make: gives the network; called only where it was not compiled before, or to mix
            activations, which few runs do and PyTorch does.
        space: of the codes; says how many channels each layer has.
        precision: "fp32" or "bf16".
        ids: content ids of all that decides the network, which it is kept under once compiled.
        kept_in: folder of compiled models, see ``compiled``.
    """

    def __init__(
        self,
        make: Callable[[], GeneratorNetwork],
        space: LatentSpace,
        precision: str = "fp32",
        *,
        ids: Mapping[str, str] | None = None,
        kept_in: Path | None = None,
    ) -> None:
        self._make, self._space, self._precision = make, space, precision
        self._busy = threading.Lock()  # a compiled model answers one caller at a time
        parts = {**(ids or {}), "graph": _GRAPH}
        folder = kept_in if ids else None
        self._compiled = compiled("generator", parts, precision, self._model, folder)
        self._mixing: TorchDecoder | None = None

    def decode(self, codes: np.ndarray | Latents) -> np.ndarray:
        """As ``models.protocols.Generator``, one at a time: batches gain nothing on a CPU."""
        latents, side = Latents.of(codes), self._space.resolution
        if latents.mixture is not None:
            if self._mixing is None:
                self._mixing = TorchDecoder(self._make(), self._space, "cpu", self._precision)
            one = [self._mixing.decode(latents[[i]]) for i in range(len(latents))]
            return np.concatenate([np.zeros((0, side, side, 3), np.float32), *one])
        size = self._space.rows * self._space.width
        pictures = np.empty((len(latents), side, side, 3), np.float32)
        for i in range(len(latents)):
            given = np.zeros((1, size + self._space.channels), np.float32)
            given[0, :size] = latents.codes[i].ravel()
            if latents.offsets is not None:
                given[0, size:] = latents.offsets[i]
            with self._busy:
                pictures[i] = self._compiled(given)[0][0]
        return pictures

    def _model(self) -> Any:
        import torch
        from torch import Tensor, nn

        network, space = self._make(), self._space
        size = space.rows * space.width

        class Pictures(nn.Module):
            """Codes and offsets, in one tensor, to what is shown of them."""

            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, given: Tensor) -> Tensor:
                codes = given[:, :size].reshape(-1, *space.shape)
                picture: Tensor = self.network(codes, given[:, size:])
                return (picture * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

        return traced(Pictures().eval(), torch.zeros(1, size + space.channels))
