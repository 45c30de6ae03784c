"""Crops cut out of the source, as many at a time as the device takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..batches import ahead, batched
from ..device import Device, batch_size, workers
from ..faces.align import cut_crop
from ..media.reader import Frame, FrameReader
from .faces import Faces, faces_of


@dataclass(frozen=True)
class Crops:
    """Some crops of one size.

    Attributes:
        at: their positions in the faces.
        pictures: (n, s, s, 3) float32 RGB in [0, 1].
    """

    at: list[int]
    pictures: NDArray[np.float32]


def read_crops(
    reader: FrameReader,
    faces: Faces,
    start: int,
    stop: int,
    size: int,
    device: Device,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Crops]:
    """The crops of the faces in ``start <= frame < stop``, in order.

    Args:
        reader: of the source.
        faces: of at least these frames.
        size: side of the crops, pixels.
        device: that looks at them.
        tick: called once for every frame that was read.
    """

    def cut(frame: Frame) -> list[tuple[int, NDArray[np.float32]]]:
        return [(k, cut_crop(rgb, faces.quad[k], size)) for k, rgb in faces_of(frame, faces)]

    def found() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for _, crops in ahead(reader.read(start, stop), cut, workers()):
            yield from crops
            tick()

    for batch in batched(found(), batch_size(device)):
        yield Crops([k for k, _ in batch], np.stack([crop for _, crop in batch]))
