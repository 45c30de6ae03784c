"""The blend of the torch path against NumPy's and OpenCV's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.faces.helpers import face68
from videdit.blending import alignment, composite, masks, membrane, tensor_membrane, tensors

POINTS = face68() * 0.22 + (0.5, 0.42)
FACES = 3
LARGEST, MEAN = 0.25 / 255, 0.02 / 255


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors as small as these, threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Faces(NamedTuple):
    """Pictures (n, size, size, 3) and landmarks (n, 68, 2) in crop units."""

    source: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    edited: NDArray[np.float32]
    points: NDArray[np.float64]
    found: NDArray[np.float64]


def faces(size: int) -> Faces:
    """Pictures that resemble each other, with texture to the last pixel, some edited more."""
    rng = np.random.default_rng(size)

    def pictures() -> NDArray[np.float32]:
        coarse = rng.random((FACES, 8, 8, 3)).astype(np.float32)
        big = [cv2.resize(c, (size, size), interpolation=cv2.INTER_CUBIC) for c in coarse]
        fine = rng.random((FACES, size, size, 3)).astype(np.float32)
        return np.clip(0.05 + 0.7 * np.stack(big) + 0.2 * fine, 0, 1).astype(np.float32)

    source = pictures()
    reconstruction = source + 0.15 * (pictures() - source)
    strength = np.float32([0.6, 0.2, 0.0])[:, None, None, None]
    edited = reconstruction + strength * (pictures() - reconstruction)
    points = POINTS + rng.normal(0, 0.01, (FACES, 1, 2))
    found = points + rng.normal(0, 0.02, points.shape)
    return Faces(source, reconstruction, edited, points, found)


def tensor(arrays: NDArray[np.floating], device: str) -> Tensor:
    """(n, h, w[, c]) as (n, c, h, w)."""
    last = arrays if arrays.ndim == 4 else arrays[..., None]
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(last, 3, 1), np.float32)).to(device)


def close(found: Tensor, expected: list[NDArray[np.float32]]) -> None:
    wanted = tensor(np.stack(expected), "cpu")
    assert found.shape == wanted.shape
    assert found.dtype == torch.float32
    error = (found.cpu() - wanted).abs()
    assert error.max() < LARGEST
    assert error.mean() < MEAN


@pytest.mark.parametrize("size", [64, 192, 256, 512])
def test_difference_maps(device: str, size: int) -> None:
    f = faces(size)
    found = tensors.difference_maps(tensor(f.source, device), tensor(f.edited, device))
    close(found, [masks.difference_map(*both) for both in zip(f.source, f.edited, strict=True)])


@pytest.mark.parametrize("size", [64, 192, 256, 512])
def test_match_colours(device: str, size: int) -> None:
    f = faces(size)
    f.source[:, : size // 3, : size // 3] = 1  # something else: its difference is cut off
    f.reconstruction[:, : size // 3, : size // 3] = 0
    found = tensors.match_colours(*(tensor(each, device) for each in f[:3]))
    close(found, [composite.match_colours(*each) for each in zip(*f[:3], strict=True)])


def test_face_regions(device: str) -> None:
    f = faces(64)
    found = tensors.face_regions(f.points, device)
    assert found.device.type == device
    close(found, [masks.face_region(points) for points in f.points])


@pytest.mark.parametrize("size", [64, 256, 512])
def test_edit_masks(device: str, size: int) -> None:
    rng = np.random.default_rng(size)
    change, misfit = (
        np.stack(
            [cv2.resize(rng.random((9, 9)), (64, 64), interpolation=cv2.INTER_LINEAR) * scale
             for scale in scales]
        ).astype(np.float32)
        for scales in ((0.02, 0.2, 0.6), (0.2, 0.05, 0.1))
    )  # fmt: skip
    face = np.stack([masks.face_region(points) for points in faces(64).points])
    found = tensors.edit_masks(*(tensor(each, device) for each in (change, misfit, face)), size)
    close(found, [masks.edit_mask(*each, size) for each in zip(change, misfit, face, strict=True)])
    assert found[1].max() > 0.9
    border = torch.cat((found[:, 0, 0], found[:, 0, -1], found[:, 0, :, 0], found[:, 0, :, -1]))
    assert not border.any()


def test_bending_fields(device: str) -> None:
    f = faces(64)
    found = tensors.bending_fields(
        *(torch.from_numpy(points).float().to(device) for points in (f.points, f.found))
    )
    expected = [alignment.bending_field(*both) for both in zip(f.points, f.found, strict=True)]
    assert found.abs().max() > 0.01
    error = found.cpu() - tensor(np.stack(expected), "cpu")
    assert error.abs().max() < 1e-5


@pytest.mark.parametrize("size", [64, 256])
def test_bend(device: str, size: int) -> None:
    f = faces(size)
    rng = np.random.default_rng(2)
    # Strong enough to look beyond the borders.
    coarse = rng.normal(0, 0.05, (FACES, 4, 4, 2)).astype(np.float32)
    fields = [cv2.resize(c, (48, 48), interpolation=cv2.INTER_CUBIC) for c in coarse]
    found = tensors.bend(tensor(f.source, device), tensor(np.stack(fields), device))
    close(found, [alignment.bend(*both) for both in zip(f.source, fields, strict=True)])
    maps = np.ascontiguousarray(f.source[..., 0])
    found = tensors.bend(tensor(maps, device), tensor(np.stack(fields), device))
    close(found, [alignment.bend(*both) for both in zip(maps, fields, strict=True)])


@pytest.mark.parametrize("size", [8, 32, 64])
def test_membrane(device: str, size: int) -> None:
    rng = np.random.default_rng(size)
    known = rng.random((FACES, size, size, 3)).astype(np.float32) - np.float32(0.5)
    confidence = rng.random((FACES, size, size)).astype(np.float32)
    confidence[1] = confidence[1] ** 30 + 1e-4
    confidence[2] = np.where(np.arange(size) < 2, 0.5, 0)  # nothing is known but at one side
    found = tensor_membrane.membrane(tensor(known, device), tensor(confidence, device))
    close(found, [membrane.membrane(*both) for both in zip(known, confidence, strict=True)])


@pytest.mark.parametrize("size", [256, 512])
def test_composite(device: str, size: int) -> None:
    f = faces(size)
    change, misfit = (
        np.stack([masks.difference_map(*both) for both in zip(one, other, strict=True)])
        for one, other in ((f.reconstruction, f.edited), (f.source, f.reconstruction))
    )
    maps = [tensor(each, device) for each in (change, misfit)]
    pictures = [tensor(each, device) for each in f[:3]]
    colour, alpha = tensors.composite(*pictures, f.points, f.found, *maps)
    expected = [composite.composite(*each) for each in zip(*f, change, misfit, strict=True)]
    close(alpha, [each[1] for each in expected])
    assert alpha[0].max() > 0.9
    assert not alpha[2].any()  # nothing was edited there
    close(colour[:2], [each[0] for each in expected[:2]])

    for k in range(FACES):
        one = slice(k, k + 1)
        single = tensors.composite(
            *(each[one] for each in pictures), f.points[one], f.found[one], *(m[one] for m in maps)
        )
        torch.testing.assert_close(single[0], colour[one], rtol=0, atol=1e-4)
        torch.testing.assert_close(single[1], alpha[one], rtol=0, atol=1e-4)


def test_reduced_pictures(device: str) -> None:
    f = faces(512)
    for size in (512, 256, 64):
        found = tensors.reduced(tensor(f.source, device), size)
        close(
            found,
            [cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in f.source],
        )


PICTURE, MAP = torch.zeros(2, 3, 128, 128), torch.zeros(2, 1, 64, 64)
LANDMARKS = np.zeros((2, 68, 2))


def test_unusable_shapes_and_types_are_refused() -> None:
    with pytest.raises(ValueError, match="averaged"):
        tensors.reduced(PICTURE, 100)
    with pytest.raises(ValueError, match="pictures"):
        tensors.difference_maps(PICTURE, PICTURE[:1])
    with pytest.raises(ValueError, match="float64"):
        tensors.match_colours(PICTURE, PICTURE, PICTURE.double())
    with pytest.raises(ValueError, match="multiple of 64"):
        tensors.difference_maps(PICTURE[:, :, :100, :100], PICTURE[:, :, :100, :100])
    with pytest.raises(ValueError, match="landmarks"):
        tensors.face_regions(LANDMARKS[0], "cpu")
    with pytest.raises(ValueError, match="maps"):
        tensors.edit_masks(MAP, MAP, MAP[:, 0], 64)
    with pytest.raises(ValueError, match="points"):
        tensors.bending_fields(torch.zeros(2, 68, 2), torch.zeros(2, 67, 2))
    with pytest.raises(ValueError, match="fields"):
        tensors.bend(PICTURE, torch.zeros(2, 48, 48, 2))
    with pytest.raises(ValueError, match="confidence"):
        tensor_membrane.membrane(PICTURE, MAP)
    with pytest.raises(ValueError, match="power of two"):
        tensor_membrane.membrane(torch.zeros(1, 3, 36, 36), torch.ones(1, 1, 36, 36))
    with pytest.raises(ValueError, match="number"):
        tensors.composite(PICTURE, PICTURE, PICTURE, LANDMARKS[:1], LANDMARKS, MAP, MAP)
