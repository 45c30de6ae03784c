from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.blending.change import Change, without_colour
from videdit.blending.common import LUMA
from videdit.blending.face import colour_share, corners_inside, likeness, visible_share
from videdit.blending.parameters import DEFAULT
from videdit.faces.regions import REGIONS, SIDE

POINTS = face68() * 0.22 + (0.5, 0.42)
FRAME = np.array([[-1, -1], [-1, 2], [2, 2], [2, -1]], np.float64)


def of_one(name: str) -> np.ndarray:
    regions = np.zeros((SIDE, SIDE, len(REGIONS)), np.float32)
    regions[:, :, REGIONS.index(name)] = 1
    return regions


@pytest.mark.parametrize(
    ("name", "share"), [("skin", 1), ("glasses", 1), ("hair", 1), ("background", 0), ("clothes", 0)]
)
def test_a_face_is_seen_where_its_crop_shows_a_head(name: str, share: float) -> None:
    assert visible_share(of_one(name), POINTS, FRAME) == share


def test_a_face_that_leaves_the_frame_is_seen_less_and_less() -> None:
    left, right = POINTS[:, 0].min(), POINTS[:, 0].max()
    shares = []
    for part in np.linspace(1.1, 0, 12):
        frame = FRAME.copy()
        frame[2:, 0] = left + part * (right - left)
        shares.append(visible_share(of_one("skin"), POINTS, frame))
    assert shares[0] == 1
    assert shares[-1] == 0
    assert np.diff(shares).max() <= 0
    assert visible_share(of_one("skin"), POINTS + 5, FRAME) == 0


def test_corners_of_the_frame_in_a_turned_crop() -> None:
    rng = np.random.default_rng(0)
    start, across = rng.uniform(10, 50, (2, 2))
    down = np.array([-across[1], across[0]])
    quad = np.stack([start, start + down, start + down + across, start + across])
    corners = corners_inside(quad, (300, 400))
    back = start + corners[:, :1] * across + corners[:, 1:] * down
    np.testing.assert_allclose(back, [[0, 0], [0, 300], [400, 300], [400, 0]], atol=1e-9)


def test_what_looks_like_its_reconstruction_is_a_face_and_nothing_else() -> None:
    rng = np.random.default_rng(0)

    def made() -> np.ndarray:
        smooth = cv2.GaussianBlur(rng.random((96, 96, 1)).astype(np.float32), (0, 0), 8)
        return ((smooth - smooth.mean()) / smooth.std() * 0.1 + 0.5)[:, :, None].repeat(3, 2)

    face, other = made(), made()
    noisy = face + rng.normal(0, 0.01, face.shape).astype(np.float32)
    assert likeness(noisy, face, POINTS) == 1
    assert likeness(0.3 * noisy + 0.1, face[::2, ::2], POINTS) == 1  # darker, of another size
    assert likeness(other, face, POINTS) < 0.5
    flat = np.full_like(face, 0.5)
    assert likeness(flat, face, POINTS) == 0
    assert likeness(flat + rng.normal(0, 1e-4, face.shape).astype(np.float32), face, POINTS) == 0
    assert likeness(1 - face, face, POINTS) == 0
    assert likeness(face, face, POINTS + 9) == 0


def test_grey_crops_take_no_colour_and_coloured_ones_all() -> None:
    grey = np.random.default_rng(0).random((9, 9, 1)).astype(np.float32).repeat(3, 2)
    assert colour_share(grey) == 0
    assert colour_share(grey * np.array([1, 0.8, 0.7], np.float32)) == 1


def test_a_change_without_colour_keeps_its_light() -> None:
    rng = np.random.default_rng(0)
    offset, painted = rng.random((2, 5, 5, 3)).astype(np.float32)
    change = Change(np.zeros((5, 5, 2), np.float32), offset, np.ones((5, 5), np.float32))
    told = without_colour(change, 0)
    assert np.ptp(told.offset, 2).max() < 1e-6
    np.testing.assert_allclose(told.offset @ LUMA, offset @ LUMA, atol=1e-6)
    assert told.painted is None
    both = Change(change.motion, offset, change.where, change.where, painted)
    np.testing.assert_allclose(without_colour(both, 1).painted, painted, atol=1e-6)
    assert DEFAULT.seen.grey[0] > 0
