"""Files that are made to do harm: name other files, declare absurd sizes, bear odd names."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.media.conftest import packets, pattern, rewrite, run_ffmpeg, tone
from videdit.errors import InputError
from videdit.media import apart, mux, source, streams
from videdit.media.apart import probe_apart
from videdit.media.known import known_timeline
from videdit.media.probe import probe
from videdit.media.source import READ_FORMATS, check_source, open_own, open_video
from videdit.media.stills import MAX_BYTES, declared_size
from videdit.media.streams import plan_streams
from videdit.media.tiles import put_together

Clips = Callable[..., Path]


# --- lists of other files -------------------------------------------------------------------------

LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "hls-net": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
    "hls-bom": "\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{secret}\n",
    "concat": "ffconcat version 1.0\nfile {secret}\n",
    "concat-plain": "file {secret}\n",
    "dash": "<?xml version='1.0'?>\n<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'>"
    "<Period><AdaptationSet><Representation id='0'><BaseURL>{secret}</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5000 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "smooth": "<SmoothStreamingMedia MajorVersion='2'/>",
    "rtsp": "rtsptextrtsp://127.0.0.1/x\n",
    "playlist": "[playlist]\nFile1={secret}\n",
    "avs": 'import("{secret}")',
    "svg": "<svg xmlns='http://www.w3.org/2000/svg'><image href='file://{secret}'/></svg>",
    "meta": ";FFMETADATA1\ntitle=x\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".txt", ".sdp", ".png"])
@pytest.mark.parametrize("kind", LISTS)
def test_a_file_opens_no_other(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, suffix: str
) -> None:
    opened: list[str] = []

    def refuse(url: str, flags: int, options: Any) -> Any:
        opened.append(url)
        raise PermissionError(url)

    monkeypatch.setattr(source, "_refuse", refuse)
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[kind].format(secret=plain))
    with pytest.raises(InputError) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    # Nothing was even tried.
    assert opened == []


def test_a_list_is_told_to_be_one(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for kind in ("hls", "hls-bom", "concat"):
        path.write_text(LISTS[kind].format(secret=plain))
        with pytest.raises(InputError, match="only lists other files"):
            probe(path)


def test_no_demuxer_that_reads_lists_is_allowed() -> None:
    lists = {"hls", "concat", "concatf", "dash", "sdp", "rtsp", "rtp", "sap", "imf", "image2"}
    lists |= {"image2pipe", "webm_dash_manifest", "ffmetadata", "lavfi", "svg_pipe", "vobsub"}
    lists |= {"vapoursynth", "avisynth", "tty", "applehttp", "smoothstreaming", "txd"}
    assert not lists & set(READ_FORMATS)
    assert len(READ_FORMATS) == len(set(READ_FORMATS))


def test_the_program_that_copies_streams_reads_a_source_as_what_it_was_found_to_be(
    plain: Path, tmp_path: Path
) -> None:
    """A source that is exchanged for a list after it was looked at."""
    stream = tmp_path / "secret.ts"
    run_ffmpeg("-i", plain, "-c copy", stream)
    swapped = tmp_path / "a.m3u8"
    swapped.write_text(LISTS["hls"].format(secret=stream))
    # With nothing to hold it, the program goes where the list leads.
    assert run_ffmpeg("-i", swapped, "-map 0:a -c copy -f adts -")
    with open_video(plain) as (container, _):
        sound = container.streams.audio[0]
        timeline = probe(plain)
        assert streams._fits(timeline, "mp4", [sound])
        assert not streams._fits(replace(timeline, path=swapped), "mp4", [sound])


def test_every_call_of_the_program_is_held(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    modes: set[int] = set()
    run = subprocess.run

    def spy(command: list[str], **options: Any) -> Any:
        commands.append(command)
        modes.update(
            stat.S_IMODE(os.stat(entry).st_mode)
            for entry in tmp_path.iterdir()
            if entry.name.startswith(".")
        )
        return run(command, **options)

    for module in (mux, streams):
        monkeypatch.setattr(module.subprocess, "run", spy)
    rewrite(plain, tmp_path / "out.mkv")
    assert len(commands) >= 2
    for command in commands:
        # Each input comes with what it may open, and the source with what it is.
        begin = 0
        for at in [i for i, word in enumerate(command) if word == "-i"]:
            options = command[begin:at]
            assert options[options.index("-protocol_whitelist") + 1] == "file"
            if command[at + 1] == f"file:{plain}":
                assert options[options.index("-f") + 1] == "mov"
            begin = at
    # What is being written is its owner's alone.
    assert modes == {0o600}


def test_own_files_are_opened_as_what_the_tool_writes(plain: Path, tmp_path: Path) -> None:
    for name, kind in (("a.segment", "hls"), ("http:b", "concat")):
        path = tmp_path / name
        path.write_text(LISTS[kind].format(secret=plain))
        with pytest.raises(av.FFmpegError):
            open_own(path)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("concat:a|b.mp4", "http:x.mp4", "-i.mp4", "-.mp4", "frame%03d.mp4", "%s%n%x.mp4"),
        *("pipe:0", "a.m3u8", "a.ffconcat", "subfile,,start,0,end,9,,:a.mp4", "a\nb.mp4"),
        *("source", "part", "picture", "a'b\"c $(id) `id`.mp4", "data:,x", "lavfi", "tee:[x]y.mp4"),
    ],
)
def test_names_are_names(plain: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / name
    shutil.copy(plain, path)
    # As a name alone, without a folder before it that would make it harmless.
    before = os.getcwd()
    os.chdir(folder)
    try:
        check_source(Path(name))
        rewrite(Path(name), tmp_path / "out.mp4")
    finally:
        os.chdir(before)
    assert packets(tmp_path / "out.mp4", "audio") == packets(plain, "audio")
    assert [p.name for p in folder.iterdir()] == [name]


def test_names_of_outputs_are_names(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    names = ("concat:a|b.mp4", "tee:[f=mp4]a|b.mp4", "-y.mkv", "a%03d.mp4", "http:x.mov")
    for name in names:
        rewrite(plain, folder / name)
        shutil.rmtree(folder / f"{name}.segments")
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1/a.mp4", "concat:/etc/passwd|b", "-", "-i", "file:///etc/passwd"]
)
def test_what_is_no_file_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        check_source(Path(text))
    with pytest.raises(InputError):
        probe(Path(text))


def test_pictures_with_a_number_s_place_in_their_name_are_one_picture(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"a{number:03d}.png"), np.full((8, 8, 3), number, np.uint8))
    with pytest.raises(InputError, match="does not exist"):
        probe(tmp_path / "a%03d.png")
    cv2.imwrite(str(tmp_path / "a%03d.png"), np.full((4, 6, 3), 9, np.uint8))
    assert (probe(tmp_path / "a%03d.png").width, len(probe(tmp_path / "a%03d.png"))) == (6, 1)


# --- sizes ----------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    def chunk(content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        )

    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 6, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(data) + chunk(b"IEND")


def written(suffix: str) -> bytearray:
    return bytearray(cv2.imencode(suffix, np.full((12, 20, 3), 90, np.uint8))[1].tobytes())


def jpeg(width: int, height: int) -> bytes:
    data = written(".jpg")
    struct.pack_into(">HH", data, data.find(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def bmp(width: int, height: int) -> bytes:
    data = written(".bmp")
    struct.pack_into("<ii", data, 18, width, -height)
    return bytes(data)


def tiff(width: int, height: int) -> bytes:
    data = written(".tif")
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for at in range(first + 2, first + 2 + 12 * count, 12):
        (name,) = struct.unpack_from("<H", data, at)
        if name in (256, 257):
            struct.pack_into("<HII", data, at + 2, 4, 1, width if name == 256 else height)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    picture = written(".webp")[12:]
    content = b"WEBPVP8X" + struct.pack("<II", 10, 0) + sizes + bytes(picture)
    return b"RIFF" + struct.pack("<I", len(content)) + content


BOMBS = {".png": png, ".jpg": jpeg, ".bmp": bmp, ".tif": tiff, ".webp": webp}


@pytest.mark.parametrize("suffix", BOMBS)
@pytest.mark.parametrize("size", [(16384, 16384), (60000, 2000), (65000, 65000)])
def test_a_picture_that_declares_too_much_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, size: tuple[int, int]
) -> None:
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(BOMBS[suffix](*size))
    monkeypatch.setattr(source, "_open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(InputError, match="at most"):
        probe(path)


@pytest.mark.parametrize("suffix", BOMBS)
def test_headers_are_read_as_they_are_meant(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for data in (bytes(written(suffix)), BOMBS[suffix](20, 12)):
        path.write_bytes(data)
        with path.open("rb") as file:
            # (A plain WebP has its size in its one frame; FFmpeg's own limit holds there.)
            assert declared_size(file) in ((20, 12), None if suffix == ".webp" else (20, 12))
            assert file.tell() == 0
    whole = BOMBS[suffix](20, 12)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with path.open("rb") as file:
            assert declared_size(file) in ((20, 12), None)


def test_a_video_that_declares_too_much(clips: Clips, tmp_path: Path) -> None:
    gif = tmp_path / "a.gif"
    data = bytearray(clips("small.gif", *pattern("20x20", "10", 0.5)).read_bytes())
    for width, height in ((16384, 16384), (65535, 65535), (65535, 16)):
        struct.pack_into("<HH", data, 6, width, height)
        gif.write_bytes(data)
        with pytest.raises(InputError):
            probe(gif)
    mkv = tmp_path / "a.mkv"
    whole = clips("big.mkv", *pattern("300x300"), "-c:v ffv1").read_bytes()
    side = struct.pack(">H", 300)
    assert whole.count(b"\xb0\x82" + side) == whole.count(b"\xba\x82" + side) == 1
    large = struct.pack(">H", 16384)
    mkv.write_bytes(
        whole.replace(b"\xb0\x82" + side, b"\xb0\x82" + large).replace(
            b"\xba\x82" + side, b"\xba\x82" + large
        )
    )
    with pytest.raises(InputError):
        probe(mkv)


def test_a_size_that_grows_on_the_way_is_not_made_room_for(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [clips(f"{s}.ts", *pattern(s), "-c:v libx264") for s in ("96x64", "640x480")]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(InputError, match="changes its picture size"):
        probe(path)
    # The decoder is told the limit, so it never hands out the larger frames.
    for module in ("source", "probe"):
        monkeypatch.setattr(f"videdit.media.{module}.DECODING", {"max_pixels": "20000"})
    with pytest.raises(InputError, match="damaged"):
        probe(path)


def clip_with_times(path: Path, times: list[int]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def test_absurd_lengths_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 24 * 3600
    assert len(probe(clip_with_times(tmp_path / "day.mkv", [0, 1, day]))) == 3
    for days in (8, 1000):
        path = clip_with_times(tmp_path / f"{days}.mkv", [0, 1, days * day])
        with pytest.raises(InputError, match=f"lasts {days * 24} hours"):
            probe(path)
    monkeypatch.setattr("videdit.media.probe.MAX_FRAMES", 2)
    with pytest.raises(InputError, match="more than 2 frames"):
        probe(tmp_path / "day.mkv")


def test_a_huge_file_of_a_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(written(".jpg"))
    os.truncate(path, MAX_BYTES + 1)  # a hole: it takes no room on the disk
    with pytest.raises(InputError, match="GiB"), open_video(path):
        pass


def test_looking_at_a_source_takes_no_more_memory_than_it_may(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(megabytes: int) -> None:
        call = f"import videdit.media.apart as a; a.MEMORY = {megabytes} << 20; a.answer()"
        monkeypatch.setattr(apart, "_STARTED", "import sys; sys.path[:] = {!r}; " + call)

    monkeypatch.setattr(apart, "probe", lambda _: pytest.fail("looked at in this process"))
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.zeros((10_000, 10_000, 3), np.uint8))
    limit(350)
    assert len(probe_apart(plain)) == 25
    with pytest.raises(InputError):
        probe_apart(large)
    limit(20)
    with pytest.raises(InputError, match="of memory"):
        probe_apart(large)
    limit(apart.MEMORY >> 20)
    assert probe_apart(large).width == 10_000


def test_tiles_are_put_together_within_limits(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def spy(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, b"", b"")

    monkeypatch.setattr("videdit.media.tiles.subprocess.run", spy)
    with open_video(plain) as (container, stream):
        stream.disposition |= av.stream.Disposition.dependent
        with pytest.raises(InputError):
            put_together(plain, container)
    (command,) = commands
    assert command[command.index("-protocol_whitelist") + 1] == "file"
    assert int(command[command.index("-max_alloc") + 1]) < 2 << 30


# --- links ----------------------------------------------------------------------------------------


def test_a_link_in_the_cache_leads_nothing_elsewhere(plain: Path, tmp_path: Path) -> None:
    folder, mine = tmp_path / "cache" / ".timelines", tmp_path / "mine"
    timeline = known_timeline(plain, folder)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    (entry,) = folder.iterdir()
    kept = entry.read_bytes()
    mine.write_bytes(b"mine")
    entry.unlink()
    entry.symlink_to(mine)
    assert known_timeline(plain, folder).pts.tolist() == timeline.pts.tolist()
    assert mine.read_bytes() == b"mine"
    assert not entry.is_symlink()
    assert entry.read_bytes() == kept


def test_sound_and_metadata_survive_all_this(clips: Clips, tmp_path: Path) -> None:
    words = "-c:v libx264 -pix_fmt yuv420p -c:a aac -metadata title=T"
    made = clips("whole.mp4", *pattern(), *tone(), words)
    _, _, report = rewrite(made, tmp_path / "out.mp4")
    assert report.dropped == ()
    assert packets(tmp_path / "out.mp4", "audio") == packets(made, "audio")
    assert plan_streams(probe(made), ".mkv").dropped == ()
