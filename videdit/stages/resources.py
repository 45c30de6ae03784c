"""What the stages of one run share: its settings, the source, and networks loaded when needed; and
what all stages that work on the table of faces have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..artifacts.codes import CodeReader
from ..artifacts.faces import Faces, FaceTable
from ..artifacts.marks import KnownRows
from ..artifacts.pictures import write_picture
from ..batches import ahead, batched
from ..bundles.manifest import ID_LENGTH
from ..device import batch_size
from ..editing.touch import changed, check_region, held_in, touch_of, touch_of_region
from ..errors import UsageError
from ..faces.detection import Landmarker, landmarks_in
from ..faces.paths import frames_around
from ..faces.regions import Touch
from ..faces.smoothing import window
from ..files import sha256_of
from ..generators.latents import Latents
from ..media.encoding import EncodeSpec
from ..media.pictures import read_picture
from ..media.reader import FrameReader
from ..media.segments import output_ticks
from ..media.timeline import Timeline
from ..models.networks import Networks
from ..pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from ..previews.codes import CodePlots
from ..settings import RunSettings

if TYPE_CHECKING:
    from ..editing.editor import Editor


_PAINTED = 24
"""From which difference, of 255, a pixel was painted on; less is another compression."""

_EDGE = 0.015
"""Width of a mask's soft border, share of the picture's longer side; strokes are widened by it."""


@dataclass(frozen=True)
class OtherFace:
    """The face in another picture.

    Attributes:
        code: (rows, width).
        key: of all that it was made from.
    """

    code: NDArray[np.float32]
    key: str


class Resources:
    """What the stages of one run work with. Use it as a context manager, or :meth:`close` it.

    Attributes:
        run: the settings of the run.
        parameters: the rooms' numbers.
        timeline: the source's frames and their times.
        networks: everything with weights.
        other: the face that regions are taken from.
        frames: the indices of the frames to edit.
        reader: of the source's frames; it stays open from chunk to chunk.
    """

    def __init__(
        self,
        run: RunSettings,
        timeline: Timeline,
        networks: Networks,
        other: OtherFace | None = None,
    ) -> None:
        self.run = run
        self.other = other
        self.parameters = run.parameters
        self.timeline = timeline
        self.networks = networks
        self.frames = timeline.select(run.start_s, run.stop_s)
        self.reader = FrameReader(timeline, on_gpu=networks.device.name == "cuda")

    def __enter__(self) -> Resources:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the source's file."""
        self.reader.close()

    @cached_property
    def encode_spec(self) -> EncodeSpec:
        """How the output is encoded.

        Raises:
            UsageError: the codec or its quality is no good.
        """
        run = self.run
        return EncodeSpec.for_source(self.timeline, run.codec, run.crf, run.output.suffix)

    @cached_property
    def editor(self) -> Editor:
        """What the run edits with."""
        run = self.run
        other = None if self.other is None else self.other.code
        return self.networks.editor(run.editor, run.keep, other, run.within)

    @cached_property
    def marked(self) -> NDArray[np.float32] | None:
        """(H, W) from 0 to 1: where the region ``mask`` is, by the mask or by what was painted on
        the source, falling off towards its border; None where there is none.

        Raises:
            InputError: the picture cannot be read.
            UsageError: it has another size than the source, or marks nothing; or the source is a
                video.
        """
        run = self.run
        path = run.marking
        if path is None:
            return None
        if not self.timeline.is_image:
            raise UsageError(
                f"{path.name} marks one picture, and {run.source.name} is a video",
                "Name regions of the face, which move with it: --region mouth,eyes.",
            )
        (frame,) = self.reader.read(0, 1)
        picture, own = read_picture(path), frame.rgb8
        if picture.shape != own.shape:
            sizes = [f"{p.shape[1]}x{p.shape[0]}" for p in (picture, own)]
            raise UsageError(
                f"{path.name} has {sizes[0]} pixels, {run.source.name} has {sizes[1]}",
                "Give a picture of the same size.",
            )
        edge = _EDGE * max(own.shape[:2])
        if run.mask is not None:
            there = picture.mean(2) / np.float32(255)
        else:
            painted = np.abs(picture.astype(np.int16) - own).max(2) > _PAINTED
            side = 2 * int(np.ceil(edge)) + 1
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            there = cv2.dilate(painted.astype(np.float32), kernel)
        if not there.any():
            raise UsageError(
                f"{path.name} marks nothing",
                "A mask is white where something may change; a scribble is the source painted on.",
            )
        # Inwards, so that nothing changes outside.
        far = cv2.distanceTransform((there > 0).astype(np.uint8), cv2.DIST_L2, 5)
        return np.asarray(there * np.minimum(far / edge, 1), np.float32)

    def marked_id(self) -> str:
        """The content id of what marks the region ``mask``; empty where nothing does."""
        path = self.run.marking
        return "" if path is None else sha256_of(path)[:ID_LENGTH]

    @cached_property
    def touch(self) -> tuple[Touch, ...]:
        """The regions that the edits of each of the run's faces (``RunSettings.faces``) may change.

        Raises:
            UsageError: the run widens or narrows them by what there is not, or leaves none.
        """
        return tuple(self.touch_of(1 << k) for k in range(len(self.run.faces)))

    def touch_of(self, asked: int) -> Touch:
        """The regions that the edits of a face may change.

        Args:
            asked: which of the run's faces it is, as bits.

        Raises:
            UsageError: see :attr:`touch`.
        """
        run, theirs = self.run, self.run.edits_of(asked)
        touches = [
            touch_of_region(check_region(edit.attribute))
            if run.like
            else touch_of(edit.attribute, min(alpha for _, alpha in edit.schedule.keyframes))
            for edit in theirs
        ]
        touch = reduce(or_, touches) if touches else Touch()
        if run.within:
            touch = held_in(touch, run.within)
        touch = changed(touch, run.touch)
        if theirs and not touch.all:
            edits = ", ".join(edit.what for edit in theirs)
            raise UsageError(
                f"{edits} may touch nothing of what is left",
                "`videdit attributes` lists what each attribute touches.",
            )
        return touch

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """(n,) the frames' times in seconds from the first, strictly rising.

        Where a source gives several frames one time, the output's times count: smoothing over time
        needs them apart.
        """
        ticks = output_ticks(self.timeline)
        return np.asarray((ticks - ticks[0]) * float(self.timeline.time_base), np.float64)

    @cached_property
    def coded(self) -> range:
        """The frames whose codes have a part in those of the frames to edit: smoothing over time
        looks around. So a stretch comes out as it does from the whole."""
        pad_s = self.parameters.inversion.smoothing.pad_s
        return range(*window(self.times, self.frames.start, self.frames.stop, pad_s))

    @cached_property
    def seen(self) -> range:
        """The frames whose faces have a part in the quads of :attr:`coded`."""
        coded = self.coded
        aligning = self.parameters.faces.aligning
        return range(*frames_around(self.times, coded.start, coded.stop, aligning))

    @property
    def stretch(self) -> str:
        """The name of the frames :attr:`seen` as a plan of what is made frame by frame; "" for
        all."""
        if self.seen == range(len(self.timeline)):
            return ""
        return f"{self.seen.start}-{self.seen.stop}"

    def whole_chunks(self) -> list[Chunk]:
        """Chunks of the source that hold the frames :attr:`seen`, the same for every stretch."""
        size, frames = self.run.chunk_frames, self.seen
        start = frames.start // size * size
        return frame_chunks(start, min(-(-frames.stop // size) * size, len(self.timeline)), size)

    def network(self, ctx: Context, role: str) -> Any:
        """One of the networks; the user sees that it is loaded."""
        if role not in vars(self.networks):
            with ctx.loading(f"the {role}"):
                getattr(self.networks, role)
        return getattr(self.networks, role)


class FaceStage(Stage, ABC):
    """A stage that works on the table of faces, in chunks from the first face to edit to the
    last."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def expected(self) -> int:
        return len(self.resources.frames)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        table, frames = self.table(ctx), self.resources.frames
        first, last = max(table.first_frame, frames.start), min(table.stop_frame, frames.stop)
        return frame_chunks(first, last, self.resources.run.chunk_frames)

    def table(self, ctx: Context) -> FaceTable:
        """The faces to edit, and those around them in time whose codes are needed."""
        return ctx.once("table", lambda: FaceTable(ctx.input("align")))

    def known(self, ctx: Context) -> KnownRows:
        """Rows that this stage made in other runs."""
        return ctx.once("known", lambda: KnownRows(ctx.own))

    def to_edit(self, ctx: Context, start: int, stop: int) -> Faces:
        """The faces to edit in ``start <= frame < stop``."""
        frames = self.resources.frames
        start = max(start, frames.start)
        return self.table(ctx).window(start, max(start, min(stop, frames.stop)))

    def pictures(
        self,
        ctx: Context,
        codes: NDArray[np.float32] | Latents,
        at: Sequence[int],
        faces: Faces,
        folder: Path,
    ) -> Iterator[tuple[int, NDArray[np.float64] | None]]:
        """The generator's pictures of the codes at some positions, written into a chunk's folder.

        Args:
            codes: of all faces.
            at: which of them.
            faces: whose pictures these are: their names and sizes.
            folder: of the chunk.

        Returns:
            Each position in its order with the landmarks seen there, (68, 2) in crop units, or
            None.
        """
        if not at:
            return
        generator = self.resources.network(ctx, "generator")
        landmarker: Landmarker = self.resources.network(ctx, "landmarker")

        def decoded() -> Iterator[tuple[int, NDArray[np.float32]]]:
            batches = batched(at, batch_size(self.resources.networks.device))
            for batch, shown in ahead(batches, lambda batch: generator.decode(codes[batch])):
                yield from zip(batch, shown, strict=True)

        def kept(one: tuple[int, NDArray[np.float32]]) -> NDArray[np.float64] | None:
            k, picture = one
            written = write_picture(folder, faces.name(k), picture, int(faces.size[k]))
            return landmarks_in(landmarker, written)

        for (k, _), points in ahead(decoded(), kept, landmarker.threads):
            yield k, points

    def picturing(self) -> dict[str, Json]:
        """Settings of all that decodes codes and looks for landmarks in their pictures."""
        detecting = asdict(self.resources.parameters.faces.detecting)
        backend = self.resources.run.backend
        return {
            "precision": self.resources.networks.device.precision,
            "backend": backend,
            "detecting": detecting[backend],
        }

    def code_plots(self, ctx: Context) -> CodePlots:
        """What draws codes over time."""
        networks = self.resources.networks
        edited = [edit.attribute for edit in self.resources.run.edits]
        known = "classifier" in networks
        classifier = self.resources.network(ctx, "classifier") if known else None
        return CodePlots(networks.statistics, classifier, networks.space, edited)

    def codes(self, ctx: Context) -> CodeReader:
        """Their codes; for stages that take ``encode`` and ``refine``, or are ``refine``."""

        def make() -> CodeReader:
            return CodeReader(
                ctx.input("encode"),
                ctx.own if self.name == "refine" else ctx.input("refine"),
                self.table(ctx),
                self.resources.times,
                self.resources.networks.space,
                self.resources.parameters.inversion.smoothing,
            )

        return ctx.once("codes", make)
