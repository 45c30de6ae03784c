from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.media.conftest import all_rgb, packets, pattern, rewrite, run_ffmpeg, tone
from videdit.errors import StorageError, UsageError
from videdit.media.compose import compose
from videdit.media.encoding import EncodeSpec
from videdit.media.fields import FIELD_ORDERS
from videdit.media.mux import AssembleReport, assemble
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.media.segments import SEGMENT_SUFFIX, write_segment
from videdit.media.tag import LONGEST_COMMENT, Tag

Clips = Callable[..., Path]
X264 = ("-c:v", "libx264", "-pix_fmt yuv420p")


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    first, second = (x / np.iinfo(x.dtype).max for x in (first, second))
    error = ((first - second) ** 2).mean()
    return float(-10 * np.log10(max(error, 1e-9)))


def check_same(source: Path, output: Path) -> None:
    """Same frames at the same times, same size, same sound packets."""
    before, after = probe(source), probe(output)
    assert [t * after.time_base for t in after.pts.tolist()] == [
        t * before.time_base for t in before.pts.tolist()
    ]
    # (MP4 stores durations in decoding order, so with B-frames the last of uneven ones is unknown.)
    if len(before) > 1 and len(set(before.durations.tolist())) == 1:
        assert after.durations[-1] * after.time_base == before.durations[-1] * before.time_base
    assert (after.width, after.height) == (before.width, before.height)
    assert after.sample_aspect == before.sample_aspect
    assert after.rotation == 0
    assert not after.mirrored
    if any(s.type == "audio" for s in before.streams):
        assert packets(output, "audio") == packets(source, "audio")


@pytest.mark.parametrize("name", ["plain", "vfr"])
def test_times_sound_and_picture(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = request.getfixturevalue(name)
    output = tmp_path / "out.mp4"
    timeline, _, report = rewrite(source, output)
    check_same(source, output)
    assert report.dropped == ()
    assert report.changed == ()
    # To the tick, in the source's own time base.
    after = probe(output)
    assert after.time_base == timeline.time_base
    assert after.pts.tolist() == timeline.pts.tolist()
    assert psnr(all_rgb(source), all_rgb(output)) > 40
    # Nothing temporary is left.
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"out.mp4", "out.mp4.segments"}


def test_the_same_bytes_every_time(vfr: Path, tmp_path: Path) -> None:
    results = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        rewrite(vfr, tmp_path / name / "out.mp4")
        rewrite(vfr, tmp_path / name / "out.mkv")
        results.append([(tmp_path / name / f"out{s}").read_bytes() for s in (".mp4", ".mkv")])
    assert results[0] == results[1]


CLIPS = {
    "ntsc.mp4": [*pattern(rate="30000/1001"), *tone(), *X264, "-c:a aac"],
    "ntsc24.mov": [*pattern(rate="24000/1001"), *tone(), *X264, "-c:a pcm_s16le"],
    "late.mp4": ["-itsoffset 0.73", *pattern(), *tone(2), *X264, "-c:a aac"],
    "late_sound.mp4": [*pattern(), "-itsoffset 0.5", *tone(), *X264, "-c:a aac -map 0:v -map 1:a"],
    "quarter.mov": [*pattern(rate="12.5"), *X264, "-video_track_timescale 25"],
    "wide.mp4": [*pattern(), "-vf setsar=16/11", *X264],
    "one.mp4": [*pattern(), "-frames:v 1", *X264],
    "tiny.mp4": [*pattern("2x2"), *X264],
    "odd.mp4": [*pattern("39x27"), "-c:v libx264 -pix_fmt yuv444p"],
    "gray.mp4": [*pattern(), "-c:v libx264 -pix_fmt gray"],
    "ten.mp4": [*pattern(), "-c:v libx265 -pix_fmt yuv420p10le -x265-params log-level=error"],
    "full.mp4": [*pattern(), "-vf format=yuv420p,setparams=range=pc -c:v libx264"],
    "sound.mkv": [*pattern(), *tone(), *X264, "-c:a libopus"],
    "web.webm": [
        *pattern(),
        *tone(),
        "-c:v libvpx-vp9 -pix_fmt yuv420p -cpu-used 8 -deadline realtime -c:a libopus",
    ],
}


@pytest.mark.parametrize("name", CLIPS)
def test_kinds(clips: Clips, tmp_path: Path, name: str) -> None:
    source = clips(name, *CLIPS[name])
    timeline = probe(source)
    output = tmp_path / f"out{source.suffix}"
    _, _, report = rewrite(source, output)
    check_same(source, output)
    assert report.dropped == ()
    assert report.changed == ()
    assert psnr(all_rgb(source), all_rgb(output)) > 33
    after = probe(output)
    assert after.bit_depth == timeline.bit_depth
    assert after.full_range == timeline.full_range


def test_odd_420_keeps_its_size(clips: Clips, tmp_path: Path) -> None:
    source = clips("odd_gif.gif", *pattern("37x23", "10", 0.5))
    output = tmp_path / "out.mp4"
    _, spec, report = rewrite(source, output)
    check_same(source, output)
    assert spec.pix_fmt == "yuv444p"
    assert any("alpha" in line for line in report.dropped)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotated(plain: Path, tmp_path: Path, angle: int) -> None:
    source = tmp_path / "source.mp4"
    run_ffmpeg("-display_rotation", str(angle), "-i", plain, "-c copy", source)
    output = tmp_path / "out.mp4"
    timeline, _, _ = rewrite(source, output)
    assert timeline.rotation != 0
    check_same(source, output)
    assert psnr(all_rgb(source), all_rgb(output)) > 38


def test_colour_tags(clips: Clips, tmp_path: Path) -> None:
    tags = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=arib-std-b67"
    source = clips(
        "hlg.mp4", *pattern(), "-vf", f"format=yuv420p10le,setparams={tags}", "-c:v libx264"
    )
    for codec in ("h264", "hevc", "prores"):
        output = tmp_path / f"{codec}.mov"
        rewrite(source, output, codec=codec)
        assert probe(output).color == probe(source).color
        assert probe(output).bit_depth == 10


def subtitled(clips: Clips, tmp_path: Path, suffix: str) -> Path:
    """Sound in two languages, a subtitle, chapters, metadata and (MP4) a cover."""
    (tmp_path / "s.srt").write_text("1\n00:00:00,200 --> 00:00:00,700\nHello there\n\n")
    (tmp_path / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=A title\nartist=Somebody\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n"
    )
    cv2.imwrite(str(tmp_path / "cover.png"), np.full((16, 16, 3), 99, np.uint8))
    source = tmp_path / f"rich{suffix}"
    subtitle = "mov_text" if suffix == ".mp4" else "subrip"
    cover = ["-map 5:v -c:v:1 copy -disposition:v:1 attached_pic"]
    run_ffmpeg(
        *pattern(),
        *tone(),
        *tone(),
        "-i",
        tmp_path / "s.srt",
        "-i",
        tmp_path / "meta.txt",
        "-i",
        tmp_path / "cover.png",
        "-map 0:v -map 1:a -map 2:a -map 3:s",
        *(cover if suffix == ".mp4" else []),
        "-map_metadata 4 -map_chapters 4 -c:v:0 libx264 -pix_fmt:v:0 yuv420p -c:a aac -c:s",
        subtitle,
        "-metadata:s:v:0 language=fra -metadata:s:a:0 language=deu",
        "-metadata:s:a:1 language=jpn -metadata:s:s:0 language=eng",
        source,
    )
    return source


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_everything_else_is_kept(clips: Clips, tmp_path: Path, suffix: str) -> None:
    source = subtitled(clips, tmp_path, suffix)
    output = tmp_path / f"out{suffix}"
    _, _, report = rewrite(source, output)
    assert report.dropped == ()
    assert report.changed == ()
    check_same(source, output)
    assert packets(output, "subtitle") == packets(source, "subtitle")
    with av.open(str(source)) as before, av.open(str(output)) as after:

        def outline(container: av.container.InputContainer) -> list[tuple[str, str | None]]:
            return [(s.type, s.language) for s in container.streams if s.type != "data"]

        assert outline(after) == outline(before)
        tags = {name.lower(): value for name, value in after.metadata.items()}
        assert tags["title"] == "A title"
        assert tags["artist"] == "Somebody"
        chapters = [(c["metadata"]["title"], c["start"] * c["time_base"]) for c in after.chapters()]
        assert chapters == [("One", 0), ("Two", Fraction(2, 5))]
    if suffix == ".mp4":
        with av.open(str(source)) as before, av.open(str(output)) as after:
            covers = [next(bytes(p) for p in c.demux(c.streams.video[1])) for c in (before, after)]
        assert covers[0] == covers[1]


TAG = Tag("videdit", "0.1.0", ("Smiling=1.5",), "2026-01-02T03:04:05Z")


def comment_of(path: Path) -> str | None:
    with av.open(str(path), metadata_errors="replace") as container:
        return {k.lower(): v for k, v in container.metadata.items()}.get("comment")


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_an_edited_video_says_so(plain: Path, tmp_path: Path, suffix: str) -> None:
    results = []
    for name in ("a", "b"):
        output = tmp_path / f"{name}{suffix}"
        rewrite(plain, output, tag=TAG)
        results.append(output.read_bytes())
        assert comment_of(output) == TAG.text
    assert results[0] == results[1]
    rewrite(plain, tmp_path / f"c{suffix}")
    assert comment_of(tmp_path / f"c{suffix}") is None


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_a_comment_of_the_source_stays_before_the_tag(
    plain: Path, tmp_path: Path, suffix: str
) -> None:
    source = tmp_path / f"source{suffix}"
    codec = "-c:v libvpx-vp9 -an" if suffix == ".webm" else "-c copy"
    said = "comment=Holiday;#\\=ü"
    run_ffmpeg("-i", plain, codec, "-metadata title=T -metadata", said, source)
    output = tmp_path / f"out{suffix}"
    _, _, report = rewrite(source, output, tag=TAG)
    assert report.dropped == ()
    assert comment_of(output) == f"Holiday;#\\=ü\n{TAG.text}"
    with av.open(str(output)) as container:
        assert {k.lower(): v for k, v in container.metadata.items()}["title"] == "T"


def test_a_phone_s_own_tags_stay_beside_the_tag(plain: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.mov"
    words = "-metadata com.apple.quicktime.model=Phone -metadata com.apple.quicktime.comment=Mine"
    run_ffmpeg("-i", plain, "-c copy -movflags use_metadata_tags", words, source)
    output = tmp_path / "out.mov"
    rewrite(source, output, tag=TAG)
    with av.open(str(output)) as container:
        tags = container.metadata
    assert tags["com.apple.quicktime.model"] == "Phone"
    assert tags["com.apple.quicktime.comment"] == "Mine"
    assert tags["comment"] == TAG.text


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_tags_in_an_encoding_of_their_own_are_no_obstacle(
    plain: Path, tmp_path: Path, suffix: str
) -> None:
    source, output = tmp_path / f"source{suffix}", tmp_path / f"out{suffix}"
    run_ffmpeg("-i", plain, "-c copy -metadata title=QQQQQQQQ", source)
    source.write_bytes(source.read_bytes().replace(b"QQQQQQQQ", b"caf\xe9 \xa5\xff!"))
    rewrite(source, output, tag=TAG)
    assert comment_of(output) == TAG.text


def test_huge_tags_fit_into_a_command_line(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "meta.txt").write_text(
        f";FFMETADATA1\ncomment={'c' * 300_000}\n[STREAM]\ntitle={'t' * 300_000}\n"
    )
    source = tmp_path / "source.mkv"
    run_ffmpeg(
        *("-i", plain, "-i", tmp_path / "meta.txt"),
        *("-map 0:v -c copy -map_metadata 1 -map_metadata:s:v:0 1:s:0", source),
    )
    output = tmp_path / "out.mkv"
    _, _, report = rewrite(source, output, tag=TAG)
    assert comment_of(output) == f"{'c' * LONGEST_COMMENT}\n{TAG.text}"
    assert any("comment" in line for line in report.dropped)


def test_subtitles_are_rewritten_for_another_container(clips: Clips, tmp_path: Path) -> None:
    source = subtitled(clips, tmp_path, ".mkv")
    output = tmp_path / "out.mp4"
    _, _, report = rewrite(source, output)
    assert any("mov_text" in line for line in report.changed)
    text = run_ffmpeg("-i", output, "-map 0:s -f srt -")
    assert b"Hello there" in text


def test_sound_that_the_container_cannot_hold_is_converted(clips: Clips, tmp_path: Path) -> None:
    source = clips(
        "opus.mkv",
        *pattern(),
        *tone(),
        *tone(),
        *X264,
        "-map 0 -map 1 -map 2 -c:a:0 libopus -c:a:1 wmav2",
    )
    output = tmp_path / "out.mp4"
    _, _, report = rewrite(source, output)
    assert report.dropped == ()
    assert report.changed == ("audio stream 2 (wmav2), rewritten as aac",)
    assert [s.codec for s in probe(output).streams if s.type == "audio"] == ["opus", "aac"]


def test_timecode(clips: Clips, tmp_path: Path) -> None:
    source = clips("tc.mov", *pattern(), *X264, "-timecode 01:02:03:04")
    output = tmp_path / "out.mov"
    _, _, report = rewrite(source, output)
    assert report.dropped == ()
    with av.open(str(output)) as container:
        assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"


def test_a_transport_stream_starts_at_zero(clips: Clips, tmp_path: Path) -> None:
    source = clips("stream.ts", *pattern(), *tone(), *X264, "-c:a aac")
    before = probe(source)
    assert before.pts[0] > 0
    output = tmp_path / "out.mp4"
    rewrite(source, output)
    after = probe(output)
    assert np.array_equal(np.diff(after.pts), np.diff(before.pts))

    def gap(path: Path) -> float:
        with av.open(str(path)) as container:
            starts = [s.start_time * s.time_base for s in container.streams]
            return float(starts[0] - starts[1])

    assert float(after.pts[0] * after.time_base) < 0.1
    assert gap(output) == pytest.approx(gap(source), abs=1e-4)
    assert [p[0] for p in packets(output, "audio")]


def test_milliseconds_are_reported(vfr: Path, tmp_path: Path) -> None:
    _, _, report = rewrite(vfr, tmp_path / "out.mkv")
    assert any("times" in line for line in report.changed)
    before, after = probe(vfr), probe(tmp_path / "out.mkv")
    np.testing.assert_allclose(after.times(), before.times(), atol=1.1e-3)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("hevc", ".mp4"), ("vp9", ".mp4"), ("vp9", ".webm"), ("prores", ".mov"), ("ffv1", ".mkv")],
)
def test_codecs(plain: Path, tmp_path: Path, codec: str, suffix: str) -> None:
    source = plain
    output = tmp_path / f"out{suffix}"
    _, _, report = rewrite(source, output, codec=codec)
    after = probe(output)
    np.testing.assert_allclose(after.times(), probe(source).times(), atol=1e-3)
    assert report.dropped == ()
    converted = [line for line in report.changed if "aac" in line]
    assert converted == (["audio stream 1 (aac), rewritten as opus"] if suffix == ".webm" else [])
    assert psnr(all_rgb(source), all_rgb(output)) > (80 if codec == "ffv1" else 36)


def test_refusals(plain: Path, tmp_path: Path) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline)
    segment = tmp_path / f"a{SEGMENT_SUFFIX}"
    write_segment(segment, timeline, spec, map(compose, read_frames(timeline)))
    (tmp_path / "folder.mp4").mkdir()
    for name, error in {
        "a.avi": UsageError,
        "a.webm": UsageError,
        "none/a.mp4": StorageError,
        "folder.mp4": StorageError,
    }.items():
        with pytest.raises(error):
            assemble(tmp_path / name, timeline, spec, [segment])
    assert {p.name for p in tmp_path.iterdir()} == {segment.name, "folder.mp4"}


def test_bad_segments_leave_nothing_behind(plain: Path, tmp_path: Path) -> None:
    timeline = probe(plain)
    spec = EncodeSpec.for_source(timeline)
    folder = tmp_path / "segments"
    folder.mkdir()
    segments = []
    for start, stop in [(0, 10), (10, 25)]:
        segments.append(folder / f"{start}{SEGMENT_SUFFIX}")
        write_segment(
            segments[-1], timeline, spec, map(compose, read_frames(timeline, start, stop))
        )
    output = tmp_path / "out.mp4"
    output.write_bytes(b"the one from before")
    broken = folder / f"broken{SEGMENT_SUFFIX}"
    shutil.copy(segments[1], broken)
    os.truncate(broken, broken.stat().st_size // 2)
    lossless = folder / f"other{SEGMENT_SUFFIX}"
    other = EncodeSpec(spec.codec, spec.crf, spec.preset, "yuv444p", spec.color)
    write_segment(lossless, timeline, other, map(compose, read_frames(timeline, 10, 25)))
    for wrong in (
        segments[:1],
        [segments[0], segments[0]],
        [*segments, segments[0]],
        [segments[0], broken],
        [segments[0], lossless],
        [segments[0], folder / "missing"],
    ):
        with pytest.raises(StorageError):
            assemble(output, timeline, spec, wrong)
        assert {p.name for p in tmp_path.iterdir()} == {"segments", "out.mp4"}
        assert output.read_bytes() == b"the one from before"
    assemble(output, timeline, spec, segments)
    assert len(probe(output)) == 25


def test_chunking_does_not_change_times(vfr: Path, tmp_path: Path) -> None:
    expected = probe(vfr).pts.tolist()
    for chunk in (1, 3, 100):
        output = tmp_path / f"{chunk}.mp4"
        rewrite(vfr, output, chunk=chunk)
        assert probe(output).pts.tolist() == expected


def test_alpha_of_vp9(clips: Clips, tmp_path: Path) -> None:
    source = clips(
        "alpha.webm",
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=1,format=yuva420p,"
        "geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='4*X'",
        "-c:v libvpx-vp9 -pix_fmt yuva420p -b:v 1M",
    )
    timeline = probe(source)
    assert timeline.has_alpha
    output = tmp_path / "out.webm"
    _, spec, report = rewrite(source, output)
    assert spec.pix_fmt == "yuva420p"
    assert report == AssembleReport((), ())
    after = probe(output)
    np.testing.assert_array_equal(after.pts, timeline.pts)
    for before, now in zip(read_frames(timeline), read_frames(after), strict=True):
        first, second = before.planes()[1][3], now.planes()[1][3]
        assert np.abs(first.astype(int) - second).mean() < 3
        assert first.std() > 50
    mp4 = tmp_path / "out.mp4"
    _, _, report = rewrite(source, mp4)
    assert any("alpha" in line for line in report.dropped)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_hdr_metadata_is_kept(clips: Clips, tmp_path: Path, codec: str) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    source = clips(
        "hdr.mp4",
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=0.4 -c:v libx265 -pix_fmt yuv420p10le",
        f"-x265-params log-level=error:hdr10=1:master-display={display}:max-cll=1000,400",
        "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc",
    )
    hdr = probe(source).hdr
    assert hdr is not None
    assert hdr.light == (1000, 400)
    output = tmp_path / "out.mp4"
    _, spec, report = rewrite(source, output, codec=codec)
    assert spec.mastering == display
    assert report.dropped == ()
    assert probe(output).hdr == hdr
    _, _, report = rewrite(source, tmp_path / "out.mkv", codec="ffv1")
    assert any("HDR" in line for line in report.dropped)


@pytest.mark.parametrize(
    ("codec", "suffix"), [("ffv1", ".mkv"), ("prores", ".mov"), ("h264", ".mp4"), ("vp9", ".webm")]
)
def test_oblong_pixels_and_prores_kind(
    clips: Clips, tmp_path: Path, codec: str, suffix: str
) -> None:
    source = clips(
        "oblong.mkv",
        "-f lavfi -i testsrc2=size=64x48:rate=25:duration=0.2 -vf setsar=4/3,format=yuv444p10le",
        "-c:v ffv1",
    )
    output = tmp_path / f"out{suffix}"
    rewrite(source, output, codec=codec)
    # WebM states the shown size in whole pixels.
    limit = 1 / 64 if suffix == ".webm" else 0
    assert abs(probe(output).sample_aspect - Fraction(4, 3)) <= limit
    if codec == "prores":
        with av.open(str(output)) as container:
            assert container.streams.video[0].codec_context.codec_tag == "ap4h"


def interlaced(clips: Clips, order: str, size: str = "96x64", pix_fmt: str = "yuv420p") -> Path:
    """Ten frames whose fields are of different times, that of `order` the earlier one."""
    upper_first = order == "tff"
    return clips(
        f"{order}.mkv",
        f"-f lavfi -i testsrc2=size={size}:rate=50:duration=0.4",
        f"-vf tinterlace={'interleave_top' if upper_first else 'interleave_bottom'},"
        f"format={pix_fmt},setfield={order} -c:v ffv1 -flags +ilme+ildct",
    )


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", ".mp4"), ("h264", ".mkv"), ("prores", ".mov"), ("ffv1", ".mkv")]
)
def test_interlacing_is_kept(
    clips: Clips, tmp_path: Path, order: str, codec: str, suffix: str
) -> None:
    source, output = interlaced(clips, order), tmp_path / f"out{suffix}"
    timeline, _, report = rewrite(source, output, codec=codec, crf=4 if codec == "h264" else None)
    assert timeline.fields == order
    assert not any("interlacing" in line for line in report.dropped)
    again = probe(output)
    assert again.fields == order
    if codec != "ffv1":  # which says it in its frames alone
        with av.open(str(output)) as container:
            stated = container.streams.video[0].codec_context.field_order
        assert stated == FIELD_ORDERS[order]
    for before, after in zip(read_frames(timeline), read_frames(again), strict=True):
        old, new = before.planes()[1], after.planes()[1]
        for number, (left, right) in enumerate(zip(old, new, strict=True)):
            # Rows of one field come from rows of the same field, colour's as well.
            for row in (0, 1):
                field, got = left[row::2].astype(float), right[row::2].astype(float)
                if codec == "prores":  # ten bits, and as many rows of colour as of luma
                    field, got = np.repeat(field, 1 + (number > 0), axis=0), got / 4
                assert np.abs(field - got).mean() < 3


@pytest.mark.parametrize(
    ("codec", "suffix", "size", "why"),
    [
        ("hevc", ".mp4", "96x64", "hevc"),
        ("vp9", ".webm", "96x64", "vp9"),
        ("h264", ".mp4", "96x66", "height"),
    ],
)
def test_interlacing_that_is_lost_is_named(
    clips: Clips, tmp_path: Path, codec: str, suffix: str, size: str, why: str
) -> None:
    output = tmp_path / f"out{suffix}"
    _, _, report = rewrite(interlaced(clips, "tff", size), output, codec=codec)
    assert any("interlacing" in line and why in line for line in report.dropped)
    assert probe(output).fields is None


def test_rows_of_fields_may_be_odd_where_colour_has_all_of_them(
    clips: Clips, tmp_path: Path
) -> None:
    source = interlaced(clips, "bff", "72x486", "yuv422p")
    output = tmp_path / "out.mov"
    rewrite(source, output, codec="prores")
    assert probe(output).fields == "bff"


def test_coded_order_of_times_in_avi(clips: Clips, tmp_path: Path) -> None:
    source = clips("b.avi", *pattern(), *tone(), "-c:v libx264 -bf 3 -pix_fmt yuv420p -c:a mp3")
    timeline = probe(source)
    assert np.diff(timeline.pts).tolist() == [1] * 24
    output = tmp_path / "out.mp4"
    _, _, report = rewrite(source, output)
    assert any("do not rise" in line for line in report.changed)
    np.testing.assert_allclose(probe(output).times(), np.arange(25) / 25, atol=1e-9)
    first, second = all_rgb(source), all_rgb(output)
    assert np.abs(first.astype(int) - second).mean() < 4


def test_a_transport_stream_whose_clock_starts_anew(clips: Clips, tmp_path: Path) -> None:
    once = clips("once.ts", *pattern(seconds=2), *tone(2), "-c:v libx264 -pix_fmt yuv420p -c:a aac")
    source = tmp_path / "twice.ts"
    source.write_bytes(once.read_bytes() * 2)
    output = tmp_path / "out.mp4"
    rewrite(source, output, chunk=50)
    after = probe(output)
    assert len(after) == 100
    np.testing.assert_allclose(np.diff(after.times()), 0.04, atol=0.002)
    sound = run_ffmpeg("-i", output, "-ac 1 -ar 8000 -f f32le -")
    assert abs(len(sound) / 4 / 8000 - 4) < 0.15


def test_sound_stays_with_the_picture_where_a_clock_starts_before_zero(
    clips: Clips, tmp_path: Path
) -> None:
    made = "-c:v libx264 -pix_fmt yuv420p -c:a aac -output_ts_offset -2.34 -muxdelay 0"
    source = clips("early.ts", *pattern(), *tone(), made)
    output = tmp_path / "out.mkv"
    rewrite(source, output)
    gaps = []
    for path in (source, output):
        with av.open(str(path)) as container:
            starts = [s.start_time * s.time_base for s in container.streams]
            gaps.append(float(starts[0] - starts[1]))
    assert gaps[0] == pytest.approx(gaps[1], abs=0.003)
