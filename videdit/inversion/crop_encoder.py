"""A published encoder as a bundle's: the chain's crops in, its generator's codes out."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.latent import LatentSpace
from ..bundles.tensors import read_state
from ..errors import WeightsError
from .predict import INPUT_SIZE
from .psp import EncoderShape, PyramidEncoder, load_encoder


class CropEncoder(nn.Module):
    """Crops (n, 3, 256, 256), RGB in [0, 1], to codes.

    Args:
        network: takes crops of a side that 256 is a multiple of.
    """

    def __init__(self, network: PyramidEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        crops = F.avg_pool2d(crops, INPUT_SIZE // self.network.shape.side)
        codes: Tensor = self.network(crops * 2 - 1)
        return codes


def check_encoder(shape: EncoderShape, space: LatentSpace) -> None:
    """Refuse an encoder that gives other codes than a generator takes.

    Raises:
        WeightsError: it has other rows or another width, or takes crops of a strange size.
    """
    if (shape.rows, shape.width) != space.shape:
        raise WeightsError(
            f"the encoder gives codes of {shape.rows} rows of {shape.width} numbers, "
            f"the generator takes {space.rows} of {space.width}",
            f"Give an encoder that was trained for a generator of {space.resolution} pixels.",
        )
    if INPUT_SIZE % shape.side:
        raise WeightsError(
            f"the encoder takes crops of {shape.side} pixels",
            f"Give one for {INPUT_SIZE} pixels.",
        )


def load_crop_encoder(path: Path, space: LatentSpace, progressive: bool) -> CropEncoder:
    """The encoder in a file that `videdit weights import` wrote: the published names, and ``mean``.

    Raises:
        WeightsError: it is damaged, or gives other codes than ``space``.
    """
    state = read_state(path, "encoder")
    mean = state.pop("mean", None)
    network = load_encoder(state, mean, progressive=progressive)
    check_encoder(network.shape, space)
    return CropEncoder(network)
