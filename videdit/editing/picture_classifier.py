"""Attributes seen in a picture, not in a code.

One kind of network with two jobs. As the *teacher* it labels generated faces by the ten thousand,
so that the latent classifier has enough to learn from. As the *judge* it measures edits; it is then
trained on labelled faces that neither the teacher nor anything trained by it has met.

It sees the face network's features (what expressions, glasses and age look like on real people) and
the picture at 64x64 (colours, hair, hats, which that network was taught to look through).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..faces.recognition import FaceFeatures, FaceNetwork
from .files import described, read_described, readable

CHANNELS = 1024 + 512 + 256
_GRID = 7
_PICTURE = 64
_LEVELS = 255.0


class Looks(NamedTuple):
    """What the classifier sees of n faces.

    Attributes:
        features: (n, 1792, 7, 7) the face network's at three depths, averaged to one grid.
        picture: (n, 3, 64, 64) RGB, 0 to 255.
    """

    features: Tensor
    picture: Tensor


def join(looks: Sequence[Looks]) -> Looks:
    """Several faces' looks as one."""
    return Looks(*(torch.cat(parts) for parts in zip(*looks, strict=True)))


@torch.no_grad()
def look(face: FaceNetwork, pictures: Tensor) -> Looks:
    """The looks of aligned faces.

    Args:
        face: the face network.
        pictures: (n, 3, 256, 256) RGB in [0, 1].

    Returns:
        Half precision and bytes, so that thousands fit in memory.
    """
    pictures = pictures.clamp(0, 1)
    return looks_of(face(pictures), pictures)


def looks_of(seen: FaceFeatures, pictures: Tensor) -> Looks:
    """The looks of aligned faces, (n, 3, 256, 256) RGB in [0, 1], whose features are known."""
    features = torch.cat(
        [F.adaptive_avg_pool2d(part, _GRID) for part in (seen.whole, seen.regions, seen.parts)], 1
    )
    small = F.adaptive_avg_pool2d(pictures, _PICTURE) * _LEVELS
    return Looks(features.half(), small.round().byte())


class _Head(nn.Module):
    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(CHANNELS, 128, 1)
        self.regions = nn.Linear(128 * _GRID**2, 160)
        self.colours = nn.Sequential(
            *(nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU()),
            *(nn.Conv2d(32, 64, 5, 3, 2), nn.ReLU()),
            *(nn.Conv2d(64, 64, 5, 2, 2), nn.ReLU()),
        )
        self.places = nn.Linear(64 * 36, 96)
        self.last = nn.Linear(160 + 96, attributes)
        self.drop = nn.Dropout(0.4)

    def forward(self, features: Tensor, picture: Tensor) -> Tensor:
        a = F.relu(self.reduce(self.drop(features))).flatten(1)
        b = self.colours(picture / _LEVELS).flatten(1)
        seen = (F.relu(self.regions(self.drop(a))), F.relu(self.places(self.drop(b))))
        return cast(Tensor, self.last(self.drop(torch.cat(seen, 1))))


class PictureClassifier(nn.Module):
    """Looks to logits (n, k): the mean over a few networks trained apart.

    Args:
        names: of the k attributes.
        members: networks.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, names: Sequence[str], members: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.heads = nn.ModuleList(_Head(len(self.names)) for _ in range(members))
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("deviation", torch.ones(CHANNELS, 1, 1))

    def standardised(self, features: Tensor) -> Tensor:
        """Features with mean 0 and deviation 1 over the training faces."""
        return (features.float() - self.mean) / self.deviation

    def forward(self, looks: Looks) -> Tensor:
        features = self.standardised(looks.features)
        picture = looks.picture.float()
        return torch.stack([head(features, picture) for head in self.heads]).mean(0)

    def save(self, path: Path, notes: dict[str, Any]) -> None:
        """Write half precision; ``notes`` say how it was made and how well it does."""
        about = {"names": self.names, "members": len(self.heads), "notes": notes}
        tensors = {k: v.half().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, str(path), described(about))


def load_picture_classifier(path: Path) -> tuple[PictureClassifier, dict[str, Any]]:
    """A saved classifier, frozen, and its notes.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the picture classifier"):
        about, tensors = read_described(path)
        network = PictureClassifier(about["names"], about["members"])
        network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return network.eval().requires_grad_(False), about["notes"]
