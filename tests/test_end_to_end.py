"""The tool as its users meet it: the command line as a process, real files, kills."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from videdit.bundles import Bundle
from videdit.cli.main import main

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("default_cache")]

# The refinement, half a minute per person, has a test of its own.
FAST = ("--quality", "fast")
EDIT = ("--attr", "Smiling", "--alpha", "1.5", *FAST)
FRAMES = 8


def command(*words: str | Path, cache: Path) -> list[str]:
    """A command line. What was compiled is shared: it is kept in the default cache."""
    return [sys.executable, "-m", "videdit", *map(str, words), "--cache", str(cache)]


def videdit(
    *words: str | Path, cache: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the tool in a process of its own."""
    return subprocess.run(
        command(*words, cache=cache),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=600,
    )


def here(*words: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """The same in this process, where nothing is asked of a process: one takes seconds to begin."""
    said, told = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(told):
        code = main([*map(str, words), "--cache", str(cache)])
    return subprocess.CompletedProcess(words, code, said.getvalue(), told.getvalue())


def write_clip(path: Path, pictures: list[np.ndarray], sound_from: Path | None = None) -> Path:
    """A small H.264 clip at 25 fps; the sound of another file copied into it."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        source = av.open(str(sound_from)) if sound_from else None
        sound = out.add_stream_from_template(source.streams.audio[0]) if source else None
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
        if source and sound:
            end = Fraction(len(pictures), 25)
            for packet in source.demux(source.streams.audio[0]):
                if packet.pts is not None and packet.pts * packet.time_base < end:
                    packet.stream = sound
                    out.mux(packet)
            source.close()
    return path


def pictures_of(path: Path) -> list[np.ndarray]:
    """All frames as RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def times_of(path: Path) -> list[Fraction]:
    """All frames' presentation times in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """The audio packets: time and content."""
    with av.open(str(path)) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def pictures(example: Path) -> list[np.ndarray]:
    """Frames 20 to 27 of the example at half size: 640x360."""
    found = pictures_of(example)[20 : 20 + FRAMES]
    return [np.ascontiguousarray(picture[::2, ::2]) for picture in found]


@pytest.fixture(scope="module")
def clip(
    pictures: list[np.ndarray], example: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures, example)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests that may reuse each other's work."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def edited(clip: Path, cache: Path) -> Path:
    output = clip.with_name("edited.mp4")
    done = videdit("run", clip, *EDIT, "-o", output, cache=cache)
    assert done.returncode == 0, done.stderr
    assert f"in {FRAMES} of {FRAMES} frames" in done.stdout
    assert str(output) in done.stdout
    return output


def test_frames_times_size_and_sound_are_the_sources(clip: Path, edited: Path) -> None:
    assert times_of(edited) == times_of(clip)
    assert sound_of(edited) == sound_of(clip)
    assert len(sound_of(clip)) > 5
    assert pictures_of(edited)[0].shape == pictures_of(clip)[0].shape


def test_the_face_changes_and_the_rest_does_not(clip: Path, cache: Path, edited: Path) -> None:
    lossless = clip.with_name("lossless.mkv")
    done = here("run", clip, *EDIT, "--codec", "ffv1", "-o", lossless, cache=cache)
    assert done.returncode == 0, done.stderr
    for log in ("frames", "landmarks", "track", "align", "encode", "reconstruct", "edit", "decode"):
        assert f"{log}: done" not in done.stderr, "another codec needs none of these again"
    with av.open(str(clip)) as one, av.open(str(lossless)) as other:
        for a, b in zip(one.decode(video=0), other.decode(video=0), strict=True):
            ya, yb = (f.to_ndarray()[: f.height].astype(int) for f in (a, b))
            changed = np.abs(ya - yb)
            assert changed.max() > 20
            # The person stands in the middle; the frame's outer parts are bit for bit the same.
            assert not changed[:, :20].any()
            assert not changed[:, -120:].any()
            assert not changed[:20].any()


def test_a_comparison_beside_the_result(clip: Path, cache: Path, edited: Path) -> None:
    output = clip.with_name("compared.mp4")
    words = ("run", clip, *EDIT, "-o", output, "--compare", "side")
    done = here(*words, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "blend: done" not in done.stderr
    assert digest(output) == digest(edited)
    side = clip.with_name("compared-side.mp4")
    assert done.stdout.splitlines()[-1] == f"compared: {side}"
    assert times_of(side) == times_of(clip)
    assert sound_of(side) == sound_of(clip)
    assert pictures_of(side)[0].shape == (360, 1280, 3)
    output.unlink()
    refused = here(*words, cache=cache)
    assert refused.returncode == 2
    assert "compared-side.mp4 exists" in refused.stderr
    assert not output.exists()


def test_another_alpha_reuses_all_before_the_edit(clip: Path, cache: Path, edited: Path) -> None:
    output = clip.with_name("weaker.mp4")
    done = here("run", clip, "-e", "Smiling=0.8", *FAST, "-o", output, cache=cache)
    assert done.returncode == 0, done.stderr
    for stage in ("frames", "landmarks", "track", "align", "encode", "reconstruct"):
        assert f"{stage}: done" not in done.stderr
    assert "decode: done" in done.stderr
    assert digest(output) != digest(edited)


def test_a_stretch_is_edited_and_the_rest_passes(clip: Path, cache: Path) -> None:
    output = clip.with_name("stretch.mkv")
    words = ("--from", "0.08", "--to", "0.2", "--codec", "ffv1", "-o", output)
    done = here("run", clip, *EDIT, *words, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "in 3 of 8 frames" in done.stdout
    same = [
        np.array_equal(a, b) for a, b in zip(pictures_of(clip), pictures_of(output), strict=True)
    ]
    assert same == [True] * 2 + [False] * 3 + [True] * 3


def test_keyframes_ramp_the_edit_up(clip: Path, cache: Path) -> None:
    output = clip.with_name("ramp.mkv")
    words = ("--attr", "Smiling", "--alpha", "0.08s:0,0.2s:1.5", *FAST, "--codec", "ffv1")
    done = here("run", clip, *words, "-o", output, cache=cache)
    assert done.returncode == 0, done.stderr
    changes = [
        float(np.abs(a.astype(int) - b).mean())
        for a, b in zip(pictures_of(clip), pictures_of(output), strict=True)
    ]
    assert changes[:3] == [0.0] * 3
    assert changes[-1] > changes[3] > 0


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read a process's log up to a line with ``text``."""
    assert process.stderr
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without saying {text!r}")


def test_killed_at_a_stage_it_resumes_to_the_same_bytes(
    clip: Path, edited: Path, tmp_path: Path
) -> None:
    output = tmp_path / "result.mp4"
    words = command("run", clip, *EDIT, "-o", output, cache=tmp_path / "cache")
    # At any moment of any stage: tests/faults/test_kills.py.
    for stage in ("landmarks", "reconstruct", "blend"):
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            until(process, f"] {stage}: ")
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert not output.exists()
    done = videdit("run", clip, *EDIT, "-o", output, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    # What was done before a kill is not done again.
    assert "frames: done" not in done.stderr
    assert "landmarks: done" not in done.stderr
    assert digest(output) == digest(edited)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_sigterm_finishes_the_chunk_and_says_how_to_go_on(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"
    words = command("run", clip, *EDIT, "-o", output, cache=tmp_path / "cache")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        until(process, "] landmarks: ")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 7, err
    assert "again" in err.splitlines()[-1], err
    assert not output.exists()


def test_a_stop_during_the_refinement_loses_no_other_work(clip: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    slow = ("--attr", "Smiling", "--to", "0.1", "-o", tmp_path / "result.mp4")
    with subprocess.Popen(
        command("run", clip, *slow, cache=cache), stderr=subprocess.PIPE, text=True
    ) as process:
        until(process, "] refine: ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert "refine: done" not in err  # between two of its steps
    assert "stopped at stage refine" in err
    kept = {
        line.split()[0]: line for line in here("inspect", clip, cache=cache).stdout.splitlines()
    }
    assert "complete" in kept["encode"]
    assert "unfinished" in kept["refine"]
    assert "reconstruct" not in kept

    # Nor does a kill, which asks nobody.
    with subprocess.Popen(
        command("run", clip, *slow, cache=cache), stderr=subprocess.PIPE, text=True
    ) as process:
        until(process, "] refine: ")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "result.mp4").exists()
    verified = here("cache", "verify", cache=cache)
    assert verified.returncode == 0, verified.stdout
    again = {
        line.split()[0]: line for line in here("inspect", clip, cache=cache).stdout.splitlines()
    }
    assert "complete" in again["encode"]
    assert "unfinished" in again["refine"]


def test_frames_without_a_face_and_a_cut_pass_through(
    pictures: list[np.ndarray], tmp_path: Path, cache: Path
) -> None:
    wall = np.random.default_rng(0).integers(90, 110, pictures[0].shape).astype(np.uint8)
    mirrored = [np.ascontiguousarray(p[:, ::-1]) for p in pictures[:3]]
    clip = write_clip(tmp_path / "cut.mp4", [*pictures[:3], *[wall] * 10, *mirrored])
    output = tmp_path / "edited.mkv"
    done = here("run", clip, *EDIT, "--codec", "ffv1", "-o", output, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "passed through unchanged: frames 3-12" in done.stdout
    same = [
        np.array_equal(a, b) for a, b in zip(pictures_of(clip), pictures_of(output), strict=True)
    ]
    assert same == [False] * 3 + [True] * 10 + [False] * 3


def test_a_picture(pictures: list[np.ndarray], tmp_path: Path, cache: Path) -> None:
    import cv2

    source = tmp_path / "portrait.png"
    cv2.imwrite(str(source), pictures[0][:, :, ::-1])
    done = here("image", source, *EDIT, cache=cache)
    assert done.returncode == 0, done.stderr
    result = cv2.imread(str(tmp_path / "portrait-Smiling+1.5.png"))[:, :, ::-1]
    assert result.shape == pictures[0].shape
    changed = np.abs(result.astype(int) - pictures[0]).max(2)
    assert changed.max() > 20
    assert not changed[:20].any()


def test_both_faces_or_one(pictures: list[np.ndarray], tmp_path: Path, cache: Path) -> None:
    two = [np.concatenate([p[:, 120:520], p[:, 520:120:-1]], 1) for p in pictures[:2]]
    source = write_clip(tmp_path / "two.mp4", two)

    def halves(name: str, *words: object) -> list[np.ndarray]:
        """What the left and the right face became, over the frames."""
        output = tmp_path / f"{name}.mkv"
        done = here("run", source, *words, "--codec", "ffv1", "-o", output, cache=cache)
        assert done.returncode == 0, done.stderr
        return np.split(np.stack(pictures_of(output)), 2, 2)

    before = np.split(np.stack(pictures_of(source)), 2, 2)

    def changed(after: list[np.ndarray]) -> list[bool]:
        """Whether the left and the right face changed."""
        pairs = zip(before, after, strict=True)
        return [bool(np.abs(a.astype(int) - b).max() > 20) for a, b in pairs]

    assert changed(halves("all", *EDIT, "--face", "all")) == [True, True]
    left = ("--face", "track:0", *EDIT)
    right = ("--face", "track:1", "--attr", "Bangs", "--alpha", "-0.5", *FAST)
    one, other = halves("left", *left), halves("right", *right)
    assert changed(one) == [True, False]
    assert changed(other) == [False, True]
    # Each their own: both as if they had been edited alone.
    both = halves("both", *left, *right)
    np.testing.assert_array_equal(both[0], one[0])
    np.testing.assert_array_equal(both[1], other[1])

    photo, nobody = tmp_path / "photo.png", tmp_path / "nobody.png"
    Image.fromarray(pictures[-1]).save(photo)
    Image.new("RGB", (200, 200), "grey").save(nobody)
    # Of the two, who are one person, the one that is more alike: nobody is there twice.
    assert sorted(changed(halves("like", *EDIT, "--face", f"like:{photo}"))) == [False, True]
    words = ("run", source, *EDIT, "-o", tmp_path / "no.mp4", "--face", f"like:{nobody}")
    refused(here(*words, cache=cache), 4, "no face was found in nobody.png")
    words = (*words[:-1], f"like:{tmp_path / 'none.png'}")
    refused(here(*words, cache=cache), 3, "none.png")


def test_what_hides_the_face_stays_whole_and_grey_stays_grey(
    pictures: list[np.ndarray], tmp_path: Path, cache: Path
) -> None:
    grey = [np.repeat(p[:, :, 1:2], 3, 2) for p in pictures[:5]]
    hidden = grey[2] = np.full_like(grey[2], 90)
    source = write_clip(tmp_path / "grey.mp4", grey)
    output = tmp_path / "result.mkv"
    words = (*EDIT, "--codec", "ffv1", "-o", output)
    done = here("run", source, *words, cache=cache)
    assert done.returncode == 0, done.stderr
    before, after = pictures_of(source), pictures_of(output)
    np.testing.assert_array_equal(after[2], before[2])
    assert np.abs(after[2].astype(int) - hidden).max() < 8
    for k in (0, 1, 3, 4):
        assert np.abs(after[k].astype(int) - before[k]).max() > 20
        # A level of chroma is two of RGB.
        assert np.ptp(after[k].astype(int), 2).max() <= np.ptp(before[k].astype(int), 2).max() + 2


def test_a_report_of_a_run(clip: Path, cache: Path, edited: Path, tmp_path: Path) -> None:
    output = tmp_path / "again.mp4"
    again = here("run", clip, *EDIT, "-o", output, cache=cache)
    assert again.returncode == 0, again.stderr
    output.unlink()  # it is not needed
    page = tmp_path / "page.html"
    done = here("report", clip, "-o", page, "--frames", "0,5", cache=cache)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"frames 0, 5: {page}"
    text = page.read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    assert f"in {FRAMES} of {FRAMES} frames" in text
    words = re.sub(r"<[^>]+>", " ", text)
    (before, after), *_ = re.findall(r"Smiling\s+(\d+)% → (\d+)%", words)
    assert int(after) > int(before) + 20
    (likeness,) = re.findall(r"Same person\s+(\d\.\d\d)\s", words)
    assert 0.75 < float(likeness) < 1
    (jitter,) = re.findall(r"Landmark jitter\s+× (\d+\.\d\d)\s", words)
    assert 0.2 < float(jitter) < 5
    for said in ("Frame 5, 0.200 s", "transformers.safetensors", str(output)):
        assert said in words
    refused = here("report", clip, "-o", page, cache=cache)
    assert refused.returncode == 2
    assert "exists" in refused.stderr
    # Damage is told, with what helps.
    segments = {path: path.read_bytes() for path in cache.glob("*/blend/*/*/*.segment")}
    try:
        for path, whole in segments.items():
            path.write_bytes(b"x" * len(whole))
        damaged = here("report", clip, "-o", page, "--overwrite", cache=cache)
    finally:
        for path, whole in segments.items():
            path.write_bytes(whole)
    assert damaged.returncode == 6
    assert "videdit cache verify --repair" in damaged.stderr
    assert page.read_text(encoding="utf-8") == text


def test_inspect_draws_every_stage(clip: Path, cache: Path, edited: Path, tmp_path: Path) -> None:
    # The last run may have been another test's: ask for this one again, which is free.
    again = here("run", clip, *EDIT, "-o", tmp_path / "again.mp4", cache=cache)
    assert again.returncode == 0, again.stderr
    listing = here("inspect", clip, cache=cache)
    assert listing.returncode == 0, listing.stderr
    stages = (
        *("frames", "landmarks", "track", "align", "encode", "refine", "reconstruct", "edit"),
        *("decode", "blend"),
    )
    for stage in stages:
        assert stage in listing.stdout
    for stage in stages:
        sheet = tmp_path / f"{stage}.png"
        done = here("inspect", clip, stage, "--frames", "0,5", "-o", sheet, cache=cache)
        assert done.returncode == 0, done.stderr
        with av.open(str(sheet)) as picture:
            assert next(picture.decode(video=0)).width > 300


def test_inspect_makes_anew_what_was_pruned(
    clip: Path, edited: Path, cache: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    again = here("run", clip, *EDIT, "-o", tmp_path / "again.mp4", cache=copy)
    assert again.returncode == 0, again.stderr
    for stage in ("align", "landmarks"):
        for folder in copy.glob(f"*/{stage}"):
            shutil.rmtree(folder)
    sheet = tmp_path / "align.png"
    done = here("inspect", clip, "align", "--frames", "0", "-o", sheet, cache=copy)
    assert done.returncode == 0, done.stderr
    assert sheet.stat().st_size > 1000
    assert list(copy.glob("*/align/*"))


def test_odd_names_and_a_full_standard_output(clip: Path, cache: Path, tmp_path: Path) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9 '%d.mp4")
    shutil.copy(clip, source)
    words = command("run", source, *EDIT, "--to", "0.2", cache=cache)
    result = tmp_path / os.fsdecode(b"caf\xe9 '%d-Smiling+1.5.mp4")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    assert times_of(result) == times_of(clip)
    again = subprocess.run(words, capture_output=True, check=False)
    assert again.returncode == 2
    assert b"--overwrite" in again.stderr
    last = subprocess.run([*words, "--overwrite"], capture_output=True, check=False)
    assert last.returncode == 0
    assert last.stdout.endswith(b"result: " + os.fsencode(result) + b"\n")


def test_a_link_leads_where_it_did(clip: Path, cache: Path, tmp_path: Path) -> None:
    there, link = tmp_path / "there.mp4", tmp_path / "link.mp4"
    there.write_bytes(b"old")
    link.symlink_to(there)
    words = ("run", clip, *EDIT, "--to", "0.2", "-o", link)
    refused(here(*words, cache=cache), 2, "--overwrite")
    done = here(*words, "--overwrite", cache=cache)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert times_of(there) == times_of(clip)


def test_a_working_folder_that_is_gone(clip: Path, cache: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    words = command("run", clip, *EDIT, cache=cache)
    done = subprocess.run(
        ["sh", "-c", 'rmdir ../gone && exec "$@"', "sh", *words],
        capture_output=True,
        text=True,
        cwd=gone,
        check=False,
    )
    refused(done, 6, "working folder")


def test_a_damaged_chunk_is_made_anew(
    clip: Path, edited: Path, cache: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    victims = [p for p in copy.rglob("codes.npy") if "encode" in p.parts]
    victims += copy.rglob("*.segment")
    assert victims
    for victim in victims:
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 0xFF
        victim.write_bytes(data)
    output = tmp_path / "result.mp4"
    done = here("run", clip, *EDIT, "-o", output, cache=copy)
    assert done.returncode == 0, done.stderr
    assert digest(output) == digest(edited)


# --- bad inputs -----------------------------------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One line on stderr, the exit code, no traceback."""
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("videdit: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


@pytest.fixture
def bad(tmp_path: Path) -> Iterator[Path]:
    """A folder in which, afterwards, no result may lie."""
    yield tmp_path
    assert not list(tmp_path.glob("*-Smiling*"))
    assert not list(tmp_path.glob("result*"))


def test_bad_files(bad: Path, clip: Path, cache: Path) -> None:
    empty = bad / "empty.mp4"
    empty.touch()
    text = bad / "text.mp4"
    text.write_text("not a video\n" * 100)
    truncated = bad / "truncated.mp4"
    truncated.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    sound = bad / "sound.mp4"
    with av.open(str(clip)) as source, av.open(str(sound), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.pts is not None:
                packet.stream = stream
                out.mux(packet)
    for path in (empty, text, truncated, sound, bad / "missing.mp4", bad):
        refused(here("run", path, *EDIT, cache=cache), 3, path.name)


def test_no_face(bad: Path, cache: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    refused(here("run", write_clip(bad / "wall.mp4", [noise] * 5), *EDIT, cache=cache), 4, "face")
    tiny = write_clip(bad / "tiny.mp4", [noise[:2, :2]] * 3)
    refused(here("run", tiny, *EDIT, cache=cache), 4, "face")


def test_one_frame_and_odd_sizes(pictures: list[np.ndarray], tmp_path: Path, cache: Path) -> None:
    odd = np.ascontiguousarray(pictures[0][:357, :591])
    clip = tmp_path / "odd.mkv"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width = odd.shape[:2]
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(odd, format="rgb24")))
        out.mux(stream.encode())
    output = tmp_path / "edited.mp4"
    done = here("run", clip, *EDIT, "-o", output, cache=cache)
    assert done.returncode == 0, done.stderr
    (result,) = pictures_of(output)
    assert result.shape == odd.shape


def test_bad_words(bad: Path, clip: Path, cache: Path) -> None:
    refused(here("run", clip, "--attr", "Smilling", cache=cache), 2, "Smiling")
    refused(here("run", clip, "--attr", "Smiling", "--alpha", "much", cache=cache), 2, "much")
    refused(here("run", clip, cache=cache), 2, "--attr")
    refused(here("run", clip, *EDIT, "--face", "track:99", cache=cache), 2, "track")
    refused(here("run", clip, *EDIT, "--from", "90", cache=cache), 2, "--from")
    refused(here("run", clip, *EDIT, "-o", bad / "no" / "result.mp4", cache=cache), 6, "no")
    refused(here("run", clip, *EDIT, "-o", bad / "result.xyz", cache=cache), 2, "xyz")
    refused(here("run", clip, *EDIT, "-o", clip, cache=cache), 2, "source")
    refused(here("run", clip, *EDIT, "-o", "/proc/result.mp4", cache=cache), 6, "/proc")


def test_damaged_and_missing_weights(
    clip: Path, cache: Path, bundle: Bundle, tmp_path: Path
) -> None:
    home = tmp_path / "weights"
    shutil.copytree(bundle.folder.parent, home)
    victim = home / bundle.name / "synthesis.bin"
    data = bytearray(victim.read_bytes())
    data[1000] ^= 1
    victim.write_bytes(data)
    fresh = tmp_path / "cache"
    done = videdit("run", clip, *EDIT, cache=fresh, VIDEDIT_WEIGHTS=str(home))
    refused(done, 5, "synthesis.bin", "weights fetch")
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    offline |= {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull}
    nowhere = str(tmp_path / "nowhere")
    refused(videdit("run", clip, *EDIT, cache=fresh, VIDEDIT_WEIGHTS=nowhere, **offline), 5)


def test_a_full_disk(clip: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(full)], capture_output=True
        ).returncode
    ):
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        refused(videdit("run", clip, *EDIT, "-o", tmp_path / "out.mp4", cache=full), 6, "full")
        assert not (tmp_path / "out.mp4").exists()
    finally:
        subprocess.run(["umount", str(full)], check=True)


# --- nothing leaves the machine -------------------------------------------------------------------

_GUARD = """
import os, socket

def _refuse(self, address, *more):
    if self.family != getattr(socket, "AF_UNIX", None):
        with open(os.environ["TEST_CONNECTIONS"], "a") as log:
            log.write(f"{os.getpid()} {address}\\n")
        raise OSError("a test allows no connection")
    return _connect(self, address, *more)

def _resolve(host, *more, **named):
    with open(os.environ["TEST_CONNECTIONS"], "a") as log:
        log.write(f"{os.getpid()} {host}\\n")
    raise OSError("a test allows no look-up")

_connect = socket.socket.connect
socket.socket.connect = socket.socket.connect_ex = _refuse
socket.getaddrinfo = socket.gethostbyname = _resolve
"""


def test_nothing_leaves_the_machine_and_people_are_refined(
    clip: Path, bundle: Bundle, tmp_path: Path
) -> None:
    """The whole chain with sockets refused, in every process, and a home where nothing is."""
    guard, home, work = tmp_path / "guard", tmp_path / "home", tmp_path / "work"
    for folder in (guard, home, work):
        folder.mkdir()
    (guard / "sitecustomize.py").write_text(_GUARD)
    log, cache = tmp_path / "connections", tmp_path / "cache"
    environment = {
        "HOME": str(home),
        "XDG_CACHE_HOME": "",
        "VIDEDIT_CACHE": str(cache),
        "VIDEDIT_WEIGHTS": str(bundle.folder.parent),
        "TEST_CONNECTIONS": str(log),
        "PYTHONPATH": os.pathsep.join([str(guard), str(Path(__file__).parents[1])]),
        "TMPDIR": str(work),
    }
    probe = subprocess.run(
        [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"],
        env={**os.environ, **environment},
        capture_output=True,
    )
    assert probe.returncode
    assert log.exists(), "the guard is not in place"
    log.unlink()
    # With an empty cache of compiled networks: all that is ever converted, is.
    words = ("run", clip, "--attr", "Smiling", "--to", "0.03")
    output, fast = tmp_path / "result.mp4", tmp_path / "fast.mp4"
    done = videdit(*words, *FAST, "-o", fast, cache=cache, **environment)
    assert done.returncode == 0, done.stderr
    # By default each person is refined, once; the encoder's own codes are the same.
    done = videdit(*words, "-o", output, cache=cache, **environment)
    assert done.returncode == 0, done.stderr
    assert "refine: done" in done.stderr
    assert "24 steps" in done.stderr
    assert "encode: done" not in done.stderr
    assert "landmarks: done" not in done.stderr
    assert digest(output) != digest(fast)
    assert not log.exists(), log.read_text()
    # PyTorch makes an empty folder among the temporary files; no file may be left anywhere.
    assert [path for path in (*home.rglob("*"), *work.rglob("*")) if path.is_file()] == []
    compiled = sorted(path.name.split("-")[0] for path in cache.glob(".compiled/*.blob"))
    assert compiled == ["encoder", "generator", "regions"]
