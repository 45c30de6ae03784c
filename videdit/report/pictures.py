"""Pictures in the page: frames before and after and their faces, as small as they have to be."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..artifacts.blended import ResultReader
from ..artifacts.faces import Faces
from ..faces.align import cut_crop, widened
from ..media.reader import FrameReader
from ..previews.pictures import bytes_of

BUDGET = 3_600_000
"""Characters that all pictures of a page take together."""

LARGEST = 1280
"""Longest side of a frame in the page, pixels."""

MOST_FACES = 3
"""Faces of a frame that are shown from near."""

_THUMBNAIL = 112  # longest side, pixels
_NEAR = (256, 480)  # sides of faces from near, pixels
_SMALL = 0.6  # of the frame's shorter side: faces whose crop is smaller are shown from near
_MARGIN = 1.05  # of the crop: a little around it
_QUALITIES = (86, 74)  # WebP's
_DENSE = 0.05  # bytes a pixel: less than any photograph takes at these qualities

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """A frame that is shown. Pictures (h, w, 3); ``result`` is None where there is none yet.

    Attributes:
        index: of the frame.
        source, result: the frame.
        faces: of each that is small in it, its track and its crop, source and result.
        middle: where the first face is, share of the width.
    """

    index: int
    source: Picture
    result: Picture | None
    faces: Sequence[tuple[int, Picture, Picture]] = ()
    middle: float = 0.5

    @property
    def pictures(self) -> list[Picture]:
        """All of them, source before result."""
        pairs = [self.source, *([] if self.result is None else [self.result])]
        return [*pairs, *(picture for _, *pair in self.faces for picture in pair)]


def read_shown(
    reader: FrameReader,
    results: ResultReader,
    faces_of: Callable[[int], Faces | None],
    frames: Sequence[int],
    size: tuple[int, int],
) -> list[Shown]:
    """The frames to show.

    Args:
        reader: of the source.
        results: of the result.
        faces_of: gives the faces to edit of a frame; None where they are not known.
        frames: which.
        size: the source's width and height, pixels.
    """
    side, ordered = first_side(len(frames), size), sorted(set(frames))
    made: dict[int, Shown] = {}
    found = results.read(ordered)
    following = next(found, None)
    for index in ordered:
        (frame,) = reader.read(index, index + 1)
        result = None
        if following is not None and following[0] == index:
            result, following = eight_bits(following[1]), next(found, None)
        made[index] = _shown(index, frame.rgb8, result, faces_of(index), side)
    return [made[index] for index in frames]


def _shown(
    index: int, source: Picture, result: Picture | None, faces: Faces | None, side: int
) -> Shown:
    height, width = source.shape[:2]
    near, middle = [], 0.5
    if faces is not None and len(faces):
        middle = min(max(float(faces.quad[0][:, 0].mean()) / width, 0.05), 0.95)
    if faces is not None and result is not None:
        for k in range(min(len(faces), MOST_FACES)):
            across = float(np.linalg.norm(faces.quad[k][3] - faces.quad[k][0]))
            if across < _SMALL * min(height, width):
                wanted = int(min(max(across, _NEAR[0]), _NEAR[1]))
                quad = widened(faces.quad[k], _MARGIN)
                pair = [bytes_of(cut_crop(rgb, quad, wanted)) for rgb in (source, result)]
                near.append((int(faces.track[k]), pair[0], pair[1]))
    small = None if result is None else reduced(result, side)
    return Shown(index, reduced(source, side), small, near, middle)


def eight_bits(rgb: NDArray[Any]) -> Picture:
    """A picture of 8 bits, or of 16 over 0..65535, with 8."""
    if rgb.dtype == np.uint8:
        return np.asarray(rgb, np.uint8)
    return ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)


def first_side(count: int, size: tuple[int, int], budget: int = BUDGET) -> int:
    """The longest side at which so many frames, before and after, could fit into a page at best.
    What is kept of them until then is bounded by it.

    Args:
        count: frames.
        size: width and height, pixels.
        budget: characters.
    """
    pixels = budget * 3 / 4 / _DENSE / (2 * max(count, 1))
    share = min(1.0, (pixels / (size[0] * size[1])) ** 0.5)
    return max(1, min(LARGEST, int(share * max(size))))


def reduced(rgb: Picture, side: int) -> Picture:
    """A picture whose longer side is at most ``side`` pixels."""
    height, width = rgb.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return rgb
    shape = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA), np.uint8)


def fitted(pictures: Sequence[Picture], budget: int = BUDGET) -> list[str]:
    """Pictures (h, w, 3) as data URIs that take at most ``budget`` characters together: a lower
    quality first, then smaller pictures, all by the same share."""
    share, qualities = 1.0, list(_QUALITIES)
    while True:
        sized = [reduced(one, max(1, round(share * max(one.shape[:2])))) for one in pictures]
        made = [data_uri(one, qualities[0]) for one in sized]
        over = sum(map(len, made)) / budget
        if over <= 1 or share < 0.01:
            return made
        if len(qualities) > 1:
            qualities.pop(0)
        else:
            share *= min(0.9, over**-0.5)


def thumbnail(rgb: Picture) -> str:
    """A small picture's data URI."""
    return data_uri(reduced(rgb, _THUMBNAIL), _QUALITIES[-1])


def data_uri(rgb: Picture, quality: int) -> str:
    """A picture as WebP, 0 to 100, within a page."""
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    ok, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert ok
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode()}"
