from __future__ import annotations

import json

import pytest

from videdit.errors import NoFaceError
from videdit.evaluation.inversion import FaceScore, InputScore, summarise, to_json


def face(identity: float, landmarks: float = 0.03) -> FaceScore:
    return FaceScore(0, identity, 20.0, 0.7, landmarks, 22.0, 1.0)


def test_summary() -> None:
    inputs = [
        InputScore("a.jpg", [face(0.3)], seconds_per_crop=0.1),
        InputScore("b.mp4", [face(0.5), face(0.7, 0.1)], failed=2, landmark_jitter=1.1),
    ]
    total = summarise(inputs)
    assert total.faces == 3
    assert total.failed == 2
    assert total.identity_median == 0.5
    assert total.identity_p90 == pytest.approx(0.66)
    assert total.same_person == pytest.approx(2 / 3)
    assert total.landmarks == 0.03
    # One whose reconstructions show no face counts as failed, and spoils no report.
    inputs.append(InputScore("c.jpg", failed=1))
    report = json.loads(json.dumps(to_json(inputs, "encoder")))
    assert report["summary"]["failed"] == 3
    assert report["inputs"][2]["summary"] is None
    assert report["method"] == "encoder"
    assert report["inputs"][1]["summary"]["identity_median"] == pytest.approx(0.6)
    assert report["inputs"][1]["faces"][1]["landmarks"] == 0.1


def test_no_faces() -> None:
    with pytest.raises(NoFaceError):
        summarise([InputScore("a.jpg", failed=1)])
