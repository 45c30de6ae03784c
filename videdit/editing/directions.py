"""Named steps in the space of codes, in one file: what GANalyze learns.

A safetensors file, see `files`: a tensor per step in half precision, and in the description the
format, the names in their order, each step's scale, what each step's score was, and notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from ..errors import WeightsError
from .files import described, read_described, readable
from .linear import LinearEditor

FORMAT = "videdit.directions.1"
_REMEDY = "Train them again, or check the name."

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Directions:
    """Steps by name.

    Attributes:
        steps: (width,), the same on all rows, or (rows, width): what alpha 1 adds, W units.
        scores: what each moves, and by how much, in words; may lack names.
        notes: by name, how a step was made and what it does; plain JSON; may lack names.
    """

    steps: Mapping[str, Floats]
    scores: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def editor(self, shape: tuple[int, int]) -> LinearEditor:
        """The editor that adds ``alpha * step``.

        Args:
            shape: of a code, (rows, width).

        Raises:
            WeightsError: a step is one of other codes.
        """
        steps = {}
        for name, step in self.steps.items():
            if step.shape not in (shape, shape[1:]):
                raise WeightsError(
                    f"the direction {name} has the shape {step.shape}, codes have {shape}",
                    "It was made for another generator.",
                )
            steps[name] = np.array(np.broadcast_to(step, shape), np.float32)
        return LinearEditor(steps)

    def save(self, path: Path) -> None:
        """Write half precision. Each step is divided by its largest entry, which is kept beside it,
        or half precision would lose small steps and overflow at large ones."""
        scales = {name: float(np.abs(step).max()) or 1.0 for name, step in self.steps.items()}
        about = {
            "format": FORMAT,
            "names": list(self.steps),
            "scales": scales,
            "scores": dict(self.scores),
            "notes": {name: dict(notes) for name, notes in self.notes.items()},
        }
        tensors = {
            str(number): (step / scales[name]).astype(np.float16)
            for number, (name, step) in enumerate(self.steps.items())
        }
        path.write_bytes(save(tensors, described(about)))


def load_directions(path: Path) -> Directions:
    """What `Directions.save` wrote.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the directions", _REMEDY):
        about, tensors = read_described(path)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")
        steps = {}
        for number, name in enumerate(about["names"]):
            step = tensors[str(number)] * np.float32(about["scales"][name])
            if step.ndim not in (1, 2) or not np.isfinite(step).all():
                raise ValueError(f"{name} has the wrong shape or is not finite")
            steps[str(name)] = step
        return Directions(steps, dict(about["scores"]), dict(about["notes"]))
