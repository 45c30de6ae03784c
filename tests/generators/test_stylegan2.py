"""StyleGAN2 against its definition, written out slowly in float64; random weights in the published
layout, with values where training leaves zeros."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tests.models.published import WIDTH, generator_state
from videdit.errors import WeightsError
from videdit.generators.stylegan2 import (
    Mapping8,
    StyledConv,
    Synthesis,
    from_ada,
    load_synthesis,
    shape_of,
)

Floats = NDArray[np.float64]
State = dict[str, Tensor]
CHANNELS = (7, 6, 5, 4)  # at 4, 8, 16 and 32 pixels


def published(channels: tuple[int, ...] = CHANNELS, layers: int = 2, seed: int = 0) -> State:
    """A random state dict: names and shapes as the published checkpoints have them."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = taps[:, None] * taps / 64 * 4
    state: State = {"input.input": normal(1, channels[0], 4, 4)}
    for k in range(layers):
        state[f"style.{k + 1}.weight"] = normal(512, 512) * 100
        state[f"style.{k + 1}.bias"] = normal(512)

    def modulated(name: str, c_in: int, c_out: int, side: int) -> None:
        state[f"{name}.conv.weight"] = normal(1, c_out, c_in, side, side)
        state[f"{name}.conv.modulation.weight"] = normal(c_in, 512)
        state[f"{name}.conv.modulation.bias"] = 1 + normal(c_in)

    def styled(name: str, c_in: int, c_out: int) -> None:
        modulated(name, c_in, c_out, 3)
        state[f"{name}.noise.weight"] = normal(1)
        state[f"{name}.activate.bias"] = normal(c_out)

    def colours(name: str, channels: int) -> None:
        modulated(name, channels, 3, 1)
        state[f"{name}.bias"] = normal(1, 3, 1, 1)

    styled("conv1", channels[0], channels[0])
    colours("to_rgb1", channels[0])
    for k, (c_in, c_out) in enumerate(pairwise(channels)):
        styled(f"convs.{2 * k}", c_in, c_out)
        state[f"convs.{2 * k}.conv.blur.kernel"] = kernel
        styled(f"convs.{2 * k + 1}", c_out, c_out)
        colours(f"to_rgbs.{k}", c_out)
        state[f"to_rgbs.{k}.upsample.kernel"] = kernel
    for k in range(2 * len(channels) - 1):
        side = 4 * 2 ** ((k + 1) // 2)
        state[f"noises.noise_{k}"] = normal(1, 1, side, side)
    return state


class Slow:
    """The definition for one picture, in loops."""

    def __init__(self, state: State) -> None:
        self.state = {name: value.numpy().astype(np.float64) for name, value in state.items()}

    def style(self, name: str, row: Floats) -> Floats:
        weight = self.state[f"{name}.conv.modulation.weight"]
        return weight @ row / math.sqrt(512) + self.state[f"{name}.conv.modulation.bias"]

    def weight(self, name: str, row: Floats, demodulate: bool) -> Floats:
        weight = self.state[f"{name}.conv.weight"][0]
        weight = weight / math.sqrt(weight[0].size) * self.style(name, row)[None, :, None, None]
        if demodulate:
            weight /= np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        return weight

    @staticmethod
    def correlate(x: Floats, weight: Floats, pad: tuple[int, int]) -> Floats:
        x = np.pad(x, ((0, 0), pad, pad))
        side = weight.shape[-1]
        h, w = x.shape[1] - side + 1, x.shape[2] - side + 1
        out = np.zeros((len(weight), h, w))
        for o in range(len(weight)):
            for i in range(len(x)):
                for dy in range(side):
                    for dx in range(side):
                        out[o] += weight[o, i, dy, dx] * x[i, dy : dy + h, dx : dx + w]
        return out

    def filtered(self, x: Floats, pad: tuple[int, int]) -> Floats:
        taps = np.array([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = 4 * np.outer(taps, taps)
        return np.concatenate([self.correlate(one[None], kernel[None, None], pad) for one in x])

    def styled(self, name: str, x: Floats, row: Floats, noise: Floats, up: bool) -> Floats:
        weight = self.weight(name, row, demodulate=True)
        if up:
            h, w = x.shape[1:]
            spread = np.zeros((len(weight), 2 * h + 1, 2 * w + 1))
            for y in range(h):
                for z in range(w):
                    stamp = np.tensordot(weight, x[:, y, z], ((1,), (0,)))
                    spread[:, 2 * y : 2 * y + 3, 2 * z : 2 * z + 3] += stamp
            x = self.filtered(spread, (1, 1))
        else:
            x = self.correlate(x, weight, (1, 1))
        x = x + self.state[f"{name}.noise.weight"] * noise
        x = x + self.state[f"{name}.activate.bias"][:, None, None]
        return np.where(x > 0, x, 0.2 * x) * math.sqrt(2)

    def colours(self, name: str, x: Floats, row: Floats, below: Floats | None) -> Floats:
        weight = self.weight(name, row, demodulate=False)
        shown = self.correlate(x, weight, (0, 0)) + self.state[f"{name}.bias"][0]
        if below is None:
            return shown
        spread = np.zeros((3, 2 * below.shape[1], 2 * below.shape[2]))
        spread[:, ::2, ::2] = below
        return shown + self.filtered(spread, (2, 1))

    def show(self, code: Floats) -> Floats:
        noise = [
            self.state[f"noises.noise_{k}"][0, 0]
            for k in range(sum(name.startswith("noises") for name in self.state))
        ]
        x = self.styled("conv1", self.state["input.input"][0], code[0], noise[0], up=False)
        picture = self.colours("to_rgb1", x, code[1], None)
        for k in range((len(noise) - 1) // 2):
            row = 2 * k + 1
            x = self.styled(f"convs.{2 * k}", x, code[row], noise[row], up=True)
            x = self.styled(f"convs.{2 * k + 1}", x, code[row + 1], noise[row + 1], up=False)
            picture = self.colours(f"to_rgbs.{k}", x, code[row + 2], picture)
        return picture

    def w(self, z: Floats) -> Floats:
        x, k = z / np.sqrt((z**2).mean() + 1e-8), 1
        while f"style.{k}.weight" in self.state:
            weight = self.state[f"style.{k}.weight"] * 0.01 / math.sqrt(512)
            x = weight @ x + 0.01 * self.state[f"style.{k}.bias"]
            x, k = np.where(x > 0, x, 0.2 * x) * math.sqrt(2), k + 1
        return x


@pytest.fixture(scope="module")
def state() -> State:
    return published()


@pytest.fixture(scope="module")
def networks(state: State) -> tuple[Synthesis, Mapping8]:
    synthesis, mapping = load_synthesis(state)
    assert mapping is not None
    return synthesis, mapping


@pytest.fixture(scope="module")
def codes() -> Tensor:
    return torch.randn(3, 8, 512, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_pictures_are_those_of_the_definition(
    state: State, networks: tuple[Synthesis, Mapping8], codes: Tensor
) -> None:
    shown = networks[0](codes).numpy()
    assert shown.shape == (3, 3, 32, 32)
    slow = Slow(state)
    for code, picture in zip(codes.numpy().astype(np.float64), shown, strict=True):
        wanted = slow.show(code)
        assert np.abs(picture - wanted).max() < 1e-4 * np.abs(wanted).max()


@torch.no_grad()
def test_the_mapping_is_that_of_the_definition(
    state: State, networks: tuple[Synthesis, Mapping8]
) -> None:
    z = torch.randn(4, 512, generator=torch.Generator().manual_seed(2))
    found, slow = networks[1](z).numpy(), Slow(state)
    for one, w in zip(z.numpy().astype(np.float64), found, strict=True):
        wanted = slow.w(one)
        assert np.abs(w - wanted).max() < 1e-4 * np.abs(wanted).max()


@torch.no_grad()
def test_a_batch_is_its_single_pictures(
    networks: tuple[Synthesis, Mapping8], codes: Tensor
) -> None:
    together = networks[0](codes)
    alone = torch.cat([networks[0](code[None]) for code in codes])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("up", [False, True])
def test_it_is_one_grouped_convolution(up: bool) -> None:
    """The published networks' fused path: every picture has weights of its own, and is a group."""
    torch.manual_seed(4)
    conv = StyledConv(6, 5, 16, up=up).conv
    x, style = torch.randn(3, 6, 8, 8), torch.randn(3, 6)
    weight = conv.weight * conv.scale * style[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    together = x.reshape(1, 18, 8, 8)
    if up:
        weight = weight.transpose(1, 2).reshape(18, 5, 3, 3)
        fused = F.conv_transpose2d(together, weight, stride=2, groups=3).view(3, 5, 17, 17)
        kernel = conv.blur.kernel.expand(5, 1, 4, 4)
        fused = F.conv2d(F.pad(fused, (1, 1, 1, 1)), kernel, groups=5)
    else:
        fused = F.conv2d(together, weight.view(15, 6, 3, 3), padding=1, groups=3).view(3, 5, 8, 8)
    torch.testing.assert_close(conv(x, style), fused, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near(
    networks: tuple[Synthesis, Mapping8], codes: Tensor, dtype: torch.dtype
) -> None:
    whole = networks[0](codes)
    half = networks[0](codes, dtype=dtype)
    assert half.dtype == torch.float32
    error = (half - whole).square().mean().sqrt() / whole.square().mean().sqrt()
    assert float(error) < (0.01 if dtype == torch.float16 else 0.03)


@torch.no_grad()
def test_half_precision_does_not_overflow(state: State, codes: Tensor) -> None:
    large = dict(state)
    for name, value in state.items():
        if name.endswith("modulation.weight") and name.startswith("convs"):
            large[name] = value * 3e4  # beyond what half precision holds, and demodulated away
    synthesis, _ = load_synthesis(large)
    shown = synthesis(codes, dtype=torch.float16)
    assert bool(shown.isfinite().all())
    whole = synthesis(codes)
    assert float((shown - whole).abs().max()) < 0.05 * float(whole.abs().max())


@torch.no_grad()
def test_noise_can_be_given(networks: tuple[Synthesis, Mapping8], codes: Tensor) -> None:
    synthesis = networks[0]
    fixed = synthesis.fixed_noise()
    torch.testing.assert_close(synthesis(codes[:1], noise=fixed), synthesis(codes[:1]))
    none = [torch.zeros_like(one) for one in fixed]
    assert not torch.allclose(synthesis(codes[:1], noise=none), synthesis(codes[:1]))


def test_the_shape_is_read(state: State) -> None:
    shape = shape_of(state)
    assert (shape.size, shape.channels, shape.mapping, shape.rows) == (32, CHANNELS, 2, 8)
    assert shape.space.rows == 8
    large = {
        name: value
        for name, value in published((4,) * 9, layers=0).items()
        if not name.startswith("noises")
    }
    shape = shape_of(large)
    assert (shape.size, shape.rows, shape.mapping) == (1024, 18, 0)
    assert shape.space.bands["colour"] == (8, 18)


def test_without_a_mapping_network(codes: Tensor) -> None:
    synthesis, mapping = load_synthesis(published(layers=0))
    assert mapping is None
    assert synthesis(codes[:1]).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: s.pop("input.input"), "input.input is missing"),
        (lambda s: s.pop("convs.3.noise.weight"), "convs.3.noise.weight is missing"),
        (lambda s: s.pop("noises.noise_4"), "noises.noise_4 is missing"),
        (lambda s: s.update(other=torch.ones(1)), "other is no part"),
        (lambda s: s.update({"to_rgbs.1.bias": torch.ones(3)}), r"to_rgbs\.1\.bias is \(3,\), not"),
        (
            lambda s: s.update({"convs.2.conv.weight": torch.ones(1, 5, 9, 3, 3)}),
            r"convs\.2\.conv\.weight is .*channels, 6, 3, 3",
        ),
        (
            lambda s: s.update({"to_rgbs.0.upsample.kernel": torch.ones(4, 4)}),
            r"to_rgbs\.0\.upsample\.kernel is another filter",
        ),
    ],
)
def test_what_does_not_fit_is_named(state: State, spoil: object, named: str) -> None:
    spoiled = dict(state)
    assert callable(spoil)
    spoil(spoiled)
    with pytest.raises(WeightsError, match=named):
        load_synthesis(spoiled)


def test_a_size_that_is_none() -> None:
    with pytest.raises(WeightsError, match="StyleGAN2 of 16 pixels"):
        shape_of(published((4, 4, 4)))


def ada(state: State) -> State:
    """The same network as StyleGAN2-ADA names its parts."""
    found: State = {"synthesis.b4.const": state["input.input"][0], "mapping.w_avg": torch.ones(512)}
    numbers = {"conv1": (4, "conv1", 0), "to_rgb1": (4, "torgb", None)}
    for k in range(len(CHANNELS) - 1):
        side = 8 << k
        numbers[f"convs.{2 * k}"] = (side, "conv0", 2 * k + 1)
        numbers[f"convs.{2 * k + 1}"] = (side, "conv1", 2 * k + 2)
        numbers[f"to_rgbs.{k}"] = (side, "torgb", None)
        for name in ("resample_filter", "conv0.resample_filter", "conv1.resample_filter"):
            found[f"synthesis.b{side}.{name}"] = state["to_rgbs.0.upsample.kernel"] / 4
    for ours, (side, part, number) in numbers.items():
        theirs = f"synthesis.b{side}.{part}"
        found[f"{theirs}.weight"] = state[f"{ours}.conv.weight"][0]
        found[f"{theirs}.affine.weight"] = state[f"{ours}.conv.modulation.weight"]
        found[f"{theirs}.affine.bias"] = state[f"{ours}.conv.modulation.bias"]
        if number is None:
            found[f"{theirs}.bias"] = state[f"{ours}.bias"].flatten()
        else:
            found[f"{theirs}.bias"] = state[f"{ours}.activate.bias"]
            found[f"{theirs}.noise_strength"] = state[f"{ours}.noise.weight"][0]
            found[f"{theirs}.noise_const"] = state[f"noises.noise_{number}"][0, 0]
    for k in range(2):
        for part in ("weight", "bias"):
            found[f"mapping.fc{k}.{part}"] = state[f"style.{k + 1}.{part}"]
    return found


def test_ada_has_other_names_for_the_same(state: State) -> None:
    renamed = from_ada(ada(state))
    assert renamed.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(renamed[name], value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("synthesis.b16.torgb.affine.bias", r"b16\.torgb\.affine\.bias is missing"),
        ("synthesis.b8.conv1.noise_const", r"b8\.conv1\.noise_const is missing"),
        ("synthesis.b4.const", r"b4\.const is missing"),
    ],
)
def test_what_an_ada_lacks_is_named(state: State, name: str, said: str) -> None:
    theirs = ada(state)
    del theirs[name]
    with pytest.raises(WeightsError, match=said):
        from_ada(theirs)


def test_other_architectures_are_refused(state: State) -> None:
    for name in ("synthesis.b8.skip.weight", "mapping.embed.weight"):
        with pytest.raises(WeightsError, match="another kind of generator"):
            from_ada({**ada(state), name: torch.ones(1)})


def test_what_styles_scale_is_what_their_layers_take() -> None:
    synthesis = load_synthesis(generator_state())[0]
    codes = torch.randn(2, 10, WIDTH, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        pairs = list(synthesis.scaled(codes))
        styles = torch.cat([style for _, style in pairs], 1)
        torch.testing.assert_close(styles, synthesis.styles(codes))
        assert [x.shape[1] for x, _ in pairs] == list(synthesis.shape.styles)
        assert [x.shape[-1] for x, _ in pairs[:6]] == [4, 4, 4, 8, 8, 8]
        # The last layer's are the features that the picture is made of.
        torch.testing.assert_close(pairs[-1][0], list(synthesis.stepwise(codes))[-1])
        assert pairs[-1][0].shape[-1] == 64
