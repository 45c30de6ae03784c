from __future__ import annotations

import numpy as np
import pytest

from videdit.evaluation.pictures import face_mask, psnr, ssim

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
