from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from videdit.blending.membrane import membrane

SIZE = 32


def exact(known: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The solution of ``(c - laplacian) h = c g`` by a sparse direct solver."""
    n = len(confidence)
    ones = np.ones(n - 1)
    line = scipy.sparse.diags_array([ones, ones], offsets=[-1, 1])
    line = line - scipy.sparse.diags_array(np.asarray(line.sum(axis=0)))  # mirror borders
    eye = scipy.sparse.eye_array(n)
    laplacian = scipy.sparse.kron(eye, line) + scipy.sparse.kron(line, eye)
    matrix = (scipy.sparse.diags_array(confidence.ravel()) - laplacian).tocsc()
    right = confidence.reshape(-1, 1) * known.reshape(n * n, -1)
    return scipy.sparse.linalg.spsolve(matrix, right).reshape(known.shape)


def hole(size: int, radius: float) -> np.ndarray:
    axis = (np.arange(size) + 0.5) / size - 0.5
    return axis[:, None] ** 2 + axis**2 < radius**2


def confidence_of(kind: str, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return {
        "rim": np.where(hole(size, 0.35), 1e-4, 0.5),
        "large hole": np.where(hole(size, 0.49), 1e-4, 0.5),
        "unknown hole": np.where(hole(size, 0.3), 0, 0.5),
        "scattered": rng.random((size, size)) ** 6,
        "weak": np.full((size, size), 1e-4),
        "one point": np.where(np.arange(size * size).reshape(size, size) == 201, 1.0, 0.0),
        "one side": np.where(np.arange(size) < 1, 0.5, 0.0) * np.ones((size, 1)),
    }[kind].astype(np.float32)


@pytest.mark.parametrize(
    "kind", ["rim", "large hole", "unknown hole", "scattered", "weak", "one point", "one side"]
)
@pytest.mark.parametrize("size", [32, 64])
def test_agrees_with_a_direct_solver(kind: str, size: int) -> None:
    rng = np.random.default_rng(1)
    known = rng.random((size, size, 3)).astype(np.float32)
    confidence = confidence_of(kind, size)
    expected = exact(known.astype(np.float64), confidence.astype(np.float64))
    assert np.abs(membrane(known, confidence) - expected).max() < 4e-3


@pytest.mark.parametrize("kind", ["rim", "unknown hole", "one point"])
def test_a_constant_stays(kind: str) -> None:
    known = np.tile(np.float32([0.2, -0.1, 0]), (SIZE, SIZE, 1))
    np.testing.assert_allclose(membrane(known, confidence_of(kind, SIZE)), known, atol=1e-3)


def test_what_is_unknown_does_not_count() -> None:
    rng = np.random.default_rng(2)
    known = rng.random((SIZE, SIZE, 1)).astype(np.float32)
    other = np.where(hole(SIZE, 0.3)[:, :, None], 5, known).astype(np.float32)
    confidence = confidence_of("unknown hole", SIZE)
    assert np.array_equal(membrane(known, confidence), membrane(other, confidence))


@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_linear_in_what_is_known(seed: int, a: float, b: float) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.standard_normal((2, SIZE, SIZE, 2)).astype(np.float32)
    confidence = rng.random((SIZE, SIZE)).astype(np.float32) * hole(SIZE, 0.4)
    confidence[0, 0] = 1
    mixed = membrane(np.float32(a) * one + np.float32(b) * other, confidence)
    apart = np.float32(a) * membrane(one, confidence) + np.float32(b) * membrane(other, confidence)
    np.testing.assert_allclose(mixed, apart, atol=2e-4)


def test_channels_do_not_mix() -> None:
    known = np.random.default_rng(3).random((SIZE, SIZE, 3)).astype(np.float32)
    confidence = confidence_of("rim", SIZE)
    together = membrane(known, confidence)
    for channel in range(3):
        alone = membrane(known[:, :, channel : channel + 1], confidence)
        np.testing.assert_allclose(alone[:, :, 0], together[:, :, channel], atol=1e-5)
