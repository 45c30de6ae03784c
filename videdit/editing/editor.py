"""What every editor of codes has in common.

An editor knows attributes by name and moves codes along them; how, is its own. Edits are made one
after the other, each on the result of the one before, as the latent transformer's paper does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .attributes import follows_expression, plain, unknown
from .schedule import Edit

Codes = npt.NDArray[np.float32]


class Editor(ABC):
    """Moves codes along named attributes.

    Attributes:
        names: of what can be edited.
    """

    names: tuple[str, ...]

    def name(self, text: str) -> str:
        """The editor's own form of a name; case, spaces, hyphens and underscores don't matter.

        Raises:
            UsageError: it knows no such attribute; the nearest names are suggested.
        """
        if text in self.names:
            return text
        for name in self.names:
            if plain(name) == plain(text):
                return name
        raise unknown(text, self.names)

    @abstractmethod
    def move(self, codes: Codes, name: str, strengths: npt.NDArray[np.float32]) -> Codes:
        """Codes (n, rows, width) moved along one of ``names``, each by its own strength (n,)."""

    def apply(
        self,
        codes: Codes,
        edits: Sequence[Edit],
        times_s: npt.ArrayLike,
        calm: Codes | None = None,
    ) -> Codes:
        """The codes after all edits, in their order.

        Args:
            codes: (n, rows, width) float32, W units.
            edits: what to edit.
            times_s: (n,) seconds from the first frame, where each schedule is read.
            calm: the same codes, smoothed strongly over time. What does not come and go with an
                expression (glasses, hair, age) is moved as these are, so that it keeps its form
                while the face moves; the codes themselves if not given.

        Returns:
            (n, rows, width) float32, a new array; a code whose strengths are all 0 is unchanged.

        Raises:
            UsageError: unknown attribute.
            ValueError: the shapes don't fit together.
        """
        times = np.asarray(times_s, np.float64)
        if codes.ndim != 3 or times.shape != codes.shape[:1]:
            raise ValueError(f"codes {codes.shape} and times {times.shape} don't fit together")
        if calm is not None and calm.shape != codes.shape:
            raise ValueError(f"calm codes {calm.shape} for codes {codes.shape}")
        edited = np.array(codes, np.float32)
        steady = edited if calm is None else np.array(calm, np.float32)
        for edit in edits:
            name = self.name(edit.attribute)
            strengths = edit.schedule.at(times).astype(np.float32)
            before, steady = steady, self.move(steady, name, strengths)
            if calm is None:
                edited = steady
            elif follows_expression(name):
                edited = self.move(edited, name, strengths)
            else:
                edited = edited + (steady - before)
        return edited
