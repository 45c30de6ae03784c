"""Where W's samples lie, and codes held there.

In whitened coordinates a sample of W has a mean square of about 1; in so many dimensions hardly any
lies far from that: all of W is a shell. What lies farther out the generator has never been asked
for, and it draws noise there. A step three times as long as the one that was trained leaves the
shell for most attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .editor import Codes

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shell:
    """W's shape.

    Attributes:
        mean: (width,) W's mean.
        whitening: (width, width) by which a code less the mean is multiplied to be whitened.
    """

    mean: Floats
    whitening: Floats

    def spread(self, codes: Codes) -> Floats:
        """(n, rows) root of the mean square of codes (n, rows, width), whitened; of each to the
        last bit what it is of this code alone."""
        whitened = (codes - self.mean)[:, :, None] @ self.whitening
        return np.asarray(np.sqrt(np.square(whitened[:, :, 0]).mean(2)), np.float32)

    def held(self, edited: Codes, *known: Codes) -> Codes:
        """Edited codes (n, rows, width), each row drawn towards the mean until it lies no farther
        out than W's samples do, or than the farthest of its counterparts in ``known``."""
        most = np.ones(edited.shape[:2], np.float32)
        for codes in known:
            most = np.maximum(most, self.spread(codes))
        share = most / np.maximum(self.spread(edited), 1e-6)
        drawn = self.mean + share[:, :, None] * (edited - self.mean)
        return np.where(share[:, :, None] < 1, drawn, edited).astype(np.float32)
