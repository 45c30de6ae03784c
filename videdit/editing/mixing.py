"""Local edits by activations: a region of a face out of another face, or out of its own edit.

*Image2StyleGAN++* (Abdal et al., CVPR 2020) interpolates the generator's activations within a mask:
``x + m (x' - x)`` at some layers (`generators.latents.DEPTHS`); all layers after them make one
picture of both. The other face is taken with the head of the first: its coarse rows, which hold how
a head is turned and how large its parts are, are the face's own, so that what comes from the other
falls where it belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from ..faces.regions import REGIONS
from ..generators.latents import MASK_SIDE, Latents, Mixture
from .editor import Codes, Editor, Floats, Maps
from .schedule import Edit
from .touch import EDITABLE, MASK, check_region

_GROWN = 7
"""By how many of 128 pixels a region is widened: the other's part may be larger."""

_SOFT = 2.0
"""Width of its border, likewise."""


class MixingEditor(Editor):
    """Shows regions out of another face.

    Args:
        other: (rows, width) its code.
        coarse: how many of the first rows are the face's own.
    """

    names = (*EDITABLE, MASK)

    def __init__(self, other: Floats, coarse: int) -> None:
        self._other = other
        self._coarse = coarse

    def name(self, text: str) -> str:
        """See ``Editor.name``; of a region."""
        return check_region(text)

    def follows_expression(self, name: str) -> bool:
        """All of it does: the other face turns with this one."""
        return True

    def edited(
        self, latents: Latents, name: str, strengths: Floats, regions: Maps | None = None
    ) -> Latents:
        """See ``Editor.edited``; strengths beyond 0 and 1 are taken as these."""
        if regions is None:
            raise ValueError("activations are mixed where regions are")
        mask = region_mask(regions, [name]) * np.clip(strengths, 0, 1)[:, None, None]
        other = np.repeat(self._other[None], len(latents), 0)
        other[:, : self._coarse] = latents.codes[:, : self._coarse]
        before = latents.mixture
        if before is not None:
            mask = np.maximum(mask, before.mask)
        return replace(latents, mixture=Mixture(other, mask))


class WithinEditor(Editor):
    """Another editor's edits, in some regions only.

    Args:
        editor: of codes.
        regions: where it is seen.
    """

    def __init__(self, editor: Editor, regions: Sequence[str]) -> None:
        self._editor = editor
        self._regions = tuple(check_region(name) for name in regions)
        self.names = editor.names

    def name(self, text: str) -> str:
        """See ``Editor.name``."""
        return self._editor.name(text)

    def apply(
        self,
        codes: Codes,
        edits: Sequence[Edit],
        times_s: npt.ArrayLike,
        calm: Codes | None = None,
        regions: Maps | None = None,
    ) -> Latents:
        """See ``Editor.apply``: the codes stay, what the edits make of them is the other face."""
        if regions is None:
            raise ValueError("activations are mixed where regions are")
        after = self._editor.apply(codes, edits, times_s, calm)
        mixture = Mixture(after.codes, region_mask(regions, self._regions))
        return Latents(np.array(codes, np.float32), None, mixture)


def region_mask(regions: Maps, names: Sequence[str]) -> Floats:
    """(n, 128, 128) from 0 to 1: where some regions are, widened and with a soft border; a mask of
    one's own as it is, softened.

    Args:
        regions: (n, 128, 128, regions) probabilities from 0 to 255; behind them perhaps a mask.
        names: of regions.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _GROWN + 1,) * 2)
    columns = [REGIONS.index(name) for name in names if name != MASK]
    masks = []
    for bytes_ in regions:
        seen = bytes_ / np.float32(255)
        there = cv2.dilate(np.ascontiguousarray(seen[:, :, columns].sum(2)), kernel)
        if MASK in names:
            there = np.maximum(there, seen[:, :, len(REGIONS)])
        masks.append(cv2.GaussianBlur(there, (0, 0), _SOFT))
    return np.asarray(masks, np.float32).reshape(-1, MASK_SIDE, MASK_SIDE).clip(0, 1)
