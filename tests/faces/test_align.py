"""The FFHQ quad, cutting and pasting: geometry to the sub-pixel, no aliasing, borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.faces.helpers import face68
from videdit.faces.align import (
    cut_crop,
    ffhq_quad,
    paste_warp,
    quad_transform,
    resolution_for,
    widened,
)
from videdit.faces.detection import inter_ocular
from videdit.faces.parameters import CropSizes


def layout(
    left_eye: tuple[float, float], right_eye: tuple[float, float], mouth: tuple[float, float]
) -> NDArray[np.float64]:
    """68 points of which only those that the quad depends on are placed."""
    points = np.full((68, 2), 1e4)
    for first, centre in ((36, left_eye), (42, right_eye)):
        angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)
        points[first : first + 6] = np.array(centre) + np.column_stack(
            [8 * np.cos(angles), 3 * np.sin(angles)]
        )
    points[48] = (mouth[0] - 20, mouth[1])
    points[54] = (mouth[0] + 20, mouth[1])
    return points


def square(centre: tuple[float, float], side: float, degrees: float = 0.0) -> NDArray[np.float64]:
    """A quad by hand: TL, BL, BR, TR; positive angles turn clockwise on the screen."""
    a = np.deg2rad(degrees)
    right = np.array([np.cos(a), np.sin(a)]) * side / 2
    down = np.array([-np.sin(a), np.cos(a)]) * side / 2
    c = np.array(centre)
    return np.array([c - right - down, c - right + down, c + right + down, c + right - down])


def reference_quad(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published recipe, word for word (FFHQ download_ffhq.py)."""
    eye_left, eye_right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eye_avg, eye_to_eye = (eye_left + eye_right) * 0.5, eye_right - eye_left
    eye_to_mouth = (points[48] + points[54]) * 0.5 - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


def test_quad_of_an_upright_face() -> None:
    quad = ffhq_quad(layout((400, 300), (480, 300), (440, 390)))
    # Half side max(2 * 80, 1.8 * 90) = 162 around (440, 300 + 9).
    np.testing.assert_allclose(quad, [[278, 147], [278, 471], [602, 471], [602, 147]], atol=1e-9)
    assert np.linalg.norm(quad[1] - quad[0]) == pytest.approx(324)


def test_quad_turns_with_the_face() -> None:
    # The face lies on its right ear: its eyes one above the other, the mouth to the left.
    quad = ffhq_quad(layout((440, 300), (440, 380), (350, 340)))
    top_left, bottom_left, bottom_right, top_right = quad
    assert min(top_left[0], top_right[0]) > 440  # the face's top is on the right
    assert max(bottom_left[0], bottom_right[0]) < 350
    assert top_left[1] < top_right[1]


@given(st.floats(-180, 180), st.floats(20, 800), st.floats(0, 4000), st.floats(0, 4000))
@settings(max_examples=50, deadline=None)
def test_quad_follows_the_published_recipe(
    degrees: float, scale: float, x: float, y: float
) -> None:
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = layout((-50, 4), (48, -3), (7, 95)) @ turn.T * (scale / 100) + (x, y)
    np.testing.assert_allclose(ffhq_quad(points), reference_quad(points), atol=1e-6)
    batch = ffhq_quad(np.stack([points, points + 1]))
    np.testing.assert_allclose(batch[1] - batch[0], 1.0, atol=1e-6)


def test_quad_refuses_what_is_no_face() -> None:
    with pytest.raises(ValueError, match="68"):
        ffhq_quad(np.zeros((5, 2)))
    with pytest.raises(ValueError, match="face"):
        ffhq_quad(np.zeros((68, 2)))
    with pytest.raises(ValueError, match="face"):
        ffhq_quad(np.full((68, 2), np.nan))


def test_transform_takes_corners_to_corners() -> None:
    for quad in (
        square((50.3, 80.1), 70, 33),
        np.array([[0, 0], [3, 40], [50, 44], [38, -2.0]]),
    ):
        matrix = quad_transform(quad, 256)
        mapped = np.column_stack([quad, np.ones(4)]) @ matrix.T
        np.testing.assert_allclose(
            mapped[:, :2] / mapped[:, 2:], [[0, 0], [0, 256], [256, 256], [256, 0]], atol=1e-9
        )
    affine = quad_transform(square((50.3, 80.1), 70, 33), 256)
    np.testing.assert_allclose(affine[2], [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    "quad",
    [
        square((10, 10), 8)[::-1],
        np.zeros((4, 2)),
        np.full((4, 2), np.inf),
        np.zeros((3, 2)),
    ],
)
def test_unusable_quads_are_refused(quad: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="quad"):
        quad_transform(quad, 64)


def test_whole_pixel_crop_is_a_copy() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    quad = square((30, 28), 32)  # columns 14..46, rows 12..44
    crop = cut_crop(frame, quad, 32)
    np.testing.assert_allclose(crop, frame[12:44, 14:46] / np.float32(255), atol=2e-6)
    x, y, patch, coverage = paste_warp(crop, quad, (60, 80))
    assert (x, y, patch.shape) == (14, 12, (32, 32, 3))
    np.testing.assert_allclose(patch, crop, atol=2e-6)
    assert (coverage == 1).all()


def test_quarter_turn_crop_is_a_turned_copy() -> None:
    frame = np.random.default_rng(1).random((50, 50, 3)).astype(np.float32)
    crop = cut_crop(frame, square((25, 25), 20, 90), 20)
    np.testing.assert_allclose(crop, np.rot90(frame[15:35, 15:35]), atol=1e-5)


@pytest.mark.parametrize("side", [16.0, 50.0, 64.0, 90.7, 200.0, 333.3])
def test_no_half_pixel_shift_at_any_scale(side: float) -> None:
    """A ramp tells each sample's position: a shift is the mean of the errors."""
    yy, xx = np.mgrid[:420, :440] + 0.5
    frame = np.dstack([xx / 440, yy / 420, (xx + yy) / 860]).astype(np.float32)
    quad = square((221.3, 208.9), side, 17)
    crop = cut_crop(frame, quad, 64)
    v, u = np.mgrid[:64, :64] + 0.5
    at = np.dstack([u, v, np.ones_like(u)]) @ np.linalg.inv(quad_transform(quad, 64)).T
    expected = np.dstack([at[..., 0] / 440, at[..., 1] / 420, at[..., :2].sum(-1) / 860])
    pixels = (crop - expected)[..., :2] * (440, 420)
    assert np.abs(pixels.mean(axis=(0, 1))).max() < 2e-3 * max(1, side / 64)
    # The bicubic kernel (a = -0.75) wobbles by up to 0.05 source pixel between pixel centres.
    assert np.abs(pixels).max() < 0.05 * max(1, side / 64)


def test_16_bit_and_8_bit_agree() -> None:
    frame8 = np.random.default_rng(2).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    frame16 = frame8.astype(np.uint16) * 257
    for side in (20, 60, 85):
        quad = square((44, 45), side, 12)
        a, b = cut_crop(frame8, quad, 32), cut_crop(frame16, quad, 32)
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.6 / 255)


@pytest.mark.parametrize("period", [2, 3, 4])
@pytest.mark.parametrize("degrees", [0.0, 12.0, 45.0])
def test_fine_patterns_of_a_large_face_average_out(period: int, degrees: float) -> None:
    yy, xx = np.mgrid[:1600, :1600]
    stripes = (xx % period < period / 2).astype(np.uint8) * 255
    checks = ((xx // (period - period // 2) + yy // (period - period // 2)) % 2) * 255
    frame = np.dstack([stripes, checks.astype(np.uint8), stripes.T])
    mean = frame.reshape(-1, 3).mean(axis=0) / 255
    crop = cut_crop(frame, square((800, 800), 1100, degrees), 128)
    assert np.abs(crop - mean).max() < 0.02


def test_reducing_paste_does_not_alias() -> None:
    v, u = np.mgrid[:1024, :1024]
    crop = ((u + v) % 2)[..., None].repeat(3, 2).astype(np.float32)
    left, top, patch, _ = paste_warp(crop, square((100.4, 99.7), 150, 20), (200, 200))
    inner = patch[50 - top : 150 - top, 50 - left : 150 - left]  # clear of the crop's border
    assert np.abs(inner - 0.5).max() < 0.005


def waves(height: int, width: int, length: float) -> NDArray[np.float32]:
    yy, xx = np.mgrid[:height, :width] + 0.5
    k = 2 * np.pi / length
    return np.dstack(
        [
            0.5 + 0.4 * np.sin(k * xx) * np.cos(k * yy),
            0.5 + 0.4 * np.cos(0.7 * k * (xx - yy)),
            0.5 + 0.4 * np.sin(0.9 * k * yy + 1),
        ]
    ).astype(np.float32)


@given(
    st.floats(60, 240),
    st.floats(60, 180),
    st.floats(-180, 180),
    st.floats(30, 260),
    st.sampled_from([64, 100, 256]),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(x: float, y: float, degrees: float, side: float, size: int) -> None:
    reduction = max(1.0, side / size)
    frame = waves(240, 300, 80 * reduction)
    quad = square((x, y), side, degrees)
    left, top, patch, coverage = paste_warp(cut_crop(frame, quad, size), quad, (240, 300))
    h, w = coverage.shape
    inside = coverage == 1
    assert inside.any()
    error = np.abs(patch - frame[top : top + h, left : left + w])
    # The mirror at the frame's border bends the waves within the filters' reach of it.
    reach = int(6 * reduction) + 4
    yy, xx = np.mgrid[top : top + h, left : left + w]
    inside &= (yy >= reach) & (yy < 240 - reach) & (xx >= reach) & (xx < 300 - reach)
    # The crop knows nothing beyond its own border either.
    cx, cy = (
        np.dstack([xx + 0.5, yy + 0.5, np.ones_like(xx)]) @ quad_transform(quad, size).T
    ).transpose(2, 0, 1)[:2]
    rim = 8 * max(1.0, size / side)
    inside &= (cx > rim) & (cx < size - rim) & (cy > rim) & (cy < size - rim)
    if inside.any():
        assert error[inside].max() < 0.02


def test_outside_is_the_mirror_image() -> None:
    frame = np.random.default_rng(3).random((40, 50, 3)).astype(np.float32)
    crop = cut_crop(frame, square((0, 20), 40), 40)  # its left half lies outside
    np.testing.assert_allclose(crop[:, 20:], frame[:, :20], atol=1e-5)
    np.testing.assert_allclose(crop[:, :20], frame[:, :20][:, ::-1], atol=1e-5)


@pytest.mark.parametrize("hw", [(1, 1), (2, 2), (3, 700)])
@pytest.mark.parametrize("side", [2.0, 37.0, 300.0])
def test_tiny_frames_and_quads_far_out(hw: tuple[int, int], side: float) -> None:
    frame = np.random.default_rng(4).integers(0, 256, (*hw, 3), dtype=np.uint8)
    for centre in ((1.0, 1.0), (-3000.0, 5000.0)):
        quad = square(centre, side, 30)
        crop = cut_crop(frame, quad, 32)
        assert crop.shape == (32, 32, 3)
        low, high = frame.min() / 255, frame.max() / 255
        assert low - 1e-3 <= crop.mean() <= high + 1e-3  # false for NaN too
        x, y, patch, coverage = paste_warp(crop, quad, hw)
        assert patch.shape[:2] == coverage.shape
        assert 0 <= x <= x + patch.shape[1] <= hw[1]
        assert 0 <= y <= y + patch.shape[0] <= hw[0]
        assert (patch.size > 0) == (centre == (1.0, 1.0))


def test_coverage_is_the_share_of_each_pixel() -> None:
    crop = np.ones((16, 16, 1), np.float32)
    x, y, patch, coverage = paste_warp(
        crop, np.array([[10.25, 20], [10.25, 30], [20.25, 30], [20.25, 20]]), (60, 60)
    )
    assert (x, y, *patch.shape) == (10, 20, 10, 11, 1)
    np.testing.assert_allclose(coverage[:, 0], 0.75)
    np.testing.assert_allclose(coverage[:, 1:-1], 1.0)
    np.testing.assert_allclose(coverage[:, -1], 0.25)
    _, _, _, turned = paste_warp(crop, square((30, 30), 20, 31), (60, 60))
    assert turned.sum() == pytest.approx(400, rel=2e-3)


def test_masks_keep_their_range_and_channels() -> None:
    mask = np.zeros((64, 64, 6), np.float32)
    mask[16:48, 16:48] = np.arange(6) / 5
    _, _, patch, _ = paste_warp(mask, square((50, 50), 130, 10), (100, 100))
    assert (patch.shape[2], patch.min(), patch.max()) == (6, 0, 1)
    centre = patch[50, 50]
    np.testing.assert_allclose(centre, np.arange(6) / 5, atol=1e-6)


@given(st.floats(-180, 180), st.floats(20, 400), st.floats(0.3, 1.2))
@settings(max_examples=30, deadline=None)
def test_the_quads_side_is_four_inter_ocular_distances(
    degrees: float, size: float, turned: float
) -> None:
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = (face68() * (turned, 1)) @ turn.T * size + 500
    quad = ffhq_quad(points)
    side = np.linalg.norm(quad[1] - quad[0])
    assert side == pytest.approx(4 * float(inter_ocular(points)), rel=1e-9)


@pytest.mark.parametrize(
    ("side", "size"), [(60, 256), (300, 256), (310, 512), (600, 512), (900, 512), (3000, 512)]
)
def test_resolution(side: float, size: int) -> None:
    assert resolution_for(side / 4) == size
    assert resolution_for(side / 4, CropSizes(sizes=(64, 128))) == (64 if side <= 75 else 128)


def test_a_wider_quad_has_the_same_middle() -> None:
    quad = np.array([[30, 20], [10, 100], [90, 120], [110, 40]], np.float64)
    wide = widened(quad, 1.5)
    np.testing.assert_allclose(wide.mean(0), quad.mean(0))
    np.testing.assert_allclose(wide[1] - wide[0], 1.5 * (quad[1] - quad[0]))
