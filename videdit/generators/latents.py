"""All that decides a generator's picture, in plain arrays: what stages hand on and keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MASK_SIDE = 128
"""Side of the masks of mixed activations."""

DEPTHS = (3, 4, 5)
"""After how many of the generator's blocks activations are mixed: at 32, 64 and 128 pixels. Before,
features hold what is large, like the head's turn; after, little more than colours and texture,
which are better the face's own."""


@dataclass(frozen=True)
class Mixture:
    """Another face, shown in places.

    Attributes:
        codes: (n, rows, width) of the other face.
        mask: (n, 128, 128), 0 to 1: how much of it is shown where.
    """

    codes: Floats
    mask: Floats

    def __post_init__(self) -> None:
        if self.mask.shape != (len(self.codes), MASK_SIDE, MASK_SIDE):
            raise ValueError(f"masks {self.mask.shape} for codes {self.codes.shape}")

    def __getitem__(self, which: Any) -> Mixture:
        return Mixture(self.codes[which], self.mask[which])


@dataclass(frozen=True)
class Latents:
    """What is decoded.

    Attributes:
        codes: (n, rows, width) W+ codes.
        offsets: (n, channels) added to the styles that the generator makes of them; None for none.
        mixture: another face's activations; None for none.
    """

    codes: Floats
    offsets: Floats | None = None
    mixture: Mixture | None = None

    def __post_init__(self) -> None:
        for part in (self.offsets, None if self.mixture is None else self.mixture.codes):
            if part is not None and len(part) != len(self.codes):
                raise ValueError(f"{len(part)} of something for {len(self.codes)} codes")

    @classmethod
    def of(cls, codes: Latents | NDArray[np.floating[Any]]) -> Latents:
        """Latents as they are; plain codes as latents."""
        return codes if isinstance(codes, Latents) else cls(np.asarray(codes, np.float32))

    @property
    def parts(self) -> list[Floats]:
        """The arrays that decide the pictures, an entry per face each."""
        mixture = () if self.mixture is None else (self.mixture.codes, self.mixture.mask)
        return [part for part in (self.codes, self.offsets, *mixture) if part is not None]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, which: slice | Sequence[int] | NDArray[Any]) -> Latents:
        """Some of them."""
        return Latents(
            self.codes[which],
            None if self.offsets is None else self.offsets[which],
            None if self.mixture is None else self.mixture[which],
        )


def joined(parts: Sequence[tuple[NDArray[Any], Latents]], codes: Floats) -> Latents:
    """Latents of all faces out of those of some.

    Args:
        parts: which faces, and their latents.
        codes: (n, rows, width) of all, which those have that are in no part.
    """
    whole = np.array(codes, np.float32)
    offsets = mixture = None
    for which, latents in parts:
        whole[which] = latents.codes
        if latents.offsets is not None:
            if offsets is None:
                offsets = np.zeros((len(codes), latents.offsets.shape[1]), np.float32)
            offsets[which] = latents.offsets
        if latents.mixture is not None:
            if mixture is None:
                mask = np.zeros((len(codes), MASK_SIDE, MASK_SIDE), np.float32)
                mixture = Mixture(whole.copy(), mask)
            mixture.codes[which] = latents.mixture.codes
            mixture.mask[which] = latents.mixture.mask
    return Latents(whole, offsets, mixture)


def pooled(mask: Floats, side: int) -> Floats:
    """(side, side) a mask (128, 128), averaged."""
    step = MASK_SIDE // side
    return np.asarray(mask.reshape(side, step, side, step).mean((1, 3)), np.float32)
