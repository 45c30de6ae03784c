"""Editors that move every code the same way: the baselines, and a user's own directions.

- **InterFaceGAN** (Shen et al. 2020): the unit normal of a linear SVM per attribute, on flattened
  W+ codes. A *conditional* edit takes out of it what it shares with the normals of attributes that
  are to be kept.
- **GANSpace** (Härkönen et al. 2020): principal components of W, each on some rows.
- A direction out of a file, of one's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from ..errors import UsageError, WeightsError
from .editor import Codes, Editor
from .files import described, read_described, readable

if TYPE_CHECKING:
    from ..generators.wspace import WStatistics

_FORMAT = "videdit.normals.1"

Floats = npt.NDArray[np.float32]


class LinearEditor(Editor):
    """Adds ``alpha * step``.

    Args:
        steps: (rows, width) by name, W units: what alpha 1 adds.
    """

    def __init__(self, steps: Mapping[str, Floats]) -> None:
        self.steps = dict(steps)
        self.names = tuple(self.steps)

    def move(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        """See ``Editor.move``."""
        moved: Codes = codes + strengths[:, None, None] * self.steps[name]
        return moved


@dataclass(frozen=True)
class Normals:
    """InterFaceGAN's boundaries.

    Attributes:
        normals: (rows, width) unit normals by attribute, towards it.
        lengths: how far alpha 1 goes along them, W units.
    """

    normals: Mapping[str, Floats]
    lengths: Mapping[str, float]

    def editor(self, keep: Sequence[str] = ()) -> LinearEditor:
        """The editor, its steps orthogonal to the normals of ``keep``.

        What is left of a normal is made a unit vector again, so that a conditional edit is as long
        as an unconditional one. An attribute that is itself to be kept is edited all the same,
        orthogonal to the others.

        Raises:
            UsageError: unknown attribute in ``keep``.
        """
        plain = LinearEditor(self.normals)
        kept = {plain.name(text) for text in keep}
        steps = {}
        for name, normal in self.normals.items():
            others = np.array([self.normals[k].ravel() for k in sorted(kept - {name})])
            direction = normal.ravel().astype(np.float64)
            if len(others):
                axes = np.linalg.qr(others.T.astype(np.float64))[0]
                direction = direction - axes @ (axes.T @ direction)
                direction /= np.linalg.norm(direction)
            steps[name] = (direction * self.lengths[name]).reshape(normal.shape)
        return LinearEditor({k: v.astype(np.float32) for k, v in steps.items()})

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write half precision, lengths and ``notes`` in the file's metadata."""
        names = list(self.normals)
        about = {"format": _FORMAT, "names": names, "lengths": dict(self.lengths)}
        about["notes"] = dict(notes)
        # Times the dimension's root, or half precision would lose the small entries.
        table = np.stack([self.normals[n] for n in names])
        table = table * math.sqrt(table[0].size)
        tensors = {"normals": table.astype(np.float16)}
        path.write_bytes(save(tensors, described(about)))


def load_normals(path: Path) -> Normals:
    """What `Normals.save` wrote.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the normals"):
        about, tensors = read_described(path)
        if about.get("format") != _FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {_FORMAT!r}")
        table = tensors["normals"]
        if table.ndim != 3 or len(table) != len(about["names"]) or not np.isfinite(table).all():
            raise ValueError("the normals have the wrong shape or are not finite")
    table /= np.linalg.norm(table.reshape(len(table), -1), axis=1)[:, None, None]
    return Normals(dict(zip(about["names"], table, strict=True)), about["lengths"])


@dataclass(frozen=True)
class Component:
    """A named edit of GANSpace.

    Attributes:
        number: of the principal component, from 0, largest variance first.
        first, last: the rows it moves, both included.
        sigma: standard deviations that alpha 1 goes, with their sign.
    """

    number: int
    first: int
    last: int
    sigma: float


def ganspace_editor(
    stats: WStatistics, named: Mapping[str, Component], rows: int, components: int = 80
) -> LinearEditor:
    """GANSpace's edits: by component (``pc0``: one standard deviation on all rows), and named ones.

    Args:
        stats: of W.
        named: edits that have a name.
        rows: of a code.
        components: how many are listed by number.

    Raises:
        WeightsError: a named edit moves rows that a code does not have.
    """
    if any(what.last >= rows for what in named.values()):
        raise WeightsError(
            f"components move more than {rows} rows", "Run `videdit weights verify`."
        )
    axes, scale = stats.axes.numpy(), stats.scale.numpy()
    steps = {}
    listed = {f"pc{i}": Component(i, 0, rows - 1, 1.0) for i in range(components)}
    for name, what in (dict(named) | listed).items():
        step = np.zeros((rows, len(scale)), np.float32)
        step[what.first : what.last + 1] = axes[:, what.number] * scale[what.number] * what.sigma
        steps[name] = step
    return LinearEditor(steps)


def load_components(path: Path) -> dict[str, Component]:
    """Named components out of a JSON file.

    Raises:
        WeightsError: missing or damaged.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        found = {name: Component(**values) for name, values in table.items()}
        if any(not 0 <= c.first <= c.last for c in found.values()):
            raise ValueError("rows out of range")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"the components {path.name} cannot be read ({error})", "Run `videdit weights verify`."
        ) from error
    return found


def direction_editor(path: Path, shape: tuple[int, int]) -> LinearEditor:
    """One's own direction; the attribute's name is the file's.

    Args:
        path: an npy file of (width,), for all rows, or (rows, width), W units: what alpha 1 adds.
        shape: of a code, (rows, width).

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    rows, width = shape
    try:
        step = np.load(path, allow_pickle=False)
        if step.shape not in ((width,), (1, width), shape):
            raise ValueError(f"its shape is {step.shape}")
        step = np.broadcast_to(step, shape).astype(np.float32)
        if not np.isfinite(step).all():
            raise ValueError("it holds numbers that are not finite")
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise UsageError(
            f"{path} holds no direction ({error})",
            f"It takes an npy file of ({width},) or ({rows}, {width}) numbers.",
        ) from error
    return LinearEditor({path.stem: np.array(step)})
