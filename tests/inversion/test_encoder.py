from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from videdit.bundles import Bundle
from videdit.errors import WeightsError
from videdit.generators.mobile import SPACE
from videdit.generators.wspace import WStatistics
from videdit.inversion.encoder import Encoder, load_network
from videdit.inversion.predict import OpenVinoEncoder, TorchEncoder


@pytest.fixture(scope="module")
def stats() -> WStatistics:
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.standard_normal((512, 512)))
    mean = torch.from_numpy(rng.standard_normal(512).astype(np.float32))
    return WStatistics(mean, torch.from_numpy(axes).float(), torch.logspace(0, -1, 512))


@pytest.fixture(scope="module")
def network(stats: WStatistics) -> Encoder:
    torch.manual_seed(0)
    network = Encoder(stats)
    with torch.no_grad():  # as after some training: codes that depend on the picture
        for head in network.heads:
            head.weight.mul_(200)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(rng.random((3, 3, 16, 16)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (256, 256), mode="bilinear")
    return np.ascontiguousarray(smooth.permute(0, 2, 3, 1).numpy())


@pytest.fixture(scope="module")
def saved(network: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, str(path))
    return path


def test_a_new_encoder_gives_about_the_mean(stats: WStatistics) -> None:
    torch.manual_seed(1)
    network = Encoder(stats).eval()
    with torch.no_grad():
        codes = network(torch.rand(2, 3, 256, 256))
    assert codes.shape == (2, 16, 512)
    assert codes.dtype == torch.float32
    whitened = stats.whiten(codes)
    assert 0 < float(whitened.abs().mean()) < 0.5  # W itself has 0.8


def test_every_row_has_its_own_query(network: Encoder, crops: np.ndarray) -> None:
    codes = network(torch.from_numpy(crops[:1]).permute(0, 3, 1, 2))[0]
    for row in range(1, 16):
        assert (codes[row] - codes[0]).abs().max() > 1e-3


def test_openvino_and_pytorch_agree(
    saved: Path, network: Encoder, stats: WStatistics, crops: np.ndarray
) -> None:
    encoder = OpenVinoEncoder(lambda: load_network(saved, stats), SPACE)
    codes = encoder.encode(crops)
    expected = TorchEncoder(network, SPACE, "cpu").encode(crops)
    assert codes.shape == (3, 16, 512)
    assert codes.dtype == np.float32
    assert np.abs(codes - expected).max() < 1e-3
    assert np.abs(codes[0] - codes[1]).max() > 0.05  # it looks at the picture
    assert encoder.encode(crops[:0]).shape == (0, 16, 512)


def test_crops_encoded_together_are_those_encoded_one_by_one(
    network: Encoder, crops: np.ndarray
) -> None:
    encoder = TorchEncoder(network, SPACE, "cpu")
    together = encoder.encode(crops)
    one_by_one = np.concatenate([encoder.encode(crop[None]) for crop in crops])
    np.testing.assert_allclose(together, one_by_one, atol=1e-4)


@pytest.mark.parametrize("damage", ["missing", "garbage", "incomplete", "shape"])
def test_damaged_weights(damage: str, network: Encoder, stats: WStatistics, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    if damage == "garbage":
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    elif damage == "incomplete":
        del state["queries"]
        save_file(state, str(path))
    elif damage == "shape":
        save_file(state | {"queries": torch.zeros(1, 18, 512)}, str(path))
    with pytest.raises(WeightsError, match=r"encoder\.safetensors"):
        load_network(path, stats)


@pytest.mark.weights
def test_the_bundles_encoder_loads_and_gives_codes(bundle: Bundle, crops: np.ndarray) -> None:
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    network = load_network(bundle.path("encoder.safetensors"), stats)
    codes = OpenVinoEncoder(lambda: network, SPACE).encode(crops[:1])
    assert codes.shape == (1, 16, 512)
    assert np.isfinite(codes).all()
