"""ReStyle's encoders and its iteration against their definition in float64; random weights in the
published layouts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.inversion.published import Definition, Drawn, State, blocks, from_first
from videdit.errors import WeightsError
from videdit.inversion.restyle import ReStyle, backbone_shape, load_backbone

WIDTHS, ROWS, WIDTH, SIDE = (16, 16, 32, 48, 64), 5, 64, 32
RESNET = (16, 16, 32, 48, 64)
RESNET_BLOCKS = [
    (c_in, c_out, 1 if k < 3 else stride)  # the first group keeps the resolution
    for k, (c_in, c_out, stride) in enumerate(blocks(RESNET, (3, 4, 6, 3)))
]


def published(resnet: bool, seed: int = 0) -> State:
    """A random state dict: names and shapes as ReStyle's checkpoints have them."""
    drawn = Drawn(seed)
    if resnet:
        drawn.convolution("conv1", 6, RESNET[0], 7)
        drawn.normalisation("bn1", RESNET[0])
        drawn.state["relu.weight"] = drawn.normal(RESNET[0])
        for k, (c_in, c_out, stride) in enumerate(RESNET_BLOCKS):
            for number, before in ((1, c_in), (2, c_out)):
                drawn.convolution(f"body.{k}.conv{number}", before, c_out, 3)
                drawn.normalisation(f"body.{k}.bn{number}", c_out)
            if c_in != c_out or stride != 1:
                drawn.convolution(f"body.{k}.downsample.0", c_in, c_out, 1)
                drawn.normalisation(f"body.{k}.downsample.1", c_out)
    else:
        drawn.irse50(6, WIDTHS)
    for row in range(ROWS):
        drawn.row(row, WIDTH, 1)
    return drawn.state


def resnet34(held: Definition, picture: Tensor) -> Tensor:
    x = held.conv(picture, "conv1", 2, 3)
    x = held.prelu(held.norm(x, "bn1"), "relu")
    for k, (_, _, stride) in enumerate(RESNET_BLOCKS):
        name, beside = f"body.{k}", x
        y = held.norm(held.conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1").clamp_min(0)
        y = held.norm(held.conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in held.held:
            beside = held.conv(x, f"{name}.downsample.0", stride)
            beside = held.norm(beside, f"{name}.downsample.1")
        x = (y + beside).clamp_min(0)
    return x


def slow(state: State, pair: Tensor, progressive: bool) -> Tensor:
    """(rows, width) float64: what is added for one crop over a picture (6, side, side)."""
    held, x = Definition(state), pair.double()[None]
    if "conv1.weight" in state:
        features = resnet34(held, x)
    else:
        features = held.irse50(x, WIDTHS)[-1]
    rows = torch.stack([held.row(features, row) for row in range(ROWS)])
    return from_first(rows, progressive)


class Painter(nn.Module):
    """Codes to pictures of twice the encoder's size."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.rows = nn.Parameter(torch.randn(ROWS, generator=draw))
        self.paint = nn.Parameter(torch.randn(WIDTH, 3 * 4 * SIDE**2, generator=draw) / 20)

    def forward(self, codes: Tensor) -> Tensor:
        mixed = torch.einsum("nrw,r->nw", codes, self.rows.to(codes.dtype))
        pictures = torch.tanh(mixed @ self.paint.to(codes.dtype))
        return pictures.view(-1, 3, 2 * SIDE, 2 * SIDE)


@pytest.fixture(scope="module")
def crops() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1


KINDS = pytest.mark.parametrize("resnet", [False, True], ids=["IR-SE-50", "ResNet-34"])


@torch.no_grad()
@pytest.mark.parametrize("progressive", [False, True], ids=["pSp", "e4e"])
@KINDS
def test_codes_are_those_of_the_definition(crops: Tensor, resnet: bool, progressive: bool) -> None:
    state, painter, steps = published(resnet), Painter().requires_grad_(False), 3
    mean = torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))
    network = ReStyle(load_backbone(state, progressive=progressive), painter, mean, steps)
    found = network(crops)
    assert found.shape == (2, ROWS, WIDTH)
    for crop, code in zip(crops, found, strict=True):
        wanted = mean.double().repeat(ROWS, 1)
        for _ in range(steps):  # the first picture is that of the mean
            picture = painter(wanted[None])[0]
            smaller = picture.reshape(3, SIDE, 2, SIDE, 2).mean((2, 4))
            wanted = wanted + slow(state, torch.cat((crop.double(), smaller)), progressive)
        assert float((code - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    alone = torch.cat([network(crop[None]) for crop in crops])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


@torch.no_grad()
def test_each_look_sees_what_came_of_the_one_before(crops: Tensor) -> None:
    encoder = load_backbone(published(resnet=True), progressive=False)
    mean = torch.randn(ROWS + 3, WIDTH, generator=torch.Generator().manual_seed(3))
    once = ReStyle(encoder, Painter(), mean, 1)(crops)
    twice = ReStyle(encoder, Painter(), mean, 2)(crops)
    shown = F.avg_pool2d(Painter()(once), 2)
    torch.testing.assert_close(twice, once + encoder(torch.cat((crops, shown), 1)))


def test_the_shape_is_read() -> None:
    for resnet, widths in ((False, WIDTHS), (True, RESNET)):
        shape = backbone_shape(published(resnet))
        assert (shape.resnet, shape.widths, shape.rows) == (resnet, widths, ROWS)
        assert (shape.width, shape.pools, shape.side) == (WIDTH, (1,) * ROWS, SIDE)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: s.pop("body.7.downsample.0.weight"), r"body\.7\.downsample\.0\.weight"),
        (lambda s: s.pop("conv1.weight"), r"input_layer\.0\.weight is missing"),
        (lambda s: s.pop("styles.0.linear.weight"), r"styles\.0\.linear\.weight is missing"),
        (lambda s: s.update(latlayer1=torch.ones(1)), "latlayer1 is no part"),
        (lambda s: s.update({"bn1.bias": torch.ones(3)}), r"bn1\.bias is \(3,\), not"),
        (lambda s: s.update({"conv1.weight": torch.ones(())}), r"conv1\.weight is \(\), not"),
        (
            lambda s: s.update({"conv1.weight": torch.ones(16, 3, 7, 7)}),
            r"conv1\.weight is \(16, 3, 7, 7\), not \(16, 6, 7, 7\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(spoil: Callable[[State], object], named: str) -> None:
    state = published(resnet=True)
    spoil(state)
    with pytest.raises(WeightsError, match=named):
        load_backbone(state, progressive=False)


def test_the_mean_of_another_space_is_refused() -> None:
    encoder = load_backbone(published(resnet=True), progressive=True)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for shape in ((WIDTH - 1,), (ROWS - 1, WIDTH), (), (1, ROWS, WIDTH)):
        with pytest.raises(WeightsError, match="latent_avg is"):
            ReStyle(encoder, Painter(), torch.zeros(shape))
