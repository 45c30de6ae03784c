from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from videdit.errors import WeightsError
from videdit.evaluation import identity
from videdit.evaluation.identity import IdentityMeter, distance


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError) as caught:
        IdentityMeter()
    assert "eval" in caught.value.remedy


def test_distance() -> None:
    assert distance(np.zeros(128), np.full(128, 0.5)) == pytest.approx(0.5 * 128**0.5)


@pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None
    or importlib.util.find_spec("face_recognition_models") is None,
    reason="needs the extra eval",
)
def test_the_same_picture_is_the_same_person() -> None:
    meter = IdentityMeter()
    picture = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    points = np.random.default_rng(1).uniform(50, 150, (68, 2))
    one, two = meter.describe(picture, points), meter.describe(picture, points)
    assert one.shape == (128,)
    assert distance(one, two) < 0.1  # its four crops are moved at random
