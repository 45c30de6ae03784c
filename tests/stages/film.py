"""A film of any length that was never shot: the landmarks' chunks are made up, all else is real.

``python -m tests.stages.film 200000`` says how many bytes the process takes at its peak while the
stages up to the table of faces run, with a pass over the whole table at the end.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.faces.helpers import face68
from videdit.artifacts.faces import FaceTable
from videdit.artifacts.landmarks import write_detections
from videdit.artifacts.shots import write_shots
from videdit.device import Device
from videdit.faces.detection import Detection
from videdit.media.timeline import ColorTags, Timeline
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.stage import Chunk, Context, Json, Stage
from videdit.pipeline.store import Store
from videdit.settings import RunSettings
from videdit.stages.align import AlignStage
from videdit.stages.landmarks import LandmarksStage
from videdit.stages.resources import Resources
from videdit.stages.track import TrackStage

RATE = 25  # frames per second
SHOT = 700  # frames
CHUNK = 200
PEOPLE = [face68() * size + (x, 300) for x, size in ((300, 60), (800, 25))]


def faces_of(frame: int) -> list[Detection]:
    """Someone who is lost for two frames now and then, and someone in the back. Both tremble."""
    found = []
    for person in PEOPLE:
        points = (person + frame * 0.618 % 1).astype(np.float32)
        box = np.concatenate([points.min(axis=0), points.max(axis=0)])
        found.append(Detection(box, 0.9, points, None))
    return found[1:] if frame % 50 in (7, 8) else found


class Shots(Stage):
    """Stands in for ``frames``: a cut every ``SHOT`` frames."""

    name = "frames"

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {}

    def plan(self) -> str:
        return self.resources.stretch

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return []

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        raise AssertionError

    def finish(self, ctx: Context, folder: Path) -> None:
        first, stop = self.resources.seen.start, self.resources.seen.stop
        write_shots(folder, [first, *range((first // SHOT + 1) * SHOT, stop, SHOT)])


class MadeUpLandmarks(LandmarksStage):
    """Finds ``faces_of`` without looking, and flow that trusts every other point."""

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        found = [faces_of(frame) for frame in range(chunk.start, chunk.stop)]
        faces = [face for frame in found for face in frame]
        ok = np.arange(68) % 2 == 0
        write_detections(folder, found, [face.points68 for face in faces], [ok] * len(faces))


def film(count: int) -> Timeline:
    """The film's timeline; there is no such file."""
    ticks = np.arange(count, dtype=np.int64)
    return Timeline(
        path=Path("film"),
        content_id="0" * 32,
        time_base=Fraction(1, RATE),
        pts=ticks,
        durations=np.ones_like(ticks),
        keyframes=np.zeros(1, np.int32),
        width=1280,
        height=720,
        rotation=0,
        mirrored=False,
        sample_aspect=Fraction(1),
        pix_fmt="yuv420p",
        bit_depth=8,
        color=ColorTags(),
        codec="h264",
        has_alpha=False,
        stream_index=0,
        streams=(),
        container="mov",
        is_image=False,
        average_rate=Fraction(RATE),
    )


def film_resources(frames: range, count: int | None = None, **settings: Any) -> Resources:
    """What stages work with that edit some frames of a film of ``count``, by default up to the
    last of these."""
    networks: Any = SimpleNamespace(landmark_models=dict, device=Device("cpu", "fp32"))
    stretch = {"start_s": frames.start / RATE, "stop_s": frames.stop / RATE}
    asked = RunSettings(Path("film"), Path("out"), **{"chunk_frames": CHUNK, **stretch, **settings})
    return Resources(asked, film(count or frames.stop), networks)


def run_film(
    folder: Path, frames: range, chunk: int = CHUNK, count: int | None = None, **settings: Any
) -> RunReport:
    """Run the stages up to ``align`` over some frames of a film, 25 per second."""
    with film_resources(frames, count, chunk_frames=chunk, **settings) as resources:
        assert resources.frames == frames
        stages = [
            Shots(resources),
            MadeUpLandmarks(resources),
            TrackStage(resources),
            AlignStage(resources),
        ]
        with Store(folder) as store:
            return run(stages, store, resources.timeline.content_id, resources.timeline.path)


def pass_over(folder: Path, count: int) -> None:
    """Run a film of so many frames and read all of its table, window by window."""
    report = run_film(folder, range(count), face="all")
    table = FaceTable(report.artifacts["align"])
    rows = sum(len(table.window(start, start + 100)) for start in range(0, count, 100))
    assert rows == len(table) > 1.9 * count


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        pass_over(Path(made), int(sys.argv[1]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
