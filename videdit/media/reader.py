"""Reading frames by index, in order, in memory that does not grow with the video."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from videdit.batches import taken_ahead
from videdit.errors import InputError
from videdit.media._colour import rgb_of
from videdit.media._planes import Layout, Plane, orient, planes_of
from videdit.media.hardware import HardwareDecoder, HardwareFailure
from videdit.media.source import FrameDamage, decode_frames, open_video
from videdit.media.timeline import Timeline

WINDOW = 4
"""Frames that a reader holds."""

# Opening the file and seeking costs about as much as decoding so many frames.
_OPENING = 8

# Frames that a GPU decodes before they are asked for.
_AHEAD = 4

# Frames of a reader, by which a GPU is seen to decode as software does; among them are those made
# from others before and after them. Cards take streams of profiles that they don't know (lossless
# H.264), and decode them to something.
_COMPARED = 12

_log = logging.getLogger(__name__)


class Frame:
    """One decoded frame. Holds the decoder's buffer; pictures are made from it when asked for.

    Attributes:
        index: position in the timeline.
        pts: ticks of the timeline's time base.
    """

    __slots__ = ("_native", "_timeline", "index", "pts")

    def __init__(self, native: VideoFrame, timeline: Timeline, index: int) -> None:
        self._native = native
        self._timeline = timeline
        self.index = index
        self.pts = int(timeline.pts[index])

    @property
    def timeline(self) -> Timeline:
        """The timeline the frame belongs to."""
        return self._timeline

    def planes(self) -> tuple[Layout, list[Plane]]:
        """The upright native planes, read-only views where the format allows it."""
        layout, planes = planes_of(self._native)
        layout, planes = orient(layout, planes, self._timeline.rotation, self._timeline.mirrored)
        for plane in planes:
            plane.flags.writeable = False
        return layout, planes

    @property
    def rgb(self) -> NDArray[Any]:
        """(H, W, 3) upright RGB: uint8 for 8-bit sources, uint16 over 0..65535 for deeper ones.

        Computed at each access, so that frames kept in a window stay small.
        """
        layout, planes = self.planes()
        return rgb_of(layout, planes, self._timeline.matrix, self._timeline.full_range)

    @property
    def rgb8(self) -> NDArray[np.uint8]:
        """(H, W, 3) upright RGB, uint8 always."""
        rgb = self.rgb
        if rgb.dtype == np.uint8:
            return rgb
        # 65535 / 255 = 257; rounded to nearest without leaving integers.
        narrow: NDArray[np.uint8] = ((rgb.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return narrow


class FrameReader:
    """The frames of a timeline, from a file that stays open from one request to the next.

    Frames asked for in order are decoded once each, however they are cut into requests; the last
    `WINDOW` are held, so that a request may begin a little before the end of the one before. Others
    cost decoding from the last keyframe before them that the container can be brought to, in the
    worst case from the beginning of the file. An iterator may be left at any point, and several of
    one reader may take turns; threads may not.

    Use as a context manager, or `close`.

    Args:
        on_gpu: whether to decode on a GPU where one gives the same samples, ahead of the caller.
            It is no error if there is none: what it does not decode, or not as software does, is
            decoded in software, from there on.
    """

    def __init__(self, timeline: Timeline, *, on_gpu: bool = False) -> None:
        self._timeline = timeline
        self._opened = ExitStack()
        self._decoded: Iterator[VideoFrame] | None = None
        self._gpu: HardwareDecoder | None = None
        # What the GPU's first frames are compared with, and whether they were.
        self._truth: Iterator[Frame] | None = None
        self._compared = False
        if on_gpu and HardwareDecoder.may_decode(timeline):
            self._gpu = HardwareDecoder(timeline)
        # The frame that `_decoded` gives next. The window ends before it.
        self._position = 0
        self._window: deque[Frame] = deque(maxlen=WINDOW)

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames `start` to `stop` (excluded; None for the end), each checked against the timeline.

        Raises:
            ValueError: `start` or `stop` outside 0..len(timeline).
            InputError: the file is damaged, missing, or no longer the one that was probed.
        """
        count = len(self._timeline)
        stop = count if stop is None else stop
        if not 0 <= start <= stop <= count:
            raise ValueError(f"frames {start}..{stop} are not in a timeline of {count}")
        for index in range(start, stop):
            yield self._frame(index)

    def close(self) -> None:
        """Release the file, the frames held and the GPU. A later `read` opens it anew."""
        self._leave()
        if self._gpu is not None:
            self._gpu.close()

    def _leave(self) -> None:
        """Release the file and the frames held."""
        self._window.clear()
        self._decoded = self._truth = None
        self._opened.close()

    def _frame(self, index: int) -> Frame:
        ahead = index - self._position
        if -len(self._window) <= ahead < 0:
            return self._window[ahead]
        try:
            if self._decoded is None or ahead < 0 or self._seek_pays(index):
                self._enter(index)
            while self._position <= index:
                self._advance()
        except BaseException as error:
            # Whatever the decoder was at is lost.
            self.close()
            if self._gpu is None or not isinstance(error, HardwareFailure | InputError):
                raise
            # If it is the file's fault, software says so.
            _log.debug("%s is decoded in software: %s", self._timeline.path.name, error)
            self._gpu = None
            return self._frame(index)
        return self._window[-1]

    def _seek_pays(self, index: int) -> bool:
        keyframes = self._timeline.keyframes
        nearest = int(keyframes[np.searchsorted(keyframes, index, "right") - 1])
        return nearest - self._position > _OPENING

    def _enter(self, index: int) -> None:
        """Bring the decoder to a keyframe at or before `index`."""
        for key in _entry_points(self._timeline, index):
            self._leave()
            if self._enter_at(key):
                return
        raise _changed(self._timeline)

    def _enter_at(self, key: int) -> bool:
        """Decode the keyframe `key`; False if the container cannot be brought to it."""
        timeline = self._timeline
        container, stream = self._opened.enter_context(open_video(timeline.path))
        if stream.index != timeline.stream_index or stream.time_base is None:
            raise _changed(timeline)
        target = None
        if key:
            target = int(timeline.pts[key])
            try:
                container.seek(target, stream=stream, backward=True)
            except (av.FFmpegError, OSError):
                return False
        if self._gpu is None:
            self._decoded = decode_frames(timeline.path, container, stream, key, target=target)
        else:
            self._gpu.begin(stream)
            frames = decode_frames(
                timeline.path, container, stream, key, target=target, decode=self._gpu.decode
            )
            self._decoded = self._opened.enter_context(closing(taken_ahead(frames, _AHEAD)))
            if not self._compared:
                self._truth = read_frames(timeline, key, min(key + _COMPARED, len(timeline)))
        self._position = key
        native = next(self._decoded, None)
        if native is None:
            return False
        self._hold(native)
        return True

    def _advance(self) -> None:
        assert self._decoded is not None
        native = next(self._decoded, None)
        if native is None:
            raise FrameDamage(self._timeline.path, self._position)
        self._hold(native)

    def _hold(self, native: VideoFrame) -> None:
        timeline = self._timeline
        # A still has no time of its own.
        if not timeline.is_image and native.pts != timeline.stored_times[self._position]:
            raise _changed(timeline)
        frame = Frame(native, self._timeline, self._position)
        if self._truth is not None:
            self._compare(frame)
        self._window.append(frame)
        self._position += 1

    def _compare(self, frame: Frame) -> None:
        """Hold a frame that comes from the GPU against software's, until all to compare were.

        Raises:
            HardwareFailure: they differ.
        """
        assert self._truth is not None
        true = next(self._truth, None)
        if true is None:
            self._compared, self._truth = True, None
            return
        pairs = zip(frame.planes()[1], true.planes()[1], strict=True)
        if not all(np.array_equal(found, expected) for found, expected in pairs):
            raise HardwareFailure(f"frame {frame.index} is not as in software")


def read_frames(timeline: Timeline, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Frames `start` to `stop` (excluded; None for the end) by a reader of their own.

    Raises:
        ValueError, InputError: as `FrameReader.read`.
    """
    with FrameReader(timeline) as reader:
        yield from reader.read(start, stop)


def _entry_points(timeline: Timeline, start: int) -> list[int]:
    """Keyframes to try, nearest first; 0, without a seek, is the one that always works."""
    before = timeline.keyframes[timeline.keyframes <= start]
    return [*(int(k) for k in before[::-1][:3] if k > 0), 0]


def _changed(timeline: Timeline) -> InputError:
    return InputError(
        f"{timeline.path} is not the file it was when its frames were listed",
        "Run the command again",
    )
