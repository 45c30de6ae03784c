"""Crops as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from videdit.artifacts.pictures import has_picture, read_picture, write_picture
from videdit.pipeline.stage import frame_chunks
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged


def test_pictures_are_kept_well(store: Store) -> None:
    coarse = np.random.default_rng(1).random((16, 16, 3)).astype(np.float32)
    picture = np.clip(cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_CUBIC), 0, 1)
    artifact = store.open("source", "decode", "0" * 16)
    (chunk,) = frame_chunks(0, 1, 1)
    with artifact.commit(chunk) as folder:
        written = write_picture(folder, "face", picture, 256)
    artifact.finish([chunk])
    assert written.shape == (256, 256, 3)
    assert written.dtype == np.uint8
    reduced = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(written / 255 - reduced).max() <= 0.5 / 255 + 1e-6
    read = read_picture(artifact, chunk.name, "face")
    assert read.dtype == np.float32
    assert np.abs(read - reduced).max() < 0.03
    assert np.abs(read - reduced).mean() < 0.005


def test_a_picture_of_the_right_size_stays_as_it_is(store: Store) -> None:
    red = np.zeros((32, 32, 3), np.float32)
    red[:, :, 0] = 1
    artifact = store.open("source", "decode", "0" * 16)
    (chunk,) = frame_chunks(0, 1, 1)
    with artifact.commit(chunk) as folder:
        written = write_picture(folder, "face", red, 32)
    np.testing.assert_array_equal(written, red * 255)
    np.testing.assert_allclose(read_picture(artifact, chunk.name, "face"), red, atol=2 / 255)


def test_a_small_generators_picture_is_interpolated(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[:, None, None], (16, 16, 3))
    written = write_picture(tmp_path, "face", np.ascontiguousarray(ramp), 64)
    assert written.shape == (64, 64, 3)
    steps = np.diff(written[4:-4, 32, 0].astype(int))
    assert steps.min() >= 3  # 255 over 60 rows: no row is repeated
    assert steps.max() <= 6


def test_which_faces_have_a_picture(store: Store) -> None:
    """Where the edit changes nothing there is none."""
    artifact = store.open("source", "decode", "0" * 16)
    one, other = frame_chunks(0, 4, 2)
    grey = np.full((8, 8, 3), 0.5, np.float32)
    for chunk, names in ((one, ("0000000-0", "0000001-10")), (other, ())):
        with artifact.commit(chunk) as folder:
            for name in names:
                write_picture(folder, name, grey, 8)
    assert has_picture(artifact, one.name, "0000000-0")
    assert has_picture(artifact, one.name, "0000001-10")
    assert not has_picture(artifact, one.name, "0000001-1")
    assert not has_picture(artifact, other.name, "0000000-0")
    with pytest.raises(ChunkDamaged):
        has_picture(artifact, "0000004", "0000000-0")
    with pytest.raises(ChunkDamaged, match="no file"):
        read_picture(artifact, other.name, "0000000-0")
