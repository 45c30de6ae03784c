"""The maps of a change."""

from __future__ import annotations

import numpy as np

from videdit.blending.change import Change
from videdit.previews.changes import change_panels
from videdit.sheet import PANEL

QUAD = np.array([[10, 10], [10, 110], [110, 110], [110, 10]], float)


def change(**other: object) -> Change:
    where = np.zeros((64, 64), np.float32)
    where[:, 32:] = 1
    motion = np.full((32, 32, 2), (0.03, 0), np.float32)
    offset = np.full((64, 64, 3), 0.05, np.float32)
    return Change(motion, offset, where, **other)  # type: ignore[arg-type]


def test_panels_of_a_change() -> None:
    source = np.full((120, 120, 3), 100, np.uint8)
    result = source.copy()
    result[:, 60:] = 200
    matter = np.zeros((64, 64), np.float32)
    matter[:32] = 1
    made = change(matter=matter, painted=np.zeros((64, 64, 3), np.float32), visible=0.5)
    found = dict(change_panels("face", source, result, QUAD, made))
    assert all(picture.shape == (PANEL, PANEL, 3) for picture in found.values())
    before, after, flow, light, shown, touched = found.values()
    left, right = (slice(None), slice(0, 140)), (slice(None), slice(160, None))
    assert np.unique(before).tolist() == [100]
    assert np.unique(after[left]).tolist() == [100]
    assert np.unique(after[right]).tolist() == [200]
    # What is not touched does not move.
    assert np.ptp(flow[left].astype(int), 2).max() == 0
    assert np.ptp(flow[right].astype(int), 2).max() > 100
    assert np.unique(light).tolist() == [166]
    assert np.unique(shown[:140]).tolist() == [255]
    assert not shown[160:].any()
    assert np.unique(touched[right]).tolist() == [128]  # half of the face is seen
    assert not touched[left].any()
    assert [name for name in found if name.startswith("matter")]
    without = dict(change_panels("face", source, result, QUAD, change()))
    assert not without["no matter"].any()
