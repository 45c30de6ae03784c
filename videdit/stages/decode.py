"""``decode``: the pictures of the edited codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import read_latents
from ..artifacts.marks import Marks
from ..artifacts.pictures import POINTS, has_picture, read_picture
from ..artifacts.rows import read_rows
from ..pipeline.stage import Chunk, Context, Json
from ..previews.pictures import bytes_of, difference
from ..sheet import strip
from .resources import FaceStage


class DecodeStage(FaceStage):
    """Leaves per chunk a picture per edited face and ``points.npy``: (k, 68, 2) its landmarks, crop
    units, NaN where there is none."""

    name = "decode"
    version = 3
    takes = ("align", "edit")
    shows = ("reconstruct",)
    apart = True
    cost = 0.3
    size = 120_000

    def settings(self) -> dict[str, Json]:
        return self.picturing()

    def models(self) -> dict[str, str]:
        networks = self.resources.networks
        return networks.ids("generator") | networks.landmark_models()

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table, edit = self.table(ctx), ctx.input("edit")
        faces = table.window(chunk.start, chunk.stop)
        latents = read_latents(edit, table, chunk.start, chunk.stop)
        active = read_rows(edit, "active.npy", table, chunk.start, chunk.stop)
        marks = Marks(faces, faces.size, *latents.parts, active)
        known = self.known(ctx).find(chunk, marks)
        points = np.full((len(faces), 68, 2), np.nan, np.float32)
        to_show = [int(k) for k in np.flatnonzero(active)]
        for k in to_show:
            if k in known:
                known[k].copy_picture(folder, faces.name(k))
                points[k] = known[k].values(POINTS)
        todo = [k for k in to_show if k not in known]
        start, stop = faces.only(todo).span
        ctx.tick(chunk.frames - (stop - start))
        for k, seen in self.pictures(ctx, latents, todo, faces, folder):
            if seen is not None:
                points[k] = seen
            ctx.tick(int(faces.frame[k]) + 1 - start)
            start = int(faces.frame[k]) + 1
        np.save(folder / POINTS, points)
        marks.write(folder)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Reconstructions beside edited crops, and how they differ."""
        pictures = []
        reconstruct = ctx.input("reconstruct")
        for index in frames:
            faces = self.to_edit(ctx, index, index + 1)
            for k in range(len(faces)):
                name = faces.name(k)
                (chunk,) = ctx.own.overlapping(index, index + 1)
                if has_picture(ctx.own, chunk.name, name):
                    (other,) = reconstruct.overlapping(index, index + 1)
                    own = bytes_of(read_picture(reconstruct, other.name, name))
                    edited = bytes_of(read_picture(ctx.own, chunk.name, name))
                    caption = f"frame {index}, track {faces.track[k]}: reconstruction"
                    panels = [(caption, own), ("edited", edited)]
                    pictures.append(strip([*panels, ("difference x2", difference(own, edited, 2))]))
        return pictures
