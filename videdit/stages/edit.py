"""``edit``: the codes moved along attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import latent_pictures, read_latents, write_latents
from ..artifacts.faces import Faces
from ..artifacts.notes import read_notes, write_notes
from ..artifacts.pictures import has_picture, read_picture
from ..editing.editor import Editor
from ..editing.mixing import MixingEditor
from ..editing.schedule import Edit
from ..editing.touch import taken_away
from ..faces.align import cut_crop
from ..faces.choice import photo_in
from ..faces.regions import REGIONS, SIDE
from ..generators.latents import Latents, joined
from ..inversion.predict import INPUT_SIZE
from ..media.pictures import read_picture as read_photo
from ..models.choices import by_region
from ..pipeline.stage import Chunk, Context, Json
from ..previews.codes import strength_plot
from ..previews.over_time import Axis, by_lane
from ..sheet import strip
from .resources import FaceStage, Resources

_LOOKS = 4  # frames of a track that are looked at
_SMALL = 30.0  # width in pixels of a face on which hardly anything can be seen


class EditStage(FaceStage):
    """Leaves per chunk the edited latents (`artifacts.codes.write_latents`) and ``active.npy``
    ((k,) bool): whether any edit has a strength other than 0 there; and what was not edited, and
    why, as notes for the user.

    What the reconstruction does not show cannot be taken away from it: such an edit only damages
    the picture, so it is left out."""

    name = "edit"
    version = 8
    takes: tuple[str, ...] = ("align", "encode", "refine")
    apart = True
    cost = 0.002
    size = 17_000

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        regions = {edit: taken_away(edit) for edit in resources.run.edits}
        self.removing = {edit: region for edit, region in regions.items() if region is not None}
        run = resources.run
        self.mixing = by_region(run.editor, run.within)
        if self.removing or self.mixing:  # others need no pictures
            self.takes = (*self.takes, "reconstruct")

    def settings(self) -> dict[str, Json]:
        run, parameters = self.resources.run, self.resources.parameters
        settings: dict[str, Json] = {
            "edits": [edit.what for edit in run.edits],
            "whose": [run.faces.index(edit.face or run.face) for edit in run.edits],
            "keep": list(run.keep),
            "within": list(run.within),
            "smoothing": asdict(parameters.inversion.smoothing),
        }
        if run.editor == "scribble":
            settings["strokes"] = asdict(parameters.inversion.strokes)
        if self.removing:
            settings["removing"] = asdict(parameters.faces.removing)
        return settings

    def models(self) -> dict[str, str]:
        networks = self.resources.networks
        run = self.resources.run
        ids = networks.editor_ids(run.editor)
        if self.resources.other is not None:
            ids = ids | {"other": self.resources.other.key}
        if marked := self.resources.marked_id():
            ids = ids | {"mask": marked}
        return ids | networks.ids("regions") if self.removing or self.mixing else ids

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        faces = self.table(ctx).window(chunk.start, chunk.stop)
        codes = self.codes(ctx).read(chunk.start, chunk.stop)
        at = self.resources.times[faces.frame]
        calm = self.codes(ctx).read(chunk.start, chunk.stop, calm=True)
        regions = self._regions(ctx, faces) if self.mixing else None
        edited: list[tuple[NDArray[np.intp], Latents]] = []
        active = np.zeros(len(faces), bool)
        notes = self._absent(ctx)
        for track in np.unique(faces.track).tolist():
            rows = np.flatnonzero(faces.track == track)
            edits, why = ctx.once(f"edits {track}", partial(self._possible, ctx, track))
            notes += why
            seen = None if regions is None else regions[rows]
            if self.resources.run.editor == "scribble":
                editor: Editor = self._painted(ctx, faces, codes, int(rows[0]))
            else:
                editor = self.resources.editor
            edited.append((rows, editor.apply(codes[rows], edits, at[rows], calm[rows], seen)))
            strengths = [edit.schedule.at(at[rows]) for edit in edits]
            active[rows] = np.any(strengths, axis=0) if strengths else False
        latents = joined(edited, codes)
        write_latents(folder, latents, self.resources.networks.space)
        write_notes(folder, notes)
        np.save(folder / "active.npy", active.astype(bool))
        ctx.tick(chunk.frames)

    def _regions(self, ctx: Context, faces: Faces) -> NDArray[np.uint8]:
        """(k, 128, 128, regions) where what is in the faces' reconstructions, 0 to 255; behind
        that, where the region ``mask`` is."""
        pictures, parser = ctx.input("reconstruct"), self.resources.network(ctx, "parser")
        marked = self.resources.marked
        # Bytes: of many faces these are large.
        seen = np.zeros((len(faces), SIDE, SIDE, len(REGIONS) + 1), np.uint8)
        for k in range(len(faces)):
            if marked is not None:
                seen[k, :, :, -1] = np.rint(_cut_mask(marked, faces.quad[k], SIDE) * 255)
            frame = int(faces.frame[k])
            (chunk,) = pictures.overlapping(frame, frame + 1)
            if has_picture(pictures, chunk.name, faces.name(k)):
                found = parser.parse(read_picture(pictures, chunk.name, faces.name(k)))
                seen[k, :, :, :-1] = np.rint(found * 255)
        return seen

    def _painted(
        self, ctx: Context, faces: Faces, codes: NDArray[np.float32], k: int
    ) -> MixingEditor:
        """What shows the strokes on one of the faces of a picture."""
        with ctx.loading("PyTorch"):
            from ..inversion.strokes import fit_strokes

        resources, networks = self.resources, self.resources.networks
        run, marked = resources.run, resources.marked
        assert run.like is not None
        assert marked is not None
        crop = cut_crop(read_photo(run.like), faces.quad[k], INPUT_SIZE)
        mask = _cut_mask(marked, faces.quad[k], INPUT_SIZE)
        found = codes[k]
        if mask.any():
            found = fit_strokes(
                resources.network(ctx, "synthesis"),
                networks.statistics,
                crop,
                mask,
                codes[k],
                resources.parameters.inversion.strokes,
                networks.device.name,
                ctx.check_stop,
            )
        return MixingEditor(found, 0)

    def _absent(self, ctx: Context) -> list[str]:
        """The edits of people who are not to be seen, if others are."""
        run = self.resources.run
        seen = {edit for track in self.table(ctx).tracks for edit in run.edits_of(track.asked)}
        return [
            f"{edit.what} left out: nobody is like {photo.name}"
            for edit in run.edits
            if edit not in seen and (photo := photo_in(edit.face or run.face)) is not None
        ]

    def _possible(self, ctx: Context, track: int) -> tuple[list[Edit], list[str]]:
        """The edits that can do something for a track, and why the others can't."""
        possible, why = [], []
        (face,) = (known for known in self.table(ctx).tracks if known.id == track)
        edits = self.resources.run.edits_of(face.asked)
        width = self._face_width(ctx, track)
        if edits and width < _SMALL:
            why.append(f"a face {width:.0f} pixels wide is too small for an edit to show")
        for edit in edits:
            region = self.removing.get(edit)
            least = asdict(self.resources.parameters.faces.removing).get(region or "", 0.0)
            if region is None or self._shown(ctx, track, region) >= least:
                possible.append(edit)
                continue
            which = f" (track {track})" if len(self.table(ctx).tracks) > 1 else ""
            why.append(
                f"{edit.what} left out: the reconstruction{which} shows no {region} to take away"
            )
            ctx.note(why[-1])
        return possible, why

    def _face_width(self, ctx: Context, track: int) -> float:
        """How wide a track's face is in its first frame, pixels: between the ends of its jaw."""
        table = self.table(ctx)
        (face,) = (known for known in table.tracks if known.id == track)
        faces = table.window(face.first, face.first + 1)
        (k,) = np.flatnonzero(faces.track == track)
        jaw = faces.points[k][[0, 16]]
        return float(np.linalg.norm(jaw[1] - jaw[0]))

    def _shown(self, ctx: Context, track: int, region: str) -> float:
        """The largest share of a region in some of a track's reconstructions."""
        table, pictures = self.table(ctx), ctx.input("reconstruct")
        parser = self.resources.network(ctx, "parser")
        frames = self.resources.frames
        (face,) = (known for known in table.tracks if known.id == track)
        first, last = max(face.first, frames.start), min(face.last, frames.stop - 1)
        share = 0.0
        for frame in np.unique(np.linspace(first, last, _LOOKS).round().astype(int)).tolist():
            faces = table.window(frame, frame + 1)
            (chunk,) = pictures.overlapping(frame, frame + 1)
            for k in np.flatnonzero(faces.track == track).tolist():
                shown = parser.parse(read_picture(pictures, chunk.name, faces.name(k)))
                share = max(share, float(shown[:, :, REGIONS.index(region)].mean()))
        return share

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The strengths over time; norms and scores of the codes before and after; the edited
        latents as pictures."""
        table, plots, reader = self.table(ctx), self.code_plots(ctx), self.codes(ctx)
        axis = Axis(self.resources.frames, self.resources.times, frames)
        networks, run = self.resources.networks, self.resources.run

        def measure(start: int, stop: int) -> NDArray[np.float64]:
            after = read_latents(ctx.own, table, start, stop).codes
            return plots.measure(reader.read(start, stop), after)

        pictures = [strength_plot(axis, run.edits, read_notes(ctx.own))]
        # What moves styles or mixes activations leaves the codes as they are.
        how = " (codes alone; thin: before, thick: after)"
        pictures += plots.draw(axis, by_lane(table, axis.frames, measure), how)
        for i in frames:
            if len(self.to_edit(ctx, i, i + 1)):
                latents = [read_latents(ctx.own, table, i, i + 1)]
                shown = latent_pictures(latents, networks.statistics, networks.space)
                pictures.append(strip([(f"frame {i}: edited latent", one) for one in shown]))
        return pictures


def _cut_mask(
    marked: NDArray[np.float32], quad: NDArray[np.float64], side: int
) -> NDArray[np.float32]:
    """(side, side) a mask (H, W) from 0 to 1 as a face's crop has it."""
    grey = np.rint(np.repeat(marked[:, :, None], 3, 2) * 255).astype(np.uint8)
    return np.ascontiguousarray(cut_crop(grey, quad, side)[:, :, 0])
