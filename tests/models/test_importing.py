"""Published checkpoints become a bundle: what is told apart, kept and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.published import (
    WIDTH,
    encoder_state,
    generator_state,
    write_encoder,
    write_generator,
)
from videdit.bundles import Bundle, load_bundle
from videdit.bundles.manifest import user_root
from videdit.device import Device
from videdit.errors import InputError, UsageError, WeightsError
from videdit.generators.latents import Latents, Mixture
from videdit.generators.stylegan2 import load_synthesis
from videdit.generators.wspace import USUAL_SCALE
from videdit.inversion.psp import load_encoder
from videdit.inversion.restyle import BackboneEncoder, BackboneShape, ReStyle
from videdit.models.importing import import_checkpoints
from videdit.models.networks import Networks

State = dict[str, Tensor]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def plain() -> State:
    """A generator without a mapping network, so that nothing has to be measured."""
    return generator_state(mapping=0)


@pytest.fixture
def checkpoint(tmp_path: Path, plain: State) -> Path:
    return write_encoder(tmp_path / "psp.pt", decoder=plain)


def networks(bundle: Bundle) -> Networks:
    return Networks(bundle, Device("cpu", "fp32"), "mesh")


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "name"), [("GradualStyleEncoder", "psp-ffhq"), ("Encoder4Editing", "e4e-ffhq")]
)
def test_the_bundle_does_what_the_checkpoint_does(
    tmp_path: Path, plain: State, kind: str, name: str
) -> None:
    said: list[str] = []
    path = write_encoder(tmp_path / "x.pt", decoder=plain, kind=kind)
    bundle = import_checkpoints([path], say=said.append)
    assert bundle.name == name
    assert "10 rows of 32" in said[0]
    assert "non-commercial" in said[0]
    found = networks(bundle)
    crops = np.random.default_rng(0).random((2, 256, 256, 3)).astype(np.float32)
    mean = torch.full((10, WIDTH), 0.01)
    own = load_encoder(encoder_state(), mean, progressive=kind == "Encoder4Editing")
    small = torch.from_numpy(crops).permute(0, 3, 1, 2).unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5))
    codes = found.encoder.encode(crops)
    np.testing.assert_allclose(codes, own(small * 2 - 1).numpy(), atol=1e-4)
    synthesis = load_synthesis(plain)[0]
    shown = (synthesis(torch.from_numpy(codes)) * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found.generator.decode(codes), shown.numpy(), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["BackboneEncoder", "ResNetProgressiveBackboneEncoder"])
def test_restyle_looks_at_what_the_bundles_generator_shows(
    tmp_path: Path, plain: State, kind: str
) -> None:
    torch.manual_seed(4)
    widths = (8, 8, 16, 16, WIDTH)
    shape = BackboneShape(widths, 10, WIDTH, (1,) * 10, "ResNet" in kind)
    backbone = BackboneEncoder(shape, progressive="Progressive" in kind).eval()
    path = write_encoder(tmp_path / "x.pt", dict(backbone.state_dict()), plain, kind)
    with pytest.raises(UsageError, match="--as NAME"):
        import_checkpoints([path])
    found = networks(import_checkpoints([path], "restyled"))
    crops = np.random.default_rng(0).random((1, 256, 256, 3)).astype(np.float32)
    given = torch.from_numpy(crops).permute(0, 3, 1, 2)
    small = given.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5))
    own = ReStyle(backbone, load_synthesis(plain)[0], torch.full((10, WIDTH), 0.01))
    wanted = own(small * 2 - 1).numpy()
    codes = found.encoder_network()(given).numpy()
    np.testing.assert_allclose(codes, wanted, atol=1e-3 * np.abs(wanted).max())


@torch.no_grad()
def test_styles_and_mixtures_are_decoded(checkpoint: Path, plain: State) -> None:
    found, synthesis = networks(import_checkpoints([checkpoint])), load_synthesis(plain)[0]
    assert found.space.styles == (8,) * 14
    draw = np.random.default_rng(1)
    codes, other = draw.standard_normal((2, 2, 10, WIDTH)).astype(np.float32)
    offsets = draw.standard_normal((2, 8 * 14)).astype(np.float32)
    moved = found.generator.decode(Latents(codes, offsets))
    wanted = synthesis(torch.from_numpy(codes), torch.from_numpy(offsets))
    wanted = (wanted * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(moved, wanted, atol=1e-4)
    assert np.abs(moved - found.generator.decode(codes)).max() > 0.05
    # An offset is what is added to the styles that codes make.
    style = found.styles_of(codes)
    assert style.shape == offsets.shape
    half = np.zeros((2, 128, 128), np.float32)
    half[:, :, :64] = 1
    mixed = found.generator.decode(Latents(codes, mixture=Mixture(other, half)))
    none = found.generator.decode(Latents(codes, mixture=Mixture(other, 0 * half)))
    np.testing.assert_allclose(none, found.generator.decode(codes), atol=1e-4)
    change = np.abs(mixed - none).mean((0, 1, 3))
    assert change[:24].min() > 10 * change[56:].max()


def test_what_is_made_of_the_generator(tmp_path: Path) -> None:
    state = generator_state()
    bundle = import_checkpoints([write_generator(tmp_path / "g.pt", state)], "mine")
    found = networks(bundle)
    draw = torch.randn(20_000, WIDTH, generator=torch.Generator().manual_seed(3))
    whitened = found.statistics.whiten(found.mapping(draw))
    torch.testing.assert_close(whitened.mean(0), torch.zeros(WIDTH), atol=0.05, rtol=0)
    torch.testing.assert_close(whitened.std(0), torch.ones(WIDTH), atol=0.05, rtol=0)
    assert found.editor("ganspace").name("pc3:4-7") == "pc3:4-7"
    space = bundle.latent
    assert (space.rows, space.width, space.resolution) == (10, WIDTH, 64)
    # Its encoder comes later.
    import_checkpoints([write_encoder(tmp_path / "e.pt", decoder=state)], "mine")
    more = load_bundle("mine").manifest
    assert more.role("encoder").architecture == "psp-encoder"
    assert more.part("encoder.safetensors").bound_to == {
        "generator.safetensors": more.part("generator.safetensors").id
    }
    # And again: nothing changes.
    before = (user_root() / "mine" / "bundle.json").read_bytes()
    import_checkpoints([tmp_path / "e.pt"], "mine")
    assert (user_root() / "mine" / "bundle.json").read_bytes() == before


def test_without_a_mapping_network_the_spread_is_assumed(checkpoint: Path) -> None:
    said: list[str] = []
    found = networks(import_checkpoints([checkpoint], say=said.append))
    assert "no GANSpace" in said[-1]
    assert float(found.statistics.scale.min()) == pytest.approx(USUAL_SCALE)
    torch.testing.assert_close(found.statistics.mean, torch.full((WIDTH,), 0.01))
    assert "editor-ganspace" not in found.bundle.manifest.roles
    with pytest.raises(WeightsError, match="no editor 'transformer'") as caught:
        found.editor("transformer")
    assert "direction:FILE.npy" in caught.value.remedy
    with pytest.raises(WeightsError, match="no 'mapping'"):
        _ = found.mapping


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda g, e: e.pop("body.7.res_layer.3.weight"), r"body\.7\.res_layer\.3\.weight is miss"),
        (lambda g, e: g.pop("convs.3.noise.weight"), r"convs\.3\.noise\.weight is missing"),
        (lambda g, e: g.update(other=torch.ones(2)), "other is no part of a StyleGAN2"),
        (lambda g, e: e.update(other=torch.ones(2)), "other is no part of the encoder"),
        (
            lambda g, e: g.update({"to_rgbs.1.bias": torch.ones(3)}),
            r"to_rgbs\.1\.bias is \(3,\), not \(1, 3, 1, 1\) \(in `decoder`\)",
        ),
        (
            lambda g, e: e.update({"styles.4.linear.bias": torch.ones(3)}),
            r"styles\.4\.linear\.bias is \(3,\), not \(32,\) \(in `encoder`\)",
        ),
        (
            lambda g, e: g["to_rgbs.1.bias"].fill_(torch.nan),
            r"to_rgbs\.1\.bias holds numbers that are not finite",
        ),
        (
            lambda g, e: e.update({"input_layer.0.weight": torch.ones(8, 6, 3, 3)}),
            r"input_layer\.0\.weight is \(8, 6, 3, 3\), not \(8, 3, 3, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, plain: State, spoil: Callable[[State, State], object], named: str
) -> None:
    decoder, encoder = {k: v.clone() for k, v in plain.items()}, encoder_state()
    spoil(decoder, encoder)
    path = write_encoder(tmp_path / "spoiled.pt", encoder, decoder)
    with pytest.raises(WeightsError, match=rf"spoiled\.pt: .*{named}"):
        import_checkpoints([path])
    assert list(user_root().glob("*")) == []


def test_what_is_no_checkpoint(tmp_path: Path, checkpoint: Path, plain: State) -> None:
    torch.save({"layers.0.weight": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: .*no checkpoint.*layers\.0\.weight"):
        import_checkpoints([tmp_path / "other.pt"], "mine")
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"psp\.pt is damaged|psp\.pt is no file of weights"):
        import_checkpoints([checkpoint])
    with pytest.raises(InputError, match="cannot be read"):
        import_checkpoints([tmp_path / "none.pt"])
    for kind in ("", "BackboneEncoderUsingLastLayerIntoW"):
        path = write_encoder(tmp_path / "kind.pt", decoder=plain, kind=kind)
        with pytest.raises(WeightsError, match=r"opts\.encoder_type"):
            import_checkpoints([path])


def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, checkpoint: Path, plain: State
) -> None:
    other = write_generator(tmp_path / "other.pt", generator_state(mapping=0, seed=5))
    alone = write_encoder(tmp_path / "alone.pt")
    rows = write_encoder(tmp_path / "rows.pt", encoder_state(rows=9))
    wide = write_encoder(tmp_path / "wide.pt", encoder_state(width=48))
    another = write_encoder(tmp_path / "another.pt", encoder_state(seed=6))
    own = write_generator(tmp_path / "own.pt", plain)
    bare = write_generator(tmp_path / "bare.pt", plain, mean=False)

    def refused(named: str, *files: Path, name: str | None = "mine") -> None:
        with pytest.raises(WeightsError, match=named):
            import_checkpoints(files, name)

    refused("alone.pt has no generator, and neither has the bundle 'mine'", alone)
    refused("different generators", checkpoint, other)
    refused("different generators", other, checkpoint)
    refused("two encoders", checkpoint, another)
    refused("neither a mapping network nor latent_avg", bare)
    refused(r"rows\.pt: .*9 rows of 32 numbers, the generator takes 10 of 32", own, rows)
    refused(r"wide\.pt: .*10 rows of 48 numbers, the generator takes 10 of 32", own, wide)
    assert list(user_root().glob("*")) == []
    with pytest.raises(UsageError, match="--as NAME"):
        import_checkpoints([own])
    for name in ("mobile", "../mine", "a/b", "bundles"):
        with pytest.raises(UsageError, match="name"):
            import_checkpoints([checkpoint], name)
    import_checkpoints([own, alone], "mine")
    before = {path.name: path.read_bytes() for path in (user_root() / "mine").iterdir()}
    refused("has another generator than other.pt", other)
    refused("has another encoder than another.pt", another)
    refused("9 rows", rows)
    assert {path.name: path.read_bytes() for path in (user_root() / "mine").iterdir()} == before


def test_nothing_is_added_to_a_damaged_bundle(tmp_path: Path, checkpoint: Path) -> None:
    bundle = import_checkpoints([checkpoint], "mine")
    path = bundle.file("generator")
    path.write_bytes(path.read_bytes()[:-4] + b"ouch")
    with pytest.raises(WeightsError, match=r"generator\.safetensors are damaged"):
        import_checkpoints([checkpoint], "mine")


def test_files_of_other_generators_and_numbers(tmp_path: Path) -> None:
    """Half precision is brought to single; the manifest says who made what."""
    state = {name: value.half() for name, value in generator_state(mapping=0).items()}
    bundle = import_checkpoints([write_generator(tmp_path / "half.pt", state)], "half")
    synthesis = networks(bundle).synthesis
    assert next(synthesis.parameters()).dtype == torch.float32
    data = json.loads((user_root() / "half" / "bundle.json").read_text())
    assert data["base"] == "mobile"
    assert "half.pt" in data["parts"]["generator.safetensors"]["provenance"]
    assert "non-commercial" in data["parts"]["generator.safetensors"]["licence"]
