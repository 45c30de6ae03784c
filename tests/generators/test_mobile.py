"""The generator in PyTorch and through OpenVINO against the wheel's own graph."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from videdit.bundles import Bundle
from videdit.errors import WeightsError
from videdit.generators.decoder import (
    OpenVinoDecoder,
    TorchDecoder,
    _row_of,
)
from videdit.generators.latents import MASK_SIDE, Latents, Mixture, pooled
from videdit.generators.mobile import (
    SPACE,
    MappingNetwork,
    Mixed,
    SynthesisNetwork,
    _Conv,
    inverse_haar,
    load_mapping,
    load_synthesis,
)

Files = tuple[Path, Path]


def codes_of_w(mapping: MappingNetwork, count: int, seed: int) -> torch.Tensor:
    """(count, 512) random codes of W."""
    z = torch.randn(count, 512, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return mapping(z)


def run_ir(xml: Path, binary: Path, inputs: np.ndarray, output: int = 0) -> np.ndarray:
    """What the wheel's own graph makes of the inputs, in single precision."""
    import openvino as ov

    compiled = ov.Core().compile_model(
        ov.Core().read_model(xml, binary), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return np.concatenate([compiled(inputs[i : i + 1])[output] for i in range(len(inputs))])


@pytest.fixture(scope="module")
def mapping_files(bundle: Bundle) -> Files:
    return bundle.path("mapping.xml"), bundle.path("mapping.bin")


@pytest.fixture(scope="module")
def synthesis_files(bundle: Bundle) -> Files:
    return bundle.path("synthesis.xml"), bundle.path("synthesis.bin")


@pytest.fixture(scope="module")
def mapping(mapping_files: Files) -> MappingNetwork:
    return load_mapping(*mapping_files)


@pytest.fixture(scope="module")
def synthesis(synthesis_files: Files) -> SynthesisNetwork:
    return load_synthesis(*synthesis_files)


@pytest.fixture(scope="module")
def decoder(synthesis_files: Files, bundle: Bundle, compiled: Path) -> OpenVinoDecoder:
    ids = bundle.ids("generator")
    return OpenVinoDecoder(*synthesis_files, SPACE, ids=ids, kept_in=compiled)


def test_inverse_haar_of_known_bands() -> None:
    # One band at a time: the low one is flat; the others change along height, width and both.
    for band, expected in (
        (0, [[1, 1], [1, 1]]),
        (1, [[1, 1], [-1, -1]]),
        (2, [[1, -1], [1, -1]]),
        (3, [[1, -1], [-1, 1]]),
    ):
        bands = torch.zeros(1, 4, 1, 1)
        bands[0, band] = 2
        assert inverse_haar(bands)[0, 0].tolist() == expected


def test_inverse_haar_orders_channels_low_first_then_three_by_channel() -> None:
    bands = torch.zeros(1, 8, 1, 1)
    bands[0, 1] = 2  # the second channel's low band
    bands[0, 2 + 3 * 1 + 1] = 2  # and its second difference
    picture = inverse_haar(bands)
    assert picture[0, 0].tolist() == [[0, 0], [0, 0]]
    assert picture[0, 1].tolist() == [[2, 0], [2, 0]]


def test_inverse_haar_keeps_the_order_in_memory() -> None:
    bands = torch.randn(2, 12, 3, 5, generator=torch.Generator().manual_seed(0))
    last = inverse_haar(bands.contiguous(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    plain = inverse_haar(bands)
    assert plain.is_contiguous()
    assert torch.equal(last, plain)


@given(hnp.arrays(np.float64, st.sampled_from([(1, 4, 2, 3), (2, 12, 1, 1)]),
                  elements=st.floats(-10, 10)))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_inverse_haar_keeps_energy(bands: np.ndarray) -> None:
    picture = inverse_haar(torch.from_numpy(bands))
    n, c, h, w = bands.shape
    assert picture.shape == (n, c // 4, 2 * h, 2 * w)
    assert float(picture.square().sum()) == pytest.approx(float((bands**2).sum()), abs=1e-9)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("c_out", "side", "groups"), [(6, 3, 6), (4, 1, 1), (8, 3, 1)])
def test_the_way_back_through_fixed_weights_keeps_no_input(
    order: torch.memory_format, c_out: int, side: int, groups: int
) -> None:
    torch.manual_seed(0)
    conv = _Conv(6, c_out, side, groups).requires_grad_(False)
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=order).requires_grad_(True)
    kept: list[torch.Size] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = conv(x)
    assert kept == [conv.weight.shape]
    expected = torch.nn.functional.conv2d(x, conv.weight, conv.bias, 1, side // 2, 1, groups)
    torch.testing.assert_close(y, expected)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("m.conv1.conv.modulation.weight", 0),
        ("m.layers.0.up.modulation.weight", 1),
        ("m.layers.0.conv1.conv.modulation.weight", 1),
        ("m.layers.0.conv2.conv.modulation.weight", 2),
        ("m.layers.6.conv1.conv.modulation.weight", 13),
        ("m.layers.6.conv2.conv.modulation.weight", 14),
        ("m.layers.6.to_img.conv.modulation.weight", 15),
    ],
)
def test_rows_of_styles(name: str, row: int) -> None:
    assert _row_of(name, SPACE.rows) == row


@pytest.mark.weights
def test_mapping_is_the_wheels(mapping: MappingNetwork, mapping_files: Files) -> None:
    z = torch.randn(8, 512, generator=torch.Generator().manual_seed(1))
    assert np.abs(run_ir(*mapping_files, z.numpy()) - mapping(z).numpy()).max() <= 1e-4


@pytest.mark.weights
def test_synthesis_is_the_wheels(
    mapping: MappingNetwork, synthesis: SynthesisNetwork, synthesis_files: Files
) -> None:
    w = codes_of_w(mapping, 2, seed=2)
    with torch.no_grad():
        picture = synthesis(w[:, None].expand(-1, 16, -1)).numpy()
    assert picture.shape == (2, 3, 512, 512)
    assert picture.std() > 0.2  # a picture, not a constant
    published = run_ir(*synthesis_files, w.numpy())
    assert published.shape == (2, 3, 1024, 1024)
    halved = published.reshape(2, 3, 512, 2, 512, 2).mean((3, 5))
    assert np.abs(halved - picture).max() <= 5e-4


@pytest.mark.weights
def test_openvino_decodes_rows_as_pytorch_does(
    mapping: MappingNetwork, synthesis: SynthesisNetwork, decoder: OpenVinoDecoder
) -> None:
    codes = codes_of_w(mapping, 16, seed=3)[None].numpy()  # every row another code
    pictures = decoder.decode(codes)
    expected = TorchDecoder(synthesis, SPACE, "cpu").decode(codes)
    assert pictures.shape == expected.shape == (1, 512, 512, 3)
    assert pictures.dtype == expected.dtype == np.float32
    # Pictures are halved on the way from [-1, 1] to [0, 1].
    assert np.abs(pictures - expected).max() <= 2.5e-4
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert decoder.decode(codes[:0]).shape == (0, 512, 512, 3)


@pytest.mark.weights
def test_a_row_drives_its_own_layers_and_no_earlier_ones(
    mapping: MappingNetwork, synthesis: SynthesisNetwork
) -> None:
    codes = codes_of_w(mapping, 1, seed=4)[:, None].expand(-1, 16, -1).clone()
    other = codes_of_w(mapping, 1, seed=5)[0]
    for row in range(9):  # the first four blocks: 64x64 features, cheap
        changed = codes.clone()
        changed[0, row] = other
        # Block l (1 to 4 here) reads rows 2l-1 and 2l; row 0 comes before all of them.
        for blocks in range(5):
            same = torch.equal(
                synthesis.features(codes, blocks), synthesis.features(changed, blocks)
            )
            assert same == (blocks < (row + 1) // 2), (row, blocks)


@pytest.mark.weights
def test_the_last_rows_matter_too(mapping: MappingNetwork, decoder: OpenVinoDecoder) -> None:
    codes = codes_of_w(mapping, 1, seed=6)[:, None].expand(-1, 16, -1).numpy().copy()
    first = decoder.decode(codes)
    codes[0, 15] = codes_of_w(mapping, 1, seed=7)[0].numpy()
    assert np.abs(decoder.decode(codes) - first).max() > 0.01


@pytest.mark.weights
@pytest.mark.parametrize("damage", ["missing", "not xml", "short", "other network"])
def test_damaged_files(
    damage: str, tmp_path: Path, synthesis_files: Files, mapping_files: Files
) -> None:
    xml, binary = tmp_path / "synthesis.xml", tmp_path / "synthesis.bin"
    source = mapping_files if damage == "other network" else synthesis_files
    if damage != "missing":
        xml.write_bytes(b"<net" if damage == "not xml" else source[0].read_bytes())
        binary.write_bytes(source[1].read_bytes()[: 1_000_002 if damage == "short" else None])
    with pytest.raises(WeightsError, match=r"generator|layout"):
        load_synthesis(xml, binary)
    with pytest.raises(WeightsError, match="generator"):
        OpenVinoDecoder(xml, binary, SPACE)
    if damage != "other network":
        with pytest.raises(WeightsError, match=r"generator|layout"):
            load_mapping(xml, binary)


@pytest.mark.weights
def test_the_generator_is_no_mapping_network(synthesis_files: Files) -> None:
    with pytest.raises(WeightsError, match="layout"):
        load_mapping(*synthesis_files)


@pytest.mark.weights
def test_bands_side_by_side_give_the_same_picture(
    mapping: MappingNetwork,
    decoder: OpenVinoDecoder,
    synthesis_files: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = codes_of_w(mapping, 2, 9)
    codes = torch.stack([*[first] * 9, *[second] * 7])[None].numpy()
    fast = decoder.decode(codes)
    changed = []
    monkeypatch.setattr("videdit.generators.decoder._lay_bands_side_by_side", changed.append)
    plain = OpenVinoDecoder(*synthesis_files, SPACE).decode(codes)
    assert len(changed) == 7  # the blocks; of the picture only the low band is taken
    np.testing.assert_allclose(fast, plain, atol=1e-5)


@pytest.mark.weights
@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_codes_decoded_together_are_those_decoded_one_by_one(
    mapping: MappingNetwork, synthesis: SynthesisNetwork, decoder: OpenVinoDecoder, kind: str
) -> None:
    generator = decoder if kind == "openvino" else TorchDecoder(synthesis, SPACE, "cpu")
    codes = codes_of_w(mapping, 3 * 16, seed=10).reshape(3, 16, 512).numpy()
    together = generator.decode(codes)
    assert together.shape == (3, 512, 512, 3)
    for code, picture in zip(codes, together, strict=True):
        np.testing.assert_allclose(picture, generator.decode(code[None])[0], atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.1


@pytest.mark.weights
def test_styles_are_what_rows_become(mapping: MappingNetwork, synthesis: SynthesisNetwork) -> None:
    """Offsets that make one code's styles another's give the other's picture."""
    codes = codes_of_w(mapping, 2 * 16, seed=12).reshape(2, 16, 512)
    with torch.no_grad():
        styles = synthesis.styles(codes)
        assert styles.shape == (2, SPACE.channels)
        there = synthesis(codes[:1], (styles[1] - styles[0])[None])
        torch.testing.assert_close(there, synthesis(codes[1:]), atol=1e-3, rtol=0)


@pytest.mark.weights
def test_openvino_takes_offsets_and_mixes_as_pytorch_does(
    mapping: MappingNetwork, synthesis: SynthesisNetwork, decoder: OpenVinoDecoder
) -> None:
    codes = codes_of_w(mapping, 3 * 16, seed=13).reshape(3, 16, 512).numpy()
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 0.3, (2, SPACE.channels)).astype(np.float32)
    mask = np.zeros((2, MASK_SIDE, MASK_SIDE), np.float32)
    mask[:, 30:90, 41:83] = 0.8
    mixture = Mixture(codes[[2, 2]], mask)
    plain = decoder.decode(codes[:2])
    reference = TorchDecoder(synthesis, SPACE, "cpu")
    for latents in (
        Latents(codes[:2], offsets),
        Latents(codes[:2], None, mixture),
        Latents(codes[:2], offsets, mixture),
    ):
        pictures = decoder.decode(latents)
        assert np.abs(pictures - reference.decode(latents)).max() <= 2.5e-4
        assert np.abs(pictures - plain).mean() > 0.005
    # What has nothing to add is the plain picture, to the last bit.
    nothing = Latents(codes[:2], offsets * 0, Mixture(codes[[2, 2]], mask * 0))
    np.testing.assert_array_equal(decoder.decode(nothing), plain)


@pytest.mark.weights
@pytest.mark.parametrize("layer", [0, 1, 2, 3, 12, 21, 22])
def test_each_layer_of_styles_is_the_graphs_own(
    mapping: MappingNetwork, synthesis: SynthesisNetwork, decoder: OpenVinoDecoder, layer: int
) -> None:
    """One channel moved far: no layer is another's, and no channel another one."""
    codes = codes_of_w(mapping, 16, seed=14)[None].numpy()
    offsets = np.zeros((1, SPACE.channels), np.float32)
    offsets[0, sum(SPACE.styles[:layer]) + SPACE.styles[layer] // 3] = 20
    latents = Latents(codes, offsets)
    moved = decoder.decode(latents)
    assert np.abs(moved - decoder.decode(codes)).max() > 1e-3
    assert np.abs(moved - TorchDecoder(synthesis, SPACE, "cpu").decode(latents)).max() <= 1e-3


@pytest.mark.weights
def test_a_mixture_is_the_other_face_where_the_mask_is_full(
    mapping: MappingNetwork, synthesis: SynthesisNetwork
) -> None:
    codes = codes_of_w(mapping, 2 * 16, seed=15).reshape(2, 16, 512)
    depth = 4
    mixed = Mixed(codes[1:], torch.ones(1, 1, MASK_SIDE, MASK_SIDE), (depth,))
    with torch.no_grad():
        steps = list(islice(synthesis.stepwise(codes[:1], mixed=mixed), depth + 1))
        assert torch.equal(steps[depth - 1], synthesis.features(codes[:1], depth - 1))
        other = synthesis.features(codes[1:], depth)
        torch.testing.assert_close(steps[depth], other, atol=1e-4, rtol=0)


def test_latents_that_do_not_fit_together() -> None:
    codes = np.zeros((2, 16, 512), np.float32)
    mask = np.zeros((2, MASK_SIDE, MASK_SIDE), np.float32)
    with pytest.raises(ValueError, match="masks"):
        Mixture(codes, mask[:1])
    with pytest.raises(ValueError, match="3"):
        Latents(codes, np.zeros((3, 5), np.float32))
    with pytest.raises(ValueError, match="1"):
        Latents(codes, None, Mixture(codes[:1], mask[:1]))
    one = Latents(codes, np.ones((2, 5), np.float32), Mixture(codes, mask))[1:]
    assert len(one) == 1
    assert one.offsets is not None
    assert one.offsets.shape == (1, 5)


def test_pooled_masks_keep_their_mean() -> None:
    mask = np.random.default_rng(1).random((MASK_SIDE, MASK_SIDE)).astype(np.float32)
    small = pooled(mask, 32)
    assert small.shape == (32, 32)
    assert small[3, 5] == pytest.approx(mask[12:16, 20:24].mean())
