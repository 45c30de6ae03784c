from __future__ import annotations

import numpy as np

from videdit.faces.detection import Detection
from videdit.report.measures import SIDE, _note_trembling, groups_of, landmarks_near


def test_a_short_stretch_is_measured_whole_a_long_one_in_threes() -> None:
    assert groups_of(range(5, 60)) == [range(5, 60)]
    assert groups_of(range(3, 3)) == []
    groups = groups_of(range(100, 200_100), 30)
    assert len(groups) == 10
    assert all(len(group) == 3 for group in groups)
    assert (groups[0].start, groups[-1].stop) == (100, 200_100)


def test_of_faces_the_one_in_its_place_counts() -> None:
    expected = np.full((68, 2), SIDE / 2) + np.arange(68)[:, None]

    def face(shift: float) -> Detection:
        points = (expected + shift).astype(np.float32)
        return Detection(np.zeros(4, np.float32), 1.0, points, None)

    found = landmarks_near([face(60), face(3), face(-9)], expected)
    assert found is not None
    np.testing.assert_allclose(found * SIDE / 4, expected + 3, atol=1e-3)
    assert landmarks_near([face(60)], expected) is None
    assert landmarks_near([], expected) is None


def test_trembling_is_what_leaves_the_way() -> None:
    rest = np.zeros((68, 2))
    steady = [(index, row, [rest + index, rest + index]) for row, index in enumerate((4, 5, 6))]
    steady[1][2][1] = rest + 5 + np.array([0.01, 0.0])
    noted = [[np.nan, np.nan] for _ in range(3)]
    _note_trembling(steady, noted)
    np.testing.assert_allclose(noted[1], (0, 0.02), atol=1e-12)
    assert np.isnan(noted[0]).all()
    for broken in (steady[:2], [steady[0], steady[1], (8, 2, steady[2][2])]):
        left = [[np.nan, np.nan] for _ in range(3)]
        _note_trembling(broken, left)
        assert np.isnan(left).all()
    unseen = [[np.nan, np.nan] for _ in range(3)]
    _note_trembling([steady[0], (5, 1, [rest + 5, None]), steady[2]], unseen)
    assert unseen[1][0] == 0
    assert np.isnan(unseen[1][1])
