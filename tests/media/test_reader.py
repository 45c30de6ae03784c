from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.media.conftest import pattern, run_ffmpeg
from videdit.errors import InputError
from videdit.media._planes import frame_from, layout_of, planes_of
from videdit.media.probe import probe
from videdit.media.reader import read_frames

Clips = Callable[..., Path]

# Name of the clip and how it is coded; every kind of seeking trouble.
SEEKS = {
    "bframes.mp4": ["-c:v libx264 -g 7 -bf 3 -pix_fmt yuv420p"],
    "open.mp4": [
        "-c:v libx264 -x264-params open-gop=1:keyint=8:bframes=3:scenecut=0 -pix_fmt yuv420p"
    ],
    "open_hevc.mkv": [
        "-c:v libx265 -x265-params open-gop=1:keyint=8:log-level=error -pix_fmt yuv420p10le"
    ],
    "refresh.mp4": ["-c:v libx264 -x264-params intra-refresh=1:keyint=8 -pix_fmt yuv420p"],
    "mpeg2.mpg": ["-c:v mpeg2video -g 6 -bf 2 -qscale:v 3"],
    "stream.ts": ["-c:v libx264 -g 8 -pix_fmt yuv420p"],
    "old.avi": ["-c:v mpeg4 -g 8 -qscale:v 3"],
    "web.webm": ["-c:v libvpx-vp9 -g 8 -deadline realtime -cpu-used 8"],
    "vp8.webm": ["-c:v libvpx -g 8 -auto-alt-ref 1 -deadline good"],
    "moving.gif": [],
}


@pytest.mark.parametrize("name", SEEKS)
def test_any_start_gives_the_frames_of_a_full_read(clips: Clips, name: str) -> None:
    timeline = probe(clips(name, *pattern(seconds=1.2), *SEEKS[name]))
    assert len(timeline) == 30
    whole = list(read_frames(timeline))
    assert [frame.index for frame in whole] == list(range(30))
    assert [frame.pts for frame in whole] == timeline.pts.tolist()
    for start, stop in [(0, 3), (5, 9), (7, 8), (13, 30), (16, 19), (29, 30)]:
        part = list(read_frames(timeline, start, stop))
        assert [frame.index for frame in part] == list(range(start, stop))
        for frame in part:
            for got, expected in zip(
                frame.planes()[1], whole[frame.index].planes()[1], strict=True
            ):
                np.testing.assert_array_equal(got, expected)


def test_ranges(plain: Path) -> None:
    timeline = probe(plain)
    assert list(read_frames(timeline, 4, 4)) == []
    for start, stop in [(-1, 3), (5, 4), (0, 26)]:
        with pytest.raises(ValueError, match="not in a timeline"):
            next(read_frames(timeline, start, stop))


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


def test_a_replaced_file_is_noticed(plain: Path, vfr: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(plain.read_bytes())
    timeline = probe(path)
    path.write_bytes(vfr.read_bytes())
    with pytest.raises(InputError, match="not the file it was"):
        list(read_frames(timeline))
    path.unlink()
    with pytest.raises(InputError):
        list(read_frames(timeline))


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_frames(clips: Clips) -> None:
    path = clips(
        "long.mp4", *pattern("480x360", "50", 20), "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
    )
    timeline = probe(path)
    assert len(timeline) == 1000
    early = 0
    for frame in read_frames(timeline):
        assert frame.rgb8.shape == (360, 480, 3)
        if frame.index == 100:
            early = resident()
    # 900 frames of 480x360 are 230 MB.
    assert resident() - early < 10e6
