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
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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

NORMALS = "videdit.normals.1"
COMPONENTS = "videdit.components.1"

_NUMBERED = re.compile(r"pc[\s_-]*(?P<number>[0-9]+)\s*(?::(?P<rows>.*))?", re.IGNORECASE)
_SPAN = re.compile(r"(?P<first>[0-9]+)(?:\s*-\s*(?P<last>[0-9]+))?")

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
        moved: Codes = codes + strengths[:, None, None] * self.step(name)
        return moved

    def step(self, name: str) -> Floats:
        """(rows, width) what an alpha of 1 adds along one attribute, W units."""
        return self.steps[name]


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

    def save(
        self, path: Path, notes: Mapping[str, object], precision: npt.DTypeLike = np.float16
    ) -> None:
        """Write them, with lengths and ``notes`` in the file's metadata."""
        names = list(self.normals)
        about = {"format": NORMALS, "names": names, "lengths": dict(self.lengths)}
        about["notes"] = dict(notes)
        # Times the dimension's root, or half precision would lose the small entries.
        table = np.stack([self.normals[n] for n in names])
        table = table * math.sqrt(table[0].size)
        # In order, or safetensors writes them in the order in which they lie in memory.
        tensors = {"normals": np.ascontiguousarray(table, precision)}
        path.write_bytes(save(tensors, described(about)))


def load_normals(path: Path, shape: tuple[int, int] | None = None) -> Normals:
    """What `Normals.save` wrote.

    Args:
        path: the file.
        shape: of the codes that are to be edited, (rows, width).

    Raises:
        WeightsError: missing, damaged, not such a file, or made for other codes.
    """
    with readable(path, "the normals"):
        about, tensors = read_described(path)
        if about.get("format") != NORMALS:
            raise ValueError(f"its format is {about.get('format')!r}, not {NORMALS!r}")
        table = tensors["normals"]
        if table.ndim != 3 or len(table) != len(about["names"]) or not np.isfinite(table).all():
            raise ValueError("the normals have the wrong shape or are not finite")
        if shape is not None and table.shape[1:] != shape:
            raise ValueError(f"they are of {table.shape[1:]} codes, these have {shape}")
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


class GANSpaceEditor(LinearEditor):
    """Moves along principal components of W; knows named edits, and every component by its number.

    ``pc3`` is the fourth component on all rows, ``pc3:4-7`` on rows 4 to 7, ``pc3:5`` on row 5
    alone: alpha 1 is one standard deviation along it.

    Args:
        axes: (width, components) unit vectors, largest variance first.
        scale: (components,) standard deviations along them.
        named: edits that have a name.
        rows: of a code.
        components: how many are listed by number.

    Attributes:
        named: see above.
        listed: how many components are listed by number, from 0.
        rows: of a code.

    Raises:
        WeightsError: a named edit moves rows that a code does not have, or along a component that
            W does not have.
    """

    def __init__(
        self,
        axes: Floats,
        scale: Floats,
        named: Mapping[str, Component],
        rows: int,
        components: int = 80,
    ) -> None:
        self._axes, self._scale = axes, scale
        self.rows = rows
        if any(what.last >= rows for what in named.values()):
            raise WeightsError(
                f"components move more than {rows} rows", "Run `videdit weights verify`."
            )
        if any(not 0 <= what.number < len(self._scale) for what in named.values()):
            raise WeightsError(
                f"W has {len(self._scale)} components, not those that are named",
                "Run `videdit weights verify`.",
            )
        self.named = dict(named)
        self.listed = min(components, len(self._scale))
        listed = {f"pc{i}": Component(i, 0, rows - 1, 1.0) for i in range(self.listed)}
        table = self.named | listed
        super().__init__({name: self._step_of(what) for name, what in table.items()})

    def name(self, text: str) -> str:
        """See ``Editor.name``; of a component, ``pcN`` for all rows, else with its rows.

        Raises:
            UsageError: unknown attribute; a component that is not listed, or rows that a code does
                not have.
        """
        if text in self.steps:
            return text
        what = self._numbered(text)
        if what is None:
            return super().name(text)
        if (what.first, what.last) == (0, self.rows - 1):
            return f"pc{what.number}"
        more = "" if what.first == what.last else f"-{what.last}"
        return f"pc{what.number}:{what.first}{more}"

    def step(self, name: str) -> Floats:
        """See ``LinearEditor.step``."""
        found = self.steps.get(name)
        return self._step_of(self.component(name)) if found is None else found

    def component(self, name: str) -> Component:
        """What an edit moves.

        Args:
            name: as `name` gives it.
        """
        what = self.named.get(name) or self._numbered(name)
        if what is None:
            raise KeyError(name)
        return what

    def _numbered(self, text: str) -> Component | None:
        """The component that ``pcN``, ``pcN:ROW`` or ``pcN:FIRST-LAST`` means; None if the text is
        of no such form."""
        match = _NUMBERED.fullmatch(text.strip())
        if match is None:
            return None
        number, last = int(match["number"]), self.rows - 1
        if number >= self.listed:
            raise UsageError(
                f"there is no component pc{number}",
                f"Components go from pc0 to pc{self.listed - 1}.",
            )
        if match["rows"] is None:
            return Component(number, 0, last, 1.0)
        span = _SPAN.fullmatch(match["rows"].strip())
        ends = (int(span["first"]), int(span["last"] or span["first"])) if span else (1, 0)
        if not ends[0] <= ends[1] <= last:
            raise UsageError(
                f"{text.strip()!r} names no rows of a code",
                f"Rows go from 0 to {last}, the lower one first: pc{number}:0-{last}.",
            )
        return Component(number, *ends, 1.0)

    def _step_of(self, what: Component) -> Floats:
        step = np.zeros((self.rows, len(self._axes)), np.float32)
        along = self._axes[:, what.number] * self._scale[what.number] * what.sigma
        step[what.first : what.last + 1] = along
        return step


def ganspace_editor(
    stats: WStatistics, named: Mapping[str, Component], rows: int, components: int = 80
) -> GANSpaceEditor:
    """GANSpace's edits: by component (``pc0``: one standard deviation on all rows; ``pc0:4-7``: on
    some), and named ones. See `GANSpaceEditor`."""
    return GANSpaceEditor(stats.axes.numpy(), stats.scale.numpy(), named, rows, components)


@dataclass(frozen=True)
class Components:
    """Principal components that somebody else found.

    Attributes:
        axes: (components, width) unit vectors, as published: largest variance first.
        scale: (components,) standard deviations along them, W units.
        named: edits that have a name.
    """

    axes: Floats
    scale: Floats
    named: Mapping[str, Component]

    def __post_init__(self) -> None:
        if self.axes.ndim != 2 or self.scale.shape != self.axes.shape[:1]:
            raise ValueError(f"components {self.axes.shape}, deviations {self.scale.shape}")
        if not all(np.isfinite(array).all() for array in (self.axes, self.scale)):
            raise ValueError("components that are not finite")

    def editor(self, shape: tuple[int, int]) -> GANSpaceEditor:
        """The editor of codes of this shape, (rows, width).

        Raises:
            WeightsError: they are of other codes.
        """
        rows, width = shape
        if self.axes.shape[1] != width:
            raise WeightsError(
                f"components of codes {self.axes.shape[1]} wide, these are {width} wide",
                "They were found for another generator.",
            )
        return GANSpaceEditor(self.axes.T, self.scale, self.named, rows)

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write single precision; ``notes`` say where they are from."""
        named = {name: asdict(what) for name, what in self.named.items()}
        about = {"format": COMPONENTS, "named": named, "notes": dict(notes)}
        tensors = {
            "axes": np.ascontiguousarray(self.axes, np.float32),
            "scale": np.ascontiguousarray(self.scale, np.float32),
        }
        path.write_bytes(save(tensors, described(about)))

    @classmethod
    def load(cls, path: Path) -> Components:
        """What `save` wrote.

        Raises:
            WeightsError: missing, damaged, or not such a file.
        """
        with readable(path, "the components"):
            about, tensors = read_described(path)
            if about.get("format") != COMPONENTS:
                raise ValueError(f"its format is {about.get('format')!r}, not {COMPONENTS!r}")
            return cls(tensors["axes"], tensors["scale"], _named(about["named"]))


def _named(table: Mapping[str, Mapping[str, float]]) -> dict[str, Component]:
    found = {name: Component(**values) for name, values in table.items()}  # type: ignore[arg-type]
    if any(not 0 <= c.first <= c.last for c in found.values()):
        raise ValueError("rows out of range")
    return found


def load_components(path: Path) -> dict[str, Component]:
    """Named components out of a JSON file.

    Raises:
        WeightsError: missing or damaged.
    """
    try:
        return _named(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"the components {path.name} cannot be read ({error})", "Run `videdit weights verify`."
        ) from error


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
        # Mapped, so that a header that declares more than the file holds makes no room for it; and
        # npy alone, no archive of them.
        with np.errstate(over="ignore"):
            found = np.lib.format.open_memmap(path, mode="r")
        if found.shape not in ((width,), (1, width), shape):
            raise ValueError(f"its shape is {found.shape}")
        step = np.broadcast_to(found, shape).astype(np.float32)
        if not np.isfinite(step).all():
            raise ValueError("it holds numbers that are not finite")
    # What is wrong with a header decides which of many exceptions NumPy raises.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{path} holds no direction ({reason})",
            f"It takes an npy file of ({width},) or ({rows}, {width}) numbers.",
        ) from error
    return LinearEditor({path.stem: np.array(step)})
