"""``decode``: the pictures of the edited codes, and what the edit changed in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..blending.masks import MAP_SIZE, difference_map
from ..pipeline.stage import Chunk, Context, Json, Stage
from .invert import face_chunks, read_rows, read_table
from .pictures import read_picture, write_picture
from .resources import GENERATOR_PARTS, Resources


class DecodeStage(Stage):
    """Leaves per chunk a picture per edited face and ``change.npy``: (k, 64, 64) float16 change
    maps, zero where nothing is edited."""

    name = "decode"
    version = 1
    takes = ("align", "reconstruct", "edit")

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {"precision": self.resources.networks.device.precision}

    def models(self) -> dict[str, str]:
        return self.resources.networks.ids(*GENERATOR_PARTS)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return face_chunks(ctx, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table = read_table(ctx)
        edit = ctx.input("edit")
        codes = read_rows(edit, "codes.npy", table, chunk.start, chunk.stop)
        active = read_rows(edit, "active.npy", table, chunk.start, chunk.stop)
        rows = table.rows(chunk.start, chunk.stop)
        change = np.zeros((len(rows), MAP_SIZE, MAP_SIZE), np.float16)
        for k, row in enumerate(rows):
            if active[k]:
                picture = self.resources.networks.decoder.decode(codes[k : k + 1])[0]
                written = write_picture(folder, table.name(row), picture, int(table.size[row]))
                own = read_picture(ctx.input("reconstruct"), chunk.name, table.name(row))
                change[k] = difference_map(own, written.astype(np.float32) / np.float32(255))
            ctx.tick()
        np.save(folder / "change.npy", change)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table = read_table(ctx)
        pictures = []
        for index in frames:
            for row in table.rows(index, index + 1):
                (chunk,) = ctx.own.overlapping(index, index + 1)
                if f"{table.name(row)}.jpg" in ctx.own.files(chunk.name):
                    shown = read_picture(ctx.own, chunk.name, table.name(row))
                    pictures.append(np.rint(shown * 255).astype(np.uint8))
        return pictures
