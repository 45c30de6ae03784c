"""A film of any length that was never shot: the landmarks' chunks are made up, all else is real.

``python -m tests.stages.film 200000`` says how many bytes the process takes at its peak while the
stages up to the table of faces run, with a pass over the whole table at the end.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.faces.helpers import face68
from videdit.artifacts.faces import FaceTable
from videdit.artifacts.landmarks import write_detections
from videdit.faces.detection import Detection
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.settings import RunSettings
from videdit.pipeline.stage import Chunk, Context, Stage
from videdit.pipeline.store import Store
from videdit.stages.align import AlignStage
from videdit.stages.landmarks import LandmarksStage

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

    def __init__(self, resources: Any) -> None:
        self.frames = resources.frames

    def settings(self, run: RunSettings) -> dict[str, Any]:
        return {"frames": [self.frames.start, self.frames.stop]}

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return []

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        raise AssertionError

    def finish(self, ctx: Context, folder: Path) -> None:
        first = self.frames.start
        cuts = range((first // SHOT + 1) * SHOT, self.frames.stop, SHOT)
        (folder / "shots.json").write_text(json.dumps([first, *cuts]))


class MadeUpLandmarks(LandmarksStage):
    """Finds ``faces_of`` without looking, and flow that trusts every other point."""

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        found = [faces_of(frame) for frame in range(chunk.start, chunk.stop)]
        faces = [face for frame in found for face in frame]
        ok = np.arange(68) % 2 == 0
        write_detections(folder, found, [face.points68 for face in faces], [ok] * len(faces))


def run_film(folder: Path, frames: range, chunk: int = CHUNK, **settings: Any) -> RunReport:
    """Run the stages up to ``align`` over some frames of the film, 25 per second."""
    resources: Any = SimpleNamespace(
        frames=frames,
        times=np.arange(frames.stop) / 25,
        networks=SimpleNamespace(landmark_models=dict),
    )
    asked = RunSettings(Path("film"), Path("out"), chunk_frames=chunk, **settings)
    stages = [Shots(resources), MadeUpLandmarks(resources), AlignStage(resources)]
    with Store(folder) as store:
        return run(stages, asked, store, "0" * 32)


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
