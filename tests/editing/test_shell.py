"""Codes held where W's samples lie."""

from __future__ import annotations

import numpy as np
import pytest

from tests.editing.test_editor import affine
from videdit.editing.shell import Shell
from videdit.editing.transformer import EDITED_ROWS, LatentTransformers


def shell(width: int = 512) -> Shell:
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(width, width)))[0]
    scale = np.linspace(2, 0.1, width)
    return Shell(random.normal(size=width).astype(np.float32), (axes / scale).astype(np.float32))


def samples(of: Shell, count: int = 6, spread: float = 0.8) -> np.ndarray:
    """Codes of that spread on average, mixed row by row."""
    whitened = np.random.default_rng(1).normal(0, spread, (count, 16, len(of.mean)))
    return (whitened @ np.linalg.inv(of.whitening) + of.mean).astype(np.float32)


def test_the_spread_of_samples_is_their_standard_deviation() -> None:
    w = shell()
    for spread in (0.5, 1.0, 3.0):
        np.testing.assert_allclose(w.spread(samples(w, spread=spread)), spread, rtol=0.15)


def test_what_lies_too_far_out_is_drawn_to_the_shell_and_the_rest_stays() -> None:
    w = shell()
    edited = samples(w)
    edited[:, :5] = w.mean + 4 * (edited[:, :5] - w.mean)
    held = w.held(edited, samples(w))
    np.testing.assert_allclose(w.spread(held)[:, :5], 1, rtol=1e-4)
    np.testing.assert_array_equal(held[:, 5:], edited[:, 5:])
    # In the same direction from the mean.
    ratio = (held - w.mean)[:, :5] / (edited - w.mean)[:, :5]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[..., :1], ratio.shape), rtol=1e-3)


def test_a_face_that_lies_farther_out_may_stay_there() -> None:
    w = shell()
    far = samples(w, spread=1.7)
    np.testing.assert_array_equal(w.held(far, far), far)
    held = w.held(w.mean + 2 * (far - w.mean), far)
    np.testing.assert_allclose(w.spread(held), w.spread(far), rtol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_long_edits_stay_in_the_shell_and_short_ones_are_untouched(sign: int) -> None:
    w = shell()
    maps = {"Smiling": affine(1)}
    free = LatentTransformers(w.mean, maps, lengths={"Smiling": (0.7, 1.5)})
    held = LatentTransformers(w.mean, maps, lengths={"Smiling": (0.7, 1.5)}, shell=w)
    codes = samples(w)
    alphas = sign * np.array([0, 0.3, 1, 1.0001, 2, 3], np.float32)
    one, other = (editor.move(codes, "Smiling", alphas) for editor in (held, free))
    np.testing.assert_array_equal(one[:3], other[:3])
    np.testing.assert_allclose(one[3], other[3], atol=1e-2)  # it does not begin with a jump
    trained = free.move(codes, "Smiling", np.full(6, sign, np.float32))
    most = np.maximum(np.maximum(w.spread(codes), w.spread(trained)), 1)
    assert (w.spread(one) <= most * 1.0001).all()
    assert (w.spread(other)[5, :EDITED_ROWS] > most[5, :EDITED_ROWS]).any()
    np.testing.assert_array_equal(one[:, EDITED_ROWS:], codes[:, EDITED_ROWS:])
    alone = held.move(codes[5:], "Smiling", alphas[5:])
    np.testing.assert_array_equal(alone[0], one[5])
