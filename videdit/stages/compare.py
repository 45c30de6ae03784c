"""``compare``: the result beside its source, encoded piece by piece like the result; only where it
is asked for. It reads what ``blend`` left, so that nothing of the chain is done again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..artifacts.blended import read_segment, read_touched, segment_path
from ..media.compare import GAIN, compared_frames, compared_spec, compared_timeline
from ..media.compose import EncodableFrame
from ..media.segments import write_segment
from ..pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from .resources import Resources


class CompareStage(Stage):
    """Leaves an encoded segment per chunk."""

    name = "compare"
    version = 1
    takes = ("blend",)
    apart = True
    cost = 0.06

    def __init__(self, resources: Resources, kind: str) -> None:
        self.resources, self.kind = resources, kind
        timeline = resources.timeline
        wider = 2 if kind == "side" else 1
        self.size = wider * timeline.path.stat().st_size // max(1, len(timeline))

    def settings(self) -> dict[str, Json]:
        return {"kind": self.kind, "gain": GAIN}

    def expected(self) -> int:
        return len(self.resources.timeline)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return frame_chunks(0, len(self.resources.timeline), self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        timeline, spec = self.resources.timeline, self.resources.encode_spec
        blended, kind = ctx.input("blend"), self.kind
        result = read_segment(blended, chunk.name)
        touched = read_touched(blended, chunk.name)

        def frames() -> Iterator[EncodableFrame]:
            read = self.resources.reader.read(chunk.start, chunk.stop)
            for frame in compared_frames(kind, read, result, timeline, spec, touched):
                yield frame
                ctx.tick()

        wide = compared_timeline(timeline, spec, kind)
        write_segment(segment_path(folder), wide, compared_spec(timeline, spec), frames())
