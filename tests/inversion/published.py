"""Encoders' state dicts in the published layouts, with random values, and their definition in
float64, step by step out of the state dict."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


class Drawn:
    """A state dict that is drawn part by part."""

    def __init__(self, seed: int = 0) -> None:
        self.draw, self.state = torch.Generator().manual_seed(seed), State()

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.draw)

    def convolution(self, name: str, c_in: int, c_out: int, side: int, bias: bool = False) -> None:
        weight = self.normal(c_out, c_in, side, side) / math.sqrt(c_in * side * side)
        self.state[f"{name}.weight"] = weight
        if bias:
            self.state[f"{name}.bias"] = self.normal(c_out)

    def normalisation(self, name: str, channels: int) -> None:
        self.state[f"{name}.weight"] = 1 + 0.2 * self.normal(channels)
        self.state[f"{name}.bias"] = self.normal(channels)
        self.state[f"{name}.running_mean"] = self.normal(channels)
        self.state[f"{name}.running_var"] = self.normal(channels).square() + 0.5
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def irse50(self, c_in: int, widths: tuple[int, ...]) -> None:
        """``input_layer`` and ``body``."""
        self.convolution("input_layer.0", c_in, widths[0], 3)
        self.normalisation("input_layer.1", widths[0])
        self.state["input_layer.2.weight"] = self.normal(widths[0])
        for k, (before, after, _) in enumerate(blocks(widths)):
            name = f"body.{k}"
            if before != after:
                self.convolution(f"{name}.shortcut_layer.0", before, after, 1)
                self.normalisation(f"{name}.shortcut_layer.1", after)
            self.normalisation(f"{name}.res_layer.0", before)
            self.convolution(f"{name}.res_layer.1", before, after, 3)
            self.state[f"{name}.res_layer.2.weight"] = self.normal(after)
            self.convolution(f"{name}.res_layer.3", after, after, 3)
            self.normalisation(f"{name}.res_layer.4", after)
            self.convolution(f"{name}.res_layer.5.fc1", after, after // 16, 1)
            self.convolution(f"{name}.res_layer.5.fc2", after // 16, after, 1)

    def row(self, number: int, width: int, pools: int) -> None:
        """``styles.N``."""
        for k in range(pools):
            self.convolution(f"styles.{number}.convs.{2 * k}", width, width, 3, bias=True)
        self.state[f"styles.{number}.linear.weight"] = self.normal(width, width)
        self.state[f"styles.{number}.linear.bias"] = self.normal(width)


def blocks(
    widths: tuple[int, ...], units: tuple[int, ...] = (3, 4, 14, 3)
) -> list[tuple[int, int, int]]:
    """Channels before and after, and stride, of each residual block; IR-SE-50's by default."""
    return [
        (c_in, c_out, 1 if k else 2)
        for group, (c_out, count) in enumerate(zip(widths[1:], units, strict=True))
        for k in range(count)
        for c_in in (widths[group] if k == 0 else c_out,)
    ]


class Definition:
    """The published networks' pieces, for one picture."""

    def __init__(self, state: State) -> None:
        self.held = {name: value.double() for name, value in state.items()}

    def conv(self, x: Tensor, name: str, stride: int = 1, pad: int = 0) -> Tensor:
        return F.conv2d(x, self.held[f"{name}.weight"], self.held.get(f"{name}.bias"), stride, pad)

    def norm(self, x: Tensor, name: str) -> Tensor:
        def each(part: str) -> Tensor:
            return self.held[f"{name}.{part}"][None, :, None, None]

        unit = (x - each("running_mean")) / torch.sqrt(each("running_var") + 1e-5)
        return unit * each("weight") + each("bias")

    def prelu(self, x: Tensor, name: str) -> Tensor:
        return torch.where(x > 0, x, x * self.held[f"{name}.weight"][None, :, None, None])

    def irse50(self, picture: Tensor, widths: tuple[int, ...]) -> list[Tensor]:
        """What each residual block gives."""
        x = self.conv(picture, "input_layer.0", pad=1)
        x, maps = self.prelu(self.norm(x, "input_layer.1"), "input_layer.2"), []
        for k, (c_in, c_out, stride) in enumerate(blocks(widths)):
            name = f"body.{k}"
            if c_in == c_out:
                beside = F.max_pool2d(x, 1, stride)
            else:
                beside = self.norm(
                    self.conv(x, f"{name}.shortcut_layer.0", stride), f"{name}.shortcut_layer.1"
                )
            y = self.conv(self.norm(x, f"{name}.res_layer.0"), f"{name}.res_layer.1", pad=1)
            y = self.conv(self.prelu(y, f"{name}.res_layer.2"), f"{name}.res_layer.3", stride, 1)
            y = self.norm(y, f"{name}.res_layer.4")
            mean = F.adaptive_avg_pool2d(y, 1)
            inner = self.conv(mean, f"{name}.res_layer.5.fc1").clamp_min(0)
            x = y / (1 + torch.exp(-self.conv(inner, f"{name}.res_layer.5.fc2"))) + beside
            maps.append(x)
        return maps

    def row(self, x: Tensor, number: int) -> Tensor:
        k = 0
        while f"styles.{number}.convs.{2 * k}.weight" in self.held:
            x, k = self.conv(x, f"styles.{number}.convs.{2 * k}", 2, 1), k + 1
            x = torch.where(x > 0, x, 0.01 * x)
        weight = self.held[f"styles.{number}.linear.weight"]
        bias = self.held[f"styles.{number}.linear.bias"]
        return weight @ x.flatten() / math.sqrt(len(weight)) + bias


def from_first(code: Tensor, progressive: bool) -> Tensor:
    """(rows, width): the rows after the first as what they add to it, if progressive."""
    return torch.cat((code[:1], code[1:] + code[:1])) if progressive else code
