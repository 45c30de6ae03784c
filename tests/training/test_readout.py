from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from videdit.generators.mobile import SynthesisNetwork
from videdit.training.encoder import FaceData
from videdit.training.readout import Readout, picture_loss, train_readout


class FakeData:
    """Two kinds of faces, dark and bright; the code says which."""

    def __len__(self) -> int:
        return 16

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        kind = torch.from_numpy(indices % 2).float()
        pictures = (0.25 + 0.5 * kind)[:, None, None, None].expand(-1, 3, 256, 256)
        return pictures, kind[:, None, None].expand(-1, 16, 512) * 0.1


class FakeSynthesis(nn.Module):
    def features(self, codes: Tensor, blocks: int) -> Tensor:
        assert blocks == 4
        return codes[:, 0, :, None, None].expand(-1, -1, 64, 64) + 1


def test_picture_loss() -> None:
    a = torch.rand(2, 3, 16, 16)
    assert picture_loss(a, a) == 0
    # A constant difference has no gradients: its size alone, at every scale.
    torch.testing.assert_close(picture_loss(a, a + 0.25), torch.tensor(0.25))
    b = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(picture_loss(a, b), picture_loss(b, a))


def test_it_learns_and_is_kept(tmp_path: Path) -> None:
    data, synthesis = cast(FaceData, FakeData()), cast(SynthesisNetwork, FakeSynthesis())
    lines: list[str] = []
    path = tmp_path / "readout.safetensors"
    readout = train_readout(data, synthesis, path, steps=40, batch=2, report=lines.append)
    pictures, codes = data.batch(np.array([0, 1]))
    with torch.no_grad():
        shown = readout(synthesis.features(codes, 4), codes)
    assert shown.shape == (2, 3, 256, 256)
    before = picture_loss(torch.full_like(pictures, 0.5), pictures)
    assert picture_loss(shown, pictures) < 0.6 * before
    again = train_readout(data, cast(SynthesisNetwork, None), path)
    for name, value in readout.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not any(p.requires_grad for p in again.parameters())


def test_every_row_from_9_on_counts() -> None:
    torch.manual_seed(0)
    readout = Readout()
    codes = torch.zeros(1, 16, 512, requires_grad=True)
    readout(torch.rand(1, 512, 64, 64), codes).sum().backward()
    assert codes.grad is not None
    moved = codes.grad.abs().sum(2)[0] > 0
    assert moved.tolist() == [False] * 9 + [True] * 7


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
