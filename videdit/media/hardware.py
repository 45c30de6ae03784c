"""Decoding on an NVIDIA GPU (NVDEC), where that gives exactly the samples that software gives.

The standards of the codecs here lay down every sample, so what a result is made of does not depend
on where it was decoded. What a GPU, a driver or a container without them cannot do is an error that
the reader answers by decoding in software.
"""

from __future__ import annotations

from typing import Any, cast

import av
from av.codec import CodecContext
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from videdit.media._planes import unpacked
from videdit.media.source import DECODING
from videdit.media.timeline import Timeline

# What decodes in software, and FFmpeg's decoder of the same codec that takes a GPU.
_CODECS = {"h264": "h264", "hevc": "hevc", "vp9": "vp9", "libdav1d": "av1"}

# Formats in software, and how the same samples come from the GPU. Others are left out: not all
# codecs and cards have them.
_FORMATS = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}


class HardwareFailure(Exception):
    """A GPU does not decode this, or not as software does."""


class HardwareDecoder:
    """Decodes the packets of one source on the first GPU; frames come back in planes in ordinary
    memory. It holds GPU memory from the first :meth:`begin` to :meth:`close`.

    Args:
        timeline: of a source that :meth:`may_decode`.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._context: VideoCodecContext | None = None

    @staticmethod
    def may_decode(timeline: Timeline) -> bool:
        """Whether a GPU might: video of whole frames in 4:2:0, of 8 or 10 bits, by a codec that
        says every sample."""
        known = timeline.codec in _CODECS and timeline.pix_fmt in _FORMATS
        return known and timeline.fields is None and not timeline.is_image

    def begin(self, stream: VideoStream) -> None:
        """Get ready for packets of this stream, from a keyframe on.

        Raises:
            HardwareFailure: there is no GPU that can.
        """
        source = stream.codec_context
        try:
            if self._context is None:
                self._context = _on_gpu(_CODECS[self._timeline.codec])
                self._context.options = DECODING
                self._context.thread_count = 1
                if source.extradata is not None:
                    self._context.extradata = source.extradata
            self._context.flush_buffers()
        except (av.FFmpegError, ValueError, RuntimeError) as error:
            raise HardwareFailure(str(error)) from error
        # A new decoder, and a flushed one, would guess it, and leave out frames until it is right.
        self._context.reorder_depth = source.reorder_depth

    def decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        """The frames that come out once a packet went in; all that are left, for an empty one.

        Raises:
            HardwareFailure: it does not decode, or to other frames than software's.
        """
        assert self._context is not None
        try:
            frames = self._context.decode(packet if packet.size else None)
        except (av.FFmpegError, ValueError, RuntimeError) as error:
            raise HardwareFailure(str(error)) from error
        expected = (_FORMATS[self._timeline.pix_fmt], *self._timeline.coded_size)
        for frame in frames:
            found = frame.format.name, frame.width, frame.height
            if found != expected:
                raise HardwareFailure(f"frames come as {found} instead of {expected}")
        return [unpacked(frame) for frame in frames]

    def close(self) -> None:
        """Release the GPU."""
        self._context = None


def _on_gpu(codec: str) -> VideoCodecContext:
    """A decoder on the GPU, or none: in software, all of the processor's threads decode better."""
    accelerator = HWAccel("cuda", allow_software_fallback=False)
    context = CodecContext.create(codec, "r", accelerator)
    if not context.is_hwaccel:
        raise ValueError(f"this PyAV decodes {codec} in software only")
    return cast(VideoCodecContext, context)
