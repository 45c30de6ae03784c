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

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import WeightsError
from ..generators.mobile import ROWS, STYLE_DIM
from ..generators.wspace import WStatistics
from .files import described, read_described, readable

_STARTS = (0, 2, 3, 4, 5, 6, 7, 8, 10, 12)

POSE_ROWS = 4
"""The pose is read off the rows below this one: 94 % of the yaw that codes explain is theirs."""

GOAL = 1.75
"""Alpha 1 takes the median face without the attribute to this logit, a probability of 0.85."""

_LEAK = 0.2
_GROUP_WIDTH = 160
_WIDTH = 512


def groups_of(rows: int) -> tuple[tuple[int, int], ...]:
    """First and last-plus-one row of each group: where codes have more rows, or fewer, it is the
    last group that has."""
    starts = [start for start in _STARTS if start < rows]
    return tuple(zip(starts, [*starts[1:], rows], strict=True))


class _Member(nn.Module):
    def __init__(self, attributes: int, groups: int, width: int) -> None:
        super().__init__()
        self.groups = nn.Parameter(torch.randn(groups, width, _GROUP_WIDTH) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(groups, _GROUP_WIDTH))
        self.middle = nn.Linear(groups * _GROUP_WIDTH, _WIDTH)
        self.last = nn.Linear(_WIDTH, attributes)
        self.linear = nn.Linear(groups * width, attributes)
        self.drop = nn.Dropout(0.3)
        nn.init.zeros_(self.linear.weight)

    def forward(self, grouped: Tensor) -> Tensor:
        seen = self.drop(grouped)
        hidden = torch.bmm(seen.transpose(0, 1), self.groups).transpose(0, 1) + self.bias
        hidden = F.leaky_relu(hidden.flatten(1), _LEAK)
        hidden = F.leaky_relu(self.middle(self.drop(hidden)), _LEAK)
        return cast(Tensor, self.last(self.drop(hidden)) + self.linear(seen.flatten(1)))


class LatentClassifier(nn.Module):
    """Codes (n, rows, width) to logits (n, k).

    Args:
        names: of the k attributes.
        members: networks that are averaged.
        rows, width: of a code.

    Attributes:
        pose: (3, 4 * width) linear regression of yaw, pitch and the size of yaw, in their standard
            deviations, on rows 0 to 3 in the classifier's coordinates.
    """

    mean: Tensor
    axes: Tensor
    pose: Tensor

    def __init__(
        self, names: Sequence[str], members: int, rows: int = ROWS, width: int = STYLE_DIM
    ) -> None:
        super().__init__()
        self.names, self.rows, self.width = tuple(names), rows, width
        self._spans = groups_of(rows)
        self.members = nn.ModuleList(
            _Member(len(self.names), len(self._spans), width) for _ in range(members)
        )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("axes", torch.eye(width))
        self.register_buffer("pose", torch.zeros(3, POSE_ROWS * width))

    def take_coordinates(self, stats: WStatistics) -> None:
        """Coordinates in which a code of W has mean square 1."""
        self.mean.copy_(stats.mean)
        self.axes.copy_(stats.axes / stats.scale.square().mean().sqrt())

    def coordinates(self, codes: Tensor) -> Tensor:
        """(n, rows, width) codes in the classifier's coordinates."""
        return (codes - self.mean) @ self.axes

    def forward(self, codes: Tensor) -> Tensor:
        return self.of_coordinates(self.coordinates(codes))

    def of_coordinates(self, rows: Tensor) -> Tensor:
        """Logits of codes in the classifier's coordinates."""
        return torch.stack(self.each(rows)).mean(0)

    def each(self, rows: Tensor) -> list[Tensor]:
        """The members' logits."""
        grouped = torch.stack([rows[:, a:b].sum(1) / (b - a) ** 0.5 for a, b in self._spans], 1)
        return [member(grouped) for member in self.members]

    def turns(self, change: Tensor) -> Tensor:
        """(n, 3) what a change of codes, (n, rows, width) in the classifier's coordinates, does to
        the head's yaw, pitch and size of yaw, in their standard deviations."""
        return change[:, :POSE_ROWS].flatten(1) @ self.pose.T

    def logits(self, codes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """(n, k) logits of (n, rows, width) codes, a thousand at a time."""
        return _logits(self, codes, len(self.names))

    def save(self, path: Path, notes: dict[str, object]) -> None:
        """Write half precision; ``notes`` say how it was made and how well it does."""
        about = {"names": self.names, "members": len(self.members), "notes": notes}
        if (self.rows, self.width) != (ROWS, STYLE_DIM):
            about |= {"rows": self.rows, "width": self.width}
        tensors = {k: v.half().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, str(path), described(about))


class PaperClassifier(nn.Module):
    """The paper's own: codes (n, rows, width) to logits (n, k), through fully connected layers with
    leaky ReLU between.

    Args:
        names: of the k attributes.
        rows: of a code.
        widths: of the layers' inputs, the first being all of a code, and of the logits.
    """

    def __init__(self, names: Sequence[str], rows: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.names, self.rows, self.widths = tuple(names), rows, tuple(widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, codes: Tensor) -> Tensor:
        x = codes.flatten(1)
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else F.leaky_relu(x, _LEAK))
        return x

    def logits(self, codes: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """(n, k) logits of (n, rows, width) codes, a thousand at a time."""
        return _logits(self, codes, len(self.names))

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write single precision; ``notes`` say where it is from."""
        about = {"format": PAPER, "names": self.names, "rows": self.rows, "widths": self.widths}
        tensors = {k: v.float().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, str(path), described(about | {"notes": dict(notes)}))


PAPER = "videdit.classifier.paper.1"


@torch.no_grad()
def _logits(
    network: nn.Module, codes: npt.NDArray[np.floating[Any]], count: int
) -> npt.NDArray[np.float32]:
    parts = [np.zeros((0, count), np.float32)]
    for start in range(0, len(codes), 1000):
        piece = torch.from_numpy(np.asarray(codes[start : start + 1000], np.float32))
        parts.append(network(piece).numpy())
    return np.concatenate(parts)


def load_classifier(path: Path, rows: int | None = None) -> LatentClassifier:
    """A saved classifier of the project's own kind, frozen; see `load_any_classifier`.

    Raises:
        WeightsError: missing, damaged, not such a file, or of codes with other rows.
    """
    found = load_any_classifier(path, rows)
    if not isinstance(found, LatentClassifier):
        raise WeightsError(
            f"the latent classifier {path.name} is the paper's",
            "Train one: videdit train classifier FOLDER.",
        )
    return found


def load_any_classifier(path: Path, rows: int | None = None) -> LatentClassifier | PaperClassifier:
    """A saved classifier, frozen.

    Args:
        path: the file.
        rows: of the codes that it is to read; any, if not given.

    Raises:
        WeightsError: missing, damaged, not such a file, or of codes with other rows.
    """
    with readable(path, "the latent classifier"):
        about, tensors = read_described(path)
        network: LatentClassifier | PaperClassifier
        if about.get("format") == PAPER:
            network = PaperClassifier(about["names"], about["rows"], about["widths"])
        else:
            shape = about.get("rows", ROWS), about.get("width", STYLE_DIM)
            network = LatentClassifier(about["names"], about["members"], *shape)
        if rows not in (None, network.rows):
            raise ValueError(f"it reads codes of {network.rows} rows, these have {rows}")
        network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return network.eval().requires_grad_(False)
