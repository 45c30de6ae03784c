"""What the picture classifier is shown of a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from videdit.editing.picture_classifier import CHANNELS, join, look
from videdit.faces.recognition import FaceFeatures


class Face:
    """Stands in for the face network: each of its three grids is one colour of the crop."""

    def __call__(self, crops: torch.Tensor) -> FaceFeatures:
        def grid(colour: int, channels: int, side: int) -> torch.Tensor:
            shrunk = torch.nn.functional.adaptive_avg_pool2d(crops[:, colour, None], side)
            return shrunk.expand(-1, channels, -1, -1)

        return FaceFeatures(grid(0, 256, 28), grid(1, 512, 14), grid(2, 1024, 7))


FACE: Any = Face()


def crops(count: int) -> torch.Tensor:
    """(count, 3, 256, 256), some of it out of range."""
    return torch.rand(count, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2


def means(values: np.ndarray, side: int) -> np.ndarray:
    """Over equal squares, (n, c, side, side)."""
    n, c, height, width = values.shape
    return values.reshape(n, c, side, height // side, side, width // side).mean((3, 5))


def test_looks_are_three_depths_on_one_grid_and_the_small_picture() -> None:
    pictures = crops(2)
    looks = look(FACE, pictures)
    assert looks.features.dtype == torch.float16
    assert looks.picture.dtype == torch.uint8
    shown = np.clip(pictures.double().numpy(), 0, 1)
    np.testing.assert_allclose(looks.picture.numpy(), np.rint(means(shown, 64) * 255), atol=1)
    found = looks.features.float()
    assert found.shape == (2, CHANNELS, 7, 7)
    grids = [part.double() for part in FACE(torch.from_numpy(shown))]
    for first, last, part in ((0, 1024, 2), (1024, 1536, 1), (1536, 1792, 0)):
        expected = torch.from_numpy(means(grids[part].numpy(), 7))
        torch.testing.assert_close(found[:, first:last].double(), expected, atol=1e-3, rtol=0)


def test_faces_looked_at_together_are_those_looked_at_one_by_one() -> None:
    pictures = crops(3)
    together = look(FACE, pictures)
    one_by_one = join([look(FACE, picture[None]) for picture in pictures])
    assert torch.equal(together.features, one_by_one.features)
    assert torch.equal(together.picture, one_by_one.picture)
