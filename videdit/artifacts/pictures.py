"""Crops as files: JPEG at quality 96 without chroma subsampling, under what anyone can see and a
tenth of a lossless file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pipeline.stage import Artifact, StoredArtifact

POINTS = "points.npy"
"""The file of the landmarks of a chunk's pictures."""

_QUALITY = [
    cv2.IMWRITE_JPEG_QUALITY,
    96,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


def write_picture(
    folder: Path, name: str, picture: NDArray[np.float32], size: int
) -> NDArray[np.uint8]:
    """Bring a decoded picture (s, s, 3) in [0, 1] to ``size``, write it, return it."""
    if picture.shape[0] != size:
        how = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_CUBIC
        sized = cv2.resize(picture, (size, size), interpolation=how)
        picture = np.asarray(np.clip(sized, 0, 1), np.float32)
    rgb = np.rint(picture * 255).astype(np.uint8)
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), _QUALITY)
    assert ok
    placed_picture(folder, name).write_bytes(data.tobytes())
    return rgb


def placed_picture(folder: Path, name: str) -> Path:
    """Where a picture goes in a chunk's folder."""
    return folder / f"{name}.jpg"


def read_picture(artifact: Artifact, chunk: str, name: str) -> NDArray[np.float32]:
    """A picture that ``write_picture`` wrote, float32 RGB in [0, 1]."""
    return decode_picture(picture_path(artifact, chunk, name))


def decode_picture(path: Path) -> NDArray[np.float32]:
    """A picture that ``write_picture`` wrote, from its file, which was verified before."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr[:, :, ::-1], np.float32) / np.float32(255)


def has_picture(artifact: Artifact, chunk: str, name: str) -> bool:
    """Whether a picture of this name was written into the chunk."""
    return f"{name}.jpg" in artifact.files(chunk)


def picture_path(artifact: StoredArtifact, chunk: str, name: str) -> Path:
    """Where a picture is, verified.

    Raises:
        ChunkDamaged: it is missing or damaged.
    """
    return artifact.path(chunk, f"{name}.jpg")
