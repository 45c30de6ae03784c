"""Fields of interlaced frames. PyAV tells whether there are any; their order only filters know."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.frame import VideoFrame

FIELD_ORDERS = {"tff": 2, "bff": 3}
"""Order of a frame's fields, upper or lower first, and ffmpeg's number of it (AVFieldOrder)."""


def field_order(frame: VideoFrame) -> str:
    """The key of `FIELD_ORDERS` for an interlaced frame."""
    graph = _graph(frame, "select", "eq(interlace_type,TOPFIRST)")
    graph.push(frame)
    try:
        graph.pull()
    except BlockingIOError:
        return "bff"
    return "tff"


def as_fields(frame: VideoFrame, order: str) -> VideoFrame:
    """The frame, marked as interlaced; colour tags are to be set afterwards."""
    graph = _graph(frame, "setfield", order)
    graph.push(frame)
    marked = graph.pull()
    assert isinstance(marked, VideoFrame)
    return marked


def _graph(frame: VideoFrame, name: str, arguments: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=Fraction(1),  # of no meaning here
    )
    graph.link_nodes(source, graph.add(name, arguments), graph.add("buffersink")).configure()
    return graph
