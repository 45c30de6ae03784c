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
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundles.tensors import load_weights
from ..device import compile_for_cpu
from ..faces.recognition import FaceNetwork
from ..generators.mobile import ROWS, STYLE_DIM
from ..generators.wspace import WStatistics

INPUT_SIZE = 256
_ROW_GROUPS = ((0, 4), (4, 8), (8, 16))
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
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def __init__(self, stats: WStatistics, width: int, tokens: int, head_std: float) -> None:
        super().__init__()
        for name in ("mean", "axes", "scale"):
            self.register_buffer(name, getattr(stats, name).clone(), persistent=False)
        self.positions = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.queries = nn.Parameter(torch.randn(1, ROWS, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.gathers = nn.ModuleList(Gather(width) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(width, STYLE_DIM) for _ in _ROW_GROUPS)
        for head in self.heads:
            assert isinstance(head, nn.Linear)
            nn.init.normal_(head.weight, std=head_std)
            nn.init.zeros_(head.bias)

    def placed(self, grids: Sequence[Tensor]) -> Tensor:
        """Grids (n, width, s, s), each of its own size, as tokens that know their place."""
        tokens = torch.cat([grid.flatten(2).transpose(1, 2) for grid in grids], 1)
        return cast(Tensor, self.norm(tokens + self.positions))

    def offsets(self, rows: Tensor) -> Tensor:
        """Rows (n, 16, width) to what they add to a code, (n, 16, 512) in W units."""
        whitened = torch.cat(
            [head(rows[:, a:b]) for head, (a, b) in zip(self.heads, _ROW_GROUPS, strict=True)], 1
        )
        return (whitened.float() * self.scale) @ self.axes.T


class Encoder(RowPredictor):
    """Crop to W+ code. Input (n, 3, 256, 256) RGB in [0, 1], output (n, 16, 512)."""

    grid: Tensor

    def __init__(self, stats: WStatistics) -> None:
        width = 512
        super().__init__(stats, width, tokens=64 + 2 * 49, head_std=0.01)
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


class CodePredictor(Protocol):
    """Turns crops into codes."""

    def encode(self, crops: np.ndarray) -> np.ndarray:
        """(n, 256, 256, 3) float32 RGB crops in [0, 1] to (n, 16, 512) float32 codes."""


def load_network(path: Path, stats: WStatistics) -> Encoder:
    """The encoder with its trained weights, in evaluation mode.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    return load_weights(Encoder(stats), path, "encoder")


class _OpenVinoEncoder:
    def __init__(self, network: nn.Module, precision: str) -> None:
        import openvino as ov

        example = torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE)
        with torch.no_grad():
            model = ov.convert_model(network, example_input=example)
        model.reshape([-1, 3, INPUT_SIZE, INPUT_SIZE])
        self._compiled = compile_for_cpu(model, precision)

    def encode(self, crops: np.ndarray) -> np.ndarray:
        codes = [np.zeros((0, ROWS, STYLE_DIM), np.float32)]
        for crop in crops:
            picture = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
            codes.append(self._compiled(picture)[0].copy())
        return np.concatenate(codes)


class _TorchEncoder:
    def __init__(self, network: nn.Module, device: str) -> None:
        self._network = network.to(device)
        self._device = device

    @torch.inference_mode()
    def encode(self, crops: np.ndarray) -> np.ndarray:
        codes = [np.zeros((0, ROWS, STYLE_DIM), np.float32)]
        for start in range(0, len(crops), 16):
            batch = torch.from_numpy(np.ascontiguousarray(crops[start : start + 16], np.float32))
            pictures = batch.to(self._device).permute(0, 3, 1, 2).contiguous()
            codes.append(self._network(pictures).float().cpu().numpy())
        return np.concatenate(codes)


def code_predictor(
    network: nn.Module, *, device: str = "cpu", precision: str = "fp32"
) -> CodePredictor:
    """A trained network from crops to codes, ready to run: by OpenVINO on the CPU."""
    if device == "cpu":
        return _OpenVinoEncoder(network, precision)
    return _TorchEncoder(network, device)
