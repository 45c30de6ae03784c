"""Which colour a head of hair has, told from the hair alone.

A classifier of whole pictures takes grey hair for age and black hair for a complexion: on a young
face it hardly ever sees grey. Here only the hair's own colours are looked at, and the skin's as a
measure of the light.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..faces.regions import REGIONS, SIDE
from .files import readable

COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
"""Attributes that are colours of hair."""

FEATURES = 7
_FEWEST = 64  # pixels of the parser's maps
_SURE = 0.7
_DAYLIGHT = (63.0, 17.0, 15.0)  # skin's median colour over generated faces, where none is seen


def hair_look(
    crop: NDArray[np.float32], regions: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """(7,) medians of the hair's CIE L*a*b*, the deviation of its L*, the skin's medians.

    Args:
        crop: (s, s, 3) RGB in [0, 1], aligned.
        regions: of it, ``RegionParser.parse``.

    Returns:
        None where hardly any hair is seen.
    """
    small = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(np.asarray(small, np.float32), cv2.COLOR_RGB2LAB)
    hair = lab[regions[:, :, REGIONS.index("hair")] > _SURE]
    if len(hair) < _FEWEST:
        return None
    skin = lab[regions[:, :, REGIONS.index("skin")] > _SURE]
    light = np.median(skin, 0) if len(skin) >= _FEWEST else np.array(_DAYLIGHT)
    return np.asarray([*np.median(hair, 0), hair[:, 0].std(), *light], np.float64)


@dataclass(frozen=True)
class HairColours:
    """Logistic regressions on a hair's look.

    Attributes:
        mean, scale: (7,) of the looks.
        weights: (4, 11) of ``COLOURS`` for what ``terms`` gives.
        auc: by colour, on faces left out.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    auc: dict[str, float]

    def logits(self, look: NDArray[np.float64]) -> dict[str, float]:
        """By colour, of a ``hair_look``."""
        values = self.weights @ terms((look - self.mean) / self.scale)
        return dict(zip(COLOURS, values.tolist(), strict=True))

    def save(self, path: Path) -> None:
        """As JSON."""
        about = {
            "mean": self.mean.round(4).tolist(),
            "scale": self.scale.round(4).tolist(),
            "weights": self.weights.round(4).tolist(),
            "auc": self.auc,
        }
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def terms(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 11) of scaled looks (..., 7): themselves, L*², b*², L*b* and 1."""
    light, yellow = scaled[..., 0], scaled[..., 2]
    more = np.stack((light * light, yellow * yellow, light * yellow, np.ones_like(light)), -1)
    return np.concatenate((scaled, more), -1)


def load_hair_colours(path: Path) -> HairColours:
    """What `HairColours.save` wrote.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the hair's colours"):
        about = json.loads(path.read_text(encoding="utf-8"))
        mean, scale, weights = (
            np.asarray(about[name], np.float64) for name in ("mean", "scale", "weights")
        )
        shapes = (mean.shape, scale.shape, weights.shape)
        if shapes != ((FEATURES,), (FEATURES,), (len(COLOURS), FEATURES + 4)):
            raise ValueError(f"its shapes are {shapes}")
        return HairColours(mean, scale, weights, dict(about["auc"]))
