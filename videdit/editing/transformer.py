"""Latent transformers: learned affine maps of an attribute.

``T(w, alpha) = w + alpha * f(w)`` with ``f(w)_l = A_l w_l + b_l`` for the rows that the map edits
(*A Latent Transformer for Disentangled Face Editing in Images and Videos*, Yao et al., ICCV 2021).
``A_l`` has a low rank: it is learned as a product of two thin matrices, not cut down afterwards, so
nothing is lost by it (those of the paper's authors and of others are whole matrices, and read as
such: ``WholeMap``). Three things differ from the paper. Giving an attribute and taking it away
are learned apart, for putting glasses on is not taking them off backwards: f is one map for
positive alphas and another for negative ones. While most maps edit rows 0 to 10, as the paper's,
those of colours edit all. And beyond an alpha of 1 or -1, the step that was trained, codes are held
in W's shell (`editing.shell`): they go on in the attribute's direction, but not out of what the
generator knows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from ..files import replaced
from .editor import Codes, Editor
from .files import described, read_description, read_tensors, readable, shape_of
from .shell import Shell

EDITED_ROWS = 11
"""Most rows that a map edits, from the first; the finer ones keep the source's colours and
texture."""

RANK = 16
_FORMAT = "videdit.transformers.3"
_BEFORE = ("videdit.transformers.2", "videdit.transformers.1")
"""Without whole maps; one map for both directions: people have trained such ones."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AffineMap:
    """An f, about W's mean: ``f(w)_l = (w_l - mean) @ down_l @ up_l + bias_l``, of the first rows.

    Attributes:
        down: (rows, width, rank).
        up: (rows, rank, width).
        bias: (rows, width).
    """

    down: Floats
    up: Floats
    bias: Floats

    def __post_init__(self) -> None:
        rows = self.down.shape[0]
        width, rank = self.down.shape[-2:]
        shapes = (self.down.shape, self.up.shape, self.bias.shape)
        wanted = ((rows, width, rank), (rows, rank, width), (rows, width))
        if shapes != wanted or not all(np.isfinite(a).all() for a in vars(self).values()):
            raise ValueError(f"a map's arrays have the shapes {shapes}, or are not finite")

    def of(self, codes: Codes, mean: Floats) -> Codes:
        """f of (n, all rows, width) codes: (n, rows, width); of each to the last bit what it is of
        this code alone."""
        # One product per row of one code: the rounding of a larger one depends on its size.
        rows = (codes[:, : len(self.bias)] - mean)[:, :, None]
        moved = (rows @ self.down @ self.up)[:, :, 0] + self.bias
        return moved.astype(np.float32)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """By name, what is written of it: half precision."""
        return {part: array.astype(np.float16) for part, array in vars(self).items()}


@dataclass(frozen=True)
class WholeMap:
    """An f as the paper has it: ``f(w)_l = w_l @ matrix_l + bias_l``, of the first rows. No shell
    holds what it edits: alphas beyond 1 were trained by nobody, yet are the paper's.

    Attributes:
        matrix: (rows, width, width).
        bias: (rows, width).
    """

    matrix: Floats
    bias: Floats

    def __post_init__(self) -> None:
        rows, width = self.bias.shape
        if self.matrix.shape != (rows, width, width) or not all(
            np.isfinite(a).all() for a in vars(self).values()
        ):
            raise ValueError(f"a map has the shape {self.matrix.shape}, or is not finite")

    def of(self, codes: Codes, mean: Floats) -> Codes:
        """See ``AffineMap.of``."""
        rows = codes[:, : len(self.bias), None]
        return np.asarray((rows @ self.matrix)[:, :, 0] + self.bias, np.float32)

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        """By name, what is written of it: single precision, for it is somebody else's."""
        return {k: np.ascontiguousarray(array, np.float32) for k, array in vars(self).items()}


Map = AffineMap | WholeMap


class LatentTransformers(Editor):
    """The maps of some attributes.

    Args:
        mean: (width,) W's mean, for low ranks.
        maps: by attribute, for positive alphas.
        less: by attribute, for negative ones: ``T(w, alpha) = w + |alpha| f(w)``. One that is not
            there goes ``maps`` backwards, as the paper does.
        lengths: by attribute, how many f an alpha of -1 and one of 1 are; 1 where nothing is said.
        shell: holds codes beyond these alphas; None holds none.
    """

    def __init__(
        self,
        mean: Floats,
        maps: Mapping[str, Map],
        less: Mapping[str, Map] | None = None,
        lengths: Mapping[str, tuple[float, float]] | None = None,
        shell: Shell | None = None,
    ) -> None:
        self.mean = mean
        self.maps = maps
        self.less: Mapping[str, Map] = {} if less is None else less
        self.lengths = dict(lengths or {})
        self.shell = shell
        self.names = tuple(self.maps)

    def move(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        """See ``Editor.move``; rows that the map does not edit stay."""
        edited = self._moved(codes, name, strengths)
        far = np.flatnonzero(np.abs(strengths) > 1)
        if self.shell is not None and len(far) and isinstance(self.maps[name], AffineMap):
            # Along a line nothing lies farther out than its ends: up to an alpha of 1 this would
            # change nothing.
            trained = self._moved(codes[far], name, np.sign(strengths[far]))
            edited[far] = self.shell.held(edited[far], codes[far], trained)
        return edited

    def _moved(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        minus, plus = self.lengths.get(name, (1.0, 1.0))
        edited = codes.copy()
        more, less = self.maps[name], self.less.get(name)
        self._add(edited, codes, more, np.where(strengths > 0, strengths * plus, 0))
        steps = np.where(strengths < 0, strengths * minus, 0)
        self._add(edited, codes, less or more, -steps if less else steps)
        return edited

    def _add(self, edited: Codes, codes: Codes, found: Map, steps: Floats) -> None:
        which = np.flatnonzero(steps)
        if len(which):
            moved = found.of(codes[which], self.mean)
            edited[which, : moved.shape[1]] += steps[which, None, None].astype(np.float32) * moved

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write the maps; ``notes`` say how it was made."""
        tensors: dict[str, np.ndarray] = {"mean": self.mean.astype(np.float32)}
        for kind, maps in (("", self.maps), ("-", self.less)):
            for name, values in maps.items():
                for part, array in values.tensors.items():
                    tensors[f"{name}{kind}.{part}"] = array
        about = {
            "format": _FORMAT,
            "names": self.names,
            "less": sorted(self.less),
            "whole": sorted(k for k, one in self.maps.items() if isinstance(one, WholeMap)),
            "notes": dict(notes),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as temporary:
            temporary.write_bytes(save(tensors, described(about)))


class _Maps(Mapping[str, Map]):
    """The maps of a file for one direction. Each is read when it is first asked for: a run needs
    one or two of them, and forty whole ones are half a gigabyte."""

    def __init__(self, path: Path, names: Sequence[str], whole: Set[str], kind: str = "") -> None:
        self._path, self._names, self._whole, self._kind = path, tuple(names), whole, kind
        self._read: dict[str, Map] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> Map:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            parts = ("matrix", "bias") if name in self._whole else ("down", "up", "bias")
            with _readable(self._path):
                tensors = read_tensors(self._path, *(f"{name}{self._kind}.{p}" for p in parts))
                made = WholeMap if name in self._whole else AffineMap
                self._read[name] = made(*tensors)
        return self._read[name]


def load_transformers(
    path: Path,
    lengths: Path | None = None,
    shell: Shell | None = None,
    shape: tuple[int, int] | None = None,
) -> LatentTransformers:
    """What `LatentTransformers.save` wrote.

    Args:
        path: the maps. It must stay: each is read when it is first used.
        lengths: a JSON file, ``{"Smiling": [1.0, 1.4], ...}``: of ``LatentTransformers``. They are
            found on final results, long after the maps.
        shell: of ``LatentTransformers``.
        shape: of the codes that are to be edited, (rows, width).

    Raises:
        WeightsError: missing, damaged, not such a file, or made for other codes.
    """
    with _readable(path):
        about = read_description(path)
        if about.get("format") not in (_FORMAT, *_BEFORE):
            raise ValueError(f"its format is {about.get('format')!r}, not {_FORMAT!r}")
        more = _Maps(path, about["names"], frozenset(about.get("whole", ())))
        less = _Maps(path, about.get("less", ()), frozenset(), "-")
        (mean,) = read_tensors(path, "mean")
        for name in (*more, *(f"{name}-" for name in less)):
            found = shape_of(path, f"{name}.bias")
            if shape is not None and (found[0] > shape[0] or found[1:] != shape[1:]):
                raise ValueError(f"{name} is of {found} codes, these have {shape}")
    steps = {} if lengths is None else load_lengths(lengths)
    return LatentTransformers(mean, more, less, steps, shell)


def load_lengths(path: Path) -> dict[str, tuple[float, float]]:
    """The lengths of a JSON file, see `load_transformers`.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the lengths", "Run `videdit weights verify`, or find them anew."):
        return {name: _length(pair) for name, pair in json.loads(path.read_text()).items()}


def _readable(path: Path) -> AbstractContextManager[None]:
    return readable(path, "the transformers", "Run `videdit weights verify`, or train them anew.")


def _length(pair: Sequence[float]) -> tuple[float, float]:
    minus, plus = (float(value) for value in pair)
    if not (0 < minus < math.inf and 0 < plus < math.inf):
        raise ValueError(f"{pair} are no lengths")
    return minus, plus
