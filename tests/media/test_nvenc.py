"""NVIDIA's encoders. None need be there: others, set up in the same way, stand in for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.conftest import all_rgb, packets, pattern, rewrite
from videdit.api import forecast_edit
from videdit.errors import UsageError
from videdit.media.encoding import CODECS, EncodeSpec
from videdit.media.probe import probe
from videdit.media.segments import check_encoder
from videdit.media.timeline import Timeline

Clips = Callable[..., Path]

STANDING_IN = {
    "h264_nvenc": ("libx264", {"bf": "2", "x264-params": "open-gop=0:b-pyramid=none:b-adapt=0"}),
    "hevc_nvenc": ("libx265", {"x265-params": "bframes=0:open-gop=0:log-level=error"}),
}


@pytest.fixture
def standing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (encoder, options) in STANDING_IN.items():
        other = replace(
            CODECS[name], encoder=encoder, options=options, preset="fast", quality="crf"
        )
        monkeypatch.setitem(CODECS, name, other)


@pytest.mark.usefixtures("standing_in")
@pytest.mark.parametrize("codec", STANDING_IN)
def test_joined_segments(plain: Path, tmp_path: Path, codec: str) -> None:
    output = tmp_path / "out.mp4"
    timeline, spec, report = rewrite(plain, output, codec=codec, chunk=9)
    check_encoder(timeline, spec)
    after = probe(output)
    assert after.pts.tolist() == timeline.pts.tolist()
    assert after.keyframes.tolist() == [0, 9, 18]
    assert report.dropped == ()
    difference = np.abs(all_rgb(plain).astype(int) - all_rgb(output))
    assert difference.mean() < 3
    with av.open(str(output)) as container:
        tag = container.streams.video[0].codec_context.codec_tag
    assert tag == {"h264_nvenc": "avc1", "hevc_nvenc": "hvc1"}[codec]


@pytest.mark.parametrize("name", STANDING_IN)
def test_options_are_the_encoder_s(name: str) -> None:
    """FFmpeg leaves those that it does not know aside."""
    traits = CODECS[name]
    known = av.CodecContext.create(traits.encoder, "w").supported_options
    options = {option.name: option for option in (*known.private, *known.generic)}
    assert {*traits.options, "preset", traits.quality} <= {*options}
    for option in ("preset", "rc", "b_ref_mode"):
        asked = {**traits.options, "preset": traits.preset}[option]
        assert asked in [choice.name for choice in options[option].choices]
    encoder = av.Codec(traits.encoder, "w")
    assert encoder.video_formats is not None
    assert {*traits.formats} <= {each.name for each in encoder.video_formats}


def test_one_that_does_not_open_is_an_error_before_the_work(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CODECS, "h264_nvenc", replace(CODECS["h264_nvenc"], preset="none such"))
    cache = tmp_path / "cache"
    settings = {"codec": "h264_nvenc", "cache_dir": cache}
    words = r"h264_nvenc cannot encode 96x64 .*--codec h264 works"
    with pytest.raises(UsageError, match=words) as error:
        forecast_edit(plain, tmp_path / "out.mp4", {"Smiling": 1}, settings=settings)
    assert error.value.exit_code == 2
    assert av.logging.get_level() is None
    assert not list(cache.rglob("manifest.json"))


def test_a_comparison_is_tried_at_its_own_size(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []

    def check(timeline: Timeline, spec: EncodeSpec) -> None:
        sizes.append((timeline.width, timeline.height))

    monkeypatch.setattr("videdit.stages.assemble.check_encoder", check)
    settings = {"codec": "h264_nvenc", "cache_dir": tmp_path / "cache", "compare": "side"}
    forecast_edit(plain, tmp_path / "out.mp4", {"Smiling": 1}, settings=settings)
    assert sizes == [(96, 64), (192, 64)]


def test_it_is_never_chosen(plain: Path) -> None:
    timeline = probe(plain)
    deep = replace(timeline, pix_fmt="yuv420p10le", bit_depth=10)
    for source in (timeline, deep):
        for suffix in (".mp4", ".mkv", ".webm"):
            assert not CODECS[EncodeSpec.for_source(source, suffix=suffix).codec].on_gpu


def opens(codec: str, path: Path) -> bool:
    timeline = probe(path)
    try:
        check_encoder(timeline, EncodeSpec.for_source(timeline, codec))
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("name", STANDING_IN)
def test_where_there_is_one(clips: Clips, tmp_path: Path, name: str) -> None:
    source = clips("large.mp4", *pattern("320x240"), "-c:v libx264 -crf 10 -pix_fmt yuv420p")
    if not opens(name, source):
        pytest.skip("no GPU has this encoder here")
    timeline, _, _ = rewrite(source, tmp_path / "out.mp4", codec=name, chunk=9)
    after = probe(tmp_path / "out.mp4")
    assert after.pts.tolist() == timeline.pts.tolist()
    assert after.keyframes.tolist() == [0, 9, 18]
    assert len(packets(tmp_path / "out.mp4", "video")) == 25
    difference = np.abs(all_rgb(source).astype(int) - all_rgb(tmp_path / "out.mp4"))
    assert difference.mean() < 3
