"""How steady an edited video is: the measures against closed forms, and on a real clip."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from videdit.bundles.bundle import Bundle
from videdit.cli.main import main
from videdit.evaluation.video import (
    TrackSteadiness,
    identity_consistency,
    to_json,
    warp_error,
)

RNG = np.random.default_rng(0)


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (120, 140, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def test_a_video_is_as_consistent_as_itself() -> None:
    descriptors = RNG.normal(1, 0.3, (20, 128))
    local, overall = identity_consistency(descriptors, 3 * descriptors)
    assert local == pytest.approx(1)
    assert overall == pytest.approx(1)


def test_consistency_is_a_ratio_of_cosines() -> None:
    def at(*degrees: float) -> np.ndarray:
        angles = np.radians(degrees)
        return np.stack((np.cos(angles), np.sin(angles)), 1)

    source, edited = at(0, 10, 20), at(0, 20, 40)
    cos = {d: math.cos(math.radians(d)) for d in (10, 20, 40)}
    local, overall = identity_consistency(source, edited)
    assert local == pytest.approx(cos[20] / cos[10])
    assert overall == pytest.approx((2 * cos[20] / cos[10] + cos[40] / cos[20]) / 3)
    # A pair of the source that is not alike says nothing.
    local, overall = identity_consistency(at(0, 10, 95), edited)
    assert local == pytest.approx(cos[20] / cos[10])
    assert overall == pytest.approx(cos[20] / cos[10])
    assert math.isnan(identity_consistency(at(0), at(5))[0])


def test_motion_is_no_error_and_flicker_is() -> None:
    wide = texture()
    one, other = wide[10:110, 10:110], wide[12:112, 13:113]  # moves by (-3, -2)
    lit = [np.clip(p.astype(int) + 20, 0, 255).astype(np.uint8) for p in (one, other)]
    blinking = [one, np.clip(other.astype(int) + 20, 0, 255).astype(np.uint8)]
    own, steady, flickering = warp_error([one, lit[0], blinking[0]], [other, lit[1], blinking[1]])
    still = float(np.square((one.astype(float) - other) / 255).mean())
    assert own < 0.05 * still
    assert steady == pytest.approx(own, rel=0.2)
    assert flickering == pytest.approx((20 / 255) ** 2, rel=0.2)


def test_tracks_are_plain_json() -> None:
    track = TrackSteadiness(
        0, 3, 9, 1.0, 0.99, 0.3, 0.4, math.nan, 1.1, 1.0, 0.9, math.nan, math.nan, 0.0
    )
    (plain,) = json.loads(json.dumps(to_json([track]), allow_nan=False))
    assert plain["last"] == 9
    assert plain["warp"] is None
    assert plain["tg_id"] == 0.99


def write(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.mark.weights
def test_a_clip_against_itself_and_against_a_trembling_one(
    example: Path,
    tmp_path: Path,
    bundle: Bundle,
    default_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("dlib")
    with av.open(str(example)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in islice(container.decode(video=0), 8)]
    frames = [np.ascontiguousarray(frame[::2, ::2]) for frame in frames]
    source = write(tmp_path / "source.mkv", frames)
    shaken = [np.roll(f, (3 * (n % 2), 0), (0, 1)) for n, f in enumerate(frames)]
    other = write(tmp_path / "shaken.mkv", shaken)
    found = {}
    for edited in (source, other):
        report, strip = tmp_path / "report.json", tmp_path / "strip.png"
        words = ("evaluate", "video", source, edited, "--attr", "smiling", "--json", report)
        assert main(list(map(str, (*words, "--strip", strip, "--cache", tmp_path / "c")))) == 0
        assert "TL-ID" in capsys.readouterr().out
        (found[edited],) = json.loads(report.read_text())["tracks"]
        assert cv2.imread(str(strip)).shape == (8, 512, 3)
    same, trembling = found[source], found[other]
    assert (same["first"], same["last"]) == (0, 7)
    for name in ("tl_id", "tg_id", "warp", "jitter"):
        assert same[name] == pytest.approx(1, abs=1e-6), name
    for name in ("blinks", "speech"):  # nothing is said of what does not move
        assert same[name] is None or same[name] == pytest.approx(1, abs=1e-6)
    assert same["identity"] == pytest.approx(0, abs=1e-6)
    assert same["attribute"] == pytest.approx(same["attribute_source"])
    assert trembling["jitter"] > 3
    assert trembling["warp"] > 3
    short = write(tmp_path / "short.mkv", frames[:5])
    assert main(["evaluate", "video", str(source), str(short)]) == 2
    assert "it has 5 frames" in capsys.readouterr().err
