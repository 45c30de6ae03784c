"""StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), configuration f and smaller, 32 to 1024 pixels.

Written from the paper's formulas; parameters and buffers carry the names of the widely used PyTorch
port (``g_ema`` of its checkpoints), so that such a state dict loads as it is. For a code with a row
per layer: the first convolution reads row 0, its colours row 1; the block that doubles to the next
resolution reads rows ``2k+1`` and ``2k+2`` for its convolutions, ``2k+3`` for its colours.

*Modulation.* A style scales the input channels of a convolution, *demodulation* brings each output
channel back to unit size as if the inputs had it (the paper's equations 1 and 3)::

    w'[o, i, k] = w[o, i, k] * s[i]        w''[o, i, k] = w'[o, i, k] / sqrt(sum over i, k of w'^2)

Both act on the whole channel, so that the input is scaled before a plain convolution and the output
after it: the same numbers as a convolution with weights of its own for every picture, and one that
runs on any device as fast as a plain one, whatever the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.latent import LatentSpace
from ..bundles.tensors import check_layout, entry, misfit, read_state
from ..errors import WeightsError
from .mixed import Mixed
from .network import GeneratorNetwork

SMALLEST, LARGEST = 32, 1024
_LEAK = 0.2
_GAIN = math.sqrt(2.0)  # of the activation: keeps unit size
_TAPS = (1.0, 3.0, 3.0, 1.0)
_ASK = "Give a StyleGAN2's state dict (`g_ema`)."
_CLAMP = 256.0
"""Where activations end in half precision, as StyleGAN2-ADA (arXiv 2006.06676) has it."""


@dataclass(frozen=True)
class Shape:
    """What a state dict says of its network.

    Attributes:
        size: side of the pictures, pixels.
        channels: of the features at each resolution from 4, 8, ... to ``size``.
        mapping: how many layers map z to w; 0 without a mapping network.
        width: numbers in a row of a code.
    """

    size: int
    channels: tuple[int, ...]
    mapping: int
    width: int

    @property
    def rows(self) -> int:
        """Rows of a code: 18 at 1024 pixels."""
        return 2 * len(self.channels)

    @property
    def styles(self) -> tuple[int, ...]:
        """How many channels each layer scales, in their order: the first convolution and its
        colours; of each further block both convolutions and the colours."""
        first, *_ = self.channels
        sizes = [first, first]
        for c_in, c_out in zip(self.channels[:-1], self.channels[1:], strict=True):
            sizes += [c_in, c_out, c_out]
        return tuple(sizes)

    @property
    def space(self) -> LatentSpace:
        """The latent space, for a manifest."""
        pose, features = (4, 8) if self.rows > 8 else (3, 6)
        bands = {"pose": (0, pose), "features": (pose, features), "colour": (features, self.rows)}
        return LatentSpace(self.rows, self.width, self.size, bands, self.styles)


CONFIG_F = Shape(1024, (512,) * 5 + (256, 128, 64, 32), 0, 512)
"""Configuration f of 1024 pixels, without its mapping network."""


def shape_of(state: Mapping[str, Tensor]) -> Shape:
    """The shape of the network that a state dict belongs to.

    Raises:
        WeightsError: it is not of this layout; the first key that is missing, or does not fit, is
            named.
    """
    const = entry(state, "input.input", _ASK)
    if const.ndim != 4 or tuple(const.shape[2:]) != (4, 4):
        raise misfit("input.input", const, "(1, channels, 4, 4)", _ASK)
    channels, k = [int(const.shape[1])], 0
    while f"convs.{2 * k}.conv.weight" in state:
        weight = state[f"convs.{2 * k}.conv.weight"]
        wanted = f"(1, channels, {channels[-1]}, 3, 3)"
        if weight.ndim != 5 or tuple(weight.shape[2:]) != (channels[-1], 3, 3):
            raise misfit(f"convs.{2 * k}.conv.weight", weight, wanted, _ASK)
        channels.append(int(weight.shape[1]))
        k += 1
    size = 4 << k
    if not SMALLEST <= size <= LARGEST:
        entry(state, "convs.0.conv.weight", _ASK)
        raise WeightsError(
            f"a StyleGAN2 of {size} pixels", f"Give one of {SMALLEST} to {LARGEST} pixels."
        )
    mapping = 0
    while f"style.{mapping + 1}.weight" in state:
        mapping += 1
    affine = entry(state, "conv1.conv.modulation.weight", _ASK)
    if affine.ndim != 2:
        raise misfit("conv1.conv.modulation.weight", affine, "(channels, width)", _ASK)
    return Shape(size, tuple(channels), mapping, int(affine.shape[1]))


class Affine(nn.Module):
    """An affine layer with an equalised learning rate: what is stored is scaled when it is used."""

    def __init__(self, c_in: int, c_out: int, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in) / rate)
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.scale, self.rate = rate / math.sqrt(c_in), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Mapping8(nn.Module):
    """z to w: unit length, then affine layers at a hundredth of the learning rate."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        # Number 0 of the published list has no parameters.
        self.layers = nn.ModuleDict({str(k + 1): Affine(width, width, 0.01) for k in range(layers)})

    def forward(self, z: Tensor) -> Tensor:
        """Map (n, width) standard normal noise to (n, width) codes of W."""
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers.values():
            x = F.leaky_relu(layer(x), _LEAK) * _GAIN
        return x


class _Modulated(nn.Module):
    """A convolution whose input channels a style scales."""

    def __init__(
        self, c_in: int, c_out: int, width: int, side: int, *, demodulate: bool, up: bool
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, c_out, c_in, side, side))
        self.modulation = Affine(width, c_in)
        nn.init.ones_(self.modulation.bias)
        self.scale = 1 / math.sqrt(c_in * side * side)
        self.demodulate, self.up, self.padding = demodulate, up, side // 2
        if up:
            self.blur = _Kernel()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n, c, h, w) features by (n, c) styles."""
        weight = self.weight[0] * self.scale
        back: Tensor | None = None
        if self.demodulate:
            if x.dtype == torch.float16:
                # Nothing on the way may overflow: unit sizes, which demodulation takes out again.
                weight = weight / weight.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
                style = style / style.abs().amax(1, keepdim=True).clamp_min(1e-12)
            energy = weight.square().sum((2, 3))  # (out, in)
            back = torch.rsqrt(style.square() @ energy.T + 1e-8)
        x = x * style[:, :, None, None].to(x.dtype)
        weight = weight.to(x.dtype)
        if self.up:
            # With a row and a column of the filter's zeros the size is even: OpenVINO has a faster
            # kernel for it.
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2, output_padding=1)
            x = self.blur(x, (1, 0))
        else:
            x = F.conv2d(x, weight, padding=self.padding)
        return x if back is None else x * back[:, :, None, None].to(x.dtype)


class _Kernel(nn.Module):
    """The low-pass filter [1, 3, 3, 1] in both directions, of gain 4: for every second sample is
    zero."""

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor(_TAPS)
        self.register_buffer("kernel", taps[:, None] * taps / taps.sum() ** 2 * 4)
        self.kernel: Tensor

    def forward(self, x: Tensor, pad: tuple[int, int]) -> Tensor:
        """Filter (n, c, h, w) with that many zeros before and after in both directions."""
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(F.pad(x, pad * 2), kernel, groups=channels)


class _Upsample(_Kernel):
    """Twice the resolution: zeros in between, then the filter."""

    def doubled(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        spread = x.new_zeros(n, c, h, 2, w, 2)
        spread[:, :, :, 0, :, 0] = x
        return self.forward(spread.view(n, c, 2 * h, 2 * w), (2, 1))


class _Noise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class _Bias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class StyledConv(nn.Module):
    """A modulated convolution with noise, bias and activation."""

    def __init__(self, c_in: int, c_out: int, width: int, *, up: bool) -> None:
        super().__init__()
        self.conv = _Modulated(c_in, c_out, width, 3, demodulate=True, up=up)
        self.noise = _Noise()
        self.activate = _Bias(c_out)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """(n, c, h, w) features by (n, c) styles; ``noise`` is (1 or n, 1, h', w')."""
        x = self.conv(x, style) + self.activate.bias[:, None, None].to(x.dtype)
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            # Or OpenVINO adds noise and bias beforehand: a constant as large as the features.
            x = x.clamp(-1e30, 1e30)
        x = F.leaky_relu(x + (self.noise.weight * noise).to(x.dtype), _LEAK) * _GAIN
        return x.clamp(-_CLAMP, _CLAMP) if x.dtype == torch.float16 else x


class ToRGB(nn.Module):
    """Features to colours, added to those of half the resolution."""

    def __init__(self, channels: int, width: int, *, first: bool) -> None:
        super().__init__()
        self.conv = _Modulated(channels, 3, width, 1, demodulate=False, up=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if not first:
            self.upsample = _Upsample()

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None) -> Tensor:
        """(n, 3, h, w) float32, of features (n, c, h, w) by (n, c) styles."""
        style = style * self.conv.scale
        # By colours of unit size: in half precision the style times the features may not fit.
        colours = F.conv2d(x.float() * style[:, :, None, None], self.conv.weight[0]) + self.bias
        return colours if below is None else colours + self.upsample.doubled(below)


State = tuple[Tensor, Tensor]
"""Features (n, c, h, w), and the picture (n, 3, h, w) so far."""


class Synthesis(GeneratorNetwork):
    """Codes to pictures.

    Args:
        shape: of the network.
    """

    small_steps = 12  # up to 32 pixels

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        first = shape.channels[0]
        self.input = nn.ParameterDict({"input": nn.Parameter(torch.randn(1, first, 4, 4))})
        self.conv1 = StyledConv(first, first, width, up=False)
        self.to_rgb1 = ToRGB(first, width, first=True)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for c_in, c_out in zip(shape.channels[:-1], shape.channels[1:], strict=True):
            self.convs.append(StyledConv(c_in, c_out, width, up=True))
            self.convs.append(StyledConv(c_out, c_out, width, up=False))
            self.to_rgbs.append(ToRGB(c_out, width, first=False))
        self.noises = nn.Module()
        for k in range(2 * len(shape.channels) - 1):
            side = 4 << (k + 1) // 2
            self.noises.register_buffer(f"noise_{k}", torch.randn(1, 1, side, side))

    def fixed_noise(self) -> list[Tensor]:
        """The noise that the checkpoint holds, one of (1, 1, h, w) per convolution."""
        return [getattr(self.noises, f"noise_{k}") for k in range(len(self.convs) + 1)]

    def styles(self, codes: Tensor) -> Tensor:
        """See ``GeneratorNetwork.styles``; the layers of ``Shape.styles`` side by side."""
        return torch.cat(self._styles(codes), 1)

    def _styles(self, codes: Tensor) -> list[Tensor]:
        """Each layer's, (n, channels)."""
        layers: list[tuple[nn.Module, int]] = [(self.conv1, 0), (self.to_rgb1, 1)]
        for k, colours in enumerate(self.to_rgbs):
            row = 2 * k + 1
            layers += [(self.convs[2 * k], row), (self.convs[2 * k + 1], row + 1)]
            layers.append((colours, row + 2))
        return [cast(StyledConv, layer).conv.modulation(codes[:, row]) for layer, row in layers]

    def forward(
        self,
        codes: Tensor,
        offsets: Tensor | None = None,
        mixed: Mixed | None = None,
        *,
        noise: list[Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """See ``GeneratorNetwork.forward``.

        Args:
            noise: one per convolution; the checkpoint's if not given.
            dtype: of the features, autocast's if not given. Styles and colours are float32 in any
                case.
        """
        kind = codes.device.type
        if dtype is None and torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        with torch.autocast(kind, enabled=False):
            noise = self.fixed_noise() if noise is None else noise
            state = self._shown(codes, offsets, mixed, noise, dtype or torch.float32)
        return state[1]

    def _shown(
        self,
        codes: Tensor,
        offsets: Tensor | None,
        mixed: Mixed | None,
        noise: list[Tensor],
        dtype: torch.dtype,
    ) -> State:
        theirs = None if mixed is None else self._blocks(mixed.codes, None, noise, dtype)
        state = other = self._begun(codes, dtype)
        for depth, block in enumerate(self._blocks(codes, offsets, noise, dtype)):
            for step in block:
                state = step(state)
            if mixed is None or theirs is None or depth > mixed.depths[-1]:
                continue
            for step in next(theirs):
                other = step(other)
            if depth in mixed.depths:
                x, (given, _) = state[0], other
                state = x + mixed.weight(x.shape[-1]).to(x.dtype) * (given - x), state[1]
        return state

    def _begun(self, codes: Tensor, dtype: torch.dtype) -> State:
        x = self.input["input"].to(dtype).expand(codes.shape[0], -1, -1, -1)
        return x, codes.new_zeros(())

    def _blocks(
        self, codes: Tensor, offsets: Tensor | None, noise: list[Tensor], dtype: torch.dtype
    ) -> Iterator[list[Callable[[State], State]]]:
        """The steps of each block."""
        styles = self._styles(codes)
        if offsets is not None:
            added = torch.split(offsets, list(self.shape.styles), 1)
            styles = [style + more for style, more in zip(styles, added, strict=True)]
        yield [
            partial(_convolved, self.conv1, styles[0], noise[0]),
            partial(_coloured, self.to_rgb1, styles[1], True),
        ]
        for k, to_rgb in enumerate(self.to_rgbs):
            first, second, colours = styles[3 * k + 2 : 3 * k + 5]
            yield [
                partial(_convolved, self.convs[2 * k], first, noise[2 * k + 1]),
                partial(_convolved, self.convs[2 * k + 1], second, noise[2 * k + 2]),
                partial(_coloured, to_rgb, colours, False),
            ]

    def stepwise(self, codes: Tensor) -> Iterator[Tensor]:
        """See ``GeneratorNetwork.stepwise``."""
        state = self._begun(codes, torch.float32)
        for block in self._blocks(codes, None, self.fixed_noise(), torch.float32):
            for step in block:
                state = step(state)
            yield state[0]

    def scaled(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """See ``GeneratorNetwork.scaled``."""
        state, styles = self._begun(codes, torch.float32), iter(self._styles(codes))
        for block in self._blocks(codes, None, self.fixed_noise(), torch.float32):
            for step in block:
                yield state[0], next(styles)
                state = step(state)

    def steps(self, codes: Tensor) -> Iterator[Callable[[Any], Any]]:
        """See ``GeneratorNetwork.steps``."""
        yield lambda _: self._begun(codes, torch.float32)
        for block in self._blocks(codes, None, self.fixed_noise(), torch.float32):
            yield from block
        yield lambda state: state[1]


def _convolved(layer: nn.Module, style: Tensor, noise: Tensor, state: State) -> State:
    return layer(state[0], style, noise), state[1]


def _coloured(layer: nn.Module, style: Tensor, first: bool, state: State) -> State:
    return state[0], layer(state[0], style, None if first else state[1])


def from_ada(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A StyleGAN2-ADA generator (``G_ema`` of its ``.pkl``) under the names that
    :func:`load_synthesis` reads. ``mapping.w_avg``, the mean of W, has none there.

    Args:
        state: ``synthesis.b4.const``, ``mapping.fc0.weight`` and so on.

    Raises:
        WeightsError: a part is missing, or unknown; the first such one is named. Or it is not of
            the architecture with skips, or takes classes.
    """
    for name in ("synthesis.b8.skip.weight", "mapping.embed.weight"):
        if name in state:
            raise WeightsError(
                f"{name} belongs to another kind of generator",
                "Give one with skips (`architecture=skip`) and without classes.",
            )
    found: dict[str, Tensor] = {}
    state = _Read(state)
    const = entry(state, "synthesis.b4.const", _ASK)
    found["input.input"] = const[None]
    k = 0
    while f"mapping.fc{k}.weight" in state:
        found[f"style.{k + 1}.weight"] = state[f"mapping.fc{k}.weight"]
        found[f"style.{k + 1}.bias"] = entry(state, f"mapping.fc{k}.bias", _ASK)
        k += 1

    def convolution(theirs: str, ours: str, number: int | None) -> None:
        found[f"{ours}.conv.weight"] = entry(state, f"{theirs}.weight", _ASK)[None]
        for part in ("weight", "bias"):
            found[f"{ours}.conv.modulation.{part}"] = entry(state, f"{theirs}.affine.{part}", _ASK)
        bias = entry(state, f"{theirs}.bias", _ASK)
        if number is None:
            found[f"{ours}.bias"] = bias[None, :, None, None]
            return
        found[f"{ours}.activate.bias"] = bias
        found[f"{ours}.noise.weight"] = entry(state, f"{theirs}.noise_strength", _ASK).reshape(1)
        found[f"noises.noise_{number}"] = entry(state, f"{theirs}.noise_const", _ASK)[None, None]

    convolution("synthesis.b4.conv1", "conv1", 0)
    convolution("synthesis.b4.torgb", "to_rgb1", None)
    k, side = 0, 8
    while f"synthesis.b{side}.conv0.weight" in state:
        block = f"synthesis.b{side}"
        convolution(f"{block}.conv0", f"convs.{2 * k}", 2 * k + 1)
        convolution(f"{block}.conv1", f"convs.{2 * k + 1}", 2 * k + 2)
        convolution(f"{block}.torgb", f"to_rgbs.{k}", None)
        # Theirs has a sum of 1.
        for theirs, ours in (
            (f"{block}.conv0.resample_filter", f"convs.{2 * k}.conv.blur.kernel"),
            (f"{block}.resample_filter", f"to_rgbs.{k}.upsample.kernel"),
        ):
            found[ours] = 4 * entry(state, theirs, _ASK)
        k, side = k + 1, 2 * side
    for name in state:
        # The same filter stands in every layer; the mean is asked for by itself.
        if name not in state.read and not name.endswith((".resample_filter", "mapping.w_avg")):
            raise WeightsError(f"{name} is no part of a StyleGAN2", _ASK)
    return found


class _Read(dict[str, Tensor]):
    """A state dict that knows what was read of it."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__(state)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def load_synthesis(state: Mapping[str, Tensor]) -> tuple[Synthesis, Mapping8 | None]:
    """The networks of a state dict in the published layout.

    Args:
        state: names and values: of ``g_ema``, or of ``decoder`` without that prefix. Filters are
            checked to be the published one.

    Returns:
        The synthesis network, and the mapping network if it is there; in evaluation mode.

    Raises:
        WeightsError: a key is missing, unknown, or of another shape: the first such one is named.
    """
    shape = shape_of(state)
    synthesis = Synthesis(shape)
    mapping = Mapping8(shape.width, shape.mapping) if shape.mapping else None
    wanted = dict(synthesis.state_dict())
    if mapping is not None:
        wanted |= {f"style.{k.removeprefix('layers.')}": v for k, v in mapping.state_dict().items()}
    check_layout(state, wanted, "a StyleGAN2", _ASK)
    for name, value in wanted.items():
        if name.endswith(".kernel") and not torch.allclose(state[name].float(), value, atol=1e-5):
            raise WeightsError(f"{name} is another filter than [1, 3, 3, 1]", _ASK)
    synthesis.load_state_dict({k: v for k, v in state.items() if not k.startswith("style.")})
    if mapping is not None:
        mapping.load_state_dict(
            {k.replace("style", "layers", 1): v for k, v in state.items() if k.startswith("style.")}
        )
        mapping.eval().requires_grad_(False)
    return synthesis.eval().requires_grad_(False), mapping


def read_synthesis(path: Path) -> Synthesis:
    """The synthesis network in a file of ``Synthesis``'s own names.

    Raises:
        WeightsError: it is damaged, or of another layout.
    """
    return load_synthesis(read_state(path, "generator"))[0]


def read_mapping(path: Path) -> Mapping8:
    """The mapping network in a file of ``Mapping8``'s own names.

    Raises:
        WeightsError: it is damaged, or of another layout.
    """
    state = read_state(path, "mapping network")
    first = entry(state, "layers.1.weight", _ASK)
    network = Mapping8(int(first.shape[-1]), len(state) // 2)
    check_layout(state, network.state_dict(), "a mapping network", _ASK)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)
