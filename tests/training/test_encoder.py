from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from videdit.errors import InputError
from videdit.generators.mobile import MappingNetwork
from videdit.generators.wspace import WStatistics
from videdit.inversion.encoder import Encoder, load_network
from videdit.training import encoder as training
from videdit.training import faces
from videdit.training.encoder import EncoderTraining, FaceData, export, train_encoder

STATS = WStatistics(torch.zeros(512), torch.eye(512), torch.ones(512))
SETTINGS = EncoderTraining(steps=3, batch=2, warm_up=1)


class FakeSynthesis(nn.Module):
    """Features that are the codes themselves; stops the training at the n-th step."""

    def __init__(self, stop_at: int = -1) -> None:
        super().__init__()
        self.calls = 0
        self.stop_at = stop_at

    def features(self, codes: Tensor, blocks: int) -> Tensor:
        if self.calls == 2 * self.stop_at:  # two calls a step
            raise KeyboardInterrupt
        self.calls += 1
        return codes[:, : 2 * blocks + 1, :64, None]


class GreyDecoder:
    resolution = 256

    def decode(self, codes: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(int(abs(codes[0, 0, 0]) * 1e6))
        coarse = rng.random((1, 8, 8, 3)).astype(np.float32)
        return coarse.repeat(32, 1).repeat(32, 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FaceData:
    folder = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "SHARD", 5)
        torch.manual_seed(0)
        mapping = MappingNetwork(layers=1).requires_grad_(False)
        faces.sample_faces(folder, range(3), mapping, STATS, GreyDecoder(), lambda _: None)
    return FaceData(folder, held_out=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SHARD", 5)


def train(data: FaceData, folder: Path, stop_at: int = -1) -> Path:
    synthesis = FakeSynthesis(stop_at)
    return train_encoder(
        data,
        STATS,
        synthesis,  # type: ignore[arg-type]
        folder,
        SETTINGS,
        checkpoint_every=2,
        report=lambda _: None,
    )


def test_batches_pair_pictures_with_their_codes(data: FaceData) -> None:
    assert len(data) == 10
    pictures, codes = data.batch(np.array([7, 0]))
    assert pictures.shape == (2, 3, 256, 256)
    assert codes.shape == (2, 16, 512)
    for picture, code in zip(pictures, codes, strict=True):
        # Codes are kept in half precision, and those made the pictures.
        expected = GreyDecoder().decode(code[None].numpy())[0]
        np.testing.assert_allclose(picture.permute(1, 2, 0), expected, atol=0.003)


def test_no_faces(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training faces"):
        FaceData(tmp_path, held_out=1)


def test_a_resumed_training_gives_the_same_weights(data: FaceData, tmp_path: Path) -> None:
    whole = train(data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "parts", stop_at=2)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 2
    parts = train(data, tmp_path / "parts")
    one, other = load_file(str(whole)), load_file(str(parts))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    # It learned something, and did so in half precision on the disk.
    torch.manual_seed(SETTINGS.seed)
    fresh = Encoder(STATS).state_dict()
    assert any(
        not torch.equal(fresh[k].half(), v) for k, v in one.items() if v.dtype.is_floating_point
    )
    assert {v.dtype for v in one.values()} == {torch.float16, torch.int64}
    assert json.loads((tmp_path / "whole" / "settings.json").read_text())["steps"] == 3
    # A finished training is only exported again.
    before = whole.read_bytes()
    assert train(data, tmp_path / "whole", stop_at=0).read_bytes() == before


def test_what_is_exported_loads(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = Encoder(STATS)
    path = export(network.state_dict(), tmp_path / "encoder.safetensors")
    assert path.stat().st_size < 2.1 * sum(p.numel() for p in network.parameters())
    read = load_network(path, STATS)
    picture = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        difference = (read(picture) - network.eval()(picture)).abs().max()
    assert not read.training
    assert 0 < float(difference) < 0.01
