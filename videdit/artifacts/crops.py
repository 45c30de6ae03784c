"""Crops cut out of the source, as many at a time as the device takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..batches import ahead, batched
from ..device import Device, batch_size, workers
from ..faces.align import cut_crop
from ..media.reader import Frame, FrameReader
from .faces import Faces, faces_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """Some crops of one size.

    Attributes:
        at: their positions in the faces.
        pictures: (n, s, s, 3) float32 RGB in [0, 1]; on a GPU a tensor there, (n, 3, s, s).
    """

    at: list[int]
    pictures: NDArray[np.float32] | Tensor


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

    on_cpu = device.name == "cpu"

    def look(frame: Frame) -> list[tuple[int, NDArray[Any]]]:
        """The crops of a frame, or the frame itself, where another device cuts them."""
        here = faces_of(frame, faces)
        return [(k, cut_crop(rgb, faces.quad[k], size)) for k, rgb in here] if on_cpu else here

    def found() -> Iterator[tuple[int, NDArray[Any]]]:
        for _, here in ahead(reader.read(start, stop), look, workers()):
            yield from here
            tick()

    for batch in batched(found(), batch_size(device)):
        at, pictures = [k for k, _ in batch], [picture for _, picture in batch]
        if on_cpu:
            yield Crops(at, np.stack(pictures))
        else:
            from ..faces.crops import cut_crops

            yield Crops(at, cut_crops(pictures, faces.quad[at], size, device.name))
