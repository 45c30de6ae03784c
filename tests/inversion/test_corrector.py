from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from videdit.bundles.bundle import Bundle
from videdit.errors import WeightsError
from videdit.faces.recognition import FaceNetwork, load_face_network
from videdit.generators.mobile import load_synthesis
from videdit.generators.wspace import WStatistics
from videdit.inversion.corrector import CorrectedEncoder, Corrector, load_corrected_encoder
from videdit.inversion.encoder import Encoder, code_predictor
from videdit.inversion.readout import Readout

STATS = WStatistics(torch.zeros(512), torch.eye(512), torch.ones(512))


class FakeSynthesis(nn.Module):
    def features(self, codes: Tensor, blocks: int) -> Tensor:
        return codes[:, 0, :, None, None].expand(-1, -1, 4 << blocks, 4 << blocks) * 0.1


def network(seed: int = 0) -> CorrectedEncoder:
    torch.manual_seed(seed)
    made = CorrectedEncoder(
        Encoder(STATS),
        FakeSynthesis(),  # type: ignore[arg-type]
        Readout(3),
        FaceNetwork(),
        Corrector(STATS),
    )
    return made.eval().requires_grad_(False)


def stir(corrector: Corrector) -> None:
    for head in corrector.heads:
        assert isinstance(head, nn.Linear)
        nn.init.normal_(head.weight, std=0.05)


def test_untrained_it_changes_nothing() -> None:
    made, crops = network(), torch.rand(2, 3, 256, 256)
    torch.testing.assert_close(made(crops), made.encoder(crops))


def test_it_sees_what_the_code_shows() -> None:
    made, crops = network(), torch.rand(1, 3, 256, 256)
    stir(made.corrector)
    code = made.encoder(crops)
    face = made.face(crops)
    same = made.corrector(crops, crops, face, face, code)
    other = torch.rand(1, 3, 256, 256)
    different = made.corrector(crops, other, face, made.face(other), code)
    assert (same - code).abs().max() > 1e-3
    assert (different - same).abs().max() > 1e-3
    # Rows are corrected each in its own way.
    assert ((different - code)[0, 1] - (different - code)[0, 0]).abs().max() > 1e-4


def test_openvino_and_pytorch_agree() -> None:
    made = network()
    stir(made.corrector)
    crops = np.random.default_rng(0).random((2, 256, 256, 3)).astype(np.float32)
    codes = code_predictor(made).encode(crops)
    expected = made(torch.from_numpy(crops).permute(0, 3, 1, 2)).numpy()
    assert np.abs(codes - expected).max() < 2e-3


@pytest.mark.parametrize("damage", ["missing", "garbage", "incomplete"])
def test_damaged_weights(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "corrector.safetensors"
    parts = nn.ModuleDict({"corrector": Corrector(STATS), "readout": Readout(3)}).state_dict()
    if damage == "garbage":
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    elif damage == "incomplete":
        del parts["readout.conv1.weight"]
        save_file(parts, str(path))
    with pytest.raises(WeightsError, match=r"corrector\.safetensors"):
        load_corrected_encoder(
            tmp_path / "encoder.safetensors",
            path,
            STATS,
            FakeSynthesis(),  # type: ignore[arg-type]
            FaceNetwork(),
        )


@pytest.mark.weights
def test_the_bundles_second_look_is_closer(bundle: Bundle) -> None:
    """On a face of the generator's own, whose code is known."""
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    synthesis = load_synthesis(bundle.path("synthesis.xml"), bundle.path("synthesis.bin"))
    made = load_corrected_encoder(
        bundle.path("encoder.safetensors"),
        bundle.path("corrector.safetensors"),
        stats,
        synthesis,
        load_face_network(bundle.path("face_network.safetensors")),
    )
    torch.manual_seed(3)
    codes = stats.mean + 0.7 * (torch.randn(4, 1, 512) * stats.scale) @ stats.axes.T
    codes = codes.expand(-1, 16, -1)
    with torch.no_grad():
        crops = made.readout.show(synthesis, codes).clamp(0, 1)
        first, second = made.encoder(crops), made(crops)
        shown = [made.face(made.readout.show(synthesis, w)).descriptor for w in (first, second)]
        wanted = made.face(crops).descriptor
    likeness = [float((d * wanted).sum(1).mean()) for d in shown]
    assert likeness[1] > likeness[0] + 0.02
