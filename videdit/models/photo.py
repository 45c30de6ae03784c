"""The code of the face in another picture, which editors take regions from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..faces.align import cut_crop, ffhq_quad
from ..inversion.predict import INPUT_SIZE
from ..media.probe import probe
from ..media.reader import FrameReader
from ..media.source import check_source

if TYPE_CHECKING:
    from .networks import Networks


def code_of_photo(networks: Networks, path: Path) -> NDArray[np.float32]:
    """(rows, width) code of the one face in a picture, as the encoder gives it.

    Raises:
        InputError: it cannot be read.
        UsageError: it is a video, no face is in it, or several are.
    """
    check_source(path)
    timeline = probe(path)
    if not timeline.is_image:
        raise UsageError(f"{path.name} is a video", "Give a picture of one person's face.")
    with FrameReader(timeline) as reader:
        (frame,) = reader.read(0, 1)
    found = networks.landmarker.detect(frame.rgb8)
    if len(found) != 1:
        count = f"{len(found)} faces are" if found else "no face is"
        raise UsageError(
            f"{count} to be seen in {path.name}",
            "Give a picture of one person's face, from the front.",
        )
    crop = cut_crop(frame.rgb8, ffhq_quad(found[0].points68), INPUT_SIZE)
    return np.asarray(networks.encoder.encode(crop[None])[0], np.float32)
