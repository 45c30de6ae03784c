"""``blend``: the edited faces in their frames, encoded piece by piece.

Full frames are far too large to keep, so this stage leaves what they become: encoded segments of
the output video, one per chunk, which ``assemble`` joins without encoding again.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.blended import (
    segment_path,
    write_blended_picture,
    write_edited,
    write_touched,
)
from ..artifacts.faces import faces_of
from ..artifacts.pictures import POINTS, decode_picture, has_picture, picture_path
from ..artifacts.rows import read_rows, smooth_rows
from ..batches import ahead
from ..blending.change import Change, applied, on_host, steadied
from ..blending.face import find_changes
from ..blending.maps import on_device
from ..blending.transfer import Landmarks
from ..device import workers
from ..faces.align import cut_crop
from ..faces.smoothing import window
from ..media.compose import EncodableFrame, Patch, Touched, compose, touched_by
from ..media.reader import Frame
from ..media.segments import write_segment
from ..pipeline.stage import Chunk, Context, Json, frame_chunks
from ..previews.changes import change_panels
from ..previews.pictures import bytes_of, difference, region_panels
from ..sheet import PANEL, strip
from .resources import FaceStage, Resources

if TYPE_CHECKING:
    from ..faces.regions import Parser


class BlendStage(FaceStage):
    """Leaves an encoded segment per chunk, ``edited.json``, the frames that were changed, and
    ``touched.npz``, where."""

    name = "blend"
    version = 19
    takes = ("align", "reconstruct", "decode")
    apart = True
    cost = 0.08

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        # The result is about as large as the source.
        timeline = resources.timeline
        self.size = timeline.path.stat().st_size // max(1, len(timeline))
        # What was found in the last frames, which the next ones are steadied over.
        self._around: list[_Found] = []

    def settings(self) -> dict[str, Json]:
        resources = self.resources
        encode = None if resources.timeline.is_image else asdict(resources.encode_spec)
        blending = resources.parameters.blending
        return {
            "encode": json.loads(json.dumps(encode)),
            "chunk": resources.run.chunk_frames,
            "blending": asdict(blending),
            "touch": [str(touch) for touch in resources.touch],
        }

    def models(self) -> dict[str, str]:
        ids = self.resources.networks.ids("regions")
        marked = self.resources.marked_id()
        return ids | {"mask": marked} if marked else ids

    def expected(self) -> int:
        return len(self.resources.timeline)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return frame_chunks(0, len(self.resources.timeline), self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        resources = self.resources
        if resources.timeline.is_image:
            self._picture(ctx, chunk, folder)
            return
        touched: dict[int, Touched] = {}
        shape = resources.timeline.height, resources.timeline.width

        def frames() -> Iterator[EncodableFrame]:
            def composed(
                one: tuple[Frame, list[Patch]],
            ) -> tuple[EncodableFrame, Touched | None]:
                frame, patches = one
                return compose(frame, patches), touched_by(patches, shape) if patches else None

            blended = self.blended(ctx, chunk.start, chunk.stop)
            for (frame, _), (made, changed) in ahead(blended, composed, workers()):
                if changed is not None:
                    touched[frame.index] = changed
                yield made
                ctx.tick()

        write_segment(segment_path(folder), resources.timeline, resources.encode_spec, frames())
        write_edited(folder, list(touched))
        write_touched(folder, touched)

    def _picture(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        ((frame, patches),) = self.blended(ctx, chunk.start, chunk.stop)
        write_blended_picture(folder, pasted(frame.rgb, patches))
        write_edited(folder, [0] if patches else [])
        ctx.tick()

    def blended(self, ctx: Context, start: int, stop: int) -> Iterator[tuple[Frame, list[Patch]]]:
        """The frames ``start <= index < stop``, each with what is pasted into it. For frames as
        they are before they are encoded: the inputs must be complete."""
        if not len(self.to_edit(ctx, start, stop)):
            yield from ((frame, []) for frame in self.resources.reader.read(start, stop))
            return
        faces, wanted = self._to_paste(ctx, start, stop)
        for moment, patches in ahead(wanted, faces.patches, workers()):
            yield moment.frame, patches

    def _to_paste(
        self, ctx: Context, start: int, stop: int
    ) -> tuple[_FacesToPaste, Iterator[_Moment]]:
        """The faces around ``start <= index < stop``, and those frames with their changes."""
        times = self.resources.times
        pad = self.resources.parameters.blending.smoothing.change_padding_s
        first, last = window(times, start, stop, pad)
        faces = _FacesToPaste(self, ctx, first, last)
        # The frames around the end of one chunk are those around the beginning of the next.
        known = self._around if self._around and self._around[0].frame.index == first else []
        self._around = []
        next_first = window(times, stop, stop + 1, pad)[0] if stop < len(times) else stop

        def found() -> Iterator[_Found]:
            frames = self.resources.reader.read(first + len(known), last)
            made = (changes for _, changes in ahead(frames, faces.changes, workers()))
            for one in chain(known, made):
                if one.frame.index >= next_first:
                    self._around.append(one)
                yield one

        moments = _moments(found(), times, pad)
        return faces, (moment for moment in moments if start <= moment.frame.index < stop)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Each frame, as it goes to the encoder, and how they differ; the regions its faces were
        seen to have; and of every face the maps of what changes, worked out anew."""
        pictures = []
        parser = self.resources.network(ctx, "parser")
        for index in frames:
            faces = self.to_edit(ctx, index, index + 1)
            if not len(faces):
                (passed,) = self.resources.reader.read(index, index + 1)
                pictures.append(strip([(f"frame {index}: no face to edit", passed.rgb8)]))
                continue
            working, moments = self._to_paste(ctx, index, index + 1)
            for moment in moments:
                source = moment.frame.rgb8
                result = pasted(source, working.patches(moment))
                frame = [(f"frame {index}: source", source), ("result", result)]
                frame.append(("difference x3", difference(source, result, 3)))
                crops = [cut_crop(source, quad, PANEL) for quad in faces.quad]
                seen = [("regions", bytes_of(crop), parser.parse(crop)) for crop in crops]
                pictures.append(strip([*frame, *region_panels(seen)]))
                for (track, kind), (quad, change) in working.steady(moment).items():
                    name = f"track {track}, {kind}"
                    panels = change_panels(name, source, result, quad, on_host(change))
                    pictures.append(strip(panels))
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


@dataclass(frozen=True)
class _Moment:
    """A frame, and what changes in it and around it.

    Attributes:
        frame: of the source.
        rgb: its pixels (H, W, 3); None without a face.
        around: for each change of a face in this frame, by track and kind, its quad, and the same
            change of its track in all frames around, each with the frame's index; this frame's
            among them.
    """

    frame: Frame
    rgb: NDArray[Any] | None
    around: dict[tuple[int, str], tuple[NDArray[np.float64], list[tuple[int, Change]]]]


_Changes = dict[tuple[int, str], tuple[NDArray[np.float64], Change]]
"""What changes in a frame, each with its quad, by the face's track and the kind of the change."""


@dataclass(frozen=True)
class _Found:
    """What was found in a frame.

    Attributes:
        frame: of the source.
        rgb: its pixels (H, W, 3); None without a face.
        changes: of its faces.
    """

    frame: Frame
    rgb: NDArray[Any] | None
    changes: _Changes


def _moments(
    found: Iterator[_Found], times: NDArray[np.float64], reach: float
) -> Iterator[_Moment]:
    """Consecutive frames in their order, each with the changes of those up to ``reach`` seconds
    before and after."""
    held: deque[_Found] = deque()
    at = 0  # of the next to be given, in what is held
    for one in found:
        held.append(one)
        newest = times[one.frame.index]
        while newest - times[held[at].frame.index] > reach:
            yield _moment(held, at, times, reach)
            at += 1
        while times[held[at].frame.index] - times[held[0].frame.index] > reach:
            held.popleft()
            at -= 1
    for k in range(at, len(held)):
        yield _moment(held, k, times, reach)


def _moment(held: Sequence[_Found], k: int, times: NDArray[np.float64], reach: float) -> _Moment:
    now = held[k]
    near = [
        (one.frame.index, one.changes)
        for one in held
        if abs(times[one.frame.index] - times[now.frame.index]) <= reach
    ]
    around = {
        which: (quad, [(index, theirs[which][1]) for index, theirs in near if which in theirs])
        for which, (quad, _) in now.changes.items()
    }
    return _Moment(now.frame, now.rgb, around)


class _FacesToPaste:
    """What the faces in ``start <= frame < stop`` need from the stages before, smoothed over
    time. Several threads may ask for changes and patches."""

    def __init__(self, stage: BlendStage, ctx: Context, start: int, stop: int) -> None:
        resources, table = stage.resources, stage.table(ctx)
        self.reconstruct, self.decode = ctx.input("reconstruct"), ctx.input("decode")
        self.parser: Parser = resources.network(ctx, "parser")
        self.device = resources.networks.device.name
        self.touch = {each.id: resources.touch_of(each.asked) for each in table.tracks}
        self.marked = resources.marked
        self.how = resources.parameters.blending
        self.times = resources.times
        # How long each frame stands, for frames of different length.
        self.durations = np.gradient(self.times) if len(self.times) > 1 else np.ones(1)
        self._looking = threading.Lock()  # artifacts are for one thread at a time
        smoothing = self.how.smoothing
        first, last = window(self.times, start, stop, smoothing.bending_padding_s)
        self.faces = faces = stage.to_edit(ctx, first, last)
        points = read_rows(self.reconstruct, POINTS, table, *faces.span)
        self.source = np.array([faces.points_in_crop(k) for k in range(len(faces))])
        self.source = self.source.reshape(-1, *points.shape[1:])
        self.shift = smooth_rows(points - self.source, faces, self.times, smoothing.bending_sigma_s)
        # By how much the edit moved them; nothing where no face was found in its picture.
        edited = read_rows(self.decode, POINTS, table, *faces.span)
        self.moved = np.nan_to_num(edited - points)

    def changes(self, frame: Frame) -> _Found:
        """Of a frame."""
        found: _Changes = {}
        pixels: NDArray[Any] | None = None
        for k, rgb in faces_of(frame, self.faces):
            pixels = rgb
            name, track = self.faces.name(k), int(self.faces.track[k])
            with self._looking:
                (chunk,) = self.decode.overlapping(frame.index, frame.index + 1)
                if not has_picture(self.decode, chunk.name, name):
                    continue
                paths = [picture_path(a, chunk.name, name) for a in (self.reconstruct, self.decode)]
            own, edited = (on_device(self.device, decode_picture(path)) for path in paths)
            shown = self.source[k] + self.shift[k]
            changes = find_changes(
                rgb,
                self.faces.quad[k],
                int(self.faces.size[k]),
                own,
                edited,
                self.parser.parse,
                Landmarks(self.source[k], shown, shown + self.moved[k]),
                self.touch[track],
                self.how,
            )
            found |= {(track, kind): change for kind, change in changes.items()}
        return _Found(frame, pixels, found)

    def steady(self, moment: _Moment) -> _Changes:
        """What changes in a frame, steadied over those around it."""
        now, made = moment.frame.index, _Changes()
        for which, (quad, around) in moment.around.items():
            apart = np.array([self.times[index] - self.times[now] for index, _ in around])
            weights = np.exp(-((apart / self.how.smoothing.change_sigma_s) ** 2) / 2)
            weights *= [self.durations[index] for index, _ in around]
            at = [index for index, _ in around].index(now)
            made[which] = quad, steadied([change for _, change in around], weights, at)
        return made

    def patches(self, moment: _Moment) -> list[Patch]:
        """What is pasted into a frame."""
        made = list[Patch]()
        for quad, change in self.steady(moment).values():
            assert moment.rgb is not None
            x, y, colours, alpha = applied(moment.rgb, quad, change, self.how.grain)
            if self.marked is not None:
                h, w = alpha.shape
                alpha = alpha * self.marked[y : y + h, x : x + w]
            if alpha.any():
                made.append(Patch(x, y, colours, alpha))
        return made
