from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from videdit.media.probe import probe
from videdit.media.timeline import Timeline


def test_json_round_trip(vfr: Path) -> None:
    timeline = probe(vfr)
    back = Timeline.from_json(json.loads(json.dumps(timeline.to_json())))
    for name in timeline.__dataclass_fields__:
        np.testing.assert_equal(getattr(back, name), getattr(timeline, name), err_msg=name)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (None, None, range(25)),
        (0.4, None, range(10, 25)),
        (0.401, 0.44, range(11, 11)),
        (None, 0.2, range(5)),
        (0.2, 0.6, range(5, 15)),
        (5, None, range(25, 25)),
        (0.6, 0.2, range(15, 15)),
    ],
)
def test_select(plain: Path, start: float | None, stop: float | None, expected: range) -> None:
    assert list(probe(plain).select(start, stop)) == list(expected)
