"""``edit``: the codes moved along attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import code_pictures, read_codes, write_codes
from ..pipeline.stage import Chunk, Context, Json
from .resources import FaceStage


class EditStage(FaceStage):
    """Leaves ``codes.npy`` per chunk ((k, rows, width) float16) and ``active.npy`` ((k,) bool):
    whether any edit has a strength other than 0 there."""

    name = "edit"
    version = 4
    takes = ("align", "encode", "refine")
    cost = 0.002

    def settings(self) -> dict[str, Json]:
        run = self.resources.run
        return {
            "edits": [str(edit) for edit in run.edits],
            "keep": list(run.keep),
            "smoothing": asdict(self.resources.parameters.inversion.smoothing),
        }

    def models(self) -> dict[str, str]:
        return self.resources.networks.editor_ids(self.resources.run.editor)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        edits = self.resources.run.edits
        faces = self.table(ctx).window(chunk.start, chunk.stop)
        codes = self.codes(ctx).read(chunk.start, chunk.stop)
        at = self.resources.times[faces.frame]
        calm = self.codes(ctx).read(chunk.start, chunk.stop, calm=True)
        edited = self.resources.editor.apply(codes, edits, at, calm)
        strengths = [edit.schedule.at(at) for edit in edits]
        active = np.any(strengths, axis=0) if strengths else np.zeros(len(faces), bool)
        write_codes(folder, edited, self.resources.networks.space)
        np.save(folder / "active.npy", active.astype(bool))
        ctx.tick(chunk.frames)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table = self.table(ctx)
        shown = [i for i in frames if len(self.to_edit(ctx, i, i + 1))]
        codes = [read_codes(ctx.own, table, i, i + 1) for i in shown]
        return code_pictures(codes, self.resources.networks.statistics)
