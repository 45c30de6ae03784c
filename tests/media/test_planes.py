"""Samples of every format, through the reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.media.conftest import pattern, run_ffmpeg
from videdit.media._planes import frame_from, layout_of, packed, planes_of
from videdit.media.probe import probe
from videdit.media.reader import read_frames

Clips = Callable[..., Path]

FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv411p",
    "yuv410p",
    "yuva420p",
    "yuv420p10le",
    "yuv422p12le",
    "yuv444p16le",
    "yuva444p10le",
    "gray",
    "gray10le",
    "gray16le",
    "bgr0",
    "bgra",
    "gbrp10le",
    "gbrap12le",
    "gbrp16le",
]


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", ["32x18", "19x13"])
def test_planes_hold_the_samples_of_every_format(
    clips: Clips, tmp_path: Path, pix_fmt: str, size: str
) -> None:
    """FFV1 keeps every sample, so ffmpeg's own raw output of the same file is the truth."""
    path = tmp_path / "clip.mkv"
    run_ffmpeg(
        *pattern(size, seconds=0.04),
        "-vf",
        f"format={pix_fmt}",
        "-c:v ffv1 -pix_fmt",
        pix_fmt,
        path,
    )
    timeline = probe(path)
    assert timeline.pix_fmt == pix_fmt
    layout, planes = next(read_frames(timeline)).planes()
    width, height = map(int, size.split("x"))
    raw = run_ffmpeg("-i", path, "-f rawvideo -pix_fmt", pix_fmt, "-")
    values = np.frombuffer(raw, layout.dtype)
    if pix_fmt in ("bgr0", "bgra"):
        packed = values.reshape(height, width, 4)
        expected = [packed[..., (1, 0, 2, 3)[i]] for i in range(len(planes))]
    else:
        sizes = np.cumsum([p.size for p in planes])
        assert sizes[-1] == values.size
        expected = [
            part.reshape(p.shape)
            for p, part in zip(planes, np.split(values, sizes[:-1]), strict=True)
        ]
    for got, truth in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(got, truth)


@pytest.mark.parametrize(
    ("packed", "planar"),
    [
        ("nv12", "yuv420p"),
        ("yuyv422", "yuv422p"),
        ("uyvy422", "yuv422p"),
        ("pal8", "rgba"),
        ("rgb24", "rgb24"),
        ("rgb565le", "rgb24"),
        ("argb", "rgba"),
        ("ya8", "rgba"),
        ("rgb48le", "rgb48le"),
        ("rgb48be", "rgb48le"),
        ("rgba64le", "rgba64le"),
        ("monob", "gray"),
    ],
)
def test_unpacking_moves_samples_only(tmp_path: Path, packed: str, planar: str) -> None:
    """Packed raw video against ffmpeg's own unpacking."""
    path = tmp_path / "clip.nut"
    run_ffmpeg(
        *pattern("32x18", seconds=0.04),
        "-vf",
        f"format={packed}",
        "-c:v rawvideo -pix_fmt",
        packed,
        path,
    )
    timeline = probe(path)
    assert timeline.pix_fmt == packed
    layout, planes = next(read_frames(timeline)).planes()
    flags = ["-vf", f"scale=flags=accurate_rnd+full_chroma_int+bitexact,format={planar}"]
    raw = run_ffmpeg("-i", path, *flags, "-f rawvideo -pix_fmt", planar, "-")
    values = np.frombuffer(raw, layout.dtype)
    if planar.startswith("rgb"):
        values = values.reshape(18, 32, -1)
        expected = [values[..., i] for i in (1, 2, 0, 3)[: len(planes)]]
    else:
        parts = np.split(values, np.cumsum([p.size for p in planes])[:-1])
        expected = [part.reshape(p.shape) for p, part in zip(planes, parts, strict=True)]
    for got, truth in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(got, truth)


@pytest.mark.parametrize(
    ("packed", "planar"),
    [
        ("p010le", "yuv420p10le"),
        ("p210le", "yuv422p10le"),
        ("nv16", "yuv422p"),
        ("nv24", "yuv444p"),
        ("yuv420p10be", "yuv420p10le"),
        ("y210le", "yuv422p10le"),
    ],
)
def test_unpacking_undoes_packing(packed: str, planar: str) -> None:
    layout = layout_of(planar)[0]
    rng = np.random.default_rng(0)
    width, height = 32, 18
    shapes = [(height, width)] + [(-(-height >> layout.sub_h), -(-width >> layout.sub_w))] * 2
    planes = [rng.integers(0, layout.peak + 1, shape).astype(layout.dtype) for shape in shapes]
    frame = frame_from(planes, layout, planar)
    found, unpacked = planes_of(frame.reformat(format=packed))
    assert found == layout
    for got, truth in zip(unpacked, planes, strict=True):
        np.testing.assert_array_equal(got, truth)


def test_p010_holds_the_samples_in_the_high_bits() -> None:
    layout = layout_of("yuv420p10le")[0]
    rng = np.random.default_rng(0)
    planes = [
        rng.integers(0, 1024, shape).astype(np.uint16) for shape in ((18, 32), *[(9, 16)] * 2)
    ]
    frame = packed(planes, layout, "p010le")
    assert frame.format.name == "p010le"
    for got, truth in zip(planes_of(frame)[1], planes, strict=True):
        np.testing.assert_array_equal(got, truth)
    line = frame.planes[0].line_size // 2
    luma = np.frombuffer(frame.planes[0], np.uint16).reshape(-1, line)[:18, :32]
    np.testing.assert_array_equal(luma, planes[0] << 6)
