"""Latent transformers: one learned affine map per attribute.

``T(w, alpha) = w + alpha * f(w)`` with ``f(w)_l = A_l w_l + b_l`` for rows 0 to 10 and 0 for the
finer rows, which keep the source's colours and texture (*A Latent Transformer for Disentangled Face
Editing in Images and Videos*, Yao et al., ICCV 2021). ``A_l`` has a rank of 16: it is learned as a
product of two thin matrices, not cut down afterwards, so nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from .editor import Codes, Editor
from .files import described, read_described, readable

EDITED_ROWS = 11
RANK = 16
_FORMAT = "videdit.transformers.1"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AffineMap:
    """One attribute's f, about W's mean: ``f(w)_l = (w_l - mean) @ down_l @ up_l + bias_l``.

    Attributes:
        down: (11, width, rank).
        up: (11, rank, width).
        bias: (11, width).
    """

    down: Floats
    up: Floats
    bias: Floats

    def __post_init__(self) -> None:
        width, rank = self.down.shape[-2:]
        shapes = (self.down.shape, self.up.shape, self.bias.shape)
        wanted = (
            (EDITED_ROWS, width, rank),
            (EDITED_ROWS, rank, width),
            (EDITED_ROWS, width),
        )
        if shapes != wanted or not all(np.isfinite(a).all() for a in vars(self).values()):
            raise ValueError(f"a map's arrays have the shapes {shapes}, or are not finite")

    def of(self, codes: Codes, mean: Floats) -> Codes:
        """f of (n, rows, width) codes: (n, 11, width); of each to the last bit what it is of this
        code alone."""
        # One product per row of one code: the rounding of a larger one depends on its size.
        rows = (codes[:, :EDITED_ROWS] - mean)[:, :, None]
        moved = (rows @ self.down @ self.up)[:, :, 0] + self.bias
        return moved.astype(np.float32)


class LatentTransformers(Editor):
    """The maps of some attributes.

    Args:
        mean: (width,) W's mean.
        maps: by attribute; alpha 1 is one f.
    """

    def __init__(self, mean: Floats, maps: Mapping[str, AffineMap]) -> None:
        self.mean = mean
        self.maps = dict(maps)
        self.names = tuple(self.maps)

    def move(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        """See ``Editor.move``; rows from 11 on stay."""
        edited = codes.copy()
        edited[:, :EDITED_ROWS] += strengths[:, None, None] * self.maps[name].of(codes, self.mean)
        return edited

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write half precision; ``notes`` say how it was made."""
        tensors = {"mean": self.mean.astype(np.float32)}
        for name, values in self.maps.items():
            for part, array in vars(values).items():
                tensors[f"{name}.{part}"] = array.astype(np.float16)
        about = {"format": _FORMAT, "names": self.names, "notes": dict(notes)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(tensors, described(about)))


def load_transformers(path: Path) -> LatentTransformers:
    """What `LatentTransformers.save` wrote.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the transformers", "Run `videdit weights verify`, or train them anew."):
        about, tensors = read_described(path)
        if about.get("format") != _FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {_FORMAT!r}")
        maps = {
            name: AffineMap(*(tensors[f"{name}.{part}"] for part in ("down", "up", "bias")))
            for name in about["names"]
        }
        mean = tensors["mean"]
    return LatentTransformers(mean, maps)
