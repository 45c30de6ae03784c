from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from videdit.errors import InputError, UsageError
from videdit.faces.recognition import FaceNetwork
from videdit.generators.mobile import MappingNetwork
from videdit.generators.wspace import WStatistics
from videdit.inversion.encoder import Encoder, load_network
from videdit.training import faces
from videdit.training.crops import RealFaces
from videdit.training.encoder import export, train_corrector, train_encoder
from videdit.training.encoder_loop import Run, Supervision
from videdit.training.encoder_settings import EncoderTraining
from videdit.training.faces import FaceData
from videdit.training.settings import read_settings

STATS = WStatistics(torch.zeros(512), torch.eye(512), torch.ones(512))
SETTINGS = EncoderTraining(steps=2, batch=2, real=1, morphed=1, pairs=1, shown=1, warm_up=1)
_RNG = np.random.default_rng(5)
REAL = RealFaces(
    _RNG.integers(0, 256, (3, 256, 256, 3), np.uint8),
    _RNG.uniform(64, 192, (3, 68, 2)).astype(np.float32),
)


class FakeSynthesis(nn.Module):
    """Features that are the codes themselves; stops the training at the n-th step."""

    def __init__(self, stop_at: int = -1) -> None:
        super().__init__()
        self.calls = 0
        self.stop_at = stop_at

    def features(self, codes: Tensor, blocks: int) -> Tensor:
        if self.calls == 3 * self.stop_at:  # three calls a step
            raise KeyboardInterrupt
        self.calls += 1
        return codes[:, : 2 * blocks + 1, :64, None]


class FakeReadout(nn.Module):
    """A picture whose brightness is one of the code's numbers."""

    def show(self, synthesis: FakeSynthesis, codes: Tensor) -> Tensor:
        synthesis.features(codes, 4)
        return codes[:, :3, 0, None, None].sigmoid().expand(-1, -1, 256, 256)


class GreyDecoder:
    resolution = 256

    def decode(self, codes: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(int(abs(codes[0, 0, 0]) * 1e6))
        coarse = rng.random((1, 8, 8, 3)).astype(np.float32)
        return coarse.repeat(32, 1).repeat(32, 2)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "SHARD", 5)
        yield


@pytest.fixture(scope="module")
def data(small: None, tmp_path_factory: pytest.TempPathFactory) -> FaceData:
    folder = tmp_path_factory.mktemp("faces")
    torch.manual_seed(0)
    mapping = MappingNetwork(layers=1).requires_grad_(False)
    faces.sample_faces(folder, range(3), mapping, STATS, GreyDecoder(), lambda _: None)
    return FaceData(folder, 3, held_out=1)


def supervision(data: FaceData, real: RealFaces = REAL, stop_at: int = -1) -> Supervision:
    torch.manual_seed(1)
    face = FaceNetwork().eval().requires_grad_(False)
    synthesis, readout = FakeSynthesis(stop_at), FakeReadout()
    return Supervision(data, real, STATS, synthesis, readout, face)  # type: ignore[arg-type]


def quiet(folder: Path) -> Run:
    return Run(folder, checkpoint_every=1, report=lambda _: None)


def train(
    data: FaceData, folder: Path, stop_at: int = -1, settings: EncoderTraining = SETTINGS
) -> Path:
    return train_encoder(supervision(data, stop_at=stop_at), settings, quiet(folder))


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
        FaceData(tmp_path, 3, held_out=1)


def test_a_resumed_training_gives_the_same_weights(data: FaceData, tmp_path: Path) -> None:
    whole = train(data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "parts", stop_at=1)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 1
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
    assert json.loads((tmp_path / "whole" / "settings.json").read_text())["steps"] == 2
    # A finished training is only exported again.
    before = whole.read_bytes()
    assert train(data, tmp_path / "whole", stop_at=0).read_bytes() == before
    # A sheet of targets and what their codes show: one generated face, one real one.
    sheet = cv2.imread(str(tmp_path / "whole" / "sheet-000002.jpg"))
    assert sheet is not None
    assert sheet.shape == (512, 2 * 256, 3)
    # Other settings would not continue this training but spoil it.
    with pytest.raises(UsageError, match="other settings"):
        train(data, tmp_path / "whole", settings=replace(SETTINGS, seed=1))


def test_a_training_can_start_from_an_encoder(data: FaceData, tmp_path: Path) -> None:
    torch.manual_seed(9)
    start = export(Encoder(STATS).state_dict(), tmp_path / "start.safetensors")
    settings = replace(SETTINGS, steps=1, learning_rate=1e-7)
    # And works without real faces.
    none = RealFaces(REAL.crops[:0], REAL.points68[:0])
    given = supervision(data, none)
    result = train_encoder(given, settings, quiet(tmp_path / "work"), start=start)
    one, other = load_file(str(start)), load_file(str(result))
    for name in ("queries", "trunk.0.weight", "face.first.weight"):
        torch.testing.assert_close(one[name], other[name], atol=1e-3, rtol=0)


def test_the_corrector_alone_is_trained(data: FaceData, tmp_path: Path) -> None:
    torch.manual_seed(4)
    encoder = Encoder(STATS).eval().requires_grad_(False)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    given = supervision(data)
    # The real generator's features are (n, 512, 32, 32); the fake's are not.
    readout = FakeReadout()
    folder = tmp_path / "corrector"
    path = train_corrector(given, encoder, readout, SETTINGS, quiet(folder))  # type: ignore[arg-type]
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    state = load_file(str(path))
    # The heads start at zero: no correction before the first step.
    assert float(state["corrector.heads.0.weight"].abs().max()) > 0
    again = train_corrector(given, encoder, readout, SETTINGS, quiet(folder))  # type: ignore[arg-type]
    assert again == path


def test_settings_files(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"steps": 7}')
    assert read_settings(path, EncoderTraining) == EncoderTraining(steps=7)
    path.write_text('{"stepz": 7}')
    with pytest.raises(UsageError, match="stepz"):
        read_settings(path, EncoderTraining)
    with pytest.raises(UsageError, match="no settings"):
        read_settings(tmp_path / "missing.json", EncoderTraining)
    for name in ("encoder.json", "corrector.json"):
        committed = Path(__file__).parents[2] / "training_data" / name
        assert read_settings(committed, EncoderTraining).real > 0


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
