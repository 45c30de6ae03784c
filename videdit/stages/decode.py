"""``decode``: the pictures of the edited codes, and what the edit changed in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import read_codes
from ..artifacts.pictures import has_picture, read_picture, write_picture
from ..artifacts.rows import read_rows
from ..batches import ahead, batched
from ..blending.masks import MAP_SIZE, difference_map
from ..device import batch_size
from ..pipeline.stage import Chunk, Context, Json
from .resources import FaceStage


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
        generator = self.resources.network(ctx, "generator")
        maps = self.resources.parameters.blending.maps
        change = np.zeros((len(faces), MAP_SIZE, MAP_SIZE), np.float16)
        done = chunk.start
        batches = batched(
            (int(k) for k in np.flatnonzero(active)), batch_size(self.resources.networks.device)
        )
        for batch, pictures in ahead(batches, lambda batch: generator.decode(codes[batch])):
            for k, picture in zip(batch, pictures, strict=True):
                written = write_picture(folder, faces.name(k), picture, int(faces.size[k]))
                own = read_picture(ctx.input("reconstruct"), chunk.name, faces.name(k))
                shown = written.astype(np.float32) / np.float32(255)
                change[k] = difference_map(own, shown, maps)
                ctx.tick(int(faces.frame[k]) - done)
                done = int(faces.frame[k])
        ctx.tick(chunk.stop - done)
        np.save(folder / "change.npy", change)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table = self.table(ctx)
        pictures = []
        for index in frames:
            faces = table.window(index, index + 1)
            for name in map(faces.name, range(len(faces))):
                (chunk,) = ctx.own.overlapping(index, index + 1)
                if has_picture(ctx.own, chunk.name, name):
                    shown = read_picture(ctx.own, chunk.name, name)
                    pictures.append(np.rint(shown * 255).astype(np.uint8))
        return pictures
