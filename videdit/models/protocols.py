"""What stages need of networks, and nothing of how they are made.

A second generator or encoder takes part by having these methods; nothing outside ``models/``,
``generators/``, ``inversion/`` and the bundle's manifest changes for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..editing.editor import Editor
from ..faces.detection import Landmarker
from ..generators.latents import Latents

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Editor", "Encoder", "Generator", "Landmarker"]


class Generator(Protocol):
    """Turns codes into pictures."""

    def decode(self, codes: NDArray[np.floating[Any]] | Latents) -> NDArray[np.float32]:
        """(n, rows, width) codes, or all that may come with them, to (n, size, size, 3) float32 RGB
        pictures in [0, 1]."""


class Encoder(Protocol):
    """Turns crops into codes."""

    def encode(self, crops: NDArray[np.float32] | Tensor) -> NDArray[np.float32]:
        """(n, 256, 256, 3) float32 RGB crops in [0, 1] to (n, rows, width) float32 codes.

        On a GPU also a tensor that is there already, (n, 3, 256, 256).
        """
