"""StyleCLIP's global directions: edits of style channels that a text asks for.

For each style channel c a row of numbers is published: where it moves pictures in CLIP's space when
it is moved. A text's difference t in the same space (that of "a smiling face" less that of "a
face") has the relevance ``r_c = row_c . t / |t|`` for it. Channels whose relevance is below the
threshold beta stay, the others move by ``alpha * r_c / max |r|`` standard deviations (*StyleCLIP*,
Patashnik et al., ICCV 2021, section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ..errors import UsageError
from ..files import replaced
from .attributes import follows_expression
from .editor import Codes, Editor, Floats
from .files import described, read_described, readable

FORMAT = "videdit.styleclip.1"

BETA = 0.15
"""The threshold where none is named."""


@dataclass(frozen=True)
class GlobalDirections:
    """What is published, and texts.

    Attributes:
        layers: how many style channels each of the generator's layers has.
        places: (k,) which channels, among all, have a row.
        rows: (k, d) their rows in CLIP's space.
        scale: (channels,) standard deviations over the generator's faces.
        texts: (d,) differences of texts in CLIP's space, by name.
    """

    layers: tuple[int, ...]
    places: np.ndarray
    rows: Floats
    scale: Floats
    texts: Mapping[str, Floats]

    def __post_init__(self) -> None:
        count = sum(self.layers)
        if self.rows.ndim != 2 or self.places.shape != self.rows.shape[:1]:
            raise ValueError(f"{self.places.shape} channels with rows {self.rows.shape}")
        if self.scale.shape != (count,) or self.places.max(initial=-1) >= count:
            raise ValueError(f"{self.scale.shape} deviations of {count} channels")
        for name, text in self.texts.items():
            if text.shape != self.rows.shape[1:] or not np.linalg.norm(text) > 0:
                raise ValueError(f"{name} is {text.shape}, or nothing")
        arrays = (self.rows, self.scale, *self.texts.values())
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("numbers that are not finite")

    def step(self, name: str, beta: float) -> Floats:
        """(channels,) what an alpha of 1 adds for a text.

        Raises:
            UsageError: no channel is as relevant as beta.
        """
        text = self.texts[name]
        relevance = self.rows @ (text / np.linalg.norm(text))
        most = float(np.abs(relevance).max())
        if most < beta:
            raise UsageError(
                f"no style channel is as relevant as {beta:g} for {name}",
                f"The most relevant one has {most:.3f}: try {name}:{most * 0.7:.2g}.",
            )
        moved = np.where(np.abs(relevance) < beta, 0, relevance / most)
        step = np.zeros(len(self.scale), np.float32)
        step[self.places] = moved * self.scale[self.places]
        return step

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write single precision; ``notes`` say where they are from."""
        tensors = {
            "places": self.places.astype(np.int32),
            "rows": np.ascontiguousarray(self.rows, np.float32),
            "scale": np.ascontiguousarray(self.scale, np.float32),
        }
        for number, text in enumerate(self.texts.values()):
            tensors[f"text.{number}"] = np.ascontiguousarray(text, np.float32)
        about = {"format": FORMAT, "layers": self.layers, "names": list(self.texts)}
        with replaced(path) as temporary:
            temporary.write_bytes(save(tensors, described(about | {"notes": dict(notes)})))


def load_global_directions(path: Path) -> GlobalDirections:
    """What `GlobalDirections.save` wrote.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the global directions"):
        about, tensors = read_described(path)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")
        return GlobalDirections(
            tuple(about["layers"]),
            tensors["places"].astype(np.int64),
            tensors["rows"],
            tensors["scale"],
            {name: tensors[f"text.{number}"] for number, name in enumerate(about["names"])},
        )


class StyleClipEditor(Editor):
    """Adds to style channels what texts ask for: by a text's name, with the threshold `BETA`, or
    ``NAME:BETA`` with one of one's own.

    Args:
        directions: of the generator's channels.
    """

    def __init__(self, directions: GlobalDirections) -> None:
        self.directions = directions
        self.names = tuple(directions.texts)

    def name(self, text: str) -> str:
        """See ``Editor.name``.

        Raises:
            UsageError: unknown text, or a threshold that is none.
        """
        name, beta = _parts(text)
        known = super().name(name)
        return known if beta is None else f"{known}:{beta:g}"

    def follows_expression(self, name: str) -> bool:
        """See ``Editor.follows_expression``."""
        return follows_expression(_parts(name)[0])

    def shift(self, codes: Codes, name: str, strengths: Floats) -> Floats:
        """See ``Editor.shift``."""
        known, beta = _parts(name)
        step = self.directions.step(known, BETA if beta is None else beta)
        return np.asarray(strengths[:, None] * step, np.float32)


def _parts(text: str) -> tuple[str, float | None]:
    """A text's name, and the threshold behind it."""
    name, colon, number = text.rpartition(":")
    if not colon:
        return text, None
    try:
        beta = float(number)
    except ValueError:
        return text, None
    if not 0 <= beta < 1:
        raise UsageError(f"{beta:g} is no threshold", f"Give one from 0 to 1: {name}:{BETA}.")
    return name, beta
