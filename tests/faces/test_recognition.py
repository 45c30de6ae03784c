from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from videdit.errors import WeightsError
from videdit.faces.recognition import FaceNetwork, load_face_network

PUBLISHED = Path(__file__).parents[2] / "weights" / "mobile" / "face_network.safetensors"


def same_convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int, groups: int
) -> torch.Tensor:
    """TensorFlow's SAME, by its definition: out = ceil(in / stride), odd padding at the end."""
    size, kernel = x.shape[-1], weight.shape[-1]
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    pads = (total // 2, total - total // 2) * 2
    return F.conv2d(F.pad(x, pads), weight, bias, stride, groups=groups)


def test_it_is_mobilenet_with_tensorflows_padding() -> None:
    torch.manual_seed(0)
    network = FaceNetwork().double()
    crops = torch.rand(2, 3, 256, 256, dtype=torch.float64)
    face = crops[:, :, 40:232, 32:224]
    face = F.interpolate(face, (224, 224), mode="bilinear", align_corners=False)
    mean = torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64)
    x = face[:, [2, 1, 0]] * 255 - mean[:, None, None]
    state = network.state_dict()
    x = same_convolution(x, state["first.weight"], state["first.bias"], 2, 1).clamp(0, 6)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    sizes = []
    for i, stride in enumerate(strides):
        for kind, groups in (("depthwise", x.shape[1]), ("pointwise", 1)):
            name = f"blocks.{i}.{kind}"
            step = stride if kind == "depthwise" else 1
            x = same_convolution(x, state[f"{name}.weight"], state[f"{name}.bias"], step, groups)
            x = x.clamp(0, 6)
        sizes.append(tuple(x.shape[1:]))
    found = network(crops)
    assert [tuple(f.shape[1:]) for f in found] == [sizes[i] for i in (4, 10, 12)]
    # The buffer with the mean is single precision.
    torch.testing.assert_close(found.whole, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.descriptor.norm(dim=1), torch.ones(2, dtype=torch.float64))


def test_the_published_weights_tell_pictures_apart() -> None:
    network = load_face_network(PUBLISHED)
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((2, 3, 8, 8)).astype(np.float32))
    pictures = F.interpolate(coarse, (256, 256), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        a, b = network(pictures).descriptor
        darker = network(pictures[:1] * 0.95).descriptor[0]
    assert float(a @ darker) > float(a @ b)
    assert not any(p.requires_grad for p in network.parameters())


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "face_network.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_face_network(path)
    save_file({"first.weight": torch.zeros(1)}, str(path))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_face_network(path)
