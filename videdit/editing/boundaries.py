"""Linear boundaries: one direction in W+ per attribute, as InterFaceGAN edits.

An edit adds ``alpha * step`` to a code, with a fixed (16, 512) step per attribute, so edits commute
and a strength of 0 changes nothing. ``videdit.training.boundaries`` makes the file and documents
how the steps are found, scaled and measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import WeightsError
from .attributes import resolve, unknown
from .schedule import Edit

ROWS = 16
STYLE_DIM = 512
_FORMAT = "videdit.boundaries.1"


@dataclass(frozen=True)
class Quality:
    """How well one attribute is edited, measured on generated faces that took no part in the fit.

    "Judged" means: by a linear probe fitted on other labelled faces than the step was.

    Attributes:
        auc: area under the ROC curve of the boundary on held-out random faces, 0.5 to 1.
        added: share of the faces judged without the attribute that have it at alpha +1, 0 to 1.
        removed: share of the faces judged to have it that have lost it at alpha -1, 0 to 1.
        kept: share of the judgements of the other 39 attributes that stay the same at alpha ±1
            (towards the opposite of what the face shows), 0 to 1.
        shift: size of the step at alpha 1 in whitened coordinates of W, root mean square over the
            16 rows; a random code lies about 22.6 from the mean.
    """

    auc: float
    added: float
    removed: float
    kept: float
    shift: float


class Boundaries:
    """The steps of a set of attributes, and their measured quality.

    Args:
        steps: (16, 512) float32 per attribute name, in W units: what alpha 1 adds to a code.
        quality: the figures per attribute name; the same names.
    """

    def __init__(
        self, steps: Mapping[str, npt.NDArray[np.float32]], quality: Mapping[str, Quality]
    ) -> None:
        self._steps = dict(steps)
        self._quality = dict(quality)

    @classmethod
    def load(cls, path: Path) -> Boundaries:
        """Reads what ``save`` wrote.

        Raises:
            WeightsError: missing, damaged, or not such a file.
        """
        from safetensors import safe_open

        try:
            with safe_open(str(path), framework="np") as file:
                about = json.loads((file.metadata() or {}).get("videdit", "{}"))
                if about.get("format") != _FORMAT:
                    raise ValueError(f"its format is {about.get('format')!r}, not {_FORMAT!r}")
                names = [str(name) for name in about["names"]]
                quality = {name: Quality(**about["quality"][name]) for name in names}
                steps = np.asarray(file.get_tensor("steps"), np.float32)
            if steps.shape != (len(names), ROWS, STYLE_DIM) or not np.isfinite(steps).all():
                raise ValueError("the steps have the wrong shape or are not finite")
        # safetensors has an exception class of its own, derived from Exception alone.
        except Exception as error:
            raise WeightsError(
                f"the boundaries {path.name} cannot be read ({error})",
                "Run `videdit weights verify`.",
            ) from error
        return cls(dict(zip(names, steps, strict=True)), quality)

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Writes the steps in half precision, the figures and ``notes`` in the file's metadata.

        Args:
            path: the file.
            notes: how it was made, anything JSON can hold.
        """
        from safetensors.numpy import save

        names = list(self._steps)
        about = {
            "format": _FORMAT,
            "names": names,
            "quality": {name: asdict(self._quality[name]) for name in names},
            "notes": notes,
        }
        steps = np.stack([self._steps[name] for name in names]).astype(np.float16)
        path.parent.mkdir(parents=True, exist_ok=True)
        # One metadata entry: safetensors writes several in an order that changes from run to run.
        path.write_bytes(save({"steps": steps}, {"videdit": json.dumps(about, sort_keys=True)}))

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that can be edited."""
        return tuple(self._steps)

    def _name(self, name: str) -> str:
        """The canonical form of ``name``.

        Raises:
            UsageError: no attribute, or none of these boundaries'.
        """
        if name in self._steps:
            return name
        canonical = resolve(name).name
        if canonical not in self._steps:
            raise unknown(name, self._steps)
        return canonical

    def quality(self, name: str) -> Quality:
        """The measured figures of one attribute.

        Raises:
            UsageError: unknown attribute.
        """
        return self._quality[self._name(name)]

    def direction(self, name: str) -> npt.NDArray[np.float32]:
        """What alpha 1 adds to a code: (16, 512) float32, W units, zero in the rows it keeps.

        Raises:
            UsageError: unknown attribute.
        """
        return self._steps[self._name(name)].copy()

    def apply(
        self,
        codes: npt.NDArray[np.float32],
        edits: Sequence[Edit],
        times_s: npt.ArrayLike,
    ) -> npt.NDArray[np.float32]:
        """The edited codes, ``w + sum of alpha(t) * step``.

        Args:
            codes: (n, 16, 512) float32, W units.
            edits: what to edit; an attribute named twice is edited by the sum.
            times_s: (n,) seconds from the first frame, where each schedule is read.

        Returns:
            (n, 16, 512) float32, a new array; a code whose strengths are all 0 is unchanged.

        Raises:
            UsageError: unknown attribute.
            ValueError: the shapes don't fit together.
        """
        times = np.asarray(times_s, np.float64)
        if (
            codes.ndim != 3
            or codes.shape[1:] != (ROWS, STYLE_DIM)
            or times.shape != codes.shape[:1]
        ):
            raise ValueError(f"codes {codes.shape} and times {times.shape} don't fit together")
        edited = np.array(codes, np.float32)
        for edit in edits:
            strengths = edit.schedule.at(times).astype(np.float32)
            edited += strengths[:, None, None] * self._steps[self._name(edit.attribute)]
        return edited
