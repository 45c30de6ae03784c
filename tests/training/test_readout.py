from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import videdit.training.readout as readout_training
from videdit.faces.recognition import FaceNetwork
from videdit.generators.mobile import SynthesisNetwork
from videdit.training.faces import FaceData
from videdit.training.losses import mean_picture_loss
from videdit.training.readout import train_readout


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
        return codes[:, 0, :, None, None].expand(-1, -1, 4 << blocks, 4 << blocks) + 1


def test_picture_loss() -> None:
    a = torch.rand(2, 3, 16, 16)
    assert mean_picture_loss(a, a) == 0
    # A constant difference has no gradients: its size alone, at every scale.
    torch.testing.assert_close(mean_picture_loss(a, a + 0.25), torch.tensor(0.25))
    b = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(mean_picture_loss(a, b), mean_picture_loss(b, a))


@pytest.mark.parametrize("blocks", [3, 4])
def test_it_learns_and_is_kept(
    blocks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(readout_training, "_BATCH", 4)
    data, synthesis = cast(FaceData, FakeData()), cast(SynthesisNetwork, FakeSynthesis())
    face = FaceNetwork().eval().requires_grad_(False)
    lines: list[str] = []
    path = tmp_path / "readout.safetensors"
    readout = train_readout(
        data, synthesis, face, path, blocks=blocks, steps=18, report=lines.append
    )
    pictures, codes = data.batch(np.array([0, 1]))
    with torch.no_grad():
        shown = readout.show(synthesis, codes)
    assert shown.shape == (2, 3, 256, 256)
    before = mean_picture_loss(torch.full_like(pictures, 0.5), pictures)
    assert mean_picture_loss(shown, pictures) < 0.6 * before
    again = train_readout(data, cast(SynthesisNetwork, None), face, path, blocks=blocks)
    for name, value in readout.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not any(p.requires_grad for p in again.parameters())
