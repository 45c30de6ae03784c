"""What every editor of codes has in common.

An editor knows attributes by name and moves codes along them; how, is its own. Most move the codes
themselves; some what the generator makes of them: its styles, or its activations in places
(`generators.latents.Latents`). Edits are made one after the other, each on the result of the one
before, as the latent transformer's paper does.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..generators.latents import Latents
from .attributes import follows_expression, plain, unknown
from .schedule import Edit

Floats = npt.NDArray[np.float32]
Codes = Floats
Maps = npt.NDArray[np.uint8]


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

    def move(self, codes: Codes, name: str, strengths: Floats) -> Codes:
        """Codes (n, rows, width) moved along one of ``names``, each by its own strength (n,)."""
        return codes

    def shift(self, codes: Codes, name: str, strengths: Floats) -> Floats | None:
        """(n, channels) what one of ``names`` adds to the styles of codes (n, rows, width), each by
        its own strength (n,); None for an editor that leaves styles alone."""
        return None

    def edited(
        self, latents: Latents, name: str, strengths: Floats, regions: Maps | None = None
    ) -> Latents:
        """Latents after one edit.

        Args:
            latents: of n faces.
            name: one of ``names``.
            strengths: (n,).
            regions: (n, 128, 128, regions) from 0 to 255, where what is in the faces'
                reconstructions; for editors that must be told (`models.choices.by_region`).
        """
        codes = self.move(latents.codes, name, strengths)
        more = self.shift(latents.codes, name, strengths)
        offsets = latents.offsets
        if more is not None:
            offsets = more if offsets is None else offsets + more
        return replace(latents, codes=codes, offsets=offsets)

    def follows_expression(self, name: str) -> bool:
        """Whether what is edited comes and goes from frame to frame."""
        return follows_expression(name)

    def apply(
        self,
        codes: Codes,
        edits: Sequence[Edit],
        times_s: npt.ArrayLike,
        calm: Codes | None = None,
        regions: Maps | None = None,
    ) -> Latents:
        """Codes after all edits, in their order.

        Args:
            codes: (n, rows, width) float32, W units.
            edits: what to edit.
            times_s: (n,) seconds from the first frame, where each schedule is read.
            calm: the same codes, smoothed strongly over time. What does not come and go with an
                expression (glasses, hair, age) is moved as these are, so that it keeps its form
                while the face moves; the codes themselves if not given.
            regions: see `edited`.

        Returns:
            New arrays; a code whose strengths are all 0 is unchanged.

        Raises:
            UsageError: unknown attribute.
            ValueError: the shapes don't fit together.
        """
        times = np.asarray(times_s, np.float64)
        if codes.ndim != 3 or times.shape != codes.shape[:1]:
            raise ValueError(f"codes {codes.shape} and times {times.shape} don't fit together")
        if calm is not None and calm.shape != codes.shape:
            raise ValueError(f"calm codes {calm.shape} for codes {codes.shape}")
        edited = Latents(np.array(codes, np.float32))
        steady = edited if calm is None else Latents(np.array(calm, np.float32))
        for edit in edits:
            name = self.name(edit.attribute)
            strengths = edit.schedule.at(times).astype(np.float32)
            before, steady = steady, self.edited(steady, name, strengths, regions)
            if calm is None:
                edited = steady
            elif self.follows_expression(name):
                edited = self.edited(edited, name, strengths, regions)
            else:
                edited = _plus(edited, before, steady)
        return edited


def _plus(latents: Latents, before: Latents, after: Latents) -> Latents:
    """Latents moved as others were."""
    offsets = latents.offsets
    if after.offsets is not None:
        added = after.offsets if before.offsets is None else after.offsets - before.offsets
        offsets = added if offsets is None else offsets + added
    codes = latents.codes + (after.codes - before.codes)
    return replace(latents, codes=codes, offsets=offsets)
