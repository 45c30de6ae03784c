"""What the page shows of opened sources: single frames as they are and as they would be, and short
stretches to be tried. All that is kept of them lies in one folder that goes when the page goes.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..api import edit_image, networks_for, run_settings, timeline_of
from ..batch.jobs import Job
from ..editing.schedule import AlphaSchedule, Edit
from ..errors import Interrupted, NoFaceError, StorageError, UsageError
from ..files import make_private
from ..media.reader import FrameReader
from ..media.source import check_source
from ..media.timeline import Timeline
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.store import Store
from .offer import Offer
from .people import People, fitted, look

FRAME_SIDE = 1280
"""Pixels of the longer side of a frame that is tried: as many as a page shows."""

STRETCH_SIDE = 640
"""Pixels of the longer side of a stretch that is tried."""

STRETCH_S = 2.0
"""Seconds of a stretch that is tried."""

_FRAMES = 32  # whose codes are kept
_EDITS = 200  # of one frame, before its cache is begun anew
_RESULTS = 200  # pictures that are kept


@dataclass
class Opened:
    """A source that was opened.

    Attributes:
        path: where it is.
        name: what its user calls it.
        uploaded: whether it came through the page: its path is of no use to anyone then.
        timeline: its frames and their times.
        people: who is in it, by stretch; missing until it was looked for.
    """

    path: Path
    name: str
    uploaded: bool
    timeline: Timeline
    people: dict[tuple[float | None, float | None], People] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        ticks = self.timeline.pts[-1] - self.timeline.pts[0] + self.timeline.durations[-1]
        return float(ticks * self.timeline.time_base)

    @property
    def is_image(self) -> bool:
        """Whether it is a picture."""
        return self.timeline.is_image

    def frame_at(self, time_s: float) -> int:
        """The frame that is shown at a time."""
        times = self.timeline.times()
        return int(np.clip(np.searchsorted(times, time_s + 1e-4, "right") - 1, 0, len(times) - 1))


@dataclass(frozen=True)
class Shown:
    """A frame as it is and as it would be.

    Attributes:
        before, after: pictures of the same size.
        note: why it would not be another one; empty where it would.
    """

    before: Path
    after: Path
    note: str = ""


class Session:
    """Opens sources, and shows frames of them. Its methods may be called from any thread.

    Args:
        folder: an empty one, for what is kept until the page goes.
        offer: what there is to edit, and by which bundle.
        cache: folder of the work that is kept for runs; the usual one, if not said.
        device: where networks run.
    """

    def __init__(
        self, folder: Path, offer: Offer, cache: Path | None = None, device: str = "auto"
    ) -> None:
        self.folder = folder
        self.offer = offer
        self.cache = cache
        self.device = device
        self._trying = threading.Lock()  # held while a frame is edited
        self._looking = threading.Lock()  # held while people are looked for
        self._reading = threading.Lock()
        self._networks: Networks | None = None
        self._lookers: Networks | None = None
        self._reader: tuple[Path, FrameReader] | None = None
        self._pictures: OrderedDict[str, _Frame] = OrderedDict()
        self._shown: OrderedDict[tuple[str, ...], Shown] = OrderedDict()
        self._made = 0
        self._leaving = threading.Event()

    @property
    def settings(self) -> dict[str, object]:
        """What all runs have in common."""
        return {"device": self.device} | self.offer.settings

    def open(self, path: Path, name: str | None = None, *, uploaded: bool = False) -> Opened:
        """Open a video or a picture.

        Raises:
            InputError: it cannot be read as one.
        """
        check_source(path)
        with Store(self.cache) as store:
            timeline = timeline_of(path, store)
        return Opened(path, name or path.name, uploaded, timeline)

    def warm(self, source: Opened, index: int) -> None:
        """Load what editing a frame takes, and work out what all edits of this one need: the first
        slider that is moved then answers as quickly as those after it.

        Raises:
            VideditError: as :meth:`show`.
        """
        first = Edit(self.offer.first, AlphaSchedule.constant(1))
        self.show(source, index, (first,), "largest", None)

    def frame(self, source: Opened, index: int) -> NDArray[np.uint8]:
        """(h, w, 3) RGB of a frame, at most :data:`FRAME_SIDE` long.

        Raises:
            InputError: it cannot be read.
        """
        with self._reading:
            if self._reader is None or self._reader[0] != source.path:
                if self._reader is not None:
                    self._reader[1].close()
                self._reader = source.path, FrameReader(source.timeline)
            (frame,) = self._reader[1].read(index, index + 1)
            return _square(frame.rgb8, source.timeline, FRAME_SIDE)

    def show(
        self, source: Opened, index: int, edits: Sequence[Edit], face: str, people: People | None
    ) -> Shown:
        """A frame with these edits, by the quick way: it alone, by the encoder.

        Args:
            edits: of this frame.
            face: whose, as ``videdit run --face`` takes it.
            people: of the source; where they are not known yet, the largest face is edited.

        Raises:
            VideditError: the source, or a file of the cache, cannot be read or written.
        """
        key = f"{source.timeline.content_id}-{index}"
        with self._trying:
            if self._leaving.is_set():
                raise Interrupted("the page is closing")
            kept = self._pictures.get(key)
            if kept is None:
                kept = self._keep(key, self.frame(source, index))
            self._pictures.move_to_end(key)
            if not edits:
                return Shown(kept.shown, kept.shown)
            whose, note = self._face_in(source, kept, face, people, index)
            if whose is None:
                return Shown(kept.shown, kept.shown, note)
            asked = (key, whose, *map(str, edits))
            if asked not in self._shown:
                try:
                    found = Shown(kept.shown, self._edit(kept, edits, whose))
                except NoFaceError:
                    found = Shown(kept.shown, kept.shown, "No face is found in this frame.")
                self._shown[asked] = found
                while len(self._shown) > _RESULTS:
                    _, oldest = self._shown.popitem(last=False)
                    if oldest.after != oldest.before:
                        oldest.after.unlink(missing_ok=True)
            self._shown.move_to_end(asked)
            return self._shown[asked]

    def look(
        self,
        source: Opened,
        start_s: float | None = None,
        stop_s: float | None = None,
        progress: Progress | None = None,
    ) -> People:
        """Who is in a stretch of a source, looked for if it was not before.

        Raises:
            VideditError: the source cannot be read, or the page is closing.
        """
        stretch = (start_s, stop_s)
        with self._looking:
            if self._leaving.is_set():
                raise Interrupted("the page is closing")
            if stretch not in source.people:
                if self._lookers is None:
                    self._lookers = self._load()
                with Store(self.cache) as store:
                    source.people[stretch] = look(
                        source.path,
                        store,
                        self._lookers,
                        source.timeline,
                        start_s=start_s,
                        stop_s=stop_s,
                        progress=progress,
                        stop=self._leaving,
                    )
            return source.people[stretch]

    def stretch(
        self, source: Opened, start: int, edits: Sequence[Edit], face: str, people: People | None
    ) -> Job:
        """A small copy of :data:`STRETCH_S` seconds from a frame on, and what is to be done with
        it.

        Args:
            edits: of a clip that begins with that frame.
            face, people: as in :meth:`show`.

        Raises:
            UsageError: nothing is edited, or the source is a picture.
            NoFaceError: the chosen face is not in it.
        """
        if source.is_image:
            raise UsageError("a picture cannot be played", "Look at it above.")
        if not edits:
            raise UsageError("nothing is edited in these seconds", "Move a slider first.")
        times = source.timeline.times()
        stop = int(np.searchsorted(times, times[start] + STRETCH_S - 1e-4))
        name = f"{source.timeline.content_id}-{start}"
        folder = self.folder / "stretches"
        make_private(folder)
        small = folder / f"{name}.mp4"
        if not small.is_file():
            _write_small(source.timeline, range(start, stop), small)
        whose = face
        if people is not None and face != "all":
            copy = self.open(small)
            there = self.look(copy)
            for frame in range(len(copy.timeline)):
                boxes = people.chosen(face, start + frame)
                if not boxes:
                    continue
                size = (copy.timeline.height, copy.timeline.width)
                found = there.same(_scaled(boxes, size, source.timeline), frame)
                if found:
                    whose = f"track:{found[0]}"
                    break
            else:
                raise NoFaceError("the chosen face is not in these seconds", "Go to another time.")
        return Job(
            small,
            tuple(edits),
            folder / f"{name}-edited.mp4",
            {"face": whose, "quality": "fast", "tag": False} | self.settings,
        )

    def close(self) -> None:
        """Leave off what goes on, and let go of the files."""
        self._leaving.set()
        with self._trying, self._looking, self._reading:
            if self._reader is not None:
                self._reader[1].close()
                self._reader = None

    def _load(self) -> Networks:
        here = Path()
        return networks_for(run_settings(here, here, (), self.settings), Progress())

    def _own_networks(self) -> Networks:
        if self._networks is None:
            self._networks = self._load()
        return self._networks

    def _keep(self, key: str, rgb: NDArray[np.uint8]) -> _Frame:
        folder = self.folder / "frames" / key
        make_private(folder)
        kept = _Frame(folder, rgb.shape[:2])
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        if not cv2.imwrite(str(kept.picture), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise StorageError(f"{folder} cannot be written", "Free some space.")
        _write_jpeg(kept.shown, bgr)
        self._pictures[key] = kept
        while len(self._pictures) > _FRAMES:
            _, oldest = self._pictures.popitem(last=False)
            shutil.rmtree(oldest.folder, ignore_errors=True)
            for asked in [asked for asked in self._shown if asked[0] == oldest.folder.name]:
                del self._shown[asked]
        return kept

    def _face_in(
        self, source: Opened, kept: _Frame, face: str, people: People | None, index: int
    ) -> tuple[str | None, str]:
        """Whose face is edited in a frame's picture; None, and why, where nobody's is."""
        if face == "all" or people is None or not people.faces:
            return ("all" if face == "all" else "largest"), ""
        boxes = people.chosen(face, index)
        if not boxes:
            return None, "The chosen face is not in this frame."
        if kept.people is None:
            with Store(kept.cache) as store:
                kept.people = look(
                    kept.picture,
                    store,
                    self._own_networks(),
                    timeline_of(kept.picture, store),
                    pictures=False,
                )
        found = kept.people.same(_scaled(boxes, kept.size, source.timeline))
        if not found:
            return None, "The chosen face is not found in this frame."
        return f"track:{found[0]}", ""

    def _edit(self, kept: _Frame, edits: Sequence[Edit], face: str) -> Path:
        if kept.edits >= _EDITS:
            shutil.rmtree(kept.cache, ignore_errors=True)
            kept.edits = 0
        kept.edits += 1
        self._made += 1
        picture = kept.folder / f"{self._made}.jpg"
        edit_image(
            kept.picture,
            picture,
            edits,
            settings={
                "method": "encoder",
                "tag": False,
                "cache_dir": kept.cache,
                "face": face,
            }
            | self.settings,
            networks=self._own_networks(),
            stop=self._leaving,
        )
        return picture


@dataclass
class _Frame:
    """A frame whose picture and cache are kept.

    Attributes:
        size: height and width.
        edits: made of it since its cache was begun.
        people: in it; None until they are looked for.
    """

    folder: Path
    size: tuple[int, ...]
    edits: int = 0
    people: People | None = None

    @property
    def picture(self) -> Path:
        return self.folder / "frame.png"

    @property
    def shown(self) -> Path:
        return self.folder / "frame.jpg"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"


def _write_jpeg(path: Path, bgr: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise StorageError(f"{path.parent} cannot be written", "Free some space.")


def _square(rgb: NDArray[np.uint8], timeline: Timeline, longest: int) -> NDArray[np.uint8]:
    """A frame of the source in square pixels, no longer than so many."""
    aspect = float(timeline.sample_aspect)
    if aspect != 1:
        size = (round(rgb.shape[1] * aspect), rgb.shape[0])
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return fitted(rgb, longest)


def _scaled(
    boxes: Sequence[NDArray[np.float32]], size: tuple[int, ...], timeline: Timeline
) -> list[NDArray[np.float32]]:
    """Boxes of a source's frame in a picture of another size (height, width)."""
    x, y = size[1] / timeline.width, size[0] / timeline.height
    return [box * np.array((x, y, x, y), np.float32) for box in boxes]


def _write_small(timeline: Timeline, frames: range, path: Path) -> None:
    """Some frames as a small clip of their own, at their times."""
    times = timeline.times()
    made = path.with_name(f".{path.name}")
    base = Fraction(1, 90_000)
    with FrameReader(timeline) as reader, av.open(str(made), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=timeline.average_rate or 25)
        stream.options = {"crf": "16", "preset": "veryfast"}
        stream.pix_fmt, stream.time_base = "yuv420p", base
        for frame in reader.read(frames.start, frames.stop):
            rgb = _square(frame.rgb8, timeline, STRETCH_SIDE)
            if frame.index == frames.start:
                stream.height, stream.width = rgb.shape[:2]
            native = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            native.pts = round((times[frame.index] - times[frames.start]) / base)
            native.time_base = base
            out.mux(stream.encode(native))
        out.mux(stream.encode())
    made.replace(path)
