"""A face recognition network on real faces: MobileNet v1 of HSE-FaceRes (Savchenko 2019).

Trained to tell the people of VGGFace2 apart (*Efficient facial representations for age, gender and
identity recognition in organizing photo albums using multi-output ConvNet*, PeerJ Computer Science
5:e197). It sees what distinguishes people, which a few thousand generated faces cannot teach, so
the encoder starts from it; frozen, it judges reconstructions during the encoder's training.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from videdit.bundles.tensors import load_weights

_CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
_BOX = (40, 32, 192)
"""Top, left and side, in an aligned 256x256 crop, of what the network was trained to see."""
_INPUT = 224
_BGR_MEAN = (103.939, 116.779, 123.68)


class FaceFeatures(NamedTuple):
    """Features of a crop: ``parts`` (n, 256, 28, 28), ``regions``
    (n, 512, 14, 14), ``whole`` (n, 1024, 7, 7)."""

    parts: Tensor
    regions: Tensor
    whole: Tensor

    @property
    def descriptor(self) -> Tensor:
        """(n, 1024), of unit length: who it is, by the angle between descriptors."""
        return F.normalize(self.whole.mean((2, 3)), dim=1)


def _pad(x: Tensor, stride: int) -> Tensor:
    """TensorFlow's SAME padding of a 3x3 kernel on even sizes."""
    return F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))


class _Separable(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(c_in, c_in, 3, stride, groups=c_in)
        self.pointwise = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.depthwise(_pad(x, self.stride)))
        return F.relu6(self.pointwise(x))


class FaceNetwork(nn.Module):
    """Aligned crops to `FaceFeatures`. Batch normalisation is folded into the convolutions."""

    bgr_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, 2)
        widths = (32, *_CHANNELS)
        self.blocks = nn.ModuleList(
            _Separable(widths[i], width, stride)
            for i, (width, stride) in enumerate(zip(_CHANNELS, _STRIDES, strict=True))
        )
        self.register_buffer(
            "bgr_mean", torch.tensor(_BGR_MEAN).reshape(1, 3, 1, 1), persistent=False
        )

    def forward(self, crops: Tensor) -> FaceFeatures:
        """Features of aligned crops, (n, 3, 256, 256) RGB in [0, 1]."""
        top, left, side = _BOX
        face = crops[:, :, top : top + side, left : left + side]
        face = F.interpolate(face, (_INPUT, _INPUT), mode="bilinear", align_corners=False)
        x = face.flip(1) * 255 - self.bgr_mean
        x = F.relu6(self.first(_pad(x, 2)))
        kept = {}
        for index, block in enumerate(self.blocks):
            x = block(x)
            kept[index] = x
        return FaceFeatures(kept[4], kept[10], kept[12])


def load_face_network(path: Path) -> FaceNetwork:
    """The network with its published weights, frozen.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    return load_weights(FaceNetwork(), path, "face network")
