"""``frames``: the timeline, thumbnails, and where the shots begin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..media.reader import read_frames
from ..media.shots import find_cuts, thumbnail
from ..pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from .resources import Resources


class FramesStage(Stage):
    """Leaves ``thumbnails.npy`` per chunk; ``timeline.json`` and ``shots.json`` as a whole."""

    name = "frames"
    version = 1

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        frames = self.resources.frames
        return {"frames": [frames.start, frames.stop], "chunk": self.resources.run.chunk_frames}

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        frames = self.resources.frames
        return frame_chunks(frames.start, frames.stop, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        thumbnails = []
        for frame in read_frames(self.resources.timeline, chunk.start, chunk.stop):
            thumbnails.append(thumbnail(frame.rgb8))
            ctx.tick()
        np.save(folder / "thumbnails.npy", np.stack(thumbnails))

    def finish(self, ctx: Context, folder: Path) -> None:
        timeline = self.resources.timeline

        def thumbnails() -> Iterator[NDArray[np.uint8]]:
            for chunk in self.chunks(ctx):
                yield from np.load(ctx.own.path(chunk.name, "thumbnails.npy"))

        first = self.resources.frames.start
        shots = [first + cut for cut in find_cuts(thumbnails(), float(timeline.average_rate))]
        (folder / "timeline.json").write_text(json.dumps(timeline.to_json()))
        (folder / "shots.json").write_text(json.dumps(shots))

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        return [f.rgb8 for i in frames for f in read_frames(self.resources.timeline, i, i + 1)]


def read_shots(ctx: Context) -> list[int]:
    """The first frame of each shot."""
    frames = ctx.input("frames")
    shots = json.loads(frames.path(frames.whole, "shots.json").read_text())
    return [int(shot) for shot in shots]
