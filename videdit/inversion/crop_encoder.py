"""A published encoder as a bundle's: the chain's crops in, its generator's codes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.latent import LatentSpace
from ..bundles.tensors import entry, read_state
from ..errors import WeightsError
from .predict import INPUT_SIZE
from .psp import EncoderShape, load_encoder, mean_rows
from .restyle import BackboneEncoder, ReStyle, load_backbone

ARCHITECTURES = {
    "psp-encoder": "pSp encoder",
    "e4e-encoder": "e4e encoder",
    "restyle-psp-encoder": "ReStyle encoder over pSp",
    "restyle-e4e-encoder": "ReStyle encoder over e4e",
}
"""What a manifest calls the published encoders, and what people call them."""


class CropEncoder(nn.Module):
    """Crops (n, 3, 256, 256), RGB in [0, 1], to codes.

    Args:
        network: takes crops in [-1, 1].
        side: of the crops that it takes, pixels; 256 is a multiple of it.
    """

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, crops: Tensor) -> Tensor:
        crops = F.avg_pool2d(crops, INPUT_SIZE // self.side)
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


def encoder_of(
    architecture: str, state: Mapping[str, Tensor], mean: Tensor | None
) -> tuple[nn.Module, EncoderShape]:
    """The network of a state dict in the published layout, and its shape.

    Args:
        architecture: of `ARCHITECTURES`.
        state: names and values, of ``encoder`` without that prefix.
        mean: ``latent_avg``.

    Returns:
        The network; of ReStyle what looks once, with the mean as its buffer ``mean``.

    Raises:
        WeightsError: a key is missing, unknown, or of another shape: the first such one is named.
    """
    progressive = "e4e" in architecture
    if not architecture.startswith("restyle"):
        pyramid = load_encoder(state, mean, progressive=progressive)
        return pyramid, pyramid.shape
    backbone = load_backbone(state, progressive=progressive)
    start = entry({} if mean is None else {"latent_avg": mean}, "latent_avg", "Fetch it again.")
    rows = mean_rows(start, backbone.shape.rows, backbone.shape.width)
    backbone.register_buffer("mean", rows.float().clone())
    return backbone, backbone.shape


def load_crop_encoder(
    path: Path, architecture: str, space: LatentSpace, generator: Callable[[], nn.Module]
) -> CropEncoder:
    """The encoder in a file that `videdit weights import` wrote: the published names, and ``mean``.

    Args:
        path: the file.
        architecture: of `ARCHITECTURES`.
        space: of the codes.
        generator: gives the generator, which ReStyle shows codes with.

    Raises:
        WeightsError: it is damaged, or gives other codes than ``space``.
    """
    state = read_state(path, "encoder")
    mean = state.pop("mean", None)
    network, shape = encoder_of(architecture, state, mean)
    check_encoder(shape, space)
    if isinstance(network, BackboneEncoder):
        network = ReStyle(network, generator(), network.get_buffer("mean")).eval()
    return CropEncoder(network.requires_grad_(False), shape.side)
