"""Changes steadied over time and applied to frames."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from videdit.blending.change import (
    Change,
    _grain,
    applied,
    softness_of,
    steadied,
)
from videdit.blending.maps import blurred, resized
from videdit.blending.parameters import DEFAULT

SIDE = 64
QUAD = np.array([[30, 20], [10, 100], [90, 120], [110, 40]], np.float64)  # turned, 82.5 px
Picture = NDArray[np.float32]


def change(motion: tuple[float, float] = (0, 0), offset: float = 0, where: float = 1) -> Change:
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[16:48, 16:48] = where
    return Change(
        np.full((SIDE, SIDE, 2), motion, np.float32),
        np.full((SIDE, SIDE, 3), offset, np.float32),
        mask,
    )


def frame(kind: Any = np.uint8, sigma: float = 2) -> NDArray[Any]:
    noise = np.random.default_rng(0).normal(0, 1, (140, 130, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    full = np.iinfo(kind).max
    return np.rint((0.5 + 0.1 * smooth / smooth.std()).clip(0, 1) * full).astype(kind)


def sure(alpha: Picture, rim: int = 3) -> NDArray[np.bool_]:
    return cv2.erode((alpha > 0.99).astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_change_of_nothing_gives_the_frames_own_pixels(kind: Any) -> None:
    rgb = frame(kind, 0.7)
    x, y, colours, alpha = applied(rgb, QUAD, change())
    h, w = alpha.shape
    here = rgb[y : y + h, x : x + w]
    found = np.rint(colours * np.iinfo(kind).max).astype(kind)
    assert np.array_equal(found[alpha > 0], here[alpha > 0])
    assert alpha.max() == 1
    # Half of the crop's side, so a quarter of its area.
    area = 82.46**2
    assert alpha.sum() == pytest.approx(area / 4, rel=0.02)


def test_nothing_changes_nowhere() -> None:
    _, _, colours, alpha = applied(frame(), QUAD, change(where=0))
    assert alpha.size == 0
    assert colours.shape == (0, 0, 3)


def test_motion_is_turned_and_scaled_with_the_crop() -> None:
    rgb = frame(np.uint16)
    x, y, colours, alpha = applied(rgb, QUAD, change(motion=(0.05, -0.02)))
    across, down = QUAD[3] - QUAD[0], QUAD[1] - QUAD[0]
    shift = 0.05 * across - 0.02 * down
    moved = cv2.warpAffine(
        rgb.astype(np.float32) / 65535,
        np.array([[1, 0, shift[0]], [0, 1, shift[1]]]),
        rgb.shape[1::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    )
    h, w = alpha.shape
    apart = np.abs(colours - moved[y : y + h, x : x + w])
    assert apart[sure(alpha)].max() < 0.01


def test_what_is_added() -> None:
    rgb = frame(np.uint16)
    x, y, colours, alpha = applied(rgb, QUAD, change(offset=0.1))
    h, w = alpha.shape
    expected = rgb[y : y + h, x : x + w] / 65535 + 0.1
    assert np.abs(colours - expected)[sure(alpha)].max() < 1e-4


def test_matter_has_the_sources_grain_but_not_its_edges() -> None:
    rng = np.random.default_rng(1)
    rgb = np.full((140, 130, 3), 100.0)
    rgb[:, 60:] = 160  # an edge under what is painted
    rgb = (rgb + rng.normal(0, 4, rgb.shape)).clip(0, 255).round().astype(np.uint8)
    one = change()
    matter = one.where.copy()
    painted = np.full((SIDE, SIDE, 3), 0.2, np.float32)
    painted_change = Change(one.motion, one.offset, one.where, matter, painted)
    _, _, colours, alpha = applied(rgb, QUAD, painted_change)
    inside = colours[sure(alpha, 9)]
    assert inside.mean() == pytest.approx(0.2, abs=0.005)
    assert 2 / 255 < inside.std() < 5 / 255
    assert np.abs(inside - 0.2).max() < 0.07
    smooth = np.full_like(rgb, 100)
    _, _, colours, alpha = applied(smooth, QUAD, painted_change)
    assert np.abs(colours - 0.2)[sure(alpha, 9)].max() < 1e-3


def noisy(step: float) -> NDArray[np.uint16]:
    """Even noise, and an edge down the middle."""
    noise = np.random.default_rng(4).normal(0.2, 0.01, (200, 200, 3))
    noise[:, 100:] += step
    return np.asarray(np.rint(noise.clip(0, 1) * 65535), np.uint16)


def part_of(rgb: NDArray[np.uint16]) -> Picture:
    return np.asarray(rgb / np.float32(65535), np.float32)


def test_grain_is_the_finest_detail_where_there_is_as_much_everywhere() -> None:
    rgb, how = noisy(0), DEFAULT.grain
    pixels = part_of(rgb)
    fine = pixels - blurred(pixels, how.sigma)
    most = how.most * fine.std((0, 1))
    expected = np.clip(fine, -most, most)
    assert np.abs(_grain(pixels, how) - expected).mean() < 0.02 * fine.std()


def test_the_stronger_an_edge_the_less_of_it_is_grain() -> None:
    """With f the edge's detail, grown k times, and what is usual u: 2 u^2 k f / (k f)^2."""
    how, usual = DEFAULT.grain, _grain(part_of(noisy(0)), DEFAULT.grain)
    shown = []
    for step in (0.3, 0.6):
        found = _grain(part_of(noisy(step)), how)
        shown.append(found[:, 100].mean())
        far = np.s_[:, how.reach // 2 + 104 :]
        np.testing.assert_allclose(found[far], usual[far], atol=0.1 * usual.std())
    assert 0 < shown[0] < usual.std()
    assert shown[0] / shown[1] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0])
def test_softness_is_the_blur_that_makes_both_alike(sigma: float) -> None:
    sharp = frame(np.uint16, 0.8)[:128, :128].astype(np.float32) / 65535
    source = cv2.GaussianBlur(sharp, (0, 0), sigma) if sigma else sharp
    weight = np.ones((128, 128), np.float32)
    found = softness_of(np.asarray(source, np.float32), sharp, weight) * 128
    assert found == pytest.approx(sigma, abs=0.15)
    # What is sharper than the generator's is no softer.
    assert softness_of(sharp, np.asarray(source, np.float32), weight) == 0


def test_softness_blurs_what_is_painted() -> None:
    one = change()
    painted = np.zeros((SIDE, SIDE, 3), np.float32)
    painted[:, SIDE // 2 :] = 1
    spread = []
    for softness in (0.0, 3 / SIDE):
        soft = Change(one.motion, one.offset, one.where, one.where, painted, softness)
        _, _, colours, alpha = applied(np.zeros((140, 130, 3), np.uint8), QUAD, soft)
        middle = colours[sure(alpha, 9)]
        spread.append(((middle > 0.1) & (middle < 0.9)).mean())
    assert spread[1] > 2 * spread[0]


def test_steadied_is_the_weighted_mean_but_for_the_painted_pixels() -> None:
    rng = np.random.default_rng(2)
    changes = [
        Change(
            *(rng.random((8, 8, *more)).astype(np.float32) for more in ((2,), (3,), (), ())),
            painted=np.full((8, 8, 3), k, np.float32),
            softness=float(k),
        )
        for k in range(3)
    ]
    weights = np.array([1.0, 2.0, 1.0])
    mean = steadied(changes, weights, 1)
    for name in ("motion", "offset", "where", "matter"):
        maps = [getattr(one, name) for one in changes]
        np.testing.assert_allclose(
            getattr(mean, name), (maps[0] + 2 * maps[1] + maps[2]) / 4, rtol=1e-5
        )
    assert mean.softness == pytest.approx(1)
    assert mean.painted is changes[1].painted
    assert steadied(changes[:1], weights[:1], 0) is changes[0]


def test_resized_keeps_the_mean() -> None:
    picture = np.random.default_rng(3).random((64, 64, 3)).astype(np.float32)
    assert resized(picture, 64) is picture
    np.testing.assert_allclose(resized(picture, 16).mean((0, 1)), picture.mean((0, 1)), rtol=1e-4)
    assert resized(picture[:, :, 0], 128).shape == (128, 128)


def test_a_hidden_face_is_not_changed_and_counts_for_little() -> None:
    one, hidden = (
        Change(
            np.zeros((8, 8, 2), np.float32),
            np.full((8, 8, 3), v, np.float32),
            np.ones((8, 8), np.float32),
            visible=s,
        )
        for v, s in ((0.1, 1.0), (0.9, 0.0))
    )
    weights = np.ones(2)
    assert steadied([one, hidden], weights, 1).visible == 0
    seen = steadied([one, hidden], weights, 0)
    assert seen.visible == 1
    assert np.abs(seen.offset - 0.1).max() < 0.01
    quad = np.array([[0, 0], [0, 8], [8, 8], [8, 0]], np.float64)
    frame = np.full((8, 8, 3), 90, np.uint8)
    assert not applied(frame, quad, hidden)[3].any()


@pytest.mark.parametrize("at", [0.0, 1 / 3, 0.5])
@pytest.mark.parametrize("side", [96, 128, 129])
def test_maps_of_all_sides_and_parts_meet_in_the_frame(at: float, side: int) -> None:
    """Corners on whole pixels and beside them: rounding makes no part larger than the whole."""
    quad = np.array(
        [[at + 7, at + 9], [at + 7, at + 105], [at + 103, at + 105], [at + 103, at + 9]]
    )
    where = np.zeros((96, 96), np.float32)
    where[8:80, 16:88] = 1
    matter = np.zeros((48, 48), np.float32)
    matter[4:40, 8:44] = 1
    for number in range(8):
        a = np.deg2rad(90 * (number % 4) + (number > 3))
        turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        middle = quad.mean(0)
        both = Change(
            motion=np.full((side, side, 2), 0.01, np.float32),
            offset=np.full((33, 33, 3), 0.1, np.float32),
            where=where,
            matter=matter,
            painted=np.full((side, side, 3), 0.5, np.float32),
        )
        _, _, colours, alpha = applied(
            np.full((140, 130, 3), 100, np.uint8), (quad - middle) @ turn + middle, both
        )
        assert colours.shape == (*alpha.shape, 3)
        inner = colours[20:-20, 20:-20]
        np.testing.assert_allclose(inner, 0.5, atol=0.02)
