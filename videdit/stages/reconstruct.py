"""``reconstruct``: the pictures of the source's own codes.

The blend needs to know what the edit changed, as against what the inversion missed. These pictures
don't depend on the edit, so they are made once for all strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..blending.composite import match_colours
from ..blending.masks import MAP_SIZE, difference_map
from ..faces.align import cut_crop
from ..faces.backend import largest
from ..pipeline.stage import Chunk, Context, Json, Stage
from .faces import FaceTable, frames_with_faces
from .invert import face_chunks, read_codes, read_table
from .pictures import read_picture, write_picture
from .resources import GENERATOR_PARTS, Resources


class ReconstructStage(Stage):
    """Leaves per chunk a picture per face, ``points.npy`` ((k, 68, 2) its landmarks, crop units)
    and ``misfit.npy`` ((k, 64, 64) float16, its difference to the source)."""

    name = "reconstruct"
    version = 1
    takes = ("align", "invert")

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {
            "precision": self.resources.networks.device.precision,
            "backend": self.resources.run.backend,
        }

    def models(self) -> dict[str, str]:
        networks = self.resources.networks
        return networks.ids(*GENERATOR_PARTS) | networks.landmark_models()

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return face_chunks(ctx, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table = read_table(ctx)
        times = self.resources.times
        codes = read_codes(ctx.input("invert"), table, times, chunk.start, chunk.stop)
        rows = table.rows(chunk.start, chunk.stop)
        points = np.empty((len(rows), 68, 2), np.float32)
        misfit = np.empty((len(rows), MAP_SIZE, MAP_SIZE), np.float16)
        timeline = self.resources.timeline
        for _, faces in frames_with_faces(timeline, table, chunk.start, chunk.stop):
            for row, rgb in faces:
                k, size = row - rows.start, int(table.size[row])
                picture = self.resources.networks.decoder.decode(codes[k : k + 1])[0]
                written = write_picture(folder, table.name(row), picture, size)
                points[k] = self._landmarks(written, table, row)
                source = cut_crop(rgb, table.quad[row], size)
                shown = written.astype(np.float32) / np.float32(255)
                # A cast of colour or light is no misfit: the blend takes it over.
                misfit[k] = difference_map(source, match_colours(source, shown, shown))
            ctx.tick()
        np.save(folder / "points.npy", points)
        np.save(folder / "misfit.npy", misfit)

    def _landmarks(
        self, picture: NDArray[np.uint8], table: FaceTable, row: int
    ) -> NDArray[np.float64]:
        """The reconstruction's landmarks; the source's own where no face is found in it."""
        size = 256
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        found = self.resources.networks.backend.detect(np.asarray(small, np.uint8))
        if not found:
            return table.points_in_crop(row)
        return np.asarray(largest(found).points68 / size, np.float64)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table = read_table(ctx)
        pictures = []
        for index in frames:
            for _, faces in frames_with_faces(self.resources.timeline, table, index, index + 1):
                for row, rgb in faces:
                    (chunk,) = ctx.own.overlapping(index, index + 1)
                    shown = read_picture(ctx.own, chunk.name, table.name(row))
                    crop = cut_crop(rgb, table.quad[row], shown.shape[0])
                    both = np.concatenate((crop, shown), 1)
                    pictures.append(np.rint(both * 255).astype(np.uint8))
        return pictures
