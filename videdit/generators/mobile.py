"""MobileStyleGAN (Belousov 2021, arXiv 2104.04767): the embedded FFHQ generator, 1024x1024.

The weights come out of an OpenVINO IR whose demodulation is baked in, so a block is: scale the
input by the style, depthwise 3x3, pointwise 1x1, constant noise, bias, leaky ReLU. Resolution
doubles by an inverse Haar wavelet instead of a resampling convolution.

A code has 16 rows, in StyleGAN2's numbering: the first convolution reads row 0; block ``l`` reads
row ``2l+1`` (``up`` and ``conv1``) and row ``2l+2`` (``conv2``); ``to_img`` reads row 15.

What the rows become is StyleSpace (Wu et al. 2021): one number per channel of each of the 23 scaled
inputs, the *styles*. `LAYERS` numbers them in the order in which they act: the first convolution,
then ``up``, ``conv1`` and ``conv2`` of each block, then ``to_img``.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree  # nosec B405
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.latent import LatentSpace
from ..errors import WeightsError
from .mixed import Mixed
from .network import GeneratorNetwork

ROWS = 16
STYLE_DIM = 512
RESOLUTION = 512
_BLOCK_CHANNELS = (512, 512, 512, 512, 256, 128, 64)
_LEAK = 0.2


def _layers() -> tuple[int, ...]:
    sizes, c_in = [512], 512
    for c_out in _BLOCK_CHANNELS:
        sizes += [c_in, c_in // 4, c_out]
        c_in = c_out
    return (*sizes, c_in)


LAYERS = _layers()
"""How many channels of styles each layer has."""

SPACE = LatentSpace(
    ROWS,
    STYLE_DIM,
    RESOLUTION,
    {"pose": (0, 4), "features": (4, 8), "colour": (8, 16)},
    LAYERS,
)
"""What a manifest says of a bundle with this generator."""


def inverse_haar(bands: Tensor) -> Tensor:
    """Orthonormal inverse Haar wavelet transform.

    Args:
        bands: (n, 4c, h, w). The first c channels are the low band; the others, seen as
            (c, 3, h, w), are the bands that differ along the height, the width and both.

    Returns:
        (n, c, 2h, 2w): every output is half the signed sum of its four bands.
    """
    n, channels, h, w = bands.shape
    c = channels // 4
    # Whichever way the features lie in memory, so do those that come out.
    inner = bands.is_contiguous(memory_format=torch.channels_last)
    if inner:
        bands = bands.permute(0, 2, 3, 1)
        low, (lh, hl, hh) = bands[..., :c], bands[..., c:].reshape(n, h, w, c, 3).unbind(4)
    else:
        low, (lh, hl, hh) = bands[:, :c], bands[:, c:].reshape(n, c, 3, h, w).unbind(2)
    plus, minus, cross_plus, cross_minus = low + lh, low - lh, hl + hh, hl - hh
    quads = (plus + cross_plus, plus - cross_plus, minus + cross_minus, minus - cross_minus)
    if inner:
        rows = torch.stack(quads[:2], 3), torch.stack(quads[2:], 3)
        return (torch.stack(rows, 2) * 0.5).reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)
    return F.pixel_shuffle(torch.stack(quads, 2).reshape(n, 4 * c, h, w) * 0.5, 2)


class MappingNetwork(nn.Module):
    """z to w: pixel normalisation, then eight affine layers with leaky ReLU 0.2 and gain sqrt 2."""

    def __init__(self, layers: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(STYLE_DIM, STYLE_DIM) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        """Map (n, 512) standard normal noise to (n, 512) codes of W."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), _LEAK) * math.sqrt(2.0)
        return w


class _ToInput(torch.autograd.Function):
    """A convolution of stride 1 whose weights get no gradient. PyTorch's own keeps its input all
    the same, which here is half of all that a picture's way back needs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.groups = x.shape, groups
        last = x.is_contiguous(memory_format=torch.channels_last)
        ctx.order = torch.channels_last if last else torch.contiguous_format
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        like = torch.empty(
            ctx.shape, dtype=weight.dtype, device=weight.device, memory_format=ctx.order
        )
        pad = weight.shape[-1] // 2
        found = torch.ops.aten.convolution_backward(
            grads[0],
            like,
            weight,
            None,
            (1, 1),
            (pad, pad),
            (1, 1),
            False,
            (0, 0),
            ctx.groups,
            (True, False, False),
        )
        return found[0], None, None, None


class _Conv(nn.Conv2d):
    """A convolution of stride 1 that keeps the size."""

    def __init__(self, c_in: int, c_out: int, side: int, groups: int = 1) -> None:
        super().__init__(c_in, c_out, side, padding=side // 2, groups=groups, bias=groups == 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed = torch.is_autocast_enabled(x.device.type)  # its casts are undone by PyTorch's own
        if mixed or self.weight.requires_grad or not x.requires_grad or not torch.is_grad_enabled():
            return super().forward(x)
        made: Tensor = _ToInput.apply(x, self.weight, self.bias, self.groups)  # type: ignore[no-untyped-call]
        return made


class _SeparableConv(nn.Module):
    """Style-scaled depthwise 3x3 and pointwise 1x1 with noise, bias and leaky ReLU."""

    def __init__(self, c_in: int, c_out: int, size: int) -> None:
        super().__init__()
        self.style = nn.Linear(STYLE_DIM, c_in)
        self.depthwise = _Conv(c_in, c_in, 3, groups=c_in)
        self.pointwise = _Conv(c_in, c_out, 1)
        self.noise = nn.Parameter(torch.zeros(1, 1, size, size), requires_grad=False)
        self.gain = 1.0 / math.sqrt(9 * c_in)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = x * (style * self.gain)[:, :, None, None]
        # In place: nothing on the way back needs what was there before.
        x = self.pointwise(self.depthwise(x)).add_(self.noise)
        return F.leaky_relu_(x, _LEAK)


class Block(nn.Module):
    """Wavelet up-sampling followed by two separable convolutions."""

    def __init__(self, c_in: int, c_out: int, size: int) -> None:
        super().__init__()
        self.up_style = nn.Linear(STYLE_DIM, c_in)
        self.conv1 = _SeparableConv(c_in // 4, c_out, size)
        self.conv2 = _SeparableConv(c_out, c_out, size)

    def forward(self, x: Tensor, styles: Sequence[Tensor]) -> Tensor:
        for step, style in zip(self.steps(), styles, strict=True):
            x = step(x, style)
        return x

    def steps(self) -> tuple[Callable[[Tensor, Tensor], Tensor], ...]:
        """Its parts, each taking features and a layer's styles."""
        return self.up, self.conv1, self.conv2

    def styles(self, w_up: Tensor, w_conv2: Tensor) -> list[Tensor]:
        """The parts' styles, (n, channels) each, of the block's two rows (n, 512)."""
        return [self.up_style(w_up), self.conv1.style(w_up), self.conv2.style(w_conv2)]

    def up(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (n, c, h, w) at twice the size, a quarter of the channels."""
        return inverse_haar(x * style[:, :, None, None])


class SynthesisNetwork(GeneratorNetwork):
    """W+ codes to pictures."""

    small_steps = 3 * len(_BLOCK_CHANNELS) + 2  # all: together half a gigabyte

    def __init__(self) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.zeros(1, 512, 4, 4))
        self.first_style = nn.Linear(STYLE_DIM, 512)
        self.first = _Conv(512, 512, 3)
        self.first_noise = nn.Parameter(torch.zeros(1, 1, 4, 4), requires_grad=False)
        c_in = 512
        blocks = []
        for index, c_out in enumerate(_BLOCK_CHANNELS):
            blocks.append(Block(c_in, c_out, 8 << index))
            c_in = c_out
        self.blocks = nn.ModuleList(blocks)
        self.image_style = nn.Linear(STYLE_DIM, 64)
        self.image = nn.Conv2d(64, 12, 1)

    def styles(self, codes: Tensor) -> Tensor:
        """StyleSpace: (n, channels) of codes (n, 16, 512), the layers of `LAYERS` side by side."""
        found = [self.first_style(codes[:, 0])]
        for index, block in enumerate(self.blocks):
            found += cast(Block, block).styles(codes[:, 2 * index + 1], codes[:, 2 * index + 2])
        return torch.cat([*found, self.image_style(codes[:, 15])], 1)

    def stepwise(
        self, codes: Tensor, offsets: Tensor | None = None, mixed: Mixed | None = None
    ) -> Iterator[Tensor]:
        """Features after no block, one, two, ...

        Args:
            codes: (n, 16, 512).
            offsets: (n, channels) are added to the codes' styles.
            mixed: features of another face that are shown in places.
        """
        added = None if offsets is None else torch.split(offsets, list(LAYERS), 1)
        first = self.first_style(codes[:, 0])
        first = first if added is None else first + added[0]
        x = self.first(self.const * (first * (1.0 / math.sqrt(9 * 512)))[:, :, None, None])
        x = F.leaky_relu(x + self.first_noise, _LEAK)
        theirs = None if mixed is None else self.stepwise(mixed.codes)
        for depth, block in enumerate([None, *self.blocks]):
            if block is not None:
                row = 2 * depth - 1
                styles = cast(Block, block).styles(codes[:, row], codes[:, row + 1])
                if added is not None:
                    layers = added[3 * depth - 2 : 3 * depth + 1]
                    styles = [s + more for s, more in zip(styles, layers, strict=True)]
                x = block(x, styles)
            if mixed is not None and theirs is not None and depth <= mixed.depths[-1]:
                other = next(theirs)
                if depth in mixed.depths:
                    x = x + mixed.weight(x.shape[-1]) * (other - x)
            yield x

    def scaled(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``GeneratorNetwork.scaled``."""
        yield self.const, self.first_style(codes[:, 0])
        x = self.features(codes, 0)
        for index, block in enumerate(self.blocks):
            block, row = cast(Block, block), 2 * index + 1
            styles = block.styles(codes[:, row], codes[:, row + 1])
            for step, style in zip(block.steps(), styles, strict=True):
                yield x, style
                x = step(x, style)
        yield x, self.image_style(codes[:, 15])

    def steps(self, codes: Tensor) -> Iterator[Callable[[Any], Any]]:
        """See ``GeneratorNetwork.steps``."""
        yield lambda _: self.features(codes, 0)
        for index, block in enumerate(self.blocks):
            block, row = cast(Block, block), 2 * index + 1
            styles = block.styles(codes[:, row], codes[:, row + 1])
            for step, style in zip(block.steps(), styles, strict=True):
                yield partial(_styled, step, style)
        yield partial(self.shown, codes=codes)

    def forward(
        self, codes: Tensor, offsets: Tensor | None = None, mixed: Mixed | None = None
    ) -> Tensor:
        """Decode (n, 16, 512) codes to (n, 3, 512, 512) pictures, RGB, nominally [-1, 1].

        Values leave [-1, 1] by up to about 0.6 in highlights and shadows; clamp before display.

        Args:
            codes, offsets, mixed: see `stepwise`.
        """
        for features in self.stepwise(codes, offsets, mixed):
            last = features
        return self.shown(last, codes, None if offsets is None else offsets[:, -LAYERS[-1] :])

    def shown(self, features: Tensor, codes: Tensor, offsets: Tensor | None = None) -> Tensor:
        """The picture of the features after the last block: the published network's of 1024 pixels,
        averaged to half its size. Of four pixels that its inverse wavelet makes of the bands, the
        mean is half the low band, and no other need be known. What is finer is not missed: the
        person's own pixels are shown.

        Args:
            features: (n, 64, 512, 512).
            codes: (n, 16, 512).
            offsets: (n, 64) are added to the last layer's styles.
        """
        style = self.image_style(codes[:, 15])
        style = style if offsets is None else style + offsets
        scaled = features * (style * (1.0 / math.sqrt(64)))[:, :, None, None]
        assert self.image.bias is not None
        low = F.conv2d(scaled, self.image.weight[:3], self.image.bias[:3])
        return low * 0.5


def _styled(step: Callable[[Tensor, Tensor], Tensor], style: Tensor, x: Tensor) -> Tensor:
    return step(x, style)


def _read_constants(xml: Path, binary: Path) -> dict[str, np.ndarray]:
    """All floating-point constants of an IR by name, in file order."""
    try:
        # A part of the bundle, its checksum compared before.
        root = ElementTree.parse(xml).getroot()  # nosec B314
        blob = np.fromfile(binary, np.uint8)
        layers = root.find("layers")
        if layers is None:
            raise ValueError("no layers")
        constants: dict[str, np.ndarray] = {}
        for layer in layers:
            data = layer.find("data")
            if layer.get("type") != "Const" or data is None:
                continue
            if data.get("element_type") != "f32" or not data.get("shape"):
                continue
            shape = [int(n) for n in data.get("shape", "").split(",")]
            offset, size = int(data.get("offset", "0")), int(data.get("size", "0"))
            if size >= 48:
                value = blob[offset : offset + size].view(np.float32).reshape(shape)
                constants[layer.get("name", "")] = value
        return constants
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise WeightsError(
            f"the generator file {xml.name} cannot be read ({error})",
            "Run `videdit weights fetch` again.",
        ) from error


def _assign(parameter: Tensor, value: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(value.copy()).reshape(parameter.shape))


def load_mapping(xml: Path, binary: Path) -> MappingNetwork:
    """Build the mapping network from the IR's files.

    Raises:
        WeightsError: the files are not that network.
    """
    values = list(_read_constants(xml, binary).values())
    weights = [v for v in values if v.shape == (512, 512)]
    biases = [v for v in values if v.size == 512]
    if len(weights) != 8 or len(biases) != 8:
        raise WeightsError("the mapping network has an unknown layout")
    network = MappingNetwork()
    for layer, weight, bias in zip(network.layers, weights, biases, strict=True):
        assert isinstance(layer, nn.Linear)
        _assign(layer.weight, weight)
        _assign(layer.bias, bias)
    return network.eval().requires_grad_(False)


def load_synthesis(xml: Path, binary: Path) -> SynthesisNetwork:
    """Build the synthesis network from the IR's files.

    Raises:
        WeightsError: the files are not that network.
    """
    constants = _read_constants(xml, binary)
    # The exporter numbers the pointwise kernels and noise maps; their file order is the graph's.
    pointwise = iter([v for k, v in constants.items() if k.startswith("Mul_")])
    noises = iter(
        [v for v in constants.values() if v.ndim == 4 and v.shape[:2] == (1, 1) and v.size >= 16]
    )
    network = SynthesisNetwork()

    def style(target: nn.Linear, name: str) -> None:
        _assign(target.weight, constants[f"m.{name}.modulation.weight"])
        _assign(target.bias, constants[f"m.{name}.modulation.bias"])

    try:
        _assign(network.const, constants["m.input.input"])
        style(network.first_style, "conv1.conv")
        _assign(network.first.weight, next(pointwise))
        assert network.first.bias is not None
        _assign(network.first.bias, constants["m.conv1.bias"])
        _assign(network.first_noise, next(noises))
        for index, block in enumerate(network.blocks):
            assert isinstance(block, Block)
            prefix = f"layers.{index}"
            style(block.up_style, f"{prefix}.up")
            for name, conv in (("conv1", block.conv1), ("conv2", block.conv2)):
                style(conv.style, f"{prefix}.{name}.conv")
                _assign(conv.depthwise.weight, constants[f"m.{prefix}.{name}.conv.weight_dw"])
                _assign(conv.pointwise.weight, next(pointwise))
                assert conv.pointwise.bias is not None
                _assign(conv.pointwise.bias, constants[f"m.{prefix}.{name}.bias"])
                _assign(conv.noise, next(noises))
        style(network.image_style, "layers.6.to_img.conv")
        _assign(network.image.weight, constants["m.layers.6.to_img.conv.weight"])
        assert network.image.bias is not None
        bias = constants.get("m.layers.6.to_img.bias")
        _assign(network.image.bias, np.zeros(12, np.float32) if bias is None else bias)
    except (KeyError, StopIteration, RuntimeError) as error:
        raise WeightsError(
            f"the synthesis network has an unknown layout ({error})",
            "Run `videdit weights fetch` again.",
        ) from error
    return network.eval().requires_grad_(False)
