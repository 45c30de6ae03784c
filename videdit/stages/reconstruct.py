"""``reconstruct``: the pictures of the source's own codes.

The blend needs to know what the edit changed, as against what the inversion missed. These pictures
don't depend on the edit, so they are made once for all strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.faces import frames_with_faces
from ..artifacts.marks import Marks
from ..artifacts.pictures import POINTS, read_picture
from ..faces.align import cut_crop
from ..pipeline.stage import Chunk, Context, Json
from ..previews.pictures import bytes_of, region_panels
from ..sheet import strip
from .resources import FaceStage


class ReconstructStage(FaceStage):
    """Leaves per chunk a picture per face and ``points.npy``: (k, 68, 2) its landmarks, crop
    units."""

    name = "reconstruct"
    version = 3
    takes = ("align", "encode", "refine")
    apart = True
    cost = 0.35
    size = 120_000

    def settings(self) -> dict[str, Json]:
        smoothing = asdict(self.resources.parameters.inversion.smoothing)
        return self.picturing() | {"smoothing": smoothing}

    def models(self) -> dict[str, str]:
        networks = self.resources.networks
        return networks.ids("generator") | networks.landmark_models()

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        faces = self.table(ctx).window(chunk.start, chunk.stop)
        codes = self.codes(ctx).read(chunk.start, chunk.stop)
        marks = Marks(faces, faces.quad, faces.points, faces.size, codes)
        known = self.known(ctx).find(chunk, marks)
        points = np.empty((len(faces), 68, 2), np.float32)
        for k, row in known.items():
            row.copy_picture(folder, faces.name(k))
            points[k] = row.values(POINTS)
        todo = [k for k in range(len(faces)) if k not in known]
        start, stop = faces.only(todo).span
        ctx.tick(chunk.frames - (stop - start))
        for k, seen in self.pictures(ctx, codes, todo, faces, folder):
            # The source's own where no face is found in it.
            points[k] = faces.points_in_crop(k) if seen is None else seen
            ctx.tick(int(faces.frame[k]) + 1 - start)
            start = int(faces.frame[k]) + 1
        np.save(folder / POINTS, points)
        marks.write(folder)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Crops beside their reconstructions, and the regions seen in both."""
        reader = self.resources.reader
        parser = self.resources.network(ctx, "parser")
        pictures = []
        for index in frames:
            faces = self.to_edit(ctx, index, index + 1)
            for _, here in frames_with_faces(reader, faces, index, index + 1):
                for k, rgb in here:
                    (chunk,) = ctx.own.overlapping(index, index + 1)
                    shown = read_picture(ctx.own, chunk.name, faces.name(k))
                    crop = cut_crop(rgb, faces.quad[k], shown.shape[0])
                    seen = [parser.parse(picture) for picture in (crop, shown)]
                    both = [bytes_of(picture) for picture in (crop, shown)]
                    regions = zip(("its regions", "and here"), both, seen, strict=True)
                    own = (f"frame {index}, track {faces.track[k]}", both[0])
                    panels = [own, ("reconstruction", both[1]), *region_panels(list(regions))]
                    pictures.append(strip(panels))
        return pictures
