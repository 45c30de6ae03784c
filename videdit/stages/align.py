"""``align``: which faces are edited, and the FFHQ quad of each in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import NoFaceError
from ..faces.align import cut_crop, ffhq_quad, smooth_quads
from ..faces.tracking import choose, load_tracks
from ..pipeline.stage import Chunk, Context, Json, Stage
from .faces import FaceTable, frames_with_faces, resolution_for
from .resources import Resources


class AlignStage(Stage):
    """Leaves ``faces.npz``, a ``FaceTable``."""

    name = "align"
    version = 1
    takes = ("landmarks",)

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {"face": self.resources.run.face}

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return []

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        raise AssertionError("align has no chunks")

    def finish(self, ctx: Context, folder: Path) -> None:
        found = ctx.input("landmarks")
        tracks = load_tracks(found.path(found.whole, "tracks.npz"))
        if not tracks:
            raise NoFaceError(
                f"no face was found in {self.resources.run.source.name}",
                "Faces must be at least about 40 pixels wide; see `videdit inspect`.",
            )
        times = self.resources.times
        parts = []
        for track in choose(tracks, self.resources.run.face):
            quads = smooth_quads(ffhq_quad(track.points68), times[track.frames])
            count = len(track.frames)
            parts.append(
                (
                    track.frames,
                    np.full(count, track.id, np.int64),
                    quads,
                    track.points68.astype(np.float32),
                    np.full(count, resolution_for(quads), np.int64),
                )
            )
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order = np.lexsort((columns[1], columns[0]))
        FaceTable(*(column[order] for column in columns)).save(folder / "faces.npz")

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table = FaceTable.load(ctx.own.path(ctx.own.whole, "faces.npz"))
        pictures = []
        for index in frames:
            for _, faces in frames_with_faces(self.resources.timeline, table, index, index + 1):
                for row, rgb in faces:
                    crop = cut_crop(rgb, table.quad[row], 512)
                    picture = np.rint(crop * 255).astype(np.uint8)
                    for x, y in table.points_in_crop(row) * 512:
                        cv2.circle(picture, (int(x), int(y)), 2, (0, 255, 0), -1)
                    pictures.append(picture)
        return pictures
