from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media.conftest import pattern, run_ffmpeg
from videdit.errors import StorageError, UsageError
from videdit.files import storage_errors
from videdit.media._planes import convert, layout_of, planes_of
from videdit.media.compose import Patch, compose
from videdit.media.reader import read_frames
from videdit.media.timeline import ColorTags, Timeline, probe
from videdit.media.writer import (
    CODECS,
    SEGMENT_SUFFIX,
    EncodeSpec,
    write_picture,
    write_segment,
)

Clips = Callable[..., Path]


def write(path: Path, timeline: Timeline, spec: EncodeSpec, start: int = 0, stop: int = 5) -> Path:
    frames = (compose(frame) for frame in read_frames(timeline, start, stop))
    assert write_segment(path, timeline, spec, frames) == stop - start
    return path


def decoded(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[p.copy() for p in planes_of(f)[1]] for f in container.decode(video=0)]


@pytest.mark.parametrize("codec", CODECS)
def test_segments_are_the_same_every_time(plain: Path, tmp_path: Path, codec: str) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline, codec)
    first = write(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, 3, 17)
    second = write(tmp_path / f"b{SEGMENT_SUFFIX}", timeline, spec, 3, 17)
    assert first.read_bytes() == second.read_bytes()
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        ticks = sorted(p.pts * stream.time_base for p in container.demux(stream) if p.size)
    wanted = timeline.pts[3:17] * timeline.time_base
    assert [t - ticks[0] for t in ticks] == [t - wanted[0] for t in wanted]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("h264", "yuv420p", "96x64"),
        ("h264", "yuv422p10le", "96x64"),
        ("h264", "yuv444p", "39x27"),
        ("hevc", "yuv420p10le", "96x64"),
        ("ffv1", "yuv411p", "39x27"),
        ("ffv1", "yuva444p10le", "39x27"),
        ("ffv1", "gray16le", "39x27"),
        ("ffv1", "bgr0", "39x27"),
        ("ffv1", "bgra", "39x27"),
        ("ffv1", "gbrap10le", "39x27"),
    ],
)
def test_frames_reach_the_encoder_unchanged(
    tmp_path: Path, codec: str, pix_fmt: str, size: str
) -> None:
    """A lossless encoding of unedited frames decodes to the source's samples."""
    source = tmp_path / "source.mkv"
    run_ffmpeg(
        *pattern(size, seconds=0.4),
        "-vf",
        f"format={pix_fmt}",
        "-c:v ffv1 -pix_fmt",
        pix_fmt,
        source,
    )
    timeline = probe(source)
    spec = EncodeSpec.for_source(timeline, codec)
    assert spec.notes == ()
    if codec == "h264":
        # x264 at 10 bits reaches lossless at crf -12; qp 0 does for all depths.
        spec = EncodeSpec(codec, 0, "fast", spec.pix_fmt, spec.color)
    path = write(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, 0, 10)
    frames = [frame.planes()[1] for frame in read_frames(timeline)]
    result = decoded(path)
    assert len(result) == len(frames)
    for got, planes in zip(result, frames, strict=True):
        for plane, source_plane in zip(got, planes, strict=True):
            if codec == "ffv1" or (codec == "h264" and spec.pix_fmt == "yuv420p"):
                np.testing.assert_array_equal(plane, source_plane)
            else:
                assert np.abs(plane.astype(int) - source_plane).mean() < 4


def fake(plain: Path, pix_fmt: str, size: tuple[int, int] = (64, 48), **values: object) -> Timeline:
    data = probe(plain).to_json()
    data |= {"pix_fmt": pix_fmt, "width": size[0], "height": size[1]}
    layout = layout_of(pix_fmt)[0]
    data |= {"bit_depth": layout.depth, "has_alpha": layout.alpha}
    return Timeline.from_json(data | values)


@pytest.mark.parametrize(
    ("source", "codec", "size", "expected", "note"),
    [
        ("yuv420p", None, (64, 48), "yuv420p", None),
        ("yuvj420p", None, (64, 48), "yuv420p", None),
        ("nv12", "h264", (64, 48), "yuv420p", None),
        ("yuv420p", "h264", (63, 48), "yuv444p", "odd"),
        ("yuv420p", "hevc", (64, 47), "yuv422p", "odd"),
        ("yuv422p", "h264", (64, 47), "yuv422p", None),
        ("yuv420p", "vp9", (63, 47), "yuv420p", None),
        ("yuv422p", "h264", (64, 48), "yuv422p", None),
        ("yuv444p", "h264", (64, 48), "yuv444p", None),
        ("yuv440p", "h264", (64, 48), "yuv444p", None),
        ("yuv411p", "h264", (64, 48), "yuv422p", None),
        ("yuv420p10le", "h264", (64, 48), "yuv420p10le", None),
        ("yuv420p10le", None, (64, 48), "yuv420p10le", None),
        ("p010le", None, (64, 48), "yuv420p10le", None),
        ("yuv422p12le", "hevc", (64, 48), "yuv422p12le", None),
        ("yuv422p12le", "h264", (64, 48), "yuv422p10le", "12-bit"),
        ("yuv420p10le", "vp9", (64, 48), "yuv420p", "10-bit"),
        ("gray", "h264", (64, 48), "yuv420p", None),
        ("gray", "ffv1", (64, 48), "gray", None),
        ("pal8", "h264", (64, 48), "yuv420p", "alpha"),
        ("rgb24", "h264", (64, 48), "yuv420p", "4:2:0"),
        ("rgb24", "ffv1", (64, 48), "bgr0", None),
        ("rgba", "ffv1", (64, 48), "bgra", None),
        ("rgba", "prores", (64, 48), "yuva444p10le", None),
        ("rgba", "vp9", (64, 48), "yuva420p", "4:2:0"),
        ("yuva420p", "vp9", (64, 48), "yuva420p", None),
        ("yuva444p10le", "prores", (64, 48), "yuva444p10le", None),
        ("yuva420p", "h264", (64, 48), "yuv420p", "alpha"),
        ("yuv420p", "prores", (64, 48), "yuv422p10le", None),
    ],
)
def test_the_format_nearest_to_the_source(
    plain: Path,
    source: str,
    codec: str | None,
    size: tuple[int, int],
    expected: str,
    note: str | None,
) -> None:
    spec = EncodeSpec.for_source(fake(plain, source, size), codec)
    assert spec.pix_fmt == expected
    if note is None:
        assert spec.notes == ()
    else:
        assert any(note in text for text in spec.notes)


def test_defaults(plain: Path) -> None:
    timeline = probe(plain)
    assert EncodeSpec.for_source(timeline).codec == "h264"
    assert EncodeSpec.for_source(timeline).crf == 16
    assert EncodeSpec.for_source(timeline, suffix=".webm").codec == "vp9"
    assert EncodeSpec.for_source(fake(plain, "yuv420p10le")).codec == "hevc"
    assert EncodeSpec.for_source(timeline, "prores").crf is None
    for codec, crf in [("divx", None), ("h264", 52), ("h264", -1), ("ffv1", 3)]:
        with pytest.raises(UsageError):
            EncodeSpec.for_source(timeline, codec, crf)


def test_colour_tags(plain: Path) -> None:
    tags = ColorTags(range=1, primaries=9, transfer=16, matrix=9)
    as_json = {"range": 1, "primaries": 9, "transfer": 16, "matrix": 9}
    assert EncodeSpec.for_source(fake(plain, "yuv420p10le", color=as_json)).color == tags
    assert EncodeSpec.for_source(fake(plain, "yuvj420p")).color.range == 2
    rgb = {"range": 2, "primaries": 1, "transfer": 13, "matrix": 0}
    color = EncodeSpec.for_source(fake(plain, "rgb24", color=rgb)).color
    assert color == ColorTags(range=1, primaries=1, transfer=13, matrix=6)
    # Gray keeps its full-range levels.
    assert EncodeSpec.for_source(fake(plain, "gray")).color.range == 2


def test_red_survives_conversion_from_rgb(tmp_path: Path) -> None:
    source = tmp_path / "red.mkv"
    run_ffmpeg(
        "-f",
        "lavfi",
        "-i color=red:size=32x32:duration=0.1 -vf format=bgr0 -c:v ffv1 -pix_fmt bgr0",
        source,
    )
    timeline = probe(source)
    for codec in ("h264", "prores", "vp9"):
        spec = EncodeSpec.for_source(timeline, codec)
        path = write(tmp_path / f"{codec}{SEGMENT_SUFFIX}", timeline, spec, 0, 2)
        with av.open(str(path)) as container:
            rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert np.abs(rgb.astype(int) - (255, 0, 0)).max() <= 6


def test_prores_gets_limited_range() -> None:
    planes = [np.array([[0, 255]], np.uint8), np.full((1, 1), 128, np.uint8)]
    planes.append(planes[1])
    result = convert(planes, layout_of("yuv422p")[0], layout_of("yuv422p10le")[0], 1, True, False)
    assert result[0].tolist() == [[64, 940]]
    assert result[1].tolist() == [[512]]


def test_patched_frames_are_written(plain: Path, tmp_path: Path) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline)
    green = Patch(
        16, 16, np.tile(np.float32([0, 1, 0]), (16, 16, 1)), np.ones((16, 16), np.float32)
    )
    frames = [compose(frame, [green]) for frame in read_frames(timeline, 0, 3)]
    write_segment(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, frames)
    for planes in decoded(tmp_path / f"a{SEGMENT_SUFFIX}"):
        assert abs(int(planes[0][24, 24]) - 145) <= 3


def test_wrong_frames(plain: Path, tmp_path: Path) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline)
    with pytest.raises(ValueError, match="at least one"):
        write_segment(tmp_path / f"a{SEGMENT_SUFFIX}", timeline, spec, [])
    frames = [compose(frame) for frame in read_frames(timeline, 0, 3)]
    with pytest.raises(ValueError, match="follows"):
        write_segment(tmp_path / f"b{SEGMENT_SUFFIX}", timeline, spec, [frames[0], frames[2]])
    with pytest.raises(StorageError, match="does not exist"):
        write_segment(tmp_path / "none" / f"b{SEGMENT_SUFFIX}", timeline, spec, frames)


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "space"), (errno.EROFS, "written"), (errno.EACCES, "written")]
)
def test_storage_errors(tmp_path: Path, code: int, word: str) -> None:
    with pytest.raises(StorageError, match=word), storage_errors(tmp_path / "a"):
        raise OSError(code, "refused")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 255, 32)
    rgb = np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 255 - ramp[None]), -1)
    rgb = rgb.astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    write_picture(path, rgb)
    first = path.read_bytes()
    back = cv2.imread(str(path))[..., ::-1]
    limit = 0 if suffix in (".png", ".tif") else 16
    assert np.abs(back.astype(int) - rgb).max() <= limit
    write_picture(path, rgb)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix == ".jpg":
        assert probe(path).pix_fmt == "yuvj444p"


def test_deep_picture_with_alpha(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (6, 5, 4), np.uint16)
    source = tmp_path / "source.png"
    cv2.imwrite(str(source), pixels)
    timeline = probe(source)
    frame = next(read_frames(timeline))
    result = tmp_path / "result.png"
    write_picture(result, frame.rgb, timeline)
    np.testing.assert_array_equal(cv2.imread(str(result), cv2.IMREAD_UNCHANGED), pixels)


def test_picture_refusals(tmp_path: Path) -> None:
    rgb = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError):
        write_picture(tmp_path / "a.doc", rgb)
    with pytest.raises(StorageError):
        write_picture(tmp_path / "none" / "a.png", rgb)


def test_exif_survives_and_says_upright(tmp_path: Path) -> None:
    from tests.media.test_timeline import jpeg_with_orientation

    source = tmp_path / "source.jpg"
    jpeg_with_orientation(source, 6)
    timeline = probe(source)
    rgb = next(read_frames(timeline)).rgb
    result = tmp_path / "result.jpg"
    write_picture(result, rgb, timeline)
    assert b"Exif\x00\x00" in result.read_bytes()
    again = probe(result)
    assert again.rotation == 0
    assert (again.width, again.height) == (timeline.width, timeline.height)
    assert np.abs(next(read_frames(again)).rgb.astype(int) - rgb).mean() < 3
