from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.media.conftest import pattern, run_ffmpeg
from videdit.media._colour import convert
from videdit.media._planes import layout_of
from videdit.media.probe import probe
from videdit.media.reader import read_frames


def reference_rgb(
    planes: list[np.ndarray], depth: int, kr: float, kb: float, full: bool, block: tuple[int, int]
) -> np.ndarray:
    """BT.709/601 written out from the standards, in float64, RGB in [0, 1]."""
    y, u, v = (p.astype(float) for p in planes[:3])
    height, width = y.shape
    rows, columns = np.arange(height) // block[1], np.arange(width) // block[0]
    u, v = u[rows][:, columns], v[rows][:, columns]
    unit = 2.0 ** (depth - 8)
    if full:
        peak = 2.0**depth - 1
        y, u, v = y / peak, (u - 128 * unit) / peak, (v - 128 * unit) / peak
    else:
        y = (y - 16 * unit) / (219 * unit)
        u, v = (u - 128 * unit) / (224 * unit), (v - 128 * unit) / (224 * unit)
    red = y + 2 * (1 - kr) * v
    blue = y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 1)


@pytest.mark.parametrize(
    ("pix_fmt", "tags", "weights", "full", "block"),
    [
        ("yuv444p", "range=tv:colorspace=bt709", (0.2126, 0.0722), False, (1, 1)),
        ("yuv420p", "range=pc:colorspace=smpte170m", (0.299, 0.114), True, (2, 2)),
        ("yuv422p10le", "range=tv:colorspace=bt2020nc", (0.2627, 0.0593), False, (2, 1)),
        ("yuv444p10le", "range=pc:colorspace=bt709", (0.2126, 0.0722), True, (1, 1)),
        ("yuv411p", "range=tv", (0.299, 0.114), False, (4, 1)),
    ],
)
def test_rgb_follows_the_standards(
    tmp_path: Path,
    pix_fmt: str,
    tags: str,
    weights: tuple[float, float],
    full: bool,
    block: tuple[int, int],
) -> None:
    path = tmp_path / "clip.mkv"
    run_ffmpeg(
        *pattern("38x24", seconds=0.04),
        "-vf",
        f"format={pix_fmt},setparams={tags}",
        "-c:v ffv1" if pix_fmt == "yuv411p" else "-c:v libx264",
        "-pix_fmt",
        pix_fmt,
        path,
    )
    timeline = probe(path)
    assert timeline.pix_fmt.replace("yuvj", "yuv") == pix_fmt
    assert timeline.full_range is full
    frame = next(read_frames(timeline))
    layout, planes = frame.planes()
    truth = reference_rgb(planes, layout.depth, *weights, full, block)
    peak = 255 if layout.depth == 8 else 65535
    assert frame.rgb.dtype == (np.uint8 if layout.depth == 8 else np.uint16)
    # One 8-bit step: OpenCV rounds 8-bit transforms through fixed point.
    assert np.abs(frame.rgb / peak - truth).max() < (1.1 / 255 if peak == 255 else 1e-4)
    assert np.abs(frame.rgb8 / 255 - truth).max() < 1.1 / 255


def test_prores_gets_limited_range() -> None:
    planes = [np.array([[0, 255]], np.uint8), np.full((1, 1), 128, np.uint8)]
    planes.append(planes[1])
    result = convert(planes, layout_of("yuv422p")[0], layout_of("yuv422p10le")[0], 1, True, False)
    assert result[0].tolist() == [[64, 940]]
    assert result[1].tolist() == [[512]]
