"""``blend``: the edited faces in their frames, encoded piece by piece.

Full frames are far too large to keep, so this stage leaves what they become: encoded segments of
the output video, one per chunk, which ``assemble`` joins without encoding again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blending.composite import composite
from ..faces.align import cut_crop, paste_warp
from ..media.compose import EncodableFrame, Patch, compose
from ..media.reader import Frame
from ..media.writer import SEGMENT_SUFFIX, EncodeSpec, write_segment
from ..pipeline.stage import Artifact, Chunk, Context, Json, Stage, frame_chunks
from ..settings import RunSettings
from .faces import FaceTable, frames_with_faces
from .invert import read_rows, read_table, smooth_rows, window
from .pictures import read_picture
from .resources import Resources

SEGMENT = "segment" + SEGMENT_SUFFIX
PICTURE = "picture.npy"
_MAP_SIGMA_S = 0.15
_BENDING_SIGMA_S = 0.1
_PAD_S = 4 * max(_MAP_SIGMA_S, _BENDING_SIGMA_S)


class BlendStage(Stage):
    """Leaves an encoded segment per chunk and ``edited.json``, the frames that were changed."""

    name = "blend"
    version = 2
    takes = ("align", "reconstruct", "decode")

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def spec(self, run: RunSettings) -> EncodeSpec:
        """How the output is encoded."""
        suffix = run.output.suffix
        return EncodeSpec.for_source(self.resources.timeline, run.codec, run.crf, suffix)

    def settings(self) -> dict[str, Json]:
        encode = None if self.resources.timeline.is_image else asdict(self.spec(self.resources.run))
        return {"encode": json.loads(json.dumps(encode)), "chunk": self.resources.run.chunk_frames}

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return frame_chunks(0, len(self.resources.timeline), self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        if self.resources.timeline.is_image:
            self._picture(ctx, chunk, folder)
            return
        edited: list[int] = []

        def frames() -> Iterator[EncodableFrame]:
            for frame, patches in self._blended(ctx, chunk):
                if patches:
                    edited.append(frame.index)
                yield compose(frame, patches)
                ctx.tick()

        write_segment(
            folder / SEGMENT, self.resources.timeline, self.spec(self.resources.run), frames()
        )
        (folder / "edited.json").write_text(json.dumps(edited))

    def _picture(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        """A picture is kept as it is, (H, W, 3) at its own depth."""
        ((frame, patches),) = self._blended(ctx, chunk)
        np.save(folder / PICTURE, pasted(frame.rgb, patches))
        (folder / "edited.json").write_text(json.dumps([0] if patches else []))
        ctx.tick()

    def _blended(self, ctx: Context, chunk: Chunk) -> Iterator[tuple[Frame, list[Patch]]]:
        table = read_table(ctx)
        rows = table.rows(chunk.start, chunk.stop)
        faces = _Faces(ctx, table, self.resources, chunk) if len(rows) else None
        timeline = self.resources.timeline
        for frame, here in frames_with_faces(timeline, table, chunk.start, chunk.stop):
            patches = []
            if faces is not None:
                found = (faces.patch(frame.index, rgb, row) for row, rgb in here)
                patches = [patch for patch in found if patch is not None]
            yield frame, patches

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        pictures = []
        for index in frames:
            for frame, patches in self._blended(ctx, Chunk("preview", index, index + 1)):
                pictures.append(pasted(frame.rgb8, patches))
        return pictures


def pasted(rgb: NDArray[Any], patches: Sequence[Patch]) -> NDArray[Any]:
    """Patches pasted into an RGB picture (H, W, 3) of any integer type; the same type."""
    picture = rgb.copy()
    full = np.iinfo(rgb.dtype).max
    for patch in patches:
        h, w = patch.alpha.shape
        here = picture[patch.y : patch.y + h, patch.x : patch.x + w]
        inside = patch.alpha > 0
        weight = patch.alpha[inside][:, None]
        mixed = here[inside] + weight * (patch.rgb[inside] * full - here[inside])
        here[inside] = np.rint(np.clip(mixed, 0, full)).astype(rgb.dtype)
    return picture


class _Faces:
    """What one chunk's faces need from the stages before, smoothed over time."""

    def __init__(self, ctx: Context, table: FaceTable, resources: Resources, chunk: Chunk) -> None:
        self.table = table
        self.reconstruct, self.decode = ctx.input("reconstruct"), ctx.input("decode")
        times = resources.times
        start = max(chunk.start, int(table.frame[0]))
        stop = min(chunk.stop, int(table.frame[-1]) + 1)
        first, last = window(times, start, stop, _PAD_S)
        rows = table.rows(first, last)
        self.first_row = rows.start

        def smoothed(artifact: Artifact, name: str) -> NDArray[np.float64]:
            values = read_rows(artifact, name, table, first, last).astype(np.float32)
            return np.maximum(smooth_rows(values, table, rows, times, _MAP_SIGMA_S), 0)

        self.change = smoothed(self.decode, "change.npy")
        self.misfit = smoothed(self.reconstruct, "misfit.npy")
        points = read_rows(self.reconstruct, "points.npy", table, first, last)
        self.source = np.stack([table.points_in_crop(row) for row in rows])
        self.shift = smooth_rows(points - self.source, table, rows, times, _BENDING_SIGMA_S)

    def patch(self, index: int, rgb: NDArray[Any], row: int) -> Patch | None:
        """The face's patch in frame ``index`` (H, W, 3); None where it is not edited."""
        name = self.table.name(row)
        (chunk,) = self.decode.overlapping(index, index + 1)
        if f"{name}.jpg" not in self.decode.files(chunk.name):
            return None
        k = row - self.first_row
        quad = self.table.quad[row]
        colour, alpha = composite(
            cut_crop(rgb, quad, int(self.table.size[row])),
            read_picture(self.reconstruct, chunk.name, name),
            read_picture(self.decode, chunk.name, name),
            self.source[k],
            self.source[k] + self.shift[k],
            self.change[k].astype(np.float32),
            self.misfit[k].astype(np.float32),
        )
        layers = np.concatenate((colour, alpha[:, :, None]), 2)
        height, width = rgb.shape[:2]
        x, y, patch, coverage = paste_warp(layers, quad, (height, width))
        opacity = patch[:, :, 3] * coverage
        opacity[opacity < 1 / 512] = 0
        if not opacity.any():
            return None
        return Patch(x, y, np.ascontiguousarray(patch[:, :, :3]), np.clip(opacity, 0, 1))
