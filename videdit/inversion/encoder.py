"""The feed-forward encoder: an aligned 256x256 crop to a W+ code.

Two networks look at the crop: a residual one that learns this generator's faces from scratch (an
8x8 grid of tokens), and one that was trained to tell real people apart (`FaceNetwork`, fine-tuned
here; two 7x7 grids). One learned query per W+ row, shifted by who it is, gathers from all tokens
what that row needs, and a linear head per group of rows predicts the row in whitened coordinates
around W's mean. Rows of one group share a head because StyleGAN's rows of one
band (pose and shape, features, colours) live in the same directions of W.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.tensors import load_weights
from ..faces.recognition import FaceNetwork
from ..generators.mobile import SPACE
from ..generators.wspace import WStatistics
from .predict import INPUT_SIZE

Groups = tuple[tuple[int, int], ...]
"""First and last-plus-one row of each group."""

ROW_GROUPS: Groups = SPACE.groups
_WIDTHS = (32, 64, 128, 256, 384)


class Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.skip = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


class Gather(nn.Module):
    """One step of cross-attention from row queries to image tokens, with a small MLP."""

    def __init__(self, width: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm_m = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, rows: Tensor, tokens: Tensor) -> Tensor:
        n, r, width = rows.shape
        q = self.q(self.norm_q(rows)).reshape(n, r, self.heads, -1).transpose(1, 2)
        k, v = (
            t.reshape(n, -1, self.heads, width // self.heads).transpose(1, 2)
            for t in self.kv(tokens).chunk(2, -1)
        )
        gathered = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, r, width)
        rows = rows + self.out(gathered)
        return cast(Tensor, rows + self.mlp(self.norm_m(rows)))


class RowPredictor(nn.Module):
    """The latter half of the encoder and of the corrector: what every W+ row gathers from tokens.

    Args:
        stats: W's statistics.
        width: of tokens and rows.
        tokens: how many there are.
        head_std: standard deviation of the heads' weights before training.
        groups: of rows, those of the latent space's bands.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def __init__(
        self,
        stats: WStatistics,
        width: int,
        tokens: int,
        head_std: float,
        groups: Groups = ROW_GROUPS,
    ) -> None:
        super().__init__()
        self.groups = groups
        for name in ("mean", "axes", "scale"):
            self.register_buffer(name, getattr(stats, name).clone(), persistent=False)
        self.positions = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, groups[-1][1], width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.gathers = nn.ModuleList(Gather(width) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(width, len(stats.mean)) for _ in groups)
        for head in self.heads:
            assert isinstance(head, nn.Linear)
            nn.init.normal_(head.weight, std=head_std)
            nn.init.zeros_(head.bias)

    def placed(self, grids: Sequence[Tensor]) -> Tensor:
        """Grids (n, width, s, s), each of its own size, as tokens that know their place."""
        tokens = torch.cat([grid.flatten(2).transpose(1, 2) for grid in grids], 1)
        return cast(Tensor, self.norm(tokens + self.positions))

    def offsets(self, rows: Tensor) -> Tensor:
        """Rows (n, rows, width) to what they add to a code, in W units."""
        whitened = torch.cat(
            [head(rows[:, a:b]) for head, (a, b) in zip(self.heads, self.groups, strict=True)], 1
        )
        return (whitened.float() * self.scale) @ self.axes.T


class Encoder(RowPredictor):
    """Crop to W+ code. Input (n, 3, 256, 256) RGB in [0, 1], output (n, rows, W)."""

    grid: Tensor

    def __init__(self, stats: WStatistics, groups: Groups = ROW_GROUPS) -> None:
        width = 512
        super().__init__(stats, width, tokens=64 + 2 * 49, head_std=0.01, groups=groups)
        axis = torch.linspace(-1, 1, INPUT_SIZE)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
        self.register_buffer("grid", grid, persistent=False)
        layers: list[nn.Module] = [
            nn.Conv2d(5, _WIDTHS[0], 5, 2, 2, bias=False),
            nn.BatchNorm2d(_WIDTHS[0]),
            nn.ReLU(),
        ]
        for c_in, c_out in pairwise(_WIDTHS):
            layers += [Residual(c_in, c_out, 2), Residual(c_out, c_out, 1)]
        self.trunk = nn.Sequential(*layers)
        self.tokens = nn.Conv2d(_WIDTHS[-1], width, 1)
        self.face = FaceNetwork()
        self.face_regions = nn.Conv2d(512, width, 1)
        self.face_whole = nn.Conv2d(1024, width, 1)
        self.face_query = nn.Linear(1024, width)
        nn.init.zeros_(self.face_query.weight)
        nn.init.zeros_(self.face_query.bias)

    def forward(self, crops: Tensor) -> Tensor:
        x = torch.cat((crops * 2 - 1, self.grid.expand(crops.shape[0], -1, -1, -1)), 1)
        face = self.face(crops)
        grids = (
            self.tokens(self.trunk(x)),
            self.face_regions(F.avg_pool2d(face.regions, 2)),
            self.face_whole(face.whole),
        )
        tokens = self.placed(grids)
        # The descriptor has unit length over 1024 numbers: 32 brings them to about one.
        rows = self.queries + self.face_query(face.descriptor * 32)[:, None]
        for gather in self.gathers:
            rows = gather(rows, tokens)
        return self.offsets(rows) + self.mean


def load_network(path: Path, stats: WStatistics, groups: Groups = ROW_GROUPS) -> Encoder:
    """The encoder with its trained weights, in evaluation mode.

    Args:
        path: the file.
        stats: W's statistics.
        groups: of rows, those of the latent space's bands.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    return load_weights(Encoder(stats, groups), path, "encoder")
