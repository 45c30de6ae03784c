"""The published encoders against their definition in float64, step by step out of the state dict;
random weights in the published layout."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from videdit.errors import WeightsError
from videdit.inversion.psp import PyramidEncoder, encoder_shape, load_encoder

State = dict[str, Tensor]
WIDTHS, ROWS, SIDE = (16, 16, 32, 48, 64), 9, 32
BLOCKS = [
    (c_in, c_out, 1 if k else 2)
    for group, (c_out, units) in enumerate(zip(WIDTHS[1:], (3, 4, 14, 3), strict=True))
    for k in range(units)
    for c_in in (WIDTHS[group] if k == 0 else c_out,)
]


def published(seed: int = 0) -> State:
    """A random state dict: names and shapes as pSp's and e4e's checkpoints have them."""
    draw, state = torch.Generator().manual_seed(seed), State()

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    def convolution(name: str, c_in: int, c_out: int, side: int, bias: bool = False) -> None:
        state[f"{name}.weight"] = normal(c_out, c_in, side, side) / math.sqrt(c_in * side * side)
        if bias:
            state[f"{name}.bias"] = normal(c_out)

    def normalisation(name: str, channels: int) -> None:
        state[f"{name}.weight"] = 1 + 0.2 * normal(channels)
        state[f"{name}.bias"] = normal(channels)
        state[f"{name}.running_mean"] = normal(channels)
        state[f"{name}.running_var"] = normal(channels).square() + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("input_layer.0", 3, WIDTHS[0], 3)
    normalisation("input_layer.1", WIDTHS[0])
    state["input_layer.2.weight"] = normal(WIDTHS[0])
    for k, (c_in, c_out, stride) in enumerate(BLOCKS):
        name = f"body.{k}"
        if c_in != c_out:
            convolution(f"{name}.shortcut_layer.0", c_in, c_out, 1)
            normalisation(f"{name}.shortcut_layer.1", c_out)
        normalisation(f"{name}.res_layer.0", c_in)
        convolution(f"{name}.res_layer.1", c_in, c_out, 3)
        state[f"{name}.res_layer.2.weight"] = normal(c_out)
        convolution(f"{name}.res_layer.3", c_out, c_out, 3)
        normalisation(f"{name}.res_layer.4", c_out)
        convolution(f"{name}.res_layer.5.fc1", c_out, c_out // 16, 1)
        convolution(f"{name}.res_layer.5.fc2", c_out // 16, c_out, 1)
        assert stride in (1, 2)
    # The pyramid has the width of the coarsest map.
    for row in range(ROWS):
        pools = 1 if row < 3 else 2 if row < 7 else 3
        for k in range(pools):
            convolution(f"styles.{row}.convs.{2 * k}", WIDTHS[4], WIDTHS[4], 3, bias=True)
        state[f"styles.{row}.linear.weight"] = normal(WIDTHS[4], WIDTHS[4])
        state[f"styles.{row}.linear.bias"] = normal(WIDTHS[4])
    convolution("latlayer1", WIDTHS[3], WIDTHS[4], 1, bias=True)
    convolution("latlayer2", WIDTHS[2], WIDTHS[4], 1, bias=True)
    return state


def slow(state: State, crop: Tensor, progressive: bool) -> Tensor:
    """(rows, width) float64: the code of one crop (3, side, side), without the mean."""
    held = {name: value.double() for name, value in state.items()}

    def conv(x: Tensor, name: str, stride: int = 1, pad: int = 0) -> Tensor:
        return F.conv2d(x, held[f"{name}.weight"], held.get(f"{name}.bias"), stride, pad)

    def norm(x: Tensor, name: str) -> Tensor:
        def each(part: str) -> Tensor:
            return held[f"{name}.{part}"][None, :, None, None]

        unit = (x - each("running_mean")) / torch.sqrt(each("running_var") + 1e-5)
        return unit * each("weight") + each("bias")

    def prelu(x: Tensor, name: str) -> Tensor:
        return torch.where(x > 0, x, x * held[f"{name}.weight"][None, :, None, None])

    x = conv(crop.double()[None], "input_layer.0", pad=1)
    x, maps = prelu(norm(x, "input_layer.1"), "input_layer.2"), {}
    for k, (c_in, c_out, stride) in enumerate(BLOCKS):
        name = f"body.{k}"
        if c_in == c_out:
            beside = F.max_pool2d(x, 1, stride)
        else:
            beside = norm(conv(x, f"{name}.shortcut_layer.0", stride), f"{name}.shortcut_layer.1")
        y = conv(norm(x, f"{name}.res_layer.0"), f"{name}.res_layer.1", pad=1)
        y = conv(prelu(y, f"{name}.res_layer.2"), f"{name}.res_layer.3", stride, 1)
        y = norm(y, f"{name}.res_layer.4")
        mean = F.adaptive_avg_pool2d(y, 1)
        inner = conv(mean, f"{name}.res_layer.5.fc1").clamp_min(0)
        x = y / (1 + torch.exp(-conv(inner, f"{name}.res_layer.5.fc2"))) + beside
        maps[k] = x
    coarse = maps[23]

    def added(above: Tensor, below: Tensor) -> Tensor:
        up = F.interpolate(above, below.shape[2:], mode="bilinear", align_corners=True)
        return up + below

    middle = added(coarse, conv(maps[20], "latlayer1"))
    fine = added(middle, conv(maps[6], "latlayer2"))
    rows = []
    for row in range(ROWS):
        y = coarse if row < 3 else middle if row < 7 else fine
        k = 0
        while f"styles.{row}.convs.{2 * k}.weight" in held:
            y, k = conv(y, f"styles.{row}.convs.{2 * k}", 2, 1), k + 1
            y = torch.where(y > 0, y, 0.01 * y)
        weight = held[f"styles.{row}.linear.weight"]
        rows.append(
            weight @ y.flatten() / math.sqrt(len(weight)) + held[f"styles.{row}.linear.bias"]
        )
    code = torch.stack(rows)
    return torch.cat((code[:1], code[1:] + code[:1])) if progressive else code


@pytest.fixture(scope="module")
def state() -> State:
    return published()


@pytest.fixture(scope="module")
def crops() -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("progressive", [False, True], ids=["pSp", "e4e"])
def test_codes_are_those_of_the_definition(state: State, crops: Tensor, progressive: bool) -> None:
    mean = torch.randn(WIDTHS[4], generator=torch.Generator().manual_seed(2))
    network = load_encoder(state, mean, progressive=progressive)
    found = network(crops)
    assert found.shape == (3, ROWS, WIDTHS[4])
    for crop, code in zip(crops, found, strict=True):
        wanted = slow(state, crop, progressive) + mean
        assert float((code - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    alone = torch.cat([network(crop[None]) for crop in crops])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)


def test_the_shape_is_read(state: State) -> None:
    shape = encoder_shape(state)
    assert (shape.widths, shape.rows, shape.width) == (WIDTHS, ROWS, WIDTHS[4])
    assert (shape.pools, shape.side) == ((1, 1, 1, 2, 2, 2, 2, 3, 3), SIDE)


@torch.no_grad()
def test_the_mean_may_have_more_rows(state: State, crops: Tensor) -> None:
    mean = torch.randn(18, WIDTHS[4], generator=torch.Generator().manual_seed(3))
    with_mean = load_encoder(state, mean, progressive=False)(crops[:1])
    without = load_encoder(state, None, progressive=False)(crops[:1])
    torch.testing.assert_close(with_mean - without, mean[None, :ROWS], rtol=1e-3, atol=1e-3)
    with pytest.raises(WeightsError, match=r"latent_avg is \(4, 64\)"):
        load_encoder(state, mean[:4], progressive=False)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: s.pop("body.7.shortcut_layer.0.weight"), r"body\.7\.shortcut_layer\.0\.weight"),
        (lambda s: s.pop("input_layer.0.weight"), r"input_layer\.0\.weight is missing"),
        (lambda s: s.pop("styles.8.convs.0.bias"), r"styles\.8\.convs\.0\.bias is missing"),
        (lambda s: s.update(fc=torch.ones(1)), "fc is no part"),
        (lambda s: s.update({"latlayer2.bias": torch.ones(3)}), r"latlayer2\.bias is \(3,\), not"),
    ],
)
def test_what_does_not_fit_is_named(
    state: State, spoil: Callable[[State], object], named: str
) -> None:
    spoiled = dict(state)
    spoil(spoiled)
    with pytest.raises(WeightsError, match=named):
        load_encoder(spoiled, None, progressive=False)


def test_it_is_frozen(state: State) -> None:
    network = load_encoder(state, None, progressive=True)
    assert isinstance(network, PyramidEncoder)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
