from __future__ import annotations

import numpy as np

from videdit.media._colour import convert
from videdit.media._planes import layout_of


def test_prores_gets_limited_range() -> None:
    planes = [np.array([[0, 255]], np.uint8), np.full((1, 1), 128, np.uint8)]
    planes.append(planes[1])
    result = convert(planes, layout_of("yuv422p")[0], layout_of("yuv422p10le")[0], 1, True, False)
    assert result[0].tolist() == [[64, 940]]
    assert result[1].tolist() == [[512]]
