"""What is drawn on pictures, and where."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.faces.regions import REGIONS, draw_regions
from videdit.previews.pictures import (
    bytes_of,
    closeup,
    difference,
    flow_picture,
    mask_picture,
    named,
    region_panels,
    signed_picture,
    with_points,
    with_quad,
)

GREY = np.full((200, 200, 3), 100, np.uint8)


def centre(mask: np.ndarray) -> list[float]:
    """x and y, continuous pixels."""
    rows, columns = np.nonzero(mask)
    return [float(columns.mean() + 0.5), float(rows.mean() + 0.5)]


def green(picture: np.ndarray) -> np.ndarray:
    return np.asarray((picture[:, :, 1] > 180) & (picture[:, :, 0] < 80))


def test_points_lie_where_they_are() -> None:
    found = with_points(GREY, np.array([[50.0, 120.0]]), size=0.02)
    assert centre(green(found)) == pytest.approx([50, 120], abs=0.3)
    assert (GREY == 100).all()
    assert not green(with_points(GREY, np.zeros((0, 2)))).any()


def test_a_quad_has_a_white_upper_edge() -> None:
    quad = np.array([[40, 50], [40, 150], [140, 150], [140, 50]], float)
    found = with_quad(GREY, quad)
    white = (found > 200).all(2)
    assert centre(white) == pytest.approx([90, 50], abs=1)
    assert centre(green(found))[1] > 100
    assert (found[100:110, 60:120] == 100).all()


def test_a_name_is_written_above_its_points() -> None:
    rows, columns = np.nonzero((named(GREY, "track 1", np.array([[60.0, 90.0]])) != 100).any(2))
    assert rows.max() < 92
    assert rows.min() > 60
    assert columns.min() == pytest.approx(60, abs=3)


def test_a_closeup_holds_the_face() -> None:
    picture = GREY.copy()
    picture[90:110, 90:110] = (200, 0, 0)
    corners = np.array([[90.0, 90.0], [110.0, 110.0]])
    found = closeup(picture, corners, 130)
    # 1.3 times as wide as the points: they are a tenth and a bit from its edges.
    red = (found[:, :, 0] > 180) & (found[:, :, 1] < 60)
    rows, columns = np.nonzero(red)
    assert [columns.min(), columns.max()] == pytest.approx([15, 115], abs=2)
    assert [rows.min(), rows.max()] == pytest.approx([15, 115], abs=2)
    points = green(found)
    assert points[12:19, 12:19].any()
    assert points[112:119, 112:119].any()


def test_regions_lie_over_the_crop_and_in_the_legend() -> None:
    maps = np.zeros((128, 128, len(REGIONS)), np.float32)
    maps[:, :, REGIONS.index("hair")] = 1
    maps[64:, :, REGIONS.index("skin")] = 2
    coloured = GREY.copy()
    coloured[:, :] = (183, 63, 72)  # as light as grey
    crops = [("a", GREY, maps), ("b", coloured, maps[::-1])]
    (_, one), (_, other), (_, legend) = region_panels(crops)
    hair, skin = (
        draw_regions(np.full((1, 1), REGIONS.index(name), np.uint8))[0, 0] / 2 + 50
        for name in ("hair", "skin")
    )
    assert np.abs(one[10, 10] - hair).max() <= 1
    assert np.abs(one[190, 10] - skin).max() <= 1
    assert np.abs(other[10, 10] - skin).max() <= 1
    swatches = (legend[:, 12].astype(int).max(1) < 240).sum()
    assert swatches == 2 * 14
    maps[0, 0] = np.eye(len(REGIONS))[REGIONS.index("hat")] * 9  # a speck
    again = region_panels([("a", GREY, maps)])[-1][1]
    assert np.array_equal(again, legend)


def test_masks_and_differences() -> None:
    mask = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(64, 0)
    shown = mask_picture(mask, 64)
    assert (shown[0, 0, 0], shown[0, -1, 2]) == (0, 255)
    assert mask_picture(mask, 300).shape == (300, 300, 3)
    assert not mask_picture(None, 30).any()
    assert bytes_of(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 128, 255]
    assert signed_picture(np.array([0.0, 0.1, -1.0]), 2).tolist() == [128, 178, 0]
    dark = np.full_like(GREY, 90)
    assert np.unique(difference(GREY, dark, 3)).tolist() == [98]
    assert np.unique(difference(dark, GREY, 3)).tolist() == [158]
    assert np.unique(difference(GREY, GREY, 3)).tolist() == [128]


def test_flow_shows_where_pixels_go() -> None:
    motion = np.zeros((100, 100, 2), np.float32)
    motion[10:50, 10:50, 0] = -0.02  # read from the left: they go to the right
    motion[60:90, 60:90, 1] = 0.01  # read from below: they go up
    picture, longest = flow_picture(motion, np.full((200, 200, 3), 255, np.uint8))
    assert longest == pytest.approx(0.02)
    right, up, still = picture[50, 56].astype(int), picture[150, 158], picture[20:180, 190]
    inked = (picture < 60).all(2)
    assert inked[20:100, 20:100].any()
    assert not inked[:, 185:].any()
    assert (still == 255).all()
    # Red to the right; half as far, half as strong.
    colours = [np.median(picture[a:b, a:b].reshape(-1, 3), 0) for a, b in ((24, 96), (124, 176))]
    assert colours[0].tolist() == pytest.approx([255, 0, 0], abs=3)
    assert colours[1][2] == 255
    assert colours[1].min() == pytest.approx(128, abs=4)
    assert right[0] > 200 or inked[50, 56]
    assert up[2] > 200 or inked[150, 158]
    assert flow_picture(motion * 0, GREY)[1] == 0
