"""Reading frames by index, in order, in memory that does not grow with the video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from videdit.errors import InputError
from videdit.media._planes import Layout, Plane, orient, planes_of, rgb_of
from videdit.media.timeline import Timeline, damaged, decode_frames, open_video


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


def read_frames(timeline: Timeline, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Frames `start` to `stop` (excluded; None for the end), each checked against the timeline.

    Decoding starts at the last keyframe before `start` that the container can be brought to, in the
    worst case at the beginning of the file.

    Raises:
        ValueError: `start` or `stop` outside 0..len(timeline).
        InputError: the file is damaged, missing, or no longer the one that was probed.
    """
    count = len(timeline)
    stop = count if stop is None else stop
    if not 0 <= start <= stop <= count:
        raise ValueError(f"frames {start}..{stop} are not in a timeline of {count}")
    if start == stop:
        return
    for key in _entry_points(timeline, start):
        with open_video(timeline.path) as (container, stream):
            if stream.index != timeline.stream_index or stream.time_base is None:
                raise _changed(timeline)
            index = key
            target = None
            if key:
                target = int(timeline.pts[key])
                try:
                    container.seek(target, stream=stream, backward=True)
                except (av.FFmpegError, OSError):
                    continue
            for native in decode_frames(timeline.path, container, stream, key, target=target):
                if native.pts != timeline.pts[index]:
                    raise _changed(timeline)
                if index >= start:
                    yield Frame(native, timeline, index)
                index += 1
                if index == stop:
                    return
            if index > key:
                raise damaged(timeline.path, index)
    raise _changed(timeline)


def _entry_points(timeline: Timeline, start: int) -> list[int]:
    """Keyframes to try, nearest first; 0, without a seek, is the one that always works."""
    before = timeline.keyframes[timeline.keyframes <= start]
    return [*(int(k) for k in before[::-1][:3] if k > 0), 0]


def _changed(timeline: Timeline) -> InputError:
    return InputError(
        f"{timeline.path} is not the file it was when its frames were listed",
        "Run the command again",
    )
