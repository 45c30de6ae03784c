"""The crops of the torch path against those of OpenCV."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from videdit.faces.align import cut_crop
from videdit.faces.crops import cut_crops

pytestmark = pytest.mark.usefixtures("one_thread")

HEIGHT, WIDTH = 420, 500
SIZE = 48
TOLERANCE = 0.1 / 255
BLOCK_TOLERANCE = 0.5 / 255
"""Where OpenCV averages blocks of 8-bit pixels, it rounds the averages to 8 bits."""


def square(centre: tuple[float, float], side: float, degrees: float = 0.0) -> NDArray[np.float64]:
    """A quad by hand: TL, BL, BR, TR; positive angles turn clockwise on the screen."""
    a = np.deg2rad(degrees)
    right = np.array([np.cos(a), np.sin(a)]) * side / 2
    down = np.array([-np.sin(a), np.cos(a)]) * side / 2
    c = np.array(centre)
    return np.array([c - right - down, c - right + down, c + right + down, c + right - down])


def frame(kind: str, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """Noise, whose every sample differs from its neighbours', or a smooth picture."""
    rng = np.random.default_rng(0)
    if kind == "noise":
        return rng.random((height, width, 3)).astype(np.float32)
    coarse = rng.random((height // 25, width // 25, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 1).astype(np.float32)


def as_type(picture: NDArray[np.float32], dtype: type) -> NDArray[np.generic]:
    if dtype is np.float32:
        return picture
    return np.rint(picture * np.iinfo(dtype).max).astype(dtype)


REDUCTIONS = (0.3, 1, 1.5, 3, 7)
QUADS = np.stack(
    [square((251.3, 210.7), SIZE * r, d) for r in REDUCTIONS for d in (0, 20, -140)]
    + [square(at, SIZE * r, 33) for r in (0.5, 2, 5) for at in ((4, 9), (490, 410), (-900, 1300))]
    + [np.array([[100, 80], [90, 220], [260, 240], [230, 70.0]])]  # no parallelogram
)


def channels_last(pictures: torch.Tensor) -> NDArray[np.float32]:
    return pictures.permute(0, 2, 3, 1).cpu().numpy()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_crops_are_those_of_opencv(device: str, kind: str, dtype: type) -> None:
    """All scales, turns and places in one batch."""
    source = as_type(frame(kind), dtype)
    crops = cut_crops([source] * len(QUADS), QUADS, SIZE, device)
    assert crops.shape == (len(QUADS), 3, SIZE, SIZE)
    assert (crops.dtype, crops.device.type) == (torch.float32, device)
    for k, (crop, quad) in enumerate(zip(channels_last(crops), QUADS, strict=True)):
        side = np.linalg.norm(quad[3] - quad[0])
        # From a reduction by 4 on; the quad that is no parallelogram has one at a corner.
        blocks = dtype == np.uint8 and (side >= 4 * SIZE or k == len(QUADS) - 1)
        error = np.abs(crop - cut_crop(source, quad, SIZE))
        assert error.max() < (BLOCK_TOLERANCE if blocks else TOLERANCE)
        assert error.mean() < (0.2 / 255 if blocks else 0.01 / 255)


def test_a_batch_gives_what_single_calls_give(device: str) -> None:
    frames = [frame("noise"), frame("smooth"), frame("noise", 90, 70)] * 9
    frames = frames[: len(QUADS)]
    together = cut_crops(frames, QUADS, SIZE, device)
    for k, quad in enumerate(QUADS):
        alone = cut_crops(frames[k : k + 1], quad[None], SIZE, device)[0]
        torch.testing.assert_close(together[k], alone, rtol=0, atol=TOLERANCE)


def test_frames_on_the_device_give_the_same_crops(device: str) -> None:
    pictures = np.stack([frame("noise"), frame("smooth")])
    on_device = torch.from_numpy(pictures.transpose(0, 3, 1, 2)).to(device)
    for k in range(0, len(QUADS) - 1, 2):
        torch.testing.assert_close(
            cut_crops(on_device, QUADS[k : k + 2], SIZE),
            cut_crops(list(pictures), QUADS[k : k + 2], SIZE, device),
            rtol=0,
            atol=1e-6,
        )


def test_whole_pixel_crop_is_a_copy(device: str) -> None:
    source = as_type(frame("noise"), np.uint8)
    quad = square((30, 28), 32)[None]  # columns 14..46, rows 12..44
    crop = cut_crops([source], quad, 32, device)
    expected = source[12:44, 14:46] / np.float32(255)
    np.testing.assert_allclose(channels_last(crop)[0], expected, atol=1e-4)


PIXELS = np.zeros((20, 30, 3), np.uint8)
QUAD = square((10, 10), 8)[None]


@pytest.mark.parametrize(
    ("frames", "quads", "message"),
    [
        ([], QUAD[:0], "no frame"),
        ([PIXELS[0]], QUAD, "pixels"),
        ([PIXELS.astype(np.float64)], QUAD, "float64"),
        ([PIXELS, PIXELS.astype(np.float32)], np.repeat(QUAD, 2, 0), "differ"),
        ([PIXELS, PIXELS], QUAD, "quads"),
        ([PIXELS], QUAD[0], "quads"),
        ([PIXELS], QUAD[:, ::-1], "top left"),
        (torch.zeros(1, 3, 20, 30, dtype=torch.float64), QUAD, "float64"),
        (torch.zeros(3, 20, 30), QUAD, "pixels"),
    ],
)
def test_unusable_frames_and_quads_are_refused(
    frames: list[NDArray[np.uint8]], quads: NDArray[np.float64], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cut_crops(frames, quads, 16)


def test_the_numpy_path_does_not_load_kornia() -> None:
    code = (
        "import sys, videdit.faces.align, videdit.blending.transfer, videdit.batches;"
        "print({'torch', 'kornia'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
