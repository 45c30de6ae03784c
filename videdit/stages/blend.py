"""``blend``: the edited faces in their frames, encoded piece by piece.

Full frames are far too large to keep, so this stage leaves what they become: encoded segments of
the output video, one per chunk, which ``assemble`` joins without encoding again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..artifacts.blended import segment_path, write_blended_picture, write_edited
from ..artifacts.faces import frames_with_faces
from ..artifacts.pictures import decode_picture, has_picture, picture_path
from ..artifacts.rows import read_rows, smooth_rows
from ..batches import ahead
from ..blending.transfer import Parsed, transfer
from ..faces.align import cut_crop, paste_warp
from ..faces.regions import draw_regions
from ..faces.smoothing import window
from ..media.compose import EncodableFrame, Patch, compose
from ..media.reader import Frame
from ..media.segments import write_segment
from ..pipeline.stage import Chunk, Context, Json, frame_chunks
from .resources import FaceStage

if TYPE_CHECKING:
    from ..faces.regions import RegionParser

_PREVIEW = 512
"""Side of the crops in previews, pixels."""

_THREADS = 2
"""Faces that are blended at the same time, beside the thread that encodes."""


class BlendStage(FaceStage):
    """Leaves an encoded segment per chunk and ``edited.json``, the frames that were changed."""

    name = "blend"
    version = 4
    takes = ("align", "reconstruct", "decode")
    cost = 0.08

    def settings(self) -> dict[str, Json]:
        resources = self.resources
        encode = None if resources.timeline.is_image else asdict(resources.encode_spec)
        blending = resources.parameters.blending
        return {
            "encode": json.loads(json.dumps(encode)),
            "chunk": resources.run.chunk_frames,
            "blending": asdict(blending),
            "touch": str(resources.touch),
        }

    def models(self) -> dict[str, str]:
        return self.resources.networks.ids("regions")

    def expected(self) -> int:
        return len(self.resources.timeline)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return frame_chunks(0, len(self.resources.timeline), self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        resources = self.resources
        if resources.timeline.is_image:
            self._picture(ctx, chunk, folder)
            return
        edited: list[int] = []

        def frames() -> Iterator[EncodableFrame]:
            for frame, patches in self.blended(ctx, chunk.start, chunk.stop):
                if patches:
                    edited.append(frame.index)
                yield compose(frame, patches)
                ctx.tick()

        write_segment(segment_path(folder), resources.timeline, resources.encode_spec, frames())
        write_edited(folder, edited)

    def _picture(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        ((frame, patches),) = self.blended(ctx, chunk.start, chunk.stop)
        write_blended_picture(folder, pasted(frame.rgb, patches))
        write_edited(folder, [0] if patches else [])
        ctx.tick()

    def blended(self, ctx: Context, start: int, stop: int) -> Iterator[tuple[Frame, list[Patch]]]:
        """The frames ``start <= index < stop``, each with what is pasted into it. For frames as
        they are before they are encoded: the inputs must be complete."""
        here = self.to_edit(ctx, start, stop)
        faces = _FacesToPaste(self, ctx, *here.span) if len(here) else None

        def patches(work: tuple[Frame, list[tuple[int, NDArray[Any]]]]) -> list[Patch]:
            if faces is None:
                return []
            made = (faces.patch(work[0].index, rgb, here.first_row + k) for k, rgb in work[1])
            return [patch for patch in made if patch is not None]

        frames = frames_with_faces(self.resources.reader, here, start, stop)
        for (frame, _), made in ahead(frames, patches, _THREADS):
            yield frame, made

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Each frame as it goes to the encoder, and the regions its faces were seen to have."""
        pictures = []
        parser = self.resources.network(ctx, "parser")
        for index in frames:
            for frame, patches in self.blended(ctx, index, index + 1):
                pictures.append(pasted(frame.rgb8, patches))
                faces = self.to_edit(ctx, index, index + 1)
                for quad in faces.quad:
                    crop = cut_crop(frame.rgb8, quad, _PREVIEW)
                    seen = parser.parse(crop).argmax(2).astype(np.uint8)
                    shape = (_PREVIEW, _PREVIEW)
                    drawn = cv2.resize(draw_regions(seen), shape, interpolation=cv2.INTER_NEAREST)
                    half = (crop * 255 + drawn) / 2
                    pictures.append(np.rint(half).astype(np.uint8))
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


class _FacesToPaste:
    """What the faces in ``start <= frame < stop`` need from the stages before, smoothed over
    time. Several threads may ask for patches."""

    def __init__(self, stage: BlendStage, ctx: Context, start: int, stop: int) -> None:
        resources, table = stage.resources, stage.table(ctx)
        self.reconstruct, self.decode = ctx.input("reconstruct"), ctx.input("decode")
        self.parser: RegionParser = resources.network(ctx, "parser")
        self.touch = resources.touch
        self.how = resources.parameters.blending
        self._looking = threading.Lock()  # artifacts are for one thread at a time
        times, smoothing = resources.times, self.how.smoothing
        first, last = window(times, start, stop, smoothing.padding_s)
        self.faces = faces = stage.to_edit(ctx, first, last)
        points = read_rows(self.reconstruct, "points.npy", table, *faces.span)
        self.source = np.array([faces.points_in_crop(k) for k in range(len(faces))])
        self.source = self.source.reshape(-1, *points.shape[1:])
        self.shift = smooth_rows(points - self.source, faces, times, smoothing.bending_sigma_s)

    def patch(self, index: int, rgb: NDArray[Any], row: int) -> Patch | None:
        """The patch of a row of the table, in frame ``index`` (H, W, 3); None where it is not
        edited."""
        k = row - self.faces.first_row
        name = self.faces.name(k)
        with self._looking:
            (chunk,) = self.decode.overlapping(index, index + 1)
            if not has_picture(self.decode, chunk.name, name):
                return None
            paths = [picture_path(a, chunk.name, name) for a in (self.reconstruct, self.decode)]
        own, edited = map(decode_picture, paths)
        quad = self.faces.quad[k]
        source = cut_crop(rgb, quad, int(self.faces.size[k]))
        colour, alpha = transfer(
            source,
            own,
            edited,
            Parsed(*(self.parser.parse(picture) for picture in (source, own, edited))),
            self.source[k],
            self.source[k] + self.shift[k],
            self.touch,
            self.how,
        )
        layers = np.concatenate((colour, alpha[:, :, None]), 2)
        x, y, patch, coverage = paste_warp(layers, quad, (rgb.shape[0], rgb.shape[1]))
        opacity = patch[:, :, 3] * coverage
        opacity[opacity < 1 / 512] = 0
        if not opacity.any():
            return None
        return Patch(x, y, np.ascontiguousarray(patch[:, :, :3]), np.clip(opacity, 0, 1))
