"""Persons and their offsets: found once per person and source, kept track by track."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.artifacts.codes import CodeReader, write_codes
from videdit.artifacts.faces import Faces, FaceTable, FaceTrack, write_faces, write_index
from videdit.device import Device
from videdit.errors import Interrupted
from videdit.faces.align import ffhq_quad
from videdit.faces.parameters import Choosing
from videdit.generators.mobile import SPACE
from videdit.inversion import refine as module
from videdit.media.probe import probe
from videdit.models.networks import Networks
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from videdit.pipeline.store import Store
from videdit.settings import Parameters, RunSettings
from videdit.stages.refine import RefineStage
from videdit.stages.resources import FaceStage, Resources

FRAMES, RATE = 30, 25
# Ann has two shots, Ben one; Ann's second is the longest track.
TRACKS = (FaceTrack(0, 0, 7, 256), FaceTrack(1, 8, 14, 256), FaceTrack(2, 15, 29, 256))
PERSON = {0: "ann", 1: "ben", 2: "ann"}
GREY = {"ann": 60, "ben": 190}


def person_at(frame: int) -> str:
    return next(PERSON[t.id] for t in TRACKS if t.first <= frame <= t.last)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every frame shows its person as a shade of grey."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv444p"
        for index in range(FRAMES):
            picture = np.full((64, 64, 3), GREY[person_at(index)], np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


class Align(Stage):
    """Leaves a table of the tracks in the stretch."""

    name = "align"

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        frames = resources.frames
        self.tracks = [
            FaceTrack(t.id, max(t.first, frames.start), min(t.last, frames.stop - 1), t.size)
            for t in TRACKS
            if t.first < frames.stop and frames.start <= t.last
        ]

    def settings(self) -> dict[str, Json]:
        return {"frames": [self.resources.frames.start, self.resources.frames.stop]}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return frame_chunks(self.tracks[0].first, self.tracks[-1].last + 1, 6)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        rows = [
            (frame, t.id)
            for frame in range(chunk.start, chunk.stop)
            for t in self.tracks
            if t.first <= frame <= t.last
        ]
        frames, ids = np.array(rows, np.int64).T
        points = np.tile(face68() * 10 + 32, (len(frames), 1, 1))
        sizes = np.full(len(frames), 256)
        quads = ffhq_quad(points)
        write_faces(folder, [Faces(0, frames, ids, quads, points.astype(np.float32), sizes)])

    def finish(self, ctx: Context, folder: Path) -> None:
        write_index(folder, self.tracks)


class Encode(FaceStage):
    name = "encode"
    takes = ("align",)

    def settings(self) -> dict[str, Json]:
        return {}

    def chunks(self, ctx: Context) -> list[Chunk]:
        table = self.table(ctx)
        return frame_chunks(table.first_frame, table.stop_frame, 6)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        frames = self.table(ctx).window(chunk.start, chunk.stop).frame
        codes = [np.full(SPACE.shape, 0.01 * frame) for frame in frames]
        write_codes(folder, codes, SPACE)


class Refining:
    """Stands in for the refinement: remembers whom it looked at."""

    def __init__(self) -> None:
        self.persons: list[tuple[str, list[float]]] = []
        self.after_step: dict[tuple[int, int], Any] = {}

    def describe(self, _: object, crops: np.ndarray) -> np.ndarray:
        ann = crops.mean() < 0.5
        # Two looks at one person differ a little.
        return np.array([1.0, 0.1, 0.0] if ann else [0.0, 0.1, 1.0], np.float32) / np.sqrt(1.01)

    def refine(self, *arguments: Any) -> np.ndarray:
        crops, codes, how, _, step_done = arguments[3:]
        who = "ann" if crops.mean() < 0.5 else "ben"
        self.persons.append((who, sorted(float(c.mean()) for c in codes)))
        for step in range(how.steps):
            self.after_step.get((len(self.persons), step), lambda: None)()
            step_done()
        return np.full(SPACE.shape, 1.0 if who == "ann" else -1.0, np.float32)


@pytest.fixture
def refining(monkeypatch: pytest.MonkeyPatch) -> Iterator[Refining]:
    fake = Refining()
    monkeypatch.setattr(module, "describe", fake.describe)
    monkeypatch.setattr(module, "refine_person", fake.refine)
    return fake


class Runs:
    def __init__(self, clip: Path, cache: Path) -> None:
        self.clip, self.cache = clip, cache
        self.stop = threading.Event()

    def __call__(self, **settings: Any) -> dict[int, float]:
        """The offset of every track after a run."""
        timeline = probe(self.clip)
        bundle: Any = SimpleNamespace(
            ids=lambda *roles: {role: f"id of {role}" for role in roles}, latent=SPACE
        )
        networks = Networks(bundle, Device("cpu", "fp32"), "mesh")
        names = ("recognition", "synthesis", "statistics")
        vars(networks).update(dict.fromkeys(names))
        asked = RunSettings(self.clip, self.clip.with_name("out.mkv"), **settings)
        with Resources(asked, timeline, networks) as resources, Store(self.cache) as store:
            stages = [Align(resources), Encode(resources), RefineStage(resources)]
            self.stop.clear()
            report = self.report = run(
                stages, store, timeline.content_id, self.clip, stop=self.stop
            )
            return self.offsets(report, resources)

    def offsets(self, report: RunReport, resources: Resources) -> dict[int, float]:
        artifacts = report.artifacts
        table = FaceTable(artifacts["align"])
        smoothing = resources.parameters.inversion.smoothing
        reader = CodeReader(
            artifacts["encode"], artifacts["refine"], table, resources.times, SPACE, smoothing
        )
        found = {}
        for track in table.tracks:
            mine = table.window(track.first, track.last + 1).track == track.id
            codes = reader.read(track.first, track.last + 1)[mine]
            frames = np.arange(track.first, track.last + 1)
            assert codes.shape == (len(frames), *SPACE.shape)
            found[track.id] = round(float((codes.mean((1, 2)) - 0.01 * frames).mean()), 2)
        return found


@pytest.fixture
def runs(clip: Path, tmp_path: Path) -> Runs:
    return Runs(clip, tmp_path / "cache")


def test_a_person_is_looked_at_once(runs: Runs, refining: Refining) -> None:
    assert runs() == {0: 1.0, 1: -1.0, 2: 1.0}
    # Ann's longest track, then Ben's only one; Ann's other track takes over what was found.
    assert [who for who, _ in refining.persons] == ["ann", "ben"]
    assert all(0.149 < code < 0.3 for code in refining.persons[0][1])
    assert runs.report.stages["refine"].chunks_done == 4  # three tracks, and all of them


def test_another_stretch_of_the_source_takes_over(runs: Runs, refining: Refining) -> None:
    assert runs(start_s=0.0, stop_s=3 / RATE) == {0: 1.0}
    assert runs() == {0: 1.0, 1: -1.0, 2: 1.0}
    assert [who for who, _ in refining.persons] == ["ann", "ben"]
    assert runs(start_s=0.0, stop_s=10 / RATE) == {0: 1.0, 1: -1.0}
    assert len(refining.persons) == 2


def test_numbers_that_shape_an_offset_are_heeded(runs: Runs, refining: Refining) -> None:
    runs(stop_s=3 / RATE)
    numbers = Parameters()
    refinement = replace(numbers.inversion.refinement, steps=2)
    inversion = replace(numbers.inversion, refinement=refinement)
    runs(stop_s=3 / RATE, parameters=replace(numbers, inversion=inversion))
    assert [who for who, _ in refining.persons] == ["ann", "ann"]


def test_what_shaped_the_crops_holds_offsets_apart(runs: Runs, refining: Refining) -> None:
    numbers = Parameters()
    aligning = replace(numbers.faces.aligning, choosing=Choosing(same_size=0.4))
    runs(stop_s=3 / RATE)
    faces = replace(numbers.faces, aligning=aligning)
    runs(stop_s=3 / RATE, parameters=replace(numbers, faces=faces))
    assert [who for who, _ in refining.persons] == ["ann", "ann"]


def test_two_faces_in_one_frame_are_two_people(
    runs: Runs, refining: Refining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However alike: here everybody looks like Ann."""
    same = np.array([1.0, 0, 0], np.float32)
    monkeypatch.setattr(module, "describe", lambda *_: same)
    twins = (FaceTrack(0, 0, 20, 256), FaceTrack(1, 10, 29, 256))
    monkeypatch.setitem(globals(), "TRACKS", twins)
    runs()
    assert len(refining.persons) == 2


def test_a_stop_comes_between_steps_and_loses_one_track(runs: Runs, refining: Refining) -> None:
    refining.after_step[2, 3] = lambda: runs.stop.set()  # in Ben's track
    with pytest.raises(Interrupted):
        runs()
    assert [who for who, _ in refining.persons] == ["ann", "ben"]
    refining.after_step.clear()
    assert runs() == {0: 1.0, 1: -1.0, 2: 1.0}
    assert [who for who, _ in refining.persons] == ["ann", "ben", "ben"]


def test_other_methods_add_nothing(runs: Runs, refining: Refining) -> None:
    assert runs(method="encoder") == {0: 0.0, 1: 0.0, 2: 0.0}
    assert not refining.persons
    assert Fraction(1, RATE) * FRAMES > 1  # the clip is longer than a chunk
