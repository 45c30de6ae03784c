"""From the faces of single frames to the table: the stages ``landmarks`` and ``align``."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.faces.helpers import detection
from tests.stages.film import SHOT, Shots, run_film
from videdit.artifacts.faces import Faces, FaceTable
from videdit.artifacts.landmarks import DetectionReader
from videdit.errors import UsageError
from videdit.faces.detection import Detection, Detections
from videdit.faces.parameters import (
    DEFAULT,
    Aligning,
    Choosing,
    CropSizes,
    Fan,
    Flow,
    Mesh,
    Smoothing,
    Stabilising,
    Tracking,
)
from videdit.media.timeline import probe
from videdit.pipeline.runner import run
from videdit.pipeline.settings import RunSettings
from videdit.pipeline.stage import stage_key
from videdit.pipeline.store import Store
from videdit.stages.align import AlignStage
from videdit.stages.landmarks import LandmarksStage

ROOT = Path(__file__).parent.parent.parent


def table_of(folder: Path, frames: range, chunk: int, face: str = "all") -> FaceTable:
    return FaceTable(run_film(folder, frames, chunk, face=face).artifacts["align"])


def test_the_table_does_not_depend_on_the_chunks(tmp_path: Path) -> None:
    frames = range(SHOT - 90, SHOT + 70)
    table = table_of(tmp_path, frames, 1000)
    whole = table.window(0, 2000)
    assert (table.first_frame, table.stop_frame) == (frames.start, frames.stop)
    # Two people in each of two shots, in every frame: two frames without one are a gap.
    assert [(t.id, t.first, t.last, t.size) for t in table.tracks] == [
        (0, SHOT - 90, SHOT - 1, 256),
        (1, SHOT - 90, SHOT - 1, 256),
        (2, SHOT, SHOT + 69, 256),
        (3, SHOT, SHOT + 69, 256),
    ]
    assert len(whole) == len(table) == 2 * len(frames)
    for size in (13, 48):
        other = table_of(tmp_path, frames, size)
        assert other.tracks == table.tracks
        faces = other.window(0, 2000)
        for name in ("frame", "track", "quad", "points", "size"):
            np.testing.assert_array_equal(getattr(faces, name), getattr(whole, name))
            assert getattr(faces, name).dtype == getattr(whole, name).dtype


def test_which_faces(tmp_path: Path) -> None:
    frames = range(SHOT - 20, SHOT + 20)

    def ids(face: str) -> set[int]:
        table = table_of(tmp_path, frames, 7, face)
        faces: Faces = table.window(table.first_frame, table.stop_frame)
        assert {t.id for t in table.tracks} == set(faces.track.tolist())
        return set(faces.track.tolist())

    assert ids("largest") == {0, 2}
    assert ids("track:3") == {3}
    with pytest.raises(UsageError, match="0, 1, 2, 3"):
        ids("track:4")


def drifting_clip(path: Path, count: int) -> None:
    """A texture that moves by (2, 1) pixels from frame to frame."""
    noise = np.random.default_rng(0).normal(0, 1, (240, 300)).astype(np.float32)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    grey = np.clip(128 + 45 * picture / picture.std(), 0, 255).astype(np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 200, 160, "yuv444p"
        for i in range(count):
            shown = grey[40 - i : 200 - i, 60 - 2 * i : 260 - 2 * i]
            frame = av.VideoFrame.from_ndarray(np.dstack([shown] * 3), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


class InTheMiddle:
    """Finds one face, always in the same place."""

    def detect(self, rgb8: np.ndarray) -> list[Detection]:
        return [detection(100, 70, 30)]


def test_a_chunk_depends_on_its_frames_alone(tmp_path: Path) -> None:
    """The flow out of a stretch's last frame is known where the source goes on."""
    drifting_clip(tmp_path / "clip.mkv", 9)
    timeline = probe(tmp_path / "clip.mkv")

    def seen(frames: range, start: int, stop: int) -> Detections:
        resources: Any = SimpleNamespace(
            timeline=timeline,
            frames=frames,
            times=np.arange(len(timeline)) / 25,
            networks=SimpleNamespace(landmark_models=dict, backend=InTheMiddle()),
        )
        stages = [Shots(resources), LandmarksStage(resources)]
        asked = RunSettings(tmp_path / "clip.mkv", Path("out"), chunk_frames=3)
        with Store(tmp_path / "cache") as store:
            artifact = run(stages, asked, store, timeline.content_id).artifacts["landmarks"]
            return DetectionReader(artifact, artifact.chunks).window(start, stop)

    whole = seen(range(9), 3, 6)
    steps = whole.moved - whole.points68
    assert whole.ok.mean() > 0.9
    np.testing.assert_allclose(steps[whole.ok], [[2, 1]] * whole.ok.sum(), atol=0.1)
    for part in (seen(range(6), 3, 6), seen(range(3, 9), 3, 6)):
        for name in ("counts", "box", "score", "points68", "moved", "ok"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
    end = seen(range(9), 8, 9)  # no frame follows the source's last one
    assert not end.ok.any()
    np.testing.assert_array_equal(end.moved, end.points68)


def key(stage: LandmarksStage | AlignStage, **asked: Any) -> str:
    inputs = {"frames": "f", "landmarks": "l"}
    return stage_key(stage, RunSettings(Path("a"), Path("b"), **asked), inputs)[0]


RESOURCES: Any = SimpleNamespace(networks=SimpleNamespace(landmark_models=dict))
DETECTING = DEFAULT.detecting


def test_a_changed_constant_changes_the_key_of_what_it_shapes() -> None:
    before = key(LandmarksStage(RESOURCES))
    for changed in (
        replace(DEFAULT, detecting=replace(DETECTING, mesh=Mesh(mesh_threshold=0.6))),
        replace(DEFAULT, detecting=replace(DETECTING, flow=Flow(closure=0.03))),
        replace(DEFAULT, tracking=Tracking(max_gap_s=0.4)),
    ):
        assert key(LandmarksStage(RESOURCES, changed)) != before
    # The other backend's don't matter, nor does what happens later.
    for changed in (
        replace(DEFAULT, detecting=replace(DETECTING, fan=Fan(score_threshold=0.6))),
        replace(DEFAULT, aligning=Aligning(Choosing(0.6))),
    ):
        assert key(LandmarksStage(RESOURCES, changed)) == before
    fan = replace(DEFAULT, detecting=replace(DETECTING, fan=Fan(score_threshold=0.6)))
    with_fan = key(LandmarksStage(RESOURCES), backend="fan")
    assert key(LandmarksStage(RESOURCES, fan), backend="fan") != with_fan

    before = key(AlignStage(RESOURCES))
    for aligning in (
        Aligning(choosing=Choosing(0.6)),
        Aligning(stabilising=Stabilising(memory_s=0.2)),
        Aligning(smoothing=Smoothing(quad_sigma_s=0.1)),
        Aligning(sizes=CropSizes(sizes=(256, 512))),
    ):
        assert key(AlignStage(RESOURCES, aligning)) != before


def test_memory_does_not_grow_with_the_film() -> None:
    """``python -m tests.stages.film 200000`` by hand: 9 MB more than for 2000 frames."""

    def peak(count: int) -> int:
        command = [sys.executable, "-m", "tests.stages.film", str(count)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(ran.stdout)

    # All detections alone are 2.6 KB per frame, 47 MB; the tracks are 40 bytes.
    assert peak(20_000) - peak(2_000) < 5e6
