"""The published encoders into W+: pSp (Richardson et al. 2021, arXiv 2008.00951) and e4e (Tov et
al. 2021, arXiv 2102.02766), on a face recognition network's trunk (IR-SE-50: residual blocks with
squeeze and excitation), from their published state dicts.

Three maps of features come out of the trunk, at 1/4, 1/8 and 1/16 of the picture's side; the finer
ones get what lies above them added, as in a feature pyramid. Every row of the code has a small
network of its own that halves its map until one place is left. pSp's rows are the code; e4e's first
row is all rows, the others are what each adds to it. In both the mean of W is added in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.tensors import check_layout, entry, misfit
from ..generators.stylegan2 import Affine

COARSE, MIDDLE = 3, 7
"""Rows below the first read the coarsest map, those below the second the middle one."""

UNITS = (3, 4, 14, 3)
"""Residual blocks of each width in IR-SE-50; the first of each halves the resolution."""
_AFTER = (6, 20, 23)  # blocks after which a map is taken
_SQUEEZE = 16
_ASK = "Give a pSp's, e4e's or ReStyle's state dict (`encoder`)."


@dataclass(frozen=True)
class EncoderShape:
    """What a state dict says of its encoder.

    Attributes:
        widths: channels after the input and of the trunk's four groups.
        rows: of a code.
        width: numbers in a row.
        pools: how often each row's map is halved.
    """

    widths: tuple[int, ...]
    rows: int
    width: int
    pools: tuple[int, ...]

    @property
    def side(self) -> int:
        """Side of the pictures that it takes: of each row's map one place is left."""
        return 16 << self.pools[0]


class _Excited(nn.Module):
    """Squeeze and excitation: each channel scaled by what all of them say on average."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // _SQUEEZE)
        self.fc1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.fc2 = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class _Residual(nn.Module):
    """A residual block of the trunk."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        if c_in != c_out:
            self.shortcut_layer: nn.Module | None = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )
        else:
            self.shortcut_layer = None
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            _Excited(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut_layer is None:
            # Every second sample, as a pooling of one place does it.
            beside = x[:, :, :: self.stride, :: self.stride]
        else:
            beside = self.shortcut_layer(x)
        result: Tensor = self.res_layer(x) + beside
        return result


def trunk(c_in: int, widths: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
    """IR-SE-50 for pictures of ``c_in`` channels: what takes them in, and its residual blocks.

    Args:
        widths: channels after the input and of the four groups of blocks.
    """
    first, *others = widths
    taking = nn.Sequential(
        nn.Conv2d(c_in, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
    )
    blocks, width = [], first
    for c_out, units in zip(others, UNITS, strict=True):
        for k in range(units):
            blocks.append(_Residual(width, c_out, 1 if k else 2))
            width = c_out
    return taking, nn.Sequential(*blocks)


class Row(nn.Module):
    """A map to one row of the code."""

    def __init__(self, width: int, pools: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(pools):
            layers += [nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = Affine(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(x)
        row: Tensor = self.linear(x.flatten(1))
        return row


class PyramidEncoder(nn.Module):
    """Crops to codes.

    Args:
        shape: of the network.
        progressive: whether the rows after the first are differences to it, as in e4e.
    """

    def __init__(self, shape: EncoderShape, *, progressive: bool) -> None:
        super().__init__()
        self.shape, self.progressive = shape, progressive
        self.input_layer, self.body = trunk(3, shape.widths)
        self.styles = nn.ModuleList(Row(shape.width, pools) for pools in shape.pools)
        self.latlayer1 = nn.Conv2d(shape.widths[3], shape.width, 1)
        self.latlayer2 = nn.Conv2d(shape.widths[2], shape.width, 1)
        self.register_buffer("mean", torch.zeros(shape.rows, shape.width))
        self.mean: Tensor

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops.

        Args:
            crops: (n, 3, side, side), range [-1, 1].

        Returns:
            (n, rows, width) codes of W+, the mean of W added.
        """
        x, maps = self.input_layer(crops), []
        for k, block in enumerate(self.body):
            x = block(x)
            if k in _AFTER:
                maps.append(x)
        fine, middle, coarse = maps
        middle = _added(coarse, self.latlayer1(middle))
        fine = _added(middle, self.latlayer2(fine))
        rows = []
        for k, style in enumerate(self.styles):
            rows.append(style(coarse if k < COARSE else middle if k < MIDDLE else fine))
        codes = torch.stack(rows, 1)
        if self.progressive:
            codes = torch.cat((codes[:, :1], codes[:, 1:] + codes[:, :1]), 1)
        return codes + self.mean


def _added(above: Tensor, x: Tensor) -> Tensor:
    return F.interpolate(above, x.shape[2:], mode="bilinear", align_corners=True) + x


def encoder_shape(state: Mapping[str, Tensor]) -> EncoderShape:
    """The shape of the encoder that a state dict belongs to.

    Raises:
        WeightsError: it is not of this layout; the first key that is missing is named.
    """
    widths, k = [channels(state, "input_layer.0.weight")], 0
    for units in UNITS:
        widths.append(channels(state, f"body.{k}.res_layer.1.weight"))
        k += units
    width, pools = channels(state, "styles.0.linear.weight"), halvings(state)
    return EncoderShape(tuple(widths), len(pools), width, pools)


def channels(state: Mapping[str, Tensor], name: str) -> int:
    """How many channels a layer gives.

    Raises:
        WeightsError: it is missing, or no layer's weight.
    """
    weight = entry(state, name, _ASK)
    if weight.ndim < 2:
        raise misfit(name, weight, "(channels, channels in, ...)", _ASK)
    return int(weight.shape[0])


def halvings(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """How often each row's map is halved, for every row that a state dict has."""
    pools: list[int] = []
    while f"styles.{len(pools)}.linear.weight" in state:
        count = 0
        while f"styles.{len(pools)}.convs.{2 * count}.weight" in state:
            count += 1
        pools.append(count)
    return tuple(pools)


def load_encoder(
    state: Mapping[str, Tensor], mean: Tensor | None, *, progressive: bool
) -> PyramidEncoder:
    """The encoder of a state dict in the published layout.

    Args:
        state: names and values, of ``encoder`` without that prefix.
        mean: ``latent_avg``, (width,) or (rows or more, width); None adds nothing.
        progressive: whether it is an e4e.

    Raises:
        WeightsError: a key is missing, unknown, or of another shape: the first such one is named.
    """
    shape = encoder_shape(state)
    with torch.device("meta"):  # it is a gigabyte, and has its numbers already
        network = PyramidEncoder(shape, progressive=progressive)
    wanted = {name: value for name, value in network.state_dict().items() if name != "mean"}
    check_layout(state, wanted, "the encoder", _ASK)
    if mean is None:
        mean = torch.zeros(shape.width)
    given = {**state, "mean": mean_rows(mean, shape.rows, shape.width).contiguous()}
    single = {k: v.float() if v.is_floating_point() else v for k, v in given.items()}
    network.load_state_dict(single, assign=True)
    return network.eval().requires_grad_(False)


def mean_rows(mean: Tensor, rows: int, width: int) -> Tensor:
    """``latent_avg``, (width,) or (rows or more, width), as (rows, width).

    Raises:
        WeightsError: it has another shape.
    """
    mean = mean.expand(rows, -1) if mean.ndim == 1 else mean[:rows] if mean.ndim else mean
    if tuple(mean.shape) != (rows, width):
        raise misfit("latent_avg", mean, str((rows, width)), _ASK)
    return mean
