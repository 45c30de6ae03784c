"""The latent classifier: attributes read off a W+ code.

Three fully connected layers with leaky ReLU between, as in *A Latent Transformer for Disentangled
Face Editing* (Yao et al., ICCV 2021), and a linear path beside them; the first layer works row by
row, on ten groups of rows. A few such networks, trained apart, are averaged: on faces left out they
are better together, and a transformer finds it harder to please them all without changing the face.

Rows come in W's principal axes, in one unit, not whitened: what W hardly varies in has been seen in
no labelled picture, and whitening would blow it up (on faces left out, mean AUC 0.883 whitened,
0.917 so).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..generators.mobile import STYLE_DIM
from ..generators.wspace import WStatistics
from .files import described, read_described, readable

GROUPS = ((0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 10), (10, 12), (12, 16))
"""First and last-plus-one row of each group."""

POSE_ROWS = 4
"""The pose is read off the rows below this one: 94 % of the yaw that codes explain is theirs."""

GOAL = 1.75
"""Alpha 1 takes the median face without the attribute to this logit, a probability of 0.85."""

_LEAK = 0.2
_GROUP_WIDTH = 160
_WIDTH = 512


class _Member(nn.Module):
    def __init__(self, attributes: int) -> None:
        super().__init__()
        groups = len(GROUPS)
        self.groups = nn.Parameter(torch.randn(groups, STYLE_DIM, _GROUP_WIDTH) / STYLE_DIM**0.5)
        self.bias = nn.Parameter(torch.zeros(groups, _GROUP_WIDTH))
        self.middle = nn.Linear(groups * _GROUP_WIDTH, _WIDTH)
        self.last = nn.Linear(_WIDTH, attributes)
        self.linear = nn.Linear(groups * STYLE_DIM, attributes)
        self.drop = nn.Dropout(0.3)
        nn.init.zeros_(self.linear.weight)

    def forward(self, grouped: Tensor) -> Tensor:
        seen = self.drop(grouped)
        hidden = torch.bmm(seen.transpose(0, 1), self.groups).transpose(0, 1) + self.bias
        hidden = F.leaky_relu(hidden.flatten(1), _LEAK)
        hidden = F.leaky_relu(self.middle(self.drop(hidden)), _LEAK)
        return cast(Tensor, self.last(self.drop(hidden)) + self.linear(seen.flatten(1)))


class LatentClassifier(nn.Module):
    """Codes (n, 16, 512) to logits (n, k).

    Args:
        names: of the k attributes.
        members: networks that are averaged.

    Attributes:
        pose: (3, 2048) linear regression of yaw, pitch and the size of yaw, in their standard
            deviations, on rows 0 to 3 in the classifier's coordinates.
    """

    mean: Tensor
    axes: Tensor
    pose: Tensor

    def __init__(self, names: Sequence[str], members: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.members = nn.ModuleList(_Member(len(self.names)) for _ in range(members))
        self.register_buffer("mean", torch.zeros(STYLE_DIM))
        self.register_buffer("axes", torch.eye(STYLE_DIM))
        self.register_buffer("pose", torch.zeros(3, POSE_ROWS * STYLE_DIM))

    def take_coordinates(self, stats: WStatistics) -> None:
        """Coordinates in which a code of W has mean square 1."""
        self.mean.copy_(stats.mean)
        self.axes.copy_(stats.axes / stats.scale.square().mean().sqrt())

    def coordinates(self, codes: Tensor) -> Tensor:
        """(n, 16, 512) codes in the classifier's coordinates."""
        return (codes - self.mean) @ self.axes

    def forward(self, codes: Tensor) -> Tensor:
        return self.of_coordinates(self.coordinates(codes))

    def of_coordinates(self, rows: Tensor) -> Tensor:
        """Logits of codes in the classifier's coordinates."""
        return torch.stack(self.each(rows)).mean(0)

    def each(self, rows: Tensor) -> list[Tensor]:
        """The members' logits."""
        grouped = torch.stack([rows[:, a:b].sum(1) / (b - a) ** 0.5 for a, b in GROUPS], 1)
        return [member(grouped) for member in self.members]

    def turns(self, change: Tensor) -> Tensor:
        """(n, 3) what a change of codes, (n, rows, 512) in the classifier's coordinates, does to
        the head's yaw, pitch and size of yaw, in their standard deviations."""
        return change[:, :POSE_ROWS].flatten(1) @ self.pose.T

    @torch.no_grad()
    def logits(self, codes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """(n, k) logits of (n, 16, 512) codes, a thousand at a time."""
        parts = [np.zeros((0, len(self.names)), np.float32)]
        for start in range(0, len(codes), 1000):
            piece = torch.from_numpy(np.asarray(codes[start : start + 1000], np.float32))
            parts.append(self(piece).numpy())
        return np.concatenate(parts)

    def save(self, path: Path, notes: dict[str, object]) -> None:
        """Write half precision; ``notes`` say how it was made and how well it does."""
        about = {"names": self.names, "members": len(self.members), "notes": notes}
        tensors = {k: v.half().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, str(path), described(about))


def load_classifier(path: Path) -> LatentClassifier:
    """A saved classifier, frozen.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the latent classifier"):
        about, tensors = read_described(path)
        network = LatentClassifier(about["names"], about["members"])
        network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return network.eval().requires_grad_(False)
