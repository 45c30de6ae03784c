"""``encode``: a W+ code for every face, as the encoder gives it, or optimised from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import CODES, code_of, code_pictures, read_codes, write_codes
from ..artifacts.crops import Crops, read_crops
from ..artifacts.faces import Faces
from ..artifacts.marks import Marks
from ..batches import ahead
from ..inversion.predict import INPUT_SIZE
from ..pipeline.stage import Chunk, Context, Json, frame_chunks
from ..previews.over_time import Axis, by_lane
from ..sheet import strip
from .resources import FaceStage, Resources

if TYPE_CHECKING:
    from ..inversion.projector import Projector
    from ..models.protocols import Encoder


class EncodeStage(FaceStage):
    """Leaves ``codes.npy`` per chunk: (k, rows, width) float16, in the face table's order."""

    name = "encode"
    version = 1
    takes = ("align",)
    cost = 0.05
    size = 17_000

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        # A code that is optimised begins where that of the frame before ended.
        self.apart = resources.run.method != "projector"

    def settings(self) -> dict[str, Json]:
        run = self.resources.run
        settings: dict[str, Json] = {
            "chunk": run.chunk_frames,
            "precision": self.resources.networks.device.precision,
        }
        if run.method == "projector":
            settings["projection"] = asdict(self.resources.parameters.inversion.projection)
        return settings

    def models(self) -> dict[str, str]:
        return self.resources.networks.ids("encoder")

    def expected(self) -> int:
        return len(self.resources.coded)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        table = self.table(ctx)
        return frame_chunks(table.first_frame, table.stop_frame, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        networks = self.resources.networks
        faces = self.table(ctx).window(chunk.start, chunk.stop)
        codes = np.empty((len(faces), *networks.space.shape), np.float16)
        marks = Marks(faces, faces.quad)
        # A code that is optimised depends on those of the frames before as well.
        projected = self.resources.run.method == "projector"
        known = {} if projected else self.known(ctx).find(chunk, marks)
        for k, row in known.items():
            codes[k] = row.values(CODES)
        todo = [k for k in range(len(faces)) if k not in known]
        missing = faces.only(todo)
        start, stop = missing.span
        ctx.tick(chunk.frames - (stop - start))
        previous: dict[int, NDArray[np.float32]] = {}
        encoder: Encoder | None = self.resources.network(ctx, "encoder") if todo else None

        def encoded(crops: Crops) -> NDArray[np.float32]:
            assert encoder is not None
            return encoder.encode(crops.pictures)

        cut = read_crops(
            self.resources.reader, missing, start, stop, INPUT_SIZE, networks.device, ctx.tick
        )
        for crops, found in ahead(cut, encoded):
            for i, k in enumerate(crops.at):
                if projected:
                    crop = _on_host(crops.pictures, i)
                    found[i] = self._project(ctx, chunk, missing, k, crop, found[i], previous)
                codes[todo[k]] = found[i]
        write_codes(folder, codes, networks.space)
        if not projected:
            marks.write(folder)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Norms and scores of the codes over time; codes as pictures."""
        table, plots = self.table(ctx), self.code_plots(ctx)
        axis = Axis(self.resources.coded, self.resources.times, frames)

        def measure(start: int, stop: int) -> NDArray[np.float64]:
            return plots.measure(read_codes(ctx.own, table, start, stop))

        pictures = plots.draw(axis, by_lane(table, axis.frames, measure))
        for i in frames:
            codes = [read_codes(ctx.own, table, i, i + 1)] if table.rows(i, i + 1) else []
            for code in code_pictures(codes, self.resources.networks.statistics):
                pictures.append(strip([(f"frame {i}: whitened code, a band per row", code)]))
        return pictures

    def _project(
        self,
        ctx: Context,
        chunk: Chunk,
        faces: Faces,
        k: int,
        crop: NDArray[np.float32],
        code: NDArray[np.float32],
        previous: dict[int, NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Optimise the code, starting where the track's frame before ended."""
        track, frame = int(faces.track[k]), int(faces.frame[k])
        start = previous.get(track)
        if start is None and frame == chunk.start and frame > self.table(ctx).first_frame:
            before = next(c for c in self.chunks(ctx) if c.start <= frame - 1 < c.stop)
            start = code_of(ctx.own, self.table(ctx), before.name, before.start, frame - 1, track)
        projector: Projector = ctx.once("projector", self._projector)
        previous[track] = projector.project(crop, code, start)
        ctx.check_stop()
        return previous[track]

    def _projector(self) -> Projector:
        from ..inversion.projector import Projector

        networks = self.resources.networks
        return Projector(
            networks.synthesis,
            networks.statistics,
            networks.device.name,
            self.resources.parameters.inversion.projection,
        )


def _on_host(pictures: object, i: int) -> NDArray[np.float32]:
    """One of a batch's crops as an array (s, s, 3), wherever the batch is."""
    if isinstance(pictures, np.ndarray):
        return np.asarray(pictures[i], np.float32)
    import torch

    assert isinstance(pictures, torch.Tensor)
    return np.asarray(pictures[i].permute(1, 2, 0).cpu().numpy(), np.float32)
