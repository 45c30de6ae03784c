"""How long a map must be, so that alpha 1 is where an attribute is clearly there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..editing.picture_classifier import PictureClassifier
from ..editing.transformer import EDITED_ROWS, AffineMap
from ..models.protocols import Encoder
from .classifier import Viewer, judged

Floats = npt.NDArray[np.float32]

GOAL = 0.8
"""Share of the held-out faces without an attribute that have it at an alpha of 1."""

_LENGTHS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
_TRIED = 50


@dataclass(frozen=True)
class Trial:
    """Held-out codes on which a map's length is tried, seen by the teacher.

    Attributes:
        codes: (n, 16, 512).
        logits: (n, k) the teacher's, of their pictures.
        viewer: shows codes.
        teacher: judges.
    """

    codes: Floats
    logits: Floats
    viewer: Viewer
    teacher: PictureClassifier

    @staticmethod
    def of(
        codes: Floats,
        viewer: Viewer,
        teacher: PictureClassifier,
        encoder: Encoder,
        most: int = 200,
    ) -> Trial:
        """A trial on the first codes, as the encoder inverts their pictures."""
        crops = viewer.pictures(codes[:most]).permute(0, 2, 3, 1).numpy()
        codes = encoder.encode(crops).astype(np.float32)
        return Trial(codes, judged(teacher, viewer.looks(codes)).numpy(), viewer, teacher)

    def length(self, found: AffineMap, mean: Floats, index: int) -> tuple[float, float]:
        """What to multiply a map with, and the share of faces without the attribute that then have
        it: `GOAL`, or what the longest one reaches."""
        lacking = self.codes[self.logits[:, index] < 0][:_TRIED]
        if not len(lacking):
            return 1.0, math.nan
        step = found.of(lacking, mean)
        shares = [0.0]
        for length in _LENGTHS[1:]:
            edited = lacking.copy()
            edited[:, :EDITED_ROWS] += np.float32(length) * step
            seen = judged(self.teacher, self.viewer.looks(edited))[:, index]
            shares.append(max(shares[-1], float((seen > 0).float().mean())))
            if shares[-1] >= GOAL:
                share = (GOAL - shares[-2]) / (shares[-1] - shares[-2])
                before = _LENGTHS[len(shares) - 2]
                return before + share * (length - before), GOAL
        return _LENGTHS[-1], shares[-1]
