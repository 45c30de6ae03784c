"""Which part of a face each pixel of a crop shows: the parser.

A small U-Net (Ronneberger 2015) of separable convolutions. It is trained on generated pictures
whose regions are known from the generator's own activations (``training/regions.py``), so no
labelled photograph has a part in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from videdit.compiled import compiled, traced

if TYPE_CHECKING:
    from torch import nn

REGIONS = (
    *("background", "clothes", "skin", "neck", "ears", "hair", "brows", "eyes", "nose"),
    *("lips", "mouth", "beard", "glasses", "hat"),
)
"""What is told apart. ``background`` is all that is no part of the person, also what lies before
the face; ``mouth`` is the inside of the mouth; ``skin`` the face's without its other parts."""

NEVER = frozenset({"background", "clothes"})
"""Regions that no edit touches."""

PARSED = 256
"""Side of the crops that the parser looks at, pixels."""

SIDE = 128
"""Side of the maps that it gives, pixels."""


WAYS = ("shape", "colour", "matter", "renewed")
"""In which regions may be touched; attributes of a `Touch`."""


@dataclass(frozen=True)
class Touch:
    """The regions that an edit may change, by the way: see ``editing/touch.py``.

    Attributes:
        shape: whose own pixels are moved and shaded.
        colour: that take another colour.
        matter: that may come, go or be replaced by the generator's.
        renewed: whose own texture, like wrinkles or stubble, gives way to the generator's.
        closes: whether an open mouth may close.
        motion: share of the edit's motion that the pixels follow.
        tone: whether the face may be lit and coloured otherwise as a whole.
        growth: how many times as far as usual the face may grow over what is around it.
    """

    shape: frozenset[str] = frozenset()
    colour: frozenset[str] = frozenset()
    matter: frozenset[str] = frozenset()
    renewed: frozenset[str] = frozenset()
    closes: bool = False
    motion: float = 1.0
    tone: bool = True
    growth: float = 1.0

    @property
    def all(self) -> frozenset[str]:
        """The regions that are touched in any way."""
        return self.shape | self.colour | self.matter | self.renewed

    def __or__(self, other: Touch) -> Touch:
        return Touch(
            self.shape | other.shape,
            self.colour | other.colour,
            self.matter | other.matter,
            self.renewed | other.renewed,
            self.closes or other.closes,
            max(self.motion, other.motion),
            self.tone or other.tone,
            max(self.growth, other.growth),
        )

    def __str__(self) -> str:
        def listed(chosen: frozenset[str]) -> str:
            return " ".join(name for name in REGIONS if name in chosen)

        ways = ((way, getattr(self, way)) for way in WAYS)
        parts = [f"{way}: {listed(chosen)}" for way, chosen in ways if chosen]
        parts += ["the mouth may close"] if self.closes else []
        parts += [] if self.tone else ["the face keeps its tone"]
        parts += [f"{self.motion:.0%} of the motion"] if self.motion != 1 else []
        parts += [f"it may grow {self.growth:g} times as far"] if self.growth != 1 else []
        return "; ".join(parts)


class Parser(Protocol):
    """Tells regions apart; several threads may ask it."""

    def parse(self, crop: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Probabilities of the regions in a crop.

        Args:
            crop: (s, s, 3) RGB in [0, 1], aligned; of a network on a GPU also a tensor on it.

        Returns:
            (128, 128, regions), summing to one; as the crop is.
        """


class RegionParser:
    """The :class:`Parser` on the CPU, through OpenVINO.

    Args:
        make: gives the trained network, (n, 3, 256, 256) RGB in [0, 1] to (n, regions, 128, 128)
            logits; called only where it was not compiled before.
        precision: "fp32" or "bf16".
        ids: content ids of the network, which it is kept under once compiled.
        kept_in: folder of compiled models.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        precision: str = "fp32",
        *,
        ids: Mapping[str, str] | None = None,
        kept_in: Path | None = None,
    ) -> None:
        def model() -> Any:
            import torch

            return traced(make(), torch.zeros(1, 3, PARSED, PARSED))

        self._busy = threading.Lock()  # a compiled model answers one caller at a time
        self._compiled = compiled("regions", ids or {}, precision, model, kept_in if ids else None)

    def parse(self, crop: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """As :class:`Parser`."""
        with self._busy:
            logits = self._compiled(parser_input(crop))[0][0].copy()
        odds = np.exp(logits - logits.max(0))
        return np.ascontiguousarray((odds / odds.sum(0)).transpose(1, 2, 0), np.float32)


def parser_input(crop: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(1, 3, 256, 256) what the parser's network gets of a crop (s, s, 3)."""
    small = np.asarray(crop, np.float32)
    if small.shape[0] != PARSED:
        method = cv2.INTER_AREA if small.shape[0] > PARSED else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(small, (PARSED, PARSED), interpolation=method))
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)


def draw_regions(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) a map of regions in colours; black where nothing is known."""
    colours = np.zeros((256, 3), np.uint8)
    hues = np.arange(len(REGIONS)) * 180 / len(REGIONS)
    hsv = np.stack((hues, np.full(len(REGIONS), 170), np.full(len(REGIONS), 230)), 1)
    colours[: len(REGIONS)] = cv2.cvtColor(hsv[None].astype(np.uint8), cv2.COLOR_HSV2RGB)[0]
    return colours[labels]
