from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.generators.mobile import MappingNetwork
from videdit.generators.wspace import WStatistics
from videdit.training import faces
from videdit.training.faces import expand, sample_faces, shard_codes

STATS = WStatistics(torch.full((512,), 0.5), torch.eye(512), torch.ones(512))


@pytest.fixture(scope="module")
def mapping() -> MappingNetwork:
    torch.manual_seed(0)
    return MappingNetwork(layers=1).requires_grad_(False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "SHARD", 6)


class FakeDecoder:
    """Grey by the first row's mean, as large as wished; stops after some pictures."""

    resolution = 512

    def __init__(self, stop_after: int = 1000) -> None:
        self.made = 0
        self.stop_after = stop_after

    def decode(self, codes: np.ndarray) -> np.ndarray:
        assert codes.shape == (1, 16, 512)
        assert codes.dtype == np.float32
        if self.made == self.stop_after:
            raise KeyboardInterrupt
        self.made += 1
        grey = 0.5 + 0.4 * np.tanh(codes.mean())
        return np.full((1, 512, 512, 3), grey, np.float32)


def content(folder: Path) -> dict[str, np.ndarray]:
    found = {path.name: np.load(path) for path in folder.glob("*.npy")}
    for path in folder.glob("*.npz"):
        with np.load(path) as stored:
            found |= {f"{path.name}/{name}": stored[name] for name in stored.files}
    return found


def test_shards_depend_on_their_number_alone(small: None, mapping: MappingNetwork) -> None:
    torch.manual_seed(123)
    first = shard_codes(3, mapping, STATS)
    torch.manual_seed(456)
    for one, other in zip(first, shard_codes(3, mapping, STATS), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(first[0], shard_codes(4, mapping, STATS)[0])


def test_half_of_a_shard_mixes_two_codes(mapping: MappingNetwork) -> None:
    w_a, w_b, crossover = shard_codes(0, mapping, STATS)
    assert w_a.shape == w_b.shape == (faces.SHARD, 512)
    assert (crossover[: faces.SHARD // 2] == 16).all()
    mixed = crossover[faces.SHARD // 2 :]
    assert set(mixed.tolist()) == set(range(1, 16))
    codes = expand(w_a, w_b, crossover)
    assert codes.shape == (faces.SHARD, 16, 512)
    assert codes.dtype == np.float32
    assert np.array_equal(codes[0], np.repeat(w_a[:1], 16, 0).astype(np.float32))
    last, cross = codes[-1], int(crossover[-1])
    assert (last[:cross] == w_a[-1]).all()
    assert (last[cross:] == w_b[-1]).all()


def test_sampling_goes_on_after_an_interruption(
    small: None, mapping: MappingNetwork, tmp_path: Path
) -> None:
    said: list[str] = []
    sample_faces(tmp_path / "whole", range(3), mapping, STATS, FakeDecoder(), said.append)
    assert len(said) == 3
    with pytest.raises(KeyboardInterrupt):
        sample_faces(
            tmp_path / "parts", range(3), mapping, STATS, FakeDecoder(stop_after=9), said.append
        )
    rest = FakeDecoder()
    sample_faces(tmp_path / "parts", range(3), mapping, STATS, rest, said.append)
    assert rest.made == 2 * 6  # the shard in flight and the one after it
    whole, parts = content(tmp_path / "whole"), content(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert whole["pictures-0001.npy"].shape == (6, 256, 256, 3)
    assert whole["pictures-0001.npy"].std() > 0
    for name, values in whole.items():
        assert np.array_equal(values, parts[name]), name
