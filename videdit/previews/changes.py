"""What the blend found for a face: its maps, and what became of the crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..blending.change import Change
from ..blending.maps import resized
from ..faces.align import cut_crop
from ..sheet import PANEL
from .pictures import Picture, bytes_of, flow_picture, mask_picture, signed_picture


def change_panels(
    name: str, source: Picture, result: Picture, quad: NDArray[np.float64], change: Change
) -> list[tuple[str, Picture]]:
    """A change's crop before and after, where its pixels go, how they are lit, where the
    generator's are shown, and where anything is touched.

    Args:
        name: of the change.
        source, result: (H, W, 3) the frame before and after.
        quad: (4, 2) of the change's crop.
        change: steadied.
    """
    before, after = (bytes_of(cut_crop(frame, quad, PANEL)) for frame in (source, result))
    flow, longest = flow_picture(
        change.motion * resized(change.where, len(change.motion))[..., None], before
    )
    touched = np.asarray(change.where * np.float32(change.visible), np.float32)
    return [
        (f"{name}: source", before),
        ("result", after),
        (f"flow, longest {longest:.1%} of the crop", flow),
        ("light and colour x3", signed_picture(resized(change.offset, PANEL), 3)),
        (
            "matter: generator's pixels" if change.matter is not None else "no matter",
            mask_picture(change.matter, PANEL),
        ),
        (f"touched ({change.visible:.0%} visible)", mask_picture(touched, PANEL)),
    ]
