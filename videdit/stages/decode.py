"""``decode``: the pictures of the edited codes, and what the edit changed in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import read_codes
from ..artifacts.marks import Marks, read_digests
from ..artifacts.pictures import has_picture, read_picture, write_picture
from ..artifacts.rows import read_rows
from ..blending.masks import MAP_SIZE, difference_map
from ..pipeline.stage import Chunk, Context, Json
from .resources import FaceStage

_CHANGE = "change.npy"


class DecodeStage(FaceStage):
    """Leaves per chunk a picture per edited face and ``change.npy``: (k, 64, 64) float16 change
    maps, zero where nothing is edited."""

    name = "decode"
    version = 1
    takes = ("align", "reconstruct", "edit")
    cost = 0.3

    def settings(self) -> dict[str, Json]:
        return {
            "precision": self.resources.networks.device.precision,
            "maps": asdict(self.resources.parameters.blending.maps),
        }

    def models(self) -> dict[str, str]:
        return self.resources.networks.ids("generator")

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table, edit = self.table(ctx), ctx.input("edit")
        faces = table.window(chunk.start, chunk.stop)
        codes = read_codes(edit, table, chunk.start, chunk.stop)
        active = read_rows(edit, "active.npy", table, chunk.start, chunk.stop)
        digests = read_digests(ctx.input("reconstruct"), chunk.name)
        marks = Marks(faces, digests, codes)
        known = self.known(ctx).find(chunk, marks)
        maps = self.resources.parameters.blending.maps
        change = np.zeros((len(faces), MAP_SIZE, MAP_SIZE), np.float16)
        to_show = [int(k) for k in np.flatnonzero(active)]
        for k in to_show:
            if k in known:
                known[k].copy_picture(folder, faces.name(k))
                change[k] = known[k].values(_CHANGE)
        todo = [k for k in to_show if k not in known]
        start, stop = faces.only(todo).span
        ctx.tick(chunk.frames - (stop - start))
        for k, picture in self.pictures(ctx, codes, todo):
            written = write_picture(folder, faces.name(k), picture, int(faces.size[k]))
            own = read_picture(ctx.input("reconstruct"), chunk.name, faces.name(k))
            shown = written.astype(np.float32) / np.float32(255)
            change[k] = difference_map(own, shown, maps)
            ctx.tick(int(faces.frame[k]) + 1 - start)
            start = int(faces.frame[k]) + 1
        np.save(folder / _CHANGE, change)
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
