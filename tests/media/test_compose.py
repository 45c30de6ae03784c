from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.media.conftest import pattern, run_ffmpeg
from videdit.media._colour import block_mean, convert
from videdit.media._planes import layout_of, orient
from videdit.media.compose import Patch, compose
from videdit.media.probe import probe
from videdit.media.reader import Frame, read_frames

# Colours well inside the RGB cube, so that nothing is clipped on the way to RGB and back.
MUTED = "colorlevels=romin=0.35:gomin=0.35:bomin=0.35:romax=0.65:gomax=0.65:bomax=0.65"
FORMATS = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv411p",
    "yuv420p10le",
    "gray",
    "bgr0",
    "bgra",
    "gbrp10le",
    "yuva420p",
]


@pytest.fixture(scope="module")
def frame_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Frame]:
    folder = tmp_path_factory.mktemp("frames")

    def make(pix_fmt: str, size: str = "39x27", rotation: int = 0) -> Frame:
        path = folder / f"{pix_fmt}_{size}.mov"
        if not path.exists():
            run_ffmpeg(
                *pattern(size, seconds=0.04),
                "-vf",
                f"{MUTED},format={pix_fmt}",
                "-c:v ffv1 -pix_fmt",
                pix_fmt,
                path,
            )
        if rotation:
            turned = path.with_name(f"{rotation}_{path.name}")
            run_ffmpeg("-display_rotation", str(rotation), "-i", path, "-c copy", turned)
            path = turned
        return next(read_frames(probe(path)))

    return make


def patch_at(x: int, y: int, width: int, height: int, alpha: float = 1) -> Patch:
    rng = np.random.default_rng(1)
    return Patch(
        x,
        y,
        rng.random((height, width, 3), np.float32),
        np.full((height, width), alpha, np.float32),
    )


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_without_patches_or_alpha_nothing_changes(
    frame_of: Callable[..., Frame], pix_fmt: str
) -> None:
    frame = frame_of(pix_fmt)
    _, planes = frame.planes()
    for patches in (
        [],
        [patch_at(3, 5, 11, 7, 0)],
        [patch_at(100, 100, 5, 5), patch_at(-9, 0, 9, 4)],
    ):
        for got, source in zip(compose(frame, patches).planes, planes, strict=True):
            np.testing.assert_array_equal(got, source)


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("rotation", [0, 90])
def test_only_samples_whose_block_has_alpha_change(
    frame_of: Callable[..., Frame], pix_fmt: str, rotation: int
) -> None:
    frame = frame_of(pix_fmt, "40x28", rotation)
    layout, planes = frame.planes()
    height, width = planes[0].shape
    patch = patch_at(7, 5, 10, 9)
    patch.alpha[0, :] = 0
    patch.alpha[3:6, 2:5] = 0
    alpha = np.zeros((height, width), np.float32)
    alpha[5:14, 7:17] = patch.alpha
    result = compose(frame, [patch])
    for number, (got, source) in enumerate(zip(result.planes, planes, strict=True)):
        chroma = layout.kind == "yuv" and number in (1, 2)
        touched = block_mean(alpha, layout.sub_w, layout.sub_h) > 0 if chroma else alpha > 0
        if number == layout.colour_planes:
            touched = np.zeros_like(touched)
        np.testing.assert_array_equal(got[~touched], source[~touched])
        if touched.any():
            assert (got[touched] != source[touched]).mean() > 0.8
    # The source frame itself stays as it was.
    for again, source in zip(frame.planes()[1], planes, strict=True):
        np.testing.assert_array_equal(again, source)


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", ["40x28", "39x27"])
def test_the_source_itself_as_a_patch_changes_almost_nothing(
    frame_of: Callable[..., Frame], pix_fmt: str, size: str
) -> None:
    """Reading to RGB and laying that back are inverse but for rounding and clipping."""
    frame = frame_of(pix_fmt, size)
    layout, planes = frame.planes()
    rgb = frame.rgb
    peak = 255 if rgb.dtype == np.uint8 else 65535
    height, width = rgb.shape[:2]
    whole = Patch(0, 0, (rgb / peak).astype(np.float32), np.ones((height, width), np.float32))
    for number, (got, source) in enumerate(
        zip(compose(frame, [whole]).planes, planes, strict=True)
    ):
        difference = np.abs(got.astype(int) - source.astype(int))
        assert difference.max() <= (1 if layout.depth == 8 else 0), number


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        # BT.601 limited of pure red: Y = 16 + 219 * 0.299, Cb = 128 - 224 * 0.168736, Cr = 240.
        ("yuv420p", (81, 90, 240)),
        ("yuv420p10le", (326, 361, 960)),
        ("bgr0", (0, 0, 255)),
        ("gray", (76,)),
    ],
)
def test_known_colour(
    frame_of: Callable[..., Frame], pix_fmt: str, expected: tuple[int, ...]
) -> None:
    frame = frame_of(pix_fmt)
    red = Patch(2, 2, np.tile(np.float32([1, 0, 0]), (12, 12, 1)), np.ones((12, 12), np.float32))
    layout, _ = frame.planes()
    result = compose(frame, [red])
    for number, value in enumerate(expected):
        chroma = layout.kind == "yuv" and number in (1, 2)
        shift = (layout.sub_h, layout.sub_w) if chroma else (0, 0)
        area = result.planes[number][2 >> shift[0] : 14 >> shift[0], 2 >> shift[1] : 14 >> shift[1]]
        np.testing.assert_array_equal(area, value)


def test_half_alpha_is_the_mean_of_code_values(frame_of: Callable[..., Frame]) -> None:
    frame = frame_of("yuv444p")
    patch = patch_at(4, 4, 8, 8)
    full = compose(frame, [patch]).planes
    half = compose(frame, [Patch(4, 4, patch.rgb, patch.alpha * np.float32(0.5))]).planes
    for source, over, mixed in zip(frame.planes()[1], full, half, strict=True):
        mean = (source.astype(float) + over) / 2
        assert np.abs(mixed - mean).max() <= 1


@given(
    width=st.integers(1, 13),
    height=st.integers(1, 13),
    sub_w=st.integers(0, 2),
    sub_h=st.integers(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_block_mean(width: int, height: int, sub_w: int, sub_h: int) -> None:
    values = np.random.default_rng(width * 17 + height).random((height, width), np.float32)
    means = block_mean(values, sub_w, sub_h)
    for row in range(means.shape[0]):
        for column in range(means.shape[1]):
            block = values[
                row << sub_h : (row + 1) << sub_h, column << sub_w : (column + 1) << sub_w
            ]
            assert means[row, column] == pytest.approx(block.mean(), abs=1e-6)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv411p"])
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_turning_keeps_chroma_at_its_pixels(
    rotation: int, pix_fmt: str, size: tuple[int, int]
) -> None:
    layout = layout_of(pix_fmt)[0]
    height, width = size
    rng = np.random.default_rng(0)
    shapes = [(height, width)] + [(-(-height >> layout.sub_h), -(-width >> layout.sub_w))] * 2
    planes = [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    fine = layout_of("yuv444p")[0]
    truth = [np.rot90(p, -rotation // 90) for p in convert(planes, layout, fine, 1, False, False)]
    turned_layout, turned = orient(layout, planes, rotation, False)
    for got, expected in zip(
        convert(turned, turned_layout, fine, 1, False, False), truth, strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    if size == (8, 12):
        assert turned_layout.sub_w + turned_layout.sub_h == layout.sub_w + layout.sub_h


def test_mismatched_patch(frame_of: Callable[..., Frame], plain: Path) -> None:
    with pytest.raises(ValueError, match="patch"):
        compose(
            next(read_frames(probe(plain))),
            [Patch(0, 0, np.zeros((2, 2, 3), np.float32), np.zeros((3, 2), np.float32))],
        )
