"""ReStyle (Alaluf, Patashnik and Cohen-Or 2021, arXiv 2104.02699): an encoder that looks again.

It sees the crop together with the picture of the code so far, and says what is to be added to that
code: first to the mean of W, then to what came of it, a few times. Its published networks are
simpler than pSp's and e4e's: every row of the code reads the last map of features, of the face
recognition network's trunk (IR-SE-50) or of ResNet-34's. As there, a progressive one (e4e's)
predicts a row for all, and for the others the difference to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.tensors import check_layout
from .psp import UNITS, EncoderShape, Row, channels, halvings, mean_rows, trunk

STEPS = 5
"""How often the encoder looks, as published."""

RESNET_UNITS = (3, 4, 6, 3)
"""Residual blocks of each width in ResNet-34; the first of each but the first group's halves the
resolution, and so does what takes the picture in."""
_INPUTS = 6
_ASK = "Give a ReStyle's state dict (`encoder`)."


@dataclass(frozen=True)
class BackboneShape(EncoderShape):
    """What a state dict says of its encoder; as :class:`EncoderShape`, and

    Attributes:
        resnet: whether its trunk is ResNet-34, not IR-SE-50.
    """

    resnet: bool


class _Basic(nn.Module):
    """A residual block of ResNet-34 (He et al. 2015)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + beside)


class BackboneEncoder(nn.Module):
    """A crop, over the picture of the code so far, to what is added to that code.

    Args:
        shape: of the network.
        progressive: whether the rows after the first are differences to it, as in e4e.
    """

    def __init__(self, shape: BackboneShape, *, progressive: bool) -> None:
        super().__init__()
        self.shape, self.progressive = shape, progressive
        if shape.resnet:
            first, *widths = shape.widths
            self.conv1 = nn.Conv2d(_INPUTS, first, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(first)
            self.relu = nn.PReLU(first)
            blocks, c_in = [], first
            for group, (c_out, units) in enumerate(zip(widths, RESNET_UNITS, strict=True)):
                for k in range(units):
                    blocks.append(_Basic(c_in, c_out, 2 if group and not k else 1))
                    c_in = c_out
            self.body = nn.Sequential(*blocks)
        else:
            self.input_layer, self.body = trunk(_INPUTS, shape.widths)
        self.styles = nn.ModuleList(Row(shape.width, pools) for pools in shape.pools)

    def forward(self, pair: Tensor) -> Tensor:
        """(n, 6, side, side) in [-1, 1] to (n, rows, width)."""
        if self.shape.resnet:
            x = self.relu(self.bn1(self.conv1(pair)))
        else:
            x = self.input_layer(pair)
        x = self.body(x)
        rows = torch.stack([style(x) for style in self.styles], 1)
        if self.progressive:
            rows = torch.cat((rows[:, :1], rows[:, 1:] + rows[:, :1]), 1)
        return rows


class ReStyle(nn.Module):
    """Crops to codes, in a few looks.

    Args:
        encoder: what is added to a code.
        generator: (n, rows, width) codes to (n, 3, size, size) pictures in [-1, 1].
        mean: ``latent_avg``, (width,) or (rows or more, width): where it begins.
        steps: how often the encoder looks, at least once.

    Raises:
        WeightsError: the mean is another space's.
    """

    def __init__(
        self, encoder: BackboneEncoder, generator: nn.Module, mean: Tensor, steps: int = STEPS
    ) -> None:
        super().__init__()
        self.encoder, self.generator, self.steps = encoder, generator, steps
        shape = encoder.shape
        self.register_buffer("mean", mean_rows(mean, shape.rows, shape.width).clone()[None])
        self.mean: Tensor
        with torch.no_grad():
            self.register_buffer("average", self._shown(self.mean))
        self.average: Tensor

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops.

        Args:
            crops: (n, 3, side, side), range [-1, 1].

        Returns:
            (n, rows, width) codes of W+.
        """
        n = crops.shape[0]
        codes = self.mean.expand(n, -1, -1)
        shown = self.average.expand(n, -1, -1, -1)
        for step in range(self.steps):
            if step:
                shown = self._shown(codes)
            codes = codes + self.encoder(torch.cat((crops, shown), 1))
        return codes

    def _shown(self, codes: Tensor) -> Tensor:
        """The codes' pictures at the encoder's size; a smaller generator's are repeated."""
        pictures: Tensor = self.generator(codes)
        return F.adaptive_avg_pool2d(pictures, self.encoder.shape.side)


def backbone_shape(state: Mapping[str, Tensor]) -> BackboneShape:
    """The shape of the encoder that a state dict belongs to.

    Raises:
        WeightsError: it is not of this layout; the first key that is missing is named.
    """
    resnet = "conv1.weight" in state
    first, inner, counts = "input_layer.0.weight", "res_layer.1.weight", UNITS
    if resnet:
        first, inner, counts = "conv1.weight", "conv1.weight", RESNET_UNITS
    widths, k = [channels(state, first)], 0
    for units in counts:
        widths.append(channels(state, f"body.{k}.{inner}"))
        k += units
    width, pools = channels(state, "styles.0.linear.weight"), halvings(state)
    return BackboneShape(tuple(widths), len(pools), width, pools, resnet)


def load_backbone(state: Mapping[str, Tensor], *, progressive: bool) -> BackboneEncoder:
    """The encoder of a state dict in the published layout.

    Args:
        state: names and values, of ``encoder`` without that prefix.
        progressive: whether it is over an e4e (``opts.encoder_type`` says "Progressive").

    Raises:
        WeightsError: a key is missing, unknown, or of another shape: the first such one is named.
    """
    network = BackboneEncoder(backbone_shape(state), progressive=progressive)
    check_layout(state, network.state_dict(), "the encoder", _ASK)
    network.load_state_dict(dict(state))
    return network.eval().requires_grad_(False)
