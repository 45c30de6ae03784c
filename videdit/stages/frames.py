"""``frames``: thumbnails, and where the shots begin."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.shots import read_shots, write_shots
from ..batches import ahead
from ..device import workers
from ..media.shots import find_cuts, thumbnail
from ..pipeline.stage import Chunk, Context, Json, Stage
from ..sheet import strip
from .resources import Resources


class FramesStage(Stage):
    """Leaves ``thumbnails.npy`` per chunk; the shots of the stretch as a whole."""

    name = "frames"
    version = 3
    apart = True
    cost = 0.006
    size = 7_000

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {"chunk": self.resources.run.chunk_frames}

    def plan(self) -> str:
        return self.resources.stretch

    def expected(self) -> int:
        return len(self.resources.seen)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return self.resources.whole_chunks()

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        thumbnails = []
        frames = self.resources.reader.read(chunk.start, chunk.stop)
        for _, small in ahead(frames, lambda frame: thumbnail(frame.rgb8), workers()):
            thumbnails.append(small)
            ctx.tick()
        np.save(folder / "thumbnails.npy", np.stack(thumbnails))

    def finish(self, ctx: Context, folder: Path) -> None:
        timeline, frames = self.resources.timeline, self.resources.seen

        def thumbnails() -> Iterator[NDArray[np.uint8]]:
            for chunk in self.chunks(ctx):
                kept = np.load(ctx.own.path(chunk.name, "thumbnails.npy"))
                yield from kept[max(0, frames.start - chunk.start) : frames.stop - chunk.start]

        cuts = find_cuts(thumbnails(), float(timeline.average_rate))
        write_shots(folder, [frames.start + cut for cut in cuts])

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The frames, each with its time and shot."""
        shots, times = read_shots(ctx.own), self.resources.times
        pictures = []
        for index in frames:
            shot = max(0, bisect_right(shots, index) - 1)
            caption = f"frame {index}, {times[index]:.3f} s, shot {shot}"
            for frame in self.resources.reader.read(index, index + 1):
                pictures.append(strip([(caption, frame.rgb8)]))
        return pictures
