"""A result beside its source, for sources of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.conftest import packets, pattern, run_ffmpeg, tone
from videdit.errors import UsageError
from videdit.media.compare import (
    COMPARISONS,
    GAIN,
    check_comparison,
    compare,
    compared_frames,
    compared_pictures,
    compared_spec,
    compared_timeline,
    comparison_path,
)
from videdit.media.compose import Patch, Touched, compose, touched_by
from videdit.media.encoding import EncodeSpec
from videdit.media.mux import assemble
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.segments import SEGMENT_SUFFIX, write_segment
from videdit.media.timeline import ColorTags, Timeline

EDITED = range(2, 9)
PATCH = Patch(
    8, 6, np.tile(np.float32([0.9, 0.2, 0.1]), (13, 17, 1)), np.full((13, 17), 0.7, np.float32)
)


def compared(
    source: Path, output: Path, kind: str, codec: str | None = None
) -> tuple[Timeline, EncodeSpec]:
    """Edit some frames of a clip, and write what compares it with its source, in chunks."""
    timeline = probe(source)
    spec = EncodeSpec.for_source(timeline, codec, None, output.suffix)
    wide, own = compared_timeline(timeline, spec, kind), compared_spec(timeline, spec)
    shape = timeline.height, timeline.width
    segments = []
    for start in range(0, len(timeline), 6):
        stop = min(start + 6, len(timeline))
        result = output.with_name(f"{output.name}-{start}{SEGMENT_SUFFIX}")
        frames = read_frames(timeline, start, stop)
        patched = (compose(f, [PATCH] if f.index in EDITED else []) for f in frames)
        write_segment(result, timeline, spec, patched)
        touched = {i: touched_by([PATCH], shape) for i in range(start, stop) if i in EDITED}
        segments.append(output.with_name(f"{output.name}-{start}-both{SEGMENT_SUFFIX}"))
        read = read_frames(timeline, start, stop)
        both = compared_frames(kind, read, result, timeline, spec, touched)
        write_segment(segments[-1], wide, own, both)
    assemble(output, wide, own, segments)
    return timeline, spec


def rgb_of(path: Path) -> np.ndarray:
    """(n, H, W, 3), upright, as the tool itself reads it."""
    return np.stack([frame.rgb8 for frame in read_frames(probe(path))]).astype(int)


def encoded(codec: str, *more: str, size: str = "96x64", rate: str = "25") -> tuple[str, ...]:
    return (*pattern(size, rate, 0.48), "-c:v", codec, *more)


# Name, ffmpeg's words, the comparison's suffix and codec, width and height of the source.
KINDS: dict[str, tuple[tuple[str, ...], str, str | None, int, int]] = {
    "ntsc.mp4": (encoded("libx264 -pix_fmt yuv420p", rate="30000/1001"), ".mp4", None, 96, 64),
    "odd.mkv": (encoded("ffv1 -pix_fmt yuv420p", size="39x27"), ".mp4", "h264", 39, 27),
    "odd-vp9.mkv": (encoded("ffv1 -pix_fmt yuv420p", size="39x27"), ".webm", "vp9", 39, 27),
    "odd-411.mkv": (encoded("ffv1 -pix_fmt yuv411p", size="39x27"), ".mkv", "ffv1", 39, 27),
    "deep.mkv": (encoded("ffv1 -pix_fmt yuv420p10le"), ".mp4", None, 96, 64),
    "grey.mkv": (encoded("ffv1 -pix_fmt gray"), ".mkv", "ffv1", 96, 64),
    "rgb.mkv": (encoded("ffv1 -pix_fmt bgr0"), ".mkv", "ffv1", 96, 64),
    "alpha.mkv": (encoded("ffv1 -pix_fmt yuva420p"), ".webm", "vp9", 96, 64),
    "fields.mkv": (
        encoded("libx264 -pix_fmt yuv420p -flags +ildct+ilme -x264-params tff=1", size="96x96"),
        ".mp4",
        None,
        96,
        96,
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_side_by_side(clips: Callable[..., Path], tmp_path: Path, name: str) -> None:
    words, suffix, codec, width, height = KINDS[name]
    source, output = clips(name, *words), tmp_path / f"out{suffix}"
    timeline, spec = compared(source, output, "side", codec)
    found = probe(output)
    block = 1 << spec.layout.sub_w
    half = -(-width // block) * block
    assert (found.width, found.height, len(found)) == (2 * half, height, len(timeline))
    assert found.has_alpha == (name == "alpha.mkv")
    if suffix == ".mp4":
        np.testing.assert_array_equal(found.times(), timeline.times())
    shown, own = rgb_of(output), rgb_of(source)
    left, right = shown[:, :, :width], shown[:, :, half : half + width]
    assert np.abs(left - own).mean() < (0.01 if codec == "ffv1" else 4)
    changed = np.abs(right - left)[:, 9:16, 11:22].mean((1, 2, 3))
    assert (changed[EDITED.start : EDITED.stop] > 20).all()
    assert (changed[[0, 1, 9, 10, 11]] < 6).all()
    assert np.abs(right - left)[:, :, 30:].mean() < 4


def test_a_variable_rate_that_begins_late_with_its_sound(vfr: Path, tmp_path: Path) -> None:
    for kind in COMPARISONS:
        output = tmp_path / f"{kind}.mp4"
        timeline, _ = compared(vfr, output, kind)
        found = probe(output)
        np.testing.assert_array_equal(
            found.pts * found.time_base, timeline.pts * timeline.time_base
        )
        assert packets(output, "audio") == packets(vfr, "audio")


def test_a_turned_picture_is_upright(plain: Path, tmp_path: Path) -> None:
    turned, output = tmp_path / "turned.mp4", tmp_path / "out.mkv"
    run_ffmpeg("-display_rotation 90 -i", plain, "-c copy", turned)
    timeline, _ = compared(turned, output, "side", "ffv1")
    assert timeline.rotation
    found = probe(output)
    assert (found.width, found.height, found.rotation) == (128, 96, 0)
    assert np.array_equal(rgb_of(output)[0, :, :64], rgb_of(turned)[0])


def test_half_and_half(clips: Callable[..., Path], tmp_path: Path) -> None:
    source = clips("wide.mkv", *encoded("ffv1 -pix_fmt yuv444p", size="41x27"))
    output = tmp_path / "out.mkv"
    compared(source, output, "split", "ffv1")
    shown, own = rgb_of(output)[3], rgb_of(source)[3]
    assert shown.shape == own.shape
    assert np.array_equal(shown[:, :19], own[:, :19])  # edited in the result
    assert shown[:, 19:21].min() >= 250  # the line
    edited = shown[6:19, 21:25] != own[6:19, 21:25]
    assert edited.any(2).all()
    assert np.array_equal(shown[:, 25:], own[:, 25:])


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_a_difference_is_grey_outside_the_edit(plain: Path, tmp_path: Path, codec: str) -> None:
    output = tmp_path / "out.mkv"
    compared(plain, output, "difference", codec)
    with av.open(str(output)) as container:
        shown = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    for index, planes in enumerate(shown):
        luma, chroma = planes[:64].astype(int), planes[64:]
        if index not in EDITED:
            assert (luma == 126).all()
            assert (chroma == 128).all()
            continue
        assert np.abs(luma[6:19, 8:25] - 126).max() > 40
        # H.264 knows blocks of 16 pixels, and smooths their edges.
        far = luma if codec == "ffv1" else luma[:, 36:]
        far = far.copy()
        if codec == "ffv1":
            far[6:19, 8:25] = 126
        assert (far == 126).all()


def test_a_difference_has_its_gain_and_its_place() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(100, 150, (20, 30, 3), np.uint8)
    result = source.copy()
    result[4:9, 5:8, 1] += 10
    result[0, 0, 0] -= 5
    shown = compared_pictures("difference", source, result)
    assert (shown[4:9, 5:8, 1] == 128 + GAIN * 10).all()
    assert shown[0, 0, 0] == 128 - GAIN * 5
    assert (shown == 128).sum() == shown.size - 16
    deep = compared_pictures("difference", *(p.astype(np.uint16) * 257 for p in (source, result)))
    assert deep.dtype == np.uint16
    assert abs(int(deep[5, 6, 1]) - 32768 - GAIN * 2570) <= 1
    side = compared_pictures("side", source, result)
    assert np.array_equal(side, np.hstack([source, result]))


def test_noise_outside_the_edit_is_not_shown() -> None:
    spec = EncodeSpec("h264", 16, "fast", "yuv420p", ColorTags(range=1))
    rng = np.random.default_rng(1)
    source = [rng.integers(60, 180, shape, np.uint8) for shape in ((16, 16), (8, 8), (8, 8))]
    result = [plane + 3 for plane in source]
    where = Touched(5, 4, np.ones((3, 2), np.bool_)).spread((16, 16))
    luma, *chroma = compare(
        "difference", source, result, spec.layout, full=spec.full_range, where=where
    )
    assert (luma[where] == 126 + 3 * GAIN).all()
    assert (luma[~where] == 126).all()
    for plane in chroma:
        assert (plane[2:4, 2:4] == 128 + 3 * GAIN).all()  # every block with such a pixel
        assert (plane == 128).sum() == 64 - 4


def test_what_patches_touch() -> None:
    alpha = np.zeros((6, 6), np.float32)
    alpha[2:5, 1:4] = 0.5
    rgb = np.zeros((6, 6, 3), np.float32)
    found = touched_by([Patch(-2, -3, rgb, alpha), Patch(7, 8, rgb, alpha)], (12, 10))
    whole = found.spread((12, 10))
    expected = np.zeros((12, 10), np.bool_)
    expected[0:2, 0:2] = True  # what is left of it within the frame
    expected[10:12, 8:10] = True
    assert np.array_equal(whole, expected)
    assert not touched_by([Patch(3, 3, rgb, alpha * 0)], (12, 10)).spread((12, 10)).any()
    assert not touched_by([Patch(30, 3, rgb, alpha)], (12, 10)).spread((12, 10)).any()


def test_an_untagged_matrix_is_stated(plain: Path, tmp_path: Path) -> None:
    """Players guess it from the size, and this one is twice as wide."""
    timeline = probe(plain)
    assert timeline.color.matrix is None
    spec = EncodeSpec.for_source(timeline)
    assert compared_spec(timeline, spec).color.matrix == 6
    assert compared_timeline(timeline, spec, "side").matrix == 6
    compared(plain, tmp_path / "out.mp4", "side")
    assert probe(tmp_path / "out.mp4").color.matrix == 6


def test_names_and_sizes() -> None:
    assert comparison_path(Path("a/b.c.mp4"), "side") == Path("a/b.c-side.mp4")
    check_comparison("split", 9000)
    check_comparison("side", 8192)
    with pytest.raises(UsageError, match="wider than 16384"):
        check_comparison("side", 8193)


def test_sound_is_copied(clips: Callable[..., Path], tmp_path: Path) -> None:
    words = (*pattern("39x27", seconds=0.48), *tone(0.48), "-c:v ffv1 -pix_fmt yuv420p -c:a flac")
    source, output = clips("sound.mkv", *words), tmp_path / "out.mkv"
    compared(source, output, "side", "vp9")
    assert [data for data, *_ in packets(output, "audio")] == [
        data for data, *_ in packets(source, "audio")
    ]
