"""``edit``: the codes moved along attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..pipeline.stage import Chunk, Context, Json, Stage
from .invert import code_pictures, face_chunks, read_codes, read_rows, read_table
from .resources import Resources


class EditStage(Stage):
    """Leaves ``codes.npy`` per chunk ((k, 16, 512) float16) and ``active.npy`` ((k,) bool): whether
    any edit has a strength other than 0 there."""

    name = "edit"
    version = 2
    takes = ("align", "invert")

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {
            "edits": [str(edit) for edit in self.resources.run.edits],
            "keep": list(self.resources.run.keep),
        }

    def models(self) -> dict[str, str]:
        return self.resources.networks.editor_ids(self.resources.run.editor)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return face_chunks(ctx, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table = read_table(ctx)
        times = self.resources.times
        codes = read_codes(ctx.input("invert"), table, times, chunk.start, chunk.stop)
        rows = table.rows(chunk.start, chunk.stop)
        at = times[table.frame[rows.start : rows.stop]]
        edited = self.resources.editor.apply(codes, self.resources.run.edits, at)
        strengths = [edit.schedule.at(at) for edit in self.resources.run.edits]
        active = np.any(strengths, axis=0) if strengths else np.zeros(len(rows), bool)
        np.save(folder / "codes.npy", edited.astype(np.float16))
        np.save(folder / "active.npy", active.astype(bool))
        ctx.tick(chunk.frames)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table = read_table(ctx)
        codes = [
            read_rows(ctx.own, "codes.npy", table, i, i + 1) for i in frames if table.rows(i, i + 1)
        ]
        return code_pictures(codes, self.resources.networks.statistics)
