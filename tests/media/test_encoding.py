from __future__ import annotations

from pathlib import Path

import pytest

from videdit.errors import UsageError
from videdit.media._planes import layout_of
from videdit.media.encoding import EncodeSpec
from videdit.media.probe import probe
from videdit.media.timeline import ColorTags, Timeline


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
        ("yuv420p", "h264_nvenc", (64, 48), "yuv420p", None),
        ("yuv420p", "hevc_nvenc", (63, 48), "yuv444p", "odd"),
        ("yuv420p10le", "h264_nvenc", (64, 48), "yuv420p", "10-bit"),
        ("yuv420p10le", "hevc_nvenc", (64, 48), "p010le", None),
        ("yuv422p12le", "hevc_nvenc", (64, 48), "p010le", "12-bit"),
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
    assert EncodeSpec.for_source(timeline, "hevc_nvenc", 1).crf == 1
    bad = [("divx", None), ("h264", 52), ("h264", -1), ("ffv1", 3), ("h264_nvenc", 0)]
    for codec, crf in bad:
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
