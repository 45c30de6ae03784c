"""``invert``: a W+ code for every face.

The codes are kept as the encoder gives them; ``read_codes`` smooths them over time when they are
read, so that every later stage sees the same smoothed codes and none has to hold a whole film.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..faces.align import cut_crop
from ..faces.smoothing import smooth
from ..inversion.encoder import INPUT_SIZE
from ..pipeline.settings import RunSettings
from ..pipeline.stage import WHOLE, Chunk, Context, Stage, frame_chunks
from ..pipeline.store import Artifact, Json
from ..sheet import code_picture
from .faces import FaceTable, frames_with_faces
from .resources import ENCODER_PARTS, Resources

if TYPE_CHECKING:
    from ..generators.wspace import WStatistics

_SMOOTHING = ((0, 4, 0.05), (4, 8, 0.03), (8, 16, 0.4))
"""Rows and the Gaussian's standard deviation in seconds. Pose (0-3) follows the head, expression
(4-7) must keep blinks and speech, colours and texture (8-15) belong to the person and the light."""
_PAD_S = 4 * max(sigma for _, _, sigma in _SMOOTHING)


class InvertStage(Stage):
    """Leaves ``codes.npy`` per chunk: (k, 16, 512) float16, in the face table's order; as a whole
    ``offsets.npz``: what is added to all codes of each track."""

    name = "invert"
    version = 2
    takes = ("align",)

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self, run: RunSettings) -> dict[str, Json]:
        return {"method": run.method, "chunk": run.chunk_frames}

    def models(self, run: RunSettings) -> dict[str, str]:
        return self.resources.networks.ids(*ENCODER_PARTS)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return face_chunks(ctx)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        table = read_table(ctx)
        previous: dict[int, NDArray[np.float32]] = {}
        codes = []
        timeline = self.resources.timeline
        for _, faces in frames_with_faces(timeline, table, chunk.start, chunk.stop):
            for row, rgb in faces:
                crop = cut_crop(rgb, table.quad[row], INPUT_SIZE)
                code = self.resources.networks.encoder.encode(crop[None])[0]
                if ctx.run.method == "projector":
                    code = self._project(ctx, chunk, table, row, crop, code, previous)
                codes.append(code.astype(np.float16))
            ctx.tick()
        empty = np.zeros((0, 16, 512), np.float16)
        np.save(folder / "codes.npy", np.stack(codes) if codes else empty)

    def finish(self, ctx: Context, folder: Path) -> None:
        table = read_table(ctx)
        tracks = np.unique(table.track)
        offsets = np.zeros((len(tracks), 16, 512), np.float32)
        if ctx.run.method == "refined":
            for k, track in enumerate(tracks):
                offsets[k] = self._refine(ctx, table, np.flatnonzero(table.track == track))
        np.savez(folder / "offsets.npz", track=tracks, offset=offsets)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        table, times = read_table(ctx), self.resources.times
        codes = [
            read_codes(ctx.own, table, times, i, i + 1) for i in frames if table.rows(i, i + 1)
        ]
        return code_pictures(codes, self.resources.networks.statistics)

    def _refine(
        self, ctx: Context, table: FaceTable, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The offset of the track with these rows of the table."""
        from ..inversion.refine import choose_keyframes, refine_track, steps_for

        # A long track's keyframes are looked for among at most this many of its frames.
        sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), 400)).astype(int)]
        codes = np.stack([self._raw(ctx, table, int(row)) for row in sample])
        chosen = sorted(choose_keyframes(codes))
        crops = []
        for row in sample[chosen]:
            frame = int(table.frame[row])
            for _, faces in frames_with_faces(self.resources.timeline, table, frame, frame + 1):
                crops += [cut_crop(rgb, table.quad[r], INPUT_SIZE) for r, rgb in faces if r == row]
        steps = steps_for(len(rows))
        ctx.note(f"refining track {table.track[rows[0]]} on {len(crops)} keyframes, {steps} steps")
        networks = self.resources.networks
        return refine_track(
            networks.synthesis,
            networks.face_network,
            networks.statistics,
            np.stack(crops),
            codes[chosen],
            steps,
            networks.device.name,
        )

    def _raw(self, ctx: Context, table: FaceTable, row: int) -> NDArray[np.float32]:
        """The code of one row as the encoder gave it, read from this stage's own chunks."""
        frame = int(table.frame[row])
        for chunk in self.chunks(ctx):
            if chunk.start <= frame < chunk.stop:
                path = ctx.own.path(chunk.name, "codes.npy")
                codes = np.load(path, mmap_mode="r")
                return np.asarray(
                    codes[row - table.rows(chunk.start, chunk.stop).start], np.float32
                )
        raise AssertionError("a face lies outside its stage's chunks")

    def _project(
        self,
        ctx: Context,
        chunk: Chunk,
        table: FaceTable,
        row: int,
        crop: NDArray[np.float32],
        code: NDArray[np.float32],
        previous: dict[int, NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Optimise the code, starting where the track's frame before ended."""
        from ..inversion.projector import Projector

        def make() -> Projector:
            networks = self.resources.networks
            return Projector(networks.synthesis, networks.statistics, networks.device.name)

        track, frame = int(table.track[row]), int(table.frame[row])
        start = previous.get(track)
        if start is None and frame == chunk.start:
            for before in table.rows(frame - 1, frame) if frame else ():
                if table.track[before] == track:
                    start = self._raw(ctx, table, before)
        projector = ctx.once("projector", make)
        previous[track] = projector.project(crop, code, start)
        return previous[track]


def read_table(ctx: Context) -> FaceTable:
    """The face table of the run."""
    return ctx.once("table", lambda: FaceTable.load(ctx.input("align").path(WHOLE, "faces.npz")))


def code_pictures(
    codes: Sequence[NDArray[Any]], statistics: WStatistics
) -> list[NDArray[np.uint8]]:
    """Pictures of codes, (k, 16, 512) each, for previews."""
    import torch

    flat = [code for group in codes for code in group]
    tensors = [torch.from_numpy(np.asarray(code, np.float32)) for code in flat]
    return [code_picture(statistics.whiten(tensor).numpy()) for tensor in tensors]


def face_chunks(ctx: Context) -> list[Chunk]:
    """Chunks over the frames from the first to the last face."""
    table = read_table(ctx)
    return frame_chunks(int(table.frame[0]), int(table.frame[-1]) + 1, ctx.run.chunk_frames)


def read_rows(
    artifact: Artifact, filename: str, table: FaceTable, start: int, stop: int
) -> NDArray[Any]:
    """Per-face arrays of the frames ``start <= frame < stop`` out of the chunks that hold them."""
    wanted = table.rows(start, stop)
    parts = []
    for chunk in artifact.overlapping(start, stop):
        rows = table.rows(chunk.start, chunk.stop)
        values = np.load(artifact.path(chunk.name, filename))
        first, last = max(rows.start, wanted.start), min(rows.stop, wanted.stop)
        parts.append(values[first - rows.start : last - rows.start])
    return np.concatenate(parts)


def smooth_rows(
    values: NDArray[Any], table: FaceTable, rows: range, times: NDArray[np.float64], sigma_s: float
) -> NDArray[np.float64]:
    """Smooth per-face values (len(rows), ...) over time, each track by itself."""
    out = np.empty(values.shape, np.float64)
    tracks = table.track[rows.start : rows.stop]
    seconds = times[table.frame[rows.start : rows.stop]]
    for track in np.unique(tracks):
        chosen = tracks == track
        out[chosen] = smooth(values[chosen], seconds[chosen], sigma_s)
    return out


def window(times: NDArray[np.float64], start: int, stop: int, pad_s: float) -> tuple[int, int]:
    """The frames within ``pad_s`` seconds of ``start <= frame < stop``, and one more on each side:
    ``smooth`` weighs a value by the distance to its neighbours."""
    first = int(np.searchsorted(times, times[start] - pad_s, side="left"))
    last = int(np.searchsorted(times, times[stop - 1] + pad_s, side="right"))
    return max(0, first - 1), min(len(times), last + 1)


def read_codes(
    artifact: Artifact, table: FaceTable, times: NDArray[np.float64], start: int, stop: int
) -> NDArray[np.float32]:
    """The temporally smoothed codes of the faces in ``start <= frame < stop``, (k, 16, 512)."""
    first, last = window(times, start, stop, _PAD_S)
    rows, wanted = table.rows(first, last), table.rows(start, stop)
    raw = read_rows(artifact, "codes.npy", table, first, last).astype(np.float32)
    with np.load(artifact.path(WHOLE, "offsets.npz")) as found:
        at = np.searchsorted(found["track"], table.track[rows.start : rows.stop])
        raw += found["offset"][at]
    out = np.empty((len(wanted), *raw.shape[1:]), np.float32)
    keep = slice(wanted.start - rows.start, wanted.stop - rows.start)
    for a, b, sigma in _SMOOTHING:
        out[:, a:b] = smooth_rows(raw[:, a:b], table, rows, times, sigma)[keep]
    return out
