"""The published encoders against their definition in float64, step by step out of the state dict;
random weights in the published layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.inversion.published import Definition, Drawn, State, from_first
from videdit.errors import WeightsError
from videdit.inversion.psp import PyramidEncoder, encoder_shape, load_encoder

WIDTHS, ROWS, SIDE = (16, 16, 32, 48, 64), 9, 32


def published(seed: int = 0) -> State:
    """A random state dict: names and shapes as pSp's and e4e's checkpoints have them."""
    drawn = Drawn(seed)
    drawn.irse50(3, WIDTHS)
    # The pyramid has the width of the coarsest map.
    for row in range(ROWS):
        drawn.row(row, WIDTHS[4], 1 if row < 3 else 2 if row < 7 else 3)
    drawn.convolution("latlayer1", WIDTHS[3], WIDTHS[4], 1, bias=True)
    drawn.convolution("latlayer2", WIDTHS[2], WIDTHS[4], 1, bias=True)
    return drawn.state


def slow(state: State, crop: Tensor, progressive: bool) -> Tensor:
    """(rows, width) float64: the code of one crop (3, side, side), without the mean."""
    held = Definition(state)
    maps = held.irse50(crop.double()[None], WIDTHS)
    coarse = maps[23]

    def added(above: Tensor, below: Tensor) -> Tensor:
        up = F.interpolate(above, below.shape[2:], mode="bilinear", align_corners=True)
        return up + below

    middle = added(coarse, held.conv(maps[20], "latlayer1"))
    fine = added(middle, held.conv(maps[6], "latlayer2"))
    rows = [
        held.row(coarse if row < 3 else middle if row < 7 else fine, row) for row in range(ROWS)
    ]
    return from_first(torch.stack(rows), progressive)


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
