from __future__ import annotations

import numpy as np
import pytest

from videdit.evaluation.pictures import face_mask, ghosts, psnr, seam, ssim

RNG = np.random.default_rng(0)
WHOLE = np.ones((24, 24), bool)


def test_psnr() -> None:
    a = RNG.random((24, 24, 3))
    assert psnr(a, a, WHOLE) == float("inf")
    assert psnr(a, a + 0.1, WHOLE) == pytest.approx(20)
    # Only what is inside counts.
    b, mask = a.copy(), np.zeros((24, 24), bool)
    b[:12] += 0.5
    mask[12:] = True
    assert psnr(a, b, mask) == float("inf")
    assert psnr(a, b, WHOLE) == pytest.approx(-10 * np.log10(0.125))


def slow_ssim(x: np.ndarray, y: np.ndarray, at: tuple[int, int]) -> float:
    """One window of Wang et al.'s definition."""
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    cut = tuple(slice(c - 5, c + 6) for c in at)
    p, q = x[cut], y[cut]
    mx, my = (window * p).sum(), (window * q).sum()
    vx, vy = (window * (p - mx) ** 2).sum(), (window * (q - my) ** 2).sum()
    cov = (window * (p - mx) * (q - my)).sum()
    c1, c2 = 1e-4, 9e-4
    return float((2 * mx * my + c1) * (2 * cov + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2))


def test_ssim_by_its_definition() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    a, b = RNG.random((24, 24, 3)), RNG.random((24, 24, 3))
    mask = np.zeros((24, 24), bool)
    mask[9, 13] = mask[12, 8] = True
    expected = np.mean([slow_ssim(a @ luma, b @ luma, at) for at in ((9, 13), (12, 8))])
    assert ssim(a, b, mask) == pytest.approx(expected, abs=1e-9)
    assert ssim(a, a, WHOLE) == pytest.approx(1)


def test_face_mask() -> None:
    points = np.zeros((68, 2))
    points[:17] = [
        (0.5 - 0.3 * np.cos(t), 0.5 + 0.3 * np.sin(t)) for t in np.linspace(0, np.pi, 17)
    ]
    points[17:27] = [(x, 0.4) for x in np.linspace(0.3, 0.7, 10)]
    points[36:48] = (0.5, 0.5)
    mask = face_mask(points, 100)
    assert mask.shape == (100, 100)
    assert mask[50, 50]
    assert mask[75, 50]
    assert mask[30, 50]  # the forehead above the brows
    assert not mask[85, 50]
    assert not mask[50, 15]


SIDE = 300


def scene() -> np.ndarray:
    """Slow waves of colour, with an outline: where x reaches 200 it is darker."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [np.sin(5 * x + 2 * y), np.cos(4 * y), np.sin(3 * x - 4 * y)]
    picture = 0.5 + 0.1 * np.stack(waves, 2)
    picture[:, 200:] -= 0.2
    return np.asarray(picture, np.float32)


def stepped(picture: np.ndarray, x: int, height: int = SIDE, by: float = 0.3) -> np.ndarray:
    """With a new outline from the top at a column, down to a height: lighter left of it."""
    result = picture.copy()
    result[:height, :x] += by
    return result


def test_ghosts_are_the_share_of_pixels_on_edges_that_nobody_has() -> None:
    source = scene()
    assert ghosts(source, source, source) == 0
    one = ghosts(source, source, stepped(source, 100))
    # A step, smoothed with sigma 1.2, is steep enough to be seen over some 4 to 8 pixels.
    assert 4 / SIDE < one < 8 / SIDE
    two = ghosts(source, source, stepped(stepped(source, 60), 130))
    assert two == pytest.approx(2 * one, rel=0.05)
    # Half as long, and the lower end goes across.
    half = ghosts(source, source, stepped(source, 100, SIDE // 2))
    across = 100 / SIDE * one
    assert half == pytest.approx(one / 2 + across, rel=0.05)


def test_an_edge_that_one_of_them_has_is_no_ghost() -> None:
    source = scene()
    edited = stepped(source, 100)
    assert ghosts(source, edited, edited) == 0
    assert ghosts(edited, source, edited) == 0
    assert ghosts(source, edited, source) == 0  # what is missing is none either
    assert ghosts(source, stepped(source, 100, SIDE // 2), edited) > 1 / SIDE


def test_an_edge_may_move_by_a_hundredth_of_the_side() -> None:
    source = scene()
    edited = stepped(source, 100)
    at_all = ghosts(source, source, edited)
    for x in (97, 98, 102, 103):
        assert ghosts(source, edited, stepped(source, x)) == 0
    for x in (88, 112):
        assert ghosts(source, edited, stepped(source, x)) == pytest.approx(at_all, rel=0.05)


def test_an_edge_may_be_half_as_strong_again() -> None:
    source = scene()
    edited = stepped(source, 100, by=0.2)
    assert ghosts(source, edited, stepped(source, 100, by=0.28)) == 0
    assert ghosts(source, edited, stepped(source, 100, by=0.4)) > 1 / SIDE


def pasted_square() -> np.ndarray:
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[60:160, 60:160] = 1
    return alpha


def test_a_hard_border_is_a_seam() -> None:
    source, alpha = scene(), pasted_square()
    hard = seam(source, source + 0.2 * alpha[:, :, None], alpha)
    assert hard > 3
    assert seam(source, source + 0.05 * alpha[:, :, None], alpha) < hard / 2
    # A slow transition shows less than a fifth of what a hard one does, over the source's own.
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.maximum(np.abs(x - 109.5), np.abs(y - 109.5))
    soft = np.clip((80 - away) / 60, 0, 1).astype(np.float32)
    assert 1 < seam(source, source + 0.2 * soft[:, :, None], soft) < 1 + (hard - 1) / 5


def test_no_change_at_the_rim_is_no_seam() -> None:
    source, alpha = scene(), pasted_square()
    assert seam(source, source, alpha) == 1
    inside = source.copy()
    inside[90:130, 90:130] = 0
    assert seam(source, inside, alpha) == 1  # only the rim counts
    # An outline of the source that the paste took away makes it less than one.
    outlined = source + 0.2 * alpha[:, :, None]
    assert seam(outlined, source, alpha) < 0.5


@pytest.mark.filterwarnings("error")
def test_no_rim_no_seam() -> None:
    source, square = scene(), pasted_square()
    for alpha in (0 * square, 0.45 * square, 0.55 + 0.45 * square):  # one half is never crossed
        assert np.isnan(seam(source, 1 - source, alpha))
