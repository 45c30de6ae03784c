"""``decode``: the pictures of the edited codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import read_codes
from ..artifacts.marks import Marks
from ..artifacts.pictures import has_picture, read_picture, write_picture
from ..artifacts.rows import read_rows
from ..pipeline.stage import Chunk, Context, Json
from .resources import FaceStage


class DecodeStage(FaceStage):
    """Leaves per chunk a picture per edited face."""

    name = "decode"
    version = 2
    takes = ("align", "edit")
    cost = 0.3

    def settings(self) -> dict[str, Json]:
        return {"precision": self.resources.networks.device.precision}

    def models(self) -> dict[str, str]:
        return self.resources.networks.ids("generator")

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table, edit = self.table(ctx), ctx.input("edit")
        faces = table.window(chunk.start, chunk.stop)
        codes = read_codes(edit, table, chunk.start, chunk.stop)
        active = read_rows(edit, "active.npy", table, chunk.start, chunk.stop)
        marks = Marks(faces, faces.size, codes, active)
        known = self.known(ctx).find(chunk, marks)
        to_show = [int(k) for k in np.flatnonzero(active)]
        for k in to_show:
            if k in known:
                known[k].copy_picture(folder, faces.name(k))
        todo = [k for k in to_show if k not in known]
        start, stop = faces.only(todo).span
        ctx.tick(chunk.frames - (stop - start))
        for k, picture in self.pictures(ctx, codes, todo):
            write_picture(folder, faces.name(k), picture, int(faces.size[k]))
            ctx.tick(int(faces.frame[k]) + 1 - start)
            start = int(faces.frame[k]) + 1
        marks.write(folder)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        pictures = []
        for index in frames:
            faces = self.to_edit(ctx, index, index + 1)
            for name in map(faces.name, range(len(faces))):
                (chunk,) = ctx.own.overlapping(index, index + 1)
                if has_picture(ctx.own, chunk.name, name):
                    shown = read_picture(ctx.own, chunk.name, name)
                    pictures.append(np.rint(shown * 255).astype(np.uint8))
        return pictures
