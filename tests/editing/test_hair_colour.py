"""The meter of hair colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from videdit.bundles.bundle import Bundle
from videdit.editing.hair_colour import COLOURS, hair_look, load_hair_colours
from videdit.errors import WeightsError
from videdit.faces.regions import REGIONS, SIDE

Picture = NDArray[np.float32]


def head(hair: tuple[float, float, float], skin: tuple[float, float, float]) -> Picture:
    """Hair above (CIE L*a*b*), skin below."""
    lab = np.zeros((256, 256, 3), np.float32)
    lab[:128], lab[128:] = hair, skin
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)


def regions(hair: str = "hair") -> Picture:
    maps = np.zeros((SIDE, SIDE, len(REGIONS)), np.float32)
    maps[:64, :, REGIONS.index(hair)] = 1
    maps[64:, :, REGIONS.index("skin")] = 1
    return maps


def test_a_look_is_the_colours_of_hair_and_skin() -> None:
    look = hair_look(head((40, 9, 20), (65, 15, 14)), regions())
    assert look is not None
    np.testing.assert_allclose(look, (40, 9, 20, 0, 65, 15, 14), atol=0.2)
    assert hair_look(head((40, 9, 20), (65, 15, 14)), regions("hat")) is None


@pytest.mark.weights
@pytest.mark.parametrize("skin", [(70.0, 14.0, 14.0), (40.0, 14.0, 18.0)])
def test_plain_colours_are_told(bundle: Bundle, skin: tuple[float, float, float]) -> None:
    meter = load_hair_colours(bundle.file("hair"))
    assert min(meter.auc.values()) > 0.85
    examples = {
        "Black_Hair": (8.0, 1.0, 0.0),
        "Blond_Hair": (60.0, 7.0, 24.0),
        "Brown_Hair": (25.0, 9.0, 11.0),
        "Gray_Hair": (58.0, 1.0, 2.0),
    }
    for name, colour in examples.items():
        crop = head(colour, skin)
        crop += np.random.default_rng(0).normal(0, 0.03, crop.shape).astype(np.float32)
        look = hair_look(crop.clip(0, 1), regions())
        assert look is not None
        logits = meter.logits(look)
        assert max(COLOURS, key=lambda colour: logits[colour]) == name, logits


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hair_colours.json"
    for text in ("", "{}", '{"mean": [1], "scale": [1], "weights": [[1]], "auc": {}}'):
        path.write_text(text)
        with pytest.raises(WeightsError):
            load_hair_colours(path)
