"""What arrays become by OpenCV and tensors by PyTorch is the same; and so is a whole change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.blending.test_transfer import POINTS, Picture, regions, texture
from videdit.blending import maps
from videdit.blending.change import Change, applied, on_host, steadied
from videdit.blending.face import Changes, find_changes
from videdit.blending.transfer import Landmarks
from videdit.faces.regions import REGIONS, Touch

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = 64
TOLERANCE = 1e-5


def noise(*shape: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def there(value: Any, device: str) -> Any:
    return torch.from_numpy(value.copy()).to(device) if isinstance(value, np.ndarray) else value


PICTURE, MAP, MANY = noise(SIZE, SIZE, 3), noise(SIZE, SIZE), noise(SIZE, SIZE, 14)
MOTION = 9 * (noise(SIZE, SIZE, 2, seed=1) - 0.5)
FIELD = 0.2 * (noise(12, 12, 2, seed=2) - 0.5)
FRAME = np.rint(noise(90, 110, 3, seed=3) * 255).astype(np.uint8)
QUAD = np.array([[30, 20], [10, 70], [60, 90], [80, 40]], np.float64)
HOLDS = MAP > 0.02

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "smaller": (maps.resized, (PICTURE, 24)),
    "half": (maps.resized, (MANY, SIZE // 2)),
    "larger": (maps.resized, (MAP, 150)),
    "cubic larger": (maps.cubic, (PICTURE, 150)),
    "cubic smaller": (maps.cubic, (MAP, 31)),
    "sized": (maps.sized, (MAP, 150)),
    "blurred": (maps.blurred, (PICTURE, 1.3)),
    "blurred far": (maps.blurred, (MANY, 17.0)),
    "smoothed": (maps.smoothed, (PICTURE, 13.0)),
    "means": (maps.means, (MAP, 9)),
    "means of a small part": (maps.means, (PICTURE[:5, :3].copy(), 9)),
    "dilated": (maps.dilated, (MAP, 3)),
    "inside": (maps.inside, (HOLDS, 4)),
    "inside by one": (maps.inside, (HOLDS, 1)),
    "largest": (maps.largest, (MAP, 5)),
    "shrunk": (maps.shrunk, (MAP, 5)),
    "closed": (maps.closed, (MAP, 5)),
    "moved": (maps.moved, (PICTURE, MOTION)),
    "moved map": (maps.moved, (MAP, MOTION)),
    "moved many": (maps.moved, (MANY, MOTION)),
    "luma": (maps.luma, (PICTURE,)),
    "even": (maps.even, (PICTURE,)),
    "weighed": (maps.weighed, (MANY, (tuple(range(14)), (1.0,) * 14))),
    "most": (maps.most, (MANY,)),
    "the larger": (maps.larger, (MAP, 0.5)),
    "the smaller": (maps.smaller, (MAP, MAP[::-1].copy())),
    "exp": (maps.exp, (MAP,)),
    "where": (maps.where, (HOLDS, MAP, 0.0)),
    "joined": (lambda *both: maps.joined(both), (PICTURE, MAP)),
    "as floats": (maps.as_floats, (HOLDS,)),
    "zeros": (maps.zeros, (MAP, 3, 4)),
    "centres": (lambda like: maps.centres(5, like), (MAP,)),
    "ramp": (maps.ramp, (MAP, (0.2, 0.7))),
    "middle": (maps.middle, (PICTURE,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_tensors_become_what_arrays_become(device: str, name: str) -> None:
    call, arguments = CALLS[name]
    expected = call(*arguments)
    found = call(*(there(value, device) for value in arguments))
    assert isinstance(expected, np.ndarray)
    assert isinstance(found, torch.Tensor)
    assert expected.dtype == np.float32
    assert found.dtype == torch.float32
    assert found.device.type == device
    np.testing.assert_allclose(maps.host(found), expected, atol=TOLERANCE, rtol=1e-5)


@pytest.mark.parametrize("values", [PICTURE, MAP, MANY])
def test_bending_takes_a_field_that_is_an_array(device: str, values: Picture) -> None:
    found = maps.bent(there(values, device), FIELD)
    np.testing.assert_allclose(maps.host(found), maps.bent(values, FIELD), atol=3e-4)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("factor", [0.2, 1, 3])
def test_a_crop_comes_back_into_the_frame_alike(device: str, smooth: bool, factor: float) -> None:
    quad = (QUAD - QUAD.mean(0)) * factor + QUAD.mean(0)
    part = (0.1, 0.0, 0.8, 1.0)
    *where, patch, coverage = maps.in_frame(PICTURE, quad, (90, 110), part, smooth)
    *at, tensor, share = maps.in_frame(there(PICTURE, device), quad, (90, 110), part, smooth)
    assert at == where
    np.testing.assert_allclose(maps.host(tensor), patch, atol=2e-4)
    np.testing.assert_allclose(maps.host(share), coverage, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("reach", [0, 3.7, 30])
def test_frames_are_read_alike(device: str, dtype: type, reach: float) -> None:
    frame = FRAME if dtype is np.uint8 else FRAME.astype(np.uint16) * 257
    columns, rows = (reach * (noise(40, 50, seed=seed) * 2 - 1) for seed in (5, 6))
    expected = maps.read_frame(columns, rows, frame, 55, 45)
    found = maps.read_frame(there(columns, device), there(rows, device), frame, 55, 45)
    # OpenCV rounds to the frame's own type.
    np.testing.assert_allclose(maps.host(found), expected, atol=1.01 / np.iinfo(dtype).max)
    assert np.abs(maps.host(found) - expected).mean() < 0.1 / np.iinfo(dtype).max
    part = maps.frame_part(there(columns, device), frame, 60, 30, 20, 10)
    np.testing.assert_allclose(
        maps.host(part), frame[30:40, 60:80] / np.iinfo(dtype).max, atol=1e-6
    )


def test_crops_are_cut_alike(device: str) -> None:
    found = maps.cut(there(PICTURE, device), FRAME, QUAD, 48)
    np.testing.assert_allclose(maps.host(found), maps.cut(PICTURE, FRAME, QUAD, 48), atol=2e-3)


FACE = (0.25, 0.25, 0.75, 0.85)
BEFORE = regions(
    clothes=(0.1, 0.85, 0.9, 1), hair=(0.2, 0, 0.8, 0.4), skin=FACE, lips=(0.4, 0.6, 0.6, 0.75)
)
OPENED = regions(
    clothes=(0.1, 0.85, 0.9, 1),
    hair=(0.2, 0.02, 0.8, 0.3),
    skin=FACE,
    glasses=(0.3, 0.35, 0.7, 0.45),
    lips=(0.35, 0.58, 0.65, 0.75),
    mouth=(0.42, 0.63, 0.58, 0.7),
)
BALD = regions(clothes=(0.1, 0.85, 0.9, 1), skin=FACE)

TOUCHES = {
    "shape and matter": Touch(
        shape=frozenset({"skin", "lips", "nose"}), matter=frozenset({"mouth", "lips", "glasses"})
    ),
    "hair that goes": Touch(matter=frozenset({"hair"}), shape=frozenset({"skin"})),
    "another colour": Touch(colour=frozenset({"hair"})),
    "lips that move and take another colour": Touch(
        colour=frozenset({"lips"}), shape=frozenset({"skin", "lips"}), tone=False
    ),
    "wrinkles": Touch(shape=frozenset({"skin"}), renewed=frozenset({"skin"}), motion=0.5),
}


class Seen:
    """A parser that knows what it is shown: source, reconstruction, edit, and a wider crop."""

    def __init__(self, *shown: Picture, device: str = "") -> None:
        self._shown, self._device, self._at = shown, device, 0

    def parse(self, crop: Any) -> Any:
        assert isinstance(crop, torch.Tensor) == bool(self._device)
        at, self._at = self._at, self._at + 1
        return there(self._shown[at], self._device) if self._device else self._shown[at]


def soft(maps_: Picture) -> Picture:
    """Borders as uncertain as a network's."""
    return np.asarray(cv2.GaussianBlur(maps_, (0, 0), 1.5), np.float32)


def changes(touch: Touch, after: Picture, device: str) -> tuple[NDArray[np.uint16], Changes]:
    """Of a face that speaks, in a frame of which it fills most; on a device, or in arrays."""
    own, theirs, edited = (texture(seed, 5) for seed in (1, 2, 3))
    theirs, edited = (0.7 * own + 0.3 * other for other in (theirs, edited))
    if touch.colour:
        edited = edited * np.float32([0.5, 0.7, 0.9])
    frame = np.pad(own, ((20, 30), (15, 40), (0, 0)), "reflect")
    rgb = np.rint(frame * 65535).astype(np.uint16)
    quad = np.array([[14, 21], [17, 277], [273, 274], [270, 18]], np.float64)
    points = POINTS.copy()
    points[[67, 66, 65]] += (0, 0.03)
    rng = np.random.default_rng(4)
    shaken = [points + rng.normal(0, 0.006, points.shape) for _ in range(2)]
    shown = [soft(each) for each in (BEFORE, BEFORE, after, BEFORE)]
    pictures = [there(p, device) if device else p for p in (theirs, edited)]
    parse = Seen(*shown, device=device).parse
    return rgb, find_changes(rgb, quad, 256, *pictures, parse, Landmarks(points, *shaken), touch)


@pytest.mark.parametrize("name", TOUCHES)
def test_a_whole_change_is_the_same_on_a_device(device: str, name: str) -> None:
    """Within 1/255 of each pixel of the result: found, steadied over time, applied."""
    touch = TOUCHES[name]
    after = BALD if "goes" in name else OPENED
    rgb, expected = changes(touch, after, "")
    _, found = changes(touch, after, device)
    assert expected
    assert list(found) == list(expected)
    for kind, (quad, change) in expected.items():
        tensors = found[kind][1]
        assert all(
            isinstance(m, torch.Tensor) for m in (tensors.motion, tensors.offset, tensors.where)
        )
        weights = np.array([0.5, 1.0])
        steady = steadied([fainter(change), change], weights, 1)
        there_too = steadied([fainter(tensors), tensors], weights, 1)
        x, y, colours, alpha = applied(rgb, quad, steady)
        *at, colour, share = applied(rgb, quad, there_too)
        assert at == [x, y]
        assert isinstance(colour, np.ndarray)
        assert isinstance(share, np.ndarray)
        assert alpha.max() > 0.5
        part = rgb[y : y + alpha.shape[0], x : x + alpha.shape[1]] / 65535
        one, other = (
            part + a[:, :, None] * (c - part) for c, a in ((colours, alpha), (colour, share))
        )
        assert np.abs(one - part).max() > 8 / 255
        assert np.abs(one - other).max() < 1 / 255


def fainter(change: Change) -> Change:
    """A change of the frame before."""
    return Change(
        motion=change.motion * 0.5,
        offset=change.offset * 0.5,
        where=change.where * 0.5,
        matter=None if change.matter is None else change.matter * 0.5,
        painted=change.painted,
        softness=change.softness,
        visible=change.visible,
    )


def test_maps_come_back_to_the_host(device: str) -> None:
    _, found = changes(TOUCHES["shape and matter"], OPENED, device)
    change = on_host(found["face"][1])
    for values in (change.motion, change.offset, change.where, change.matter, change.painted):
        assert isinstance(values, np.ndarray)


def test_on_the_cpu_arrays_stay_arrays() -> None:
    assert maps.on_device("cpu", PICTURE) is PICTURE


def test_regions_are_summed_by_group() -> None:
    seen = noise(SIZE, SIZE, len(REGIONS))
    found = maps.weighed(seen, ((1.0, *(0.0,) * 13), (0.0, 2.0, *(0.0,) * 12)))
    np.testing.assert_allclose(found, np.stack((seen[:, :, 0], 2 * seen[:, :, 1]), 2), rtol=1e-6)


def test_inside_is_by_distance() -> None:
    holds = np.ones((21, 21), bool)
    holds[10, 10] = False
    y, x = np.indices(holds.shape) - 10
    np.testing.assert_array_equal(maps.inside(holds, 5), x * x + y * y > 25)
    # Beyond the border nothing is known to be otherwise.
    assert maps.inside(np.ones((5, 5), bool), 9).all()


def test_a_wide_blur_is_that_of_the_whole_picture() -> None:
    """Looked at in a smaller picture it differs by what nobody sees."""
    picture = cv2.GaussianBlur(noise(256, 256, 3), (0, 0), 2)
    picture = np.asarray((picture - picture.min()) / np.ptp(picture), np.float32)
    exact = maps.blurred(picture, 24.0)
    assert np.abs(maps.smoothed(picture, 24.0) - exact).max() < 3e-3
    np.testing.assert_array_equal(maps.smoothed(picture, 9.0), maps.blurred(picture, 9.0))
