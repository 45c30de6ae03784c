"""From the faces of single frames to the table: the stages ``landmarks`` and ``align``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
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
from videdit.device import Device
from videdit.errors import UsageError
from videdit.faces.detection import Detection, Detections
from videdit.faces.parameters import Aligning, FaceParameters, Smoothing, Stabilising
from videdit.inversion.parameters import CodeSmoothing, InversionParameters
from videdit.media.probe import probe
from videdit.media.reader import read_frames
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.stage import Stage
from videdit.pipeline.store import Store
from videdit.settings import Parameters, RunSettings
from videdit.stages.align import AlignStage
from videdit.stages.frames import FramesStage
from videdit.stages.landmarks import LandmarksStage
from videdit.stages.resources import Resources
from videdit.stages.track import TrackStage

ROOT = Path(__file__).parent.parent.parent
AROUND = 41
"""Frames around a stretch of the film that its codes depend on: 1.6 s and one."""
NO_SMOOTHING = Parameters(
    FaceParameters(
        aligning=Aligning(stabilising=Stabilising(reach_s=0), smoothing=Smoothing(reach=0))
    ),
    InversionParameters(smoothing=CodeSmoothing(0, 0, 0)),
)
"""Of these a code depends on the frames right before and after, their quads on three more."""


def table_of(folder: Path, frames: range, chunk: int, face: str = "all") -> FaceTable:
    return FaceTable(run_film(folder, frames, chunk, face=face).artifacts["align"])


def test_the_table_does_not_depend_on_the_chunks(tmp_path: Path) -> None:
    frames = range(SHOT - 90, SHOT + 70)
    table = table_of(tmp_path, frames, 1000)
    whole = table.window(0, 2000)
    first = frames.start - AROUND
    assert (table.first_frame, table.stop_frame) == (first, frames.stop)
    # Two people in each of two shots, in every frame: two frames without one are a gap.
    assert [(t.id, t.first, t.last, t.size) for t in table.tracks] == [
        (0, first, SHOT - 1, 256),
        (1, first, SHOT - 1, 256),
        (2, SHOT, SHOT + 69, 256),
        (3, SHOT, SHOT + 69, 256),
    ]
    assert len(whole) == len(table) == 2 * (frames.stop - first)
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
    """Finds one face, always in the same place; remembers what it looked at."""

    threads = 1

    def __init__(self) -> None:
        self.pictures: list[bytes] = []

    def detect(self, rgb8: np.ndarray) -> list[Detection]:
        self.pictures.append(rgb8.tobytes())
        return [detection(100, 70, 30)]


def clip_resources(path: Path, landmarker: InTheMiddle, frames: range, chunk: int) -> Resources:
    """What stages work with that edit some frames of a clip of 25 per second."""
    networks: Any = SimpleNamespace(
        landmark_models=dict, landmarker=landmarker, device=Device("cpu", "fp32")
    )
    asked = RunSettings(
        path,
        Path("out"),
        start_s=frames.start / 25,
        stop_s=frames.stop / 25,
        chunk_frames=chunk,
        parameters=NO_SMOOTHING,
    )
    resources = Resources(asked, probe(path), networks)
    assert resources.frames == frames
    return resources


def test_a_chunk_depends_on_its_frames_alone(tmp_path: Path) -> None:
    """The flow out of a stretch's last frame is known where the source goes on."""
    clip = tmp_path / "clip.mkv"
    drifting_clip(clip, 9)

    def seen(frames: range, start: int, stop: int) -> Detections:
        """The faces of ``start <= frame < stop``, made for a stretch and nothing else."""
        with (
            TemporaryDirectory(dir=tmp_path) as cache,
            clip_resources(clip, InTheMiddle(), frames, 3) as resources,
            Store(Path(cache)) as store,
        ):
            stages = [Shots(resources), LandmarksStage(resources)]
            report = run(stages, store, resources.timeline.content_id, clip)
            artifact = report.artifacts["landmarks"]
            return DetectionReader(artifact, artifact.chunks).window(start, stop)

    whole = seen(range(9), 3, 6)
    steps = whole.moved - whole.points68
    assert whole.ok.mean() > 0.9
    np.testing.assert_allclose(steps[whole.ok], [[2, 1]] * whole.ok.sum(), atol=0.1)
    for part in (seen(range(6), 3, 6), seen(range(3, 9), 3, 6), seen(range(4, 5), 3, 6)):
        for name in ("counts", "box", "score", "points68", "moved", "ok"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
    end = seen(range(9), 8, 9)  # no frame follows the source's last one
    assert not end.ok.any()
    np.testing.assert_array_equal(end.moved, end.points68)


def test_no_frame_is_detected_again_for_another_stretch(tmp_path: Path) -> None:
    clip, landmarker = tmp_path / "clip.mkv", InTheMiddle()
    drifting_clip(clip, 22)
    pictures = [frame.rgb8.tobytes() for frame in read_frames(probe(clip))]
    assert len(set(pictures)) == 22

    def looked_at(frames: range) -> tuple[list[int], RunReport]:
        """The frames that were looked at for a stretch, all before it done."""
        landmarker.pictures.clear()
        with (
            clip_resources(clip, landmarker, frames, 5) as resources,
            Store(tmp_path / "cache") as store,
        ):
            stages: list[Stage] = [
                FramesStage(resources),
                LandmarksStage(resources),
                TrackStage(resources),
                AlignStage(resources),
            ]
            report = run(stages, store, resources.timeline.content_id, clip)
            table = FaceTable(report.artifacts["align"])
            assert table.window(0, 22).frame.tolist() == list(resources.coded)
            return [pictures.index(picture) for picture in landmarker.pictures], report

    frames, first = looked_at(range(9, 11))  # with what is around them, two chunks
    assert frames == list(range(5, 15))
    frames, second = looked_at(range(12, 13))  # out of them
    assert frames == list(range(15, 20))
    assert looked_at(range(9, 16))[0] == []  # all of both
    assert looked_at(range(22))[0] == [*range(5), 20, 21]
    assert looked_at(range(9, 11))[0] == []  # once more
    keys = [
        [report.artifacts[name].key for name in ("frames", "landmarks", "align")]
        for report in (first, second)
    ]
    assert keys[0][:2] == keys[1][:2]
    assert keys[0][2] != keys[1][2]


def test_a_stretch_has_the_faces_that_the_whole_has(tmp_path: Path) -> None:
    """To the last bit, with what its codes depend on around it; also where the chunks that it lies
    in reach further, and where another was asked before."""
    whole = FaceTable(run_film(tmp_path, range(600), face="all").artifacts["align"])
    inside = range(210, 290)  # of the chunk 200 to 399
    for frames in (inside, range(150, 500), range(205, 410), inside, range(30, 31)):
        table = FaceTable(run_film(tmp_path, frames, count=600, face="all").artifacts["align"])
        first, stop = max(0, frames.start - AROUND), frames.stop + AROUND
        faces = table.window(0, 600)
        assert faces.frame.tolist() == [frame for frame in range(first, stop) for _ in range(2)]
        assert [(t.first, t.last) for t in table.tracks] == [(first, stop - 1)] * 2
        wanted = whole.window(first, stop)
        for name in ("quad", "points", "size"):
            np.testing.assert_array_equal(getattr(faces, name), getattr(wanted, name))


def test_faces_around_a_stretch_are_not_edited_for_their_own_sake(tmp_path: Path) -> None:
    """Who is gone when the stretch begins, by a cut, is not in the table."""
    table = table_of(tmp_path, range(SHOT + 2, SHOT + 9), 48)
    assert [(t.id, t.first) for t in table.tracks] == [(2, SHOT), (3, SHOT)]
    with pytest.raises(UsageError, match="There are: 2, 3"):
        table_of(tmp_path, range(SHOT + 2, SHOT + 9), 48, "track:0")


def test_memory_does_not_grow_with_the_film() -> None:
    """``python -m tests.stages.film 200000`` by hand: 9 MB more than for 2000 frames."""

    def peak(count: int) -> int:
        command = [sys.executable, "-m", "tests.stages.film", str(count)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(ran.stdout)

    # All detections alone are 2.6 KB per frame, 47 MB; the tracks are 40 bytes.
    assert peak(20_000) - peak(2_000) < 5e6
