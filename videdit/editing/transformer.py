"""Latent transformers: one learned affine map per attribute.

``T(w, alpha) = w + alpha * f(w)`` with ``f(w)_l = A_l w_l + b_l`` for rows 0 to 10 and 0 for the
finer rows, which keep the source's colours and texture (*A Latent Transformer for Disentangled Face
Editing in Images and Videos*, Yao et al., ICCV 2021). ``A_l`` has a rank of 16: it is learned as a
product of two thin matrices, not cut down afterwards, so nothing is lost by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
        maps: by attribute.
        lengths: by attribute, how many f an alpha of -1 and one of 1 are; 1 where nothing is said.
    """

    def __init__(
        self,
        mean: Floats,
        maps: Mapping[str, AffineMap],
        lengths: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.mean = mean
        self.maps = dict(maps)
        self.lengths = dict(lengths or {})
        self.names = tuple(self.maps)

    def move(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        """See ``Editor.move``; rows from 11 on stay."""
        minus, plus = self.lengths.get(name, (1.0, 1.0))
        steps = (strengths * np.where(strengths < 0, minus, plus)).astype(np.float32)
        edited = codes.copy()
        edited[:, :EDITED_ROWS] += steps[:, None, None] * self.maps[name].of(codes, self.mean)
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


def load_transformers(path: Path, lengths: Path | None = None) -> LatentTransformers:
    """What `LatentTransformers.save` wrote.

    Args:
        path: the maps.
        lengths: a JSON file, ``{"Smiling": [1.0, 1.4], ...}``: of ``LatentTransformers``. They are
            found on final results, long after the maps.

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
        steps = {}
        if lengths is not None:
            steps = {name: _length(pair) for name, pair in json.loads(lengths.read_text()).items()}
    return LatentTransformers(mean, maps, steps)


def _length(pair: Sequence[float]) -> tuple[float, float]:
    minus, plus = (float(value) for value in pair)
    if not (0 < minus < math.inf and 0 < plus < math.inf):
        raise ValueError(f"{pair} are no lengths")
    return minus, plus
