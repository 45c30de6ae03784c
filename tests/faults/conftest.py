"""A clip on which a run takes seconds."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

FRAMES = 10


@pytest.fixture(scope="session")
def clip(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the example's size, ten frames."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, example, 0)
    return path


@pytest.fixture(scope="session")
def other(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames from later on."""
    path = tmp_path_factory.mktemp("clip") / "other.mp4"
    write(path, example, 50)
    return path


def write(path: Path, example: Path, first: int) -> None:
    with av.open(str(example)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number, frame in zip(range(first + FRAMES), source.decode(video=0), strict=False):
            if number >= first:
                small = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[::4, ::4])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(small, format="rgb24")))
        out.mux(stream.encode())
