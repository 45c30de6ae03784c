"""Running a trained encoder: crops in, codes out, on whatever the machine has.

On the CPU a compiled model does it, made from the PyTorch network once; PyTorch itself is only
loaded where it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundles.latent import LatentSpace
from ..compiled import compiled, traced
from ..device import channels_last

if TYPE_CHECKING:
    from torch import Tensor, nn

INPUT_SIZE = 256
"""Side of the crops that encoders look at, pixels."""


class OpenVinoEncoder:
    """An encoder through OpenVINO on the CPU.

    Args:
        make: gives the trained network, (n, 3, 256, 256) RGB in [0, 1] to (n, rows, width); called
            only where it was not compiled before.
        space: of the codes.
        precision: "fp32" or "bf16".
        ids: content ids of all that decides the network, which it is kept under once compiled.
        kept_in: folder of compiled models, see ``compiled``.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        space: LatentSpace,
        precision: str = "fp32",
        *,
        ids: Mapping[str, str] | None = None,
        kept_in: Path | None = None,
    ) -> None:
        def model() -> Any:
            import torch

            return traced(make(), torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))

        self._space = space
        self._busy = threading.Lock()  # a compiled model answers one caller at a time
        self._compiled = compiled("encoder", ids or {}, precision, model, kept_in if ids else None)

    def encode(self, crops: np.ndarray | Tensor) -> np.ndarray:
        """As ``models.protocols.Encoder``, one at a time: batches gain nothing on a CPU."""
        codes = [np.zeros((0, *self._space.shape), np.float32)]
        for crop in np.asarray(crops):
            picture = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
            with self._busy:
                codes.append(self._compiled(picture)[0].copy())
        return np.concatenate(codes)


class TorchEncoder:
    """An encoder through PyTorch: half precision and channels_last on a GPU.

    Args:
        network: trained, (n, 3, 256, 256) RGB in [0, 1] to (n, rows, width).
        space: of the codes.
        device: "cpu" or a CUDA device.
        precision: "fp32", "bf16" or (CUDA) "fp16".
    """

    def __init__(
        self, network: nn.Module, space: LatentSpace, device: str, precision: str = "fp32"
    ) -> None:
        from ..captured import Captured

        self._space = space
        self._device = device
        run = network.to(device).eval()
        if device != "cpu":
            channels_last(run)
        self._network = Captured(run, device, precision)

    def encode(self, crops: np.ndarray | Tensor) -> np.ndarray:
        """As ``models.protocols.Encoder``, all at once: give as many as the memory takes."""
        from ..copies import downloaded, uploaded

        if not len(crops):
            return np.zeros((0, *self._space.shape), np.float32)
        if isinstance(crops, np.ndarray):
            pictures = uploaded(np.ascontiguousarray(crops, np.float32), self._device)
            crops = pictures.permute(0, 3, 1, 2)
        return downloaded(self._network(crops.to(self._device)))
