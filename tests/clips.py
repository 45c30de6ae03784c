"""Small clips out of the example."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_small(path: Path, example: Path, count: int, first: int = 0) -> Path:
    """So many frames of the example from one on, at a quarter of its size, without sound."""
    with av.open(str(example)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number, frame in zip(range(first + count), source.decode(video=0), strict=False):
            if number >= first:
                small = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[::4, ::4])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        out.mux(stream.encode())
    return path
