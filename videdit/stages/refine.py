"""``refine``: what the encoder misses of each person, found once per person.

A person may have many tracks, one for every shot. The face recognition network tells which tracks
are one person's; the longest is looked at, the others take over what it found. So does a later run
over another stretch of the same source: a person's offset is kept per source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import read_codes, read_offset, write_offset, write_offsets
from ..artifacts.faces import FaceTrack, frames_with_faces
from ..faces.align import cut_crop
from ..inversion.predict import INPUT_SIZE
from ..pipeline.stage import Chunk, Context, Json
from ..previews.over_time import Axis, by_lane
from ..previews.pictures import bytes_of
from ..sheet import strip
from .resources import FaceStage


class _Keyframes(NamedTuple):
    """Of one track: frame numbers, crops (k, 256, 256, 3) and codes (k, rows, width)."""

    frames: list[int]
    crops: NDArray[np.float32]
    codes: NDArray[np.float32]


class _Refined(NamedTuple):
    """A track that was refined: its chunk's name and frames, who it shows, and what was found; in
    another stretch of the source or in this one."""

    name: str
    start: int
    stop: int
    descriptor: NDArray[np.float32]
    offset: NDArray[np.float32]
    elsewhere: bool


def _elsewhere(ctx: Context) -> Iterator[_Refined]:
    for artifact in ctx.own.kin():
        for each in artifact.chunks:
            if artifact.problem(each.name) is None:
                offset, descriptor, _ = read_offset(artifact, each.name)
                yield _Refined(each.name, each.start, each.stop, descriptor, offset, True)


class RefineStage(FaceStage):
    """Leaves per track ``offset.npz``, as a whole ``offsets.npz``: what is added to all codes of
    each track. Without the method ``refined`` there is nothing to add."""

    name = "refine"
    version = 1  # to be raised with those of ``align`` and ``encode``, see ``settings``
    takes = ("align", "encode")
    # A person may have been found before, in another stretch.
    repeatable = False
    unit = "steps"
    cost = 0.45

    def settings(self) -> dict[str, Json]:
        if not self._asked:
            return {"refinement": None}
        run, parameters = self.resources.run, self.resources.parameters
        faces = parameters.faces
        detecting = asdict(faces.detecting)
        # All that shapes the crops and codes, and not the stretch: by these settings offsets of
        # other stretches are taken over.
        return {
            "refinement": asdict(parameters.inversion.refinement),
            "backend": run.backend,
            "detecting": {name: detecting[name] for name in (run.backend, "flow")},
            "tracking": asdict(faces.tracking),
            "aligning": asdict(faces.aligning),
            "precision": self.resources.networks.device.precision,
        }

    def models(self) -> dict[str, str]:
        if not self._asked:
            return {}
        return self.resources.networks.ids("encoder", "generator", "recognition", "statistics")

    @property
    def _asked(self) -> bool:
        return self.resources.run.method == "refined"

    def expected(self) -> int:
        return self._steps(len(self.resources.frames)) if self._asked else 0

    def work(self, ctx: Context, chunk: Chunk) -> int:
        return self._steps(chunk.frames)

    def _steps(self, frames: int) -> int:
        """Steps for a track of so many frames."""
        how = self.resources.parameters.inversion.refinement
        return how.steps_for(min(how.keyframes, frames))

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        """The longest track first: of a person's tracks it shows most of them."""
        if not self._asked:
            return []
        tracks = sorted(self.table(ctx).tracks, key=lambda t: (t.first - t.last, t.id))
        return [Chunk(f"track-{t.id}", t.first, t.last + 1) for t in tracks]

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        with ctx.loading("PyTorch"):
            from ..inversion.refine import describe, refine_person

        how = self.resources.parameters.inversion.refinement
        networks = self.resources.networks
        track = next(t for t in self.table(ctx).tracks if f"track-{t.id}" == chunk.name)
        keyframes = self._keyframes(ctx, track)
        descriptor = describe(self.resources.network(ctx, "recognition"), keyframes.crops)
        known = self._known(ctx, chunk, descriptor)
        if known is not None:
            write_offset(folder, known, descriptor, own=False)
            ctx.tick(self._steps(chunk.frames))
            return

        def step_done() -> None:
            ctx.tick()
            ctx.check_stop()

        offset = refine_person(
            self.resources.network(ctx, "synthesis"),
            networks.recognition,
            networks.statistics,
            keyframes.crops,
            keyframes.codes,
            how,
            networks.device.name,
            step_done,
        )
        write_offset(folder, offset, descriptor, own=True)

    def finish(self, ctx: Context, folder: Path) -> None:
        chunks = self.chunks(ctx)
        offsets = [read_offset(ctx.own, chunk.name)[0] for chunk in chunks]
        tracks = [int(chunk.name.removeprefix("track-")) for chunk in chunks]
        write_offsets(folder, tracks, offsets, self.resources.networks.space)

    def _keyframes(self, ctx: Context, track: FaceTrack) -> _Keyframes:
        from ..inversion.refine import choose_keyframes

        how = self.resources.parameters.inversion.refinement
        table, encoded = self.table(ctx), ctx.input("encode")
        count = track.last + 1 - track.first
        # A long track's keyframes are looked for among at most this many of its frames.
        sample = np.linspace(track.first, track.last, min(count, how.sample)).astype(int)
        codes: list[NDArray[np.float32]] = []
        for chunk in encoded.overlapping(track.first, track.last + 1):
            wanted = sample[(chunk.start <= sample) & (sample < chunk.stop)]
            faces = table.window(chunk.start, chunk.stop)
            rows = np.flatnonzero((faces.track == track.id) & np.isin(faces.frame, wanted))
            codes += list(read_codes(encoded, table, chunk.start, chunk.stop)[rows])
        bands = self.resources.networks.space.bands
        moving = np.stack(codes)[:, : max(bands["pose"][1], bands["features"][1])]
        chosen = sorted(choose_keyframes(moving, how.keyframes))
        crops = []
        frames = [int(frame) for frame in sample[chosen]]
        for frame in frames:
            faces = table.window(frame, frame + 1)
            reader = self.resources.reader
            for _, here in frames_with_faces(reader, faces, frame, frame + 1):
                crops += [
                    cut_crop(rgb, faces.quad[k], INPUT_SIZE)
                    for k, rgb in here
                    if faces.track[k] == track.id
                ]
        return _Keyframes(frames, np.stack(crops), np.stack([codes[i] for i in chosen]))

    def _known(
        self, ctx: Context, chunk: Chunk, descriptor: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """The offset of the person that is most like this one, if it is the same."""
        best, found = self.resources.parameters.inversion.refinement.same_person, None
        for other in self._refined(ctx, chunk):
            # Two faces in one frame are two people; another stretch may have seen this very face.
            together = other.start < chunk.stop and chunk.start < other.stop
            likeness = float(descriptor @ other.descriptor)
            if likeness >= best and (other.elsewhere or not together):
                best, found = likeness, other.offset
        return found

    def _refined(self, ctx: Context, chunk: Chunk) -> list[_Refined]:
        """Tracks that were refined before in the same way: in other stretches of the source, then
        in this one. Each is read once."""
        known: list[_Refined] = ctx.once("refined elsewhere", lambda: list(_elsewhere(ctx)))
        here: dict[str, _Refined | None] = ctx.once("refined here", dict)
        for each in self.chunks(ctx):
            if each.name == chunk.name:
                break
            if each.name not in here:
                offset, descriptor, own = read_offset(ctx.own, each.name)
                found = _Refined(each.name, each.start, each.stop, descriptor, offset, False)
                here[each.name] = found if own else None
        return [*known, *(found for found in here.values() if found is not None)]

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Norms and scores of the codes over time, as encoded and as refined; the keyframes of
        every track in these frames."""
        table, plots, reader = self.table(ctx), self.code_plots(ctx), self.codes(ctx)
        axis = Axis(self.resources.frames, self.resources.times, frames)

        def measure(start: int, stop: int) -> NDArray[np.float64]:
            raw = read_codes(ctx.input("encode"), table, start, stop)
            return plots.measure(raw, reader.read(start, stop))

        how = " (thin: encoded, thick: refined, smoothed)"
        pictures = plots.draw(axis, by_lane(table, axis.frames, measure), how)
        for track in table.tracks:
            if any(track.first <= f <= track.last for f in frames):
                keyframes = self._keyframes(ctx, track)
                name = f"track {track.id}, keyframe"
                panels = [
                    (f"{name} {frame}", bytes_of(crop))
                    for frame, crop in zip(keyframes.frames, keyframes.crops, strict=True)
                ]
                pictures.append(strip(panels))
        return pictures
