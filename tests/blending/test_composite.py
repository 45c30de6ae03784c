from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.blending.composite import composite, match_colours
from videdit.blending.masks import MAP_SIZE, difference_map

SIZE = 256
POINTS = face68() * 0.22 + (0.5, 0.42)
NOTHING = np.zeros((MAP_SIZE, MAP_SIZE), np.float32)


def picture(seed: int = 0) -> np.ndarray:
    """A smooth picture with some texture, in 0.3 to 0.7."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((8, 8, 3)).astype(np.float32)
    fine = rng.random((64, 64, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    texture = cv2.resize(fine, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.35 + 0.25 * smooth + 0.05 * texture, 0.3, 0.7).astype(np.float32)


def mouth_edit() -> np.ndarray:
    """(SIZE, SIZE, 3) what an edit adds: a soft spot at the mouth."""
    axis = (np.arange(SIZE) + 0.5) / SIZE
    centre = POINTS[48:].mean(0)
    squared = (axis[None] - centre[0]) ** 2 + (axis[:, None] - centre[1]) ** 2
    spot = np.exp(-squared / (2 * 0.05**2))
    return (spot[:, :, None] * (0.2, -0.15, 0.1)).astype(np.float32)


def paste(source: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return source + alpha[:, :, None] * (colour - source)


def run(
    source: np.ndarray, reconstruction: np.ndarray, edited: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return composite(
        source,
        reconstruction,
        edited,
        POINTS,
        POINTS,
        difference_map(reconstruction, edited),
        difference_map(source, match_colours(source, reconstruction, reconstruction)),
    )


def test_no_change_pastes_nothing() -> None:
    source = picture()
    colour, alpha = composite(source, picture(1), picture(1), POINTS, POINTS, NOTHING, NOTHING)
    assert colour.shape == (SIZE, SIZE, 3)
    assert alpha.shape == (SIZE, SIZE)
    assert not alpha.any()


def test_a_perfect_reconstruction_gives_the_edit() -> None:
    source, edit = picture(), mouth_edit()
    colour, alpha = run(source, source, source + edit)
    full = alpha > 0.99
    assert full.sum() > 400
    assert np.abs(colour - source - edit)[full].max() < 0.04
    result = paste(source, colour, alpha)
    assert np.array_equal(result[alpha == 0], source[alpha == 0])
    assert np.abs(result - source - edit).max() < 0.06


@pytest.mark.parametrize("tint", [(0.08, -0.05, 0.1), (-0.1, -0.1, -0.1)])
def test_a_tint_of_the_source_is_kept(tint: tuple[float, float, float]) -> None:
    reconstruction, edit = picture(), mouth_edit()
    source = reconstruction + np.float32(tint)
    colour, alpha = run(source, reconstruction, reconstruction + edit)
    full = alpha > 0.99
    assert full.sum() > 400
    assert np.abs(colour - source - edit)[full].max() < 0.04
    assert np.abs(colour - source - edit)[full].mean() < 0.015


def test_the_seam_does_not_show_in_uneven_light() -> None:
    """The source is lit from one side, the reconstruction is not."""
    reconstruction, edit = picture(), mouth_edit()
    light = np.linspace(-0.15, 0.15, SIZE, dtype=np.float32)[None, :, None]
    source = reconstruction + light
    colour, alpha = run(source, reconstruction, reconstruction + edit)
    result = paste(source, colour, alpha)
    rim = (alpha > 0) & (alpha < 0.5)
    assert rim.sum() > 200
    # Against what the edit itself adds there.
    assert np.abs(result - source - edit)[rim].mean() < 0.01


def test_the_edit_follows_the_sources_landmarks() -> None:
    source, edit = picture(), mouth_edit()
    shift = np.array([0.03, 0.0])
    reconstruction = np.roll(source, round(0.03 * SIZE), 1)
    edited = reconstruction + np.roll(edit, round(0.03 * SIZE), 1)
    change = difference_map(reconstruction, edited)
    colour, alpha = composite(
        source, reconstruction, edited, POINTS, POINTS + shift, change, NOTHING
    )
    added = np.maximum((paste(source, colour, alpha) - source)[:, :, 0], 0) * (alpha > 0)
    axis = (np.arange(SIZE) + 0.5) / SIZE
    x = (added.sum(0) @ axis) / added.sum()
    assert abs(x - POINTS[48:].mean(0)[0]) < 0.012


def test_match_colours_adds_the_sources_light() -> None:
    reconstruction, edit = picture(), mouth_edit()
    tint = np.float32([0.08, -0.05, 0.1])
    matched = match_colours(reconstruction + tint, reconstruction, reconstruction + edit)
    np.testing.assert_allclose(matched, reconstruction + edit + tint, atol=1e-4)


def test_the_rim_carries_in_what_colour_matching_leaves() -> None:
    """Colour matching takes no more than 0.25 for a colour; the membrane brings the rest."""
    reconstruction, edit = picture() - 0.3, mouth_edit()
    source = reconstruction + np.float32(0.3)
    colour, alpha = run(source, reconstruction, reconstruction + edit)
    full = alpha > 0.99
    assert full.sum() > 400
    assert np.abs(colour - source - edit)[full].mean() < 0.05


def test_match_colours_leaves_texture_to_the_edit() -> None:
    reconstruction = picture()
    checks = np.indices((SIZE, SIZE)).sum(0) % 2 * 0.1 - 0.05
    source = reconstruction + checks[:, :, None].astype(np.float32)
    matched = match_colours(source, reconstruction, reconstruction)
    assert np.abs(matched - reconstruction).max() < 0.005


def test_something_else_in_the_source_is_no_colour() -> None:
    """A hand over the mouth, far from what the reconstruction shows, tints no more than a bit."""
    reconstruction = picture()
    source = reconstruction.copy()
    source[180:220, 100:160] = 1
    matched = match_colours(source, reconstruction, reconstruction)
    assert np.abs(matched - reconstruction).max() <= 0.26
