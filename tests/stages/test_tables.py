"""Per-face arrays read across chunks, pictures, and sheets of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.artifacts.faces import Faces
from videdit.faces.align import ffhq_quad
from videdit.faces.smoothing import smooth
from videdit.pipeline.stage import frame_chunks
from videdit.pipeline.store import Artifact, Chunk, Store
from videdit.stages.invert import _SMOOTHING, read_codes, read_rows, smooth_rows
from videdit.stages.pictures import read_picture, write_picture


def table_of(*spans: tuple[int, int, int]) -> Faces:
    """A table of tracks given as (id, first frame, last frame and one)."""
    pairs = sorted((frame, track) for track, a, b in spans for frame in range(a, b))
    frame, track = np.array(pairs, np.int64).T
    points = (face68() * 30 + (100, 80))[None] + np.arange(len(pairs))[:, None, None]
    return Faces(
        0, frame, track, ffhq_quad(points), points.astype(np.float32), np.full(len(pairs), 256)
    )


# Track 0 leaves and comes back as track 1; track 2 is there all the time but the end.
TABLE = table_of((0, 3, 20), (1, 31, 40), (2, 8, 38))
RNG = np.random.default_rng(0)
TIMES = {
    "even": np.arange(45) / 25,
    "uneven": np.cumsum(RNG.choice([1 / 60, 1 / 24, 1 / 10], 45)),
}
CODES = RNG.standard_normal((len(TABLE), 16, 512)).astype(np.float16)
OFFSETS = RNG.standard_normal((3, 16, 512)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "cache") as store:
        yield store


def stored(store: Store, size: int, **arrays: np.ndarray) -> Artifact:
    """An artifact of per-face arrays, in chunks of ``size`` frames."""
    meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
    artifact = store.open("source", "invert", f"{size:016d}", meta)
    chunks = frame_chunks(int(TABLE.frame[0]), int(TABLE.frame[-1]) + 1, size)
    for chunk in chunks:
        rows = TABLE.rows(chunk.start, chunk.stop)
        with artifact.commit(chunk) as folder:
            for name, values in arrays.items():
                np.save(folder / f"{name}.npy", values[rows.start : rows.stop])
    whole = Chunk(artifact.whole, chunks[0].start, chunks[-1].stop)
    with artifact.commit(whole) as folder:
        np.savez(folder / "offsets.npz", track=np.arange(3), offset=OFFSETS)
    artifact.finish([*chunks, whole])
    return artifact


@pytest.mark.parametrize("size", [1, 7, 100])
def test_rows_across_chunks(store: Store, size: int) -> None:
    artifact = stored(store, size, codes=CODES)
    for start, stop in itertools.product((0, 3, 12, 25), (4, 13, 26, 45)):
        if stop > start:
            rows = TABLE.rows(start, stop)
            read = read_rows(artifact, "codes.npy", TABLE, start, stop)
            assert np.array_equal(read, CODES[rows.start : rows.stop])


@pytest.mark.parametrize("kind", ["even", "uneven"])
@pytest.mark.parametrize("size", [5, 16])
def test_codes_do_not_depend_on_the_chunks(store: Store, size: int, kind: str) -> None:
    times = TIMES[kind]
    artifact = stored(store, size, codes=CODES)
    whole = np.empty(CODES.shape, np.float64)
    for track in range(3):
        mine = TABLE.track == track
        for first, last, sigma in _SMOOTHING:
            values = CODES[mine, first:last].astype(np.float64)
            smoothed = smooth(values, times[TABLE.frame[mine]], sigma)
            whole[mine, first:last] = smoothed + OFFSETS[track, first:last]
    for start in range(3, 40, 4):
        stop = min(start + 4, 40)
        rows = TABLE.rows(start, stop)
        codes = read_codes(artifact, TABLE, times, start, stop)
        assert codes.dtype == np.float32
        np.testing.assert_allclose(codes, whole[rows.start : rows.stop], atol=1e-5)


def test_tracks_are_smoothed_by_themselves() -> None:
    rows = TABLE.rows(0, 45)
    values = np.where(TABLE.track == 2, 5.0, -1.0)
    smoothed = smooth_rows(values, TABLE, rows, TIMES["uneven"], 0.4)
    np.testing.assert_allclose(smoothed, values, atol=1e-9)


def test_pictures_are_kept_well(store: Store, tmp_path: Path) -> None:
    coarse = np.random.default_rng(1).random((16, 16, 3)).astype(np.float32)
    picture = np.clip(cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_CUBIC), 0, 1)
    meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
    artifact = store.open("source", "decode", "0" * 16, meta)
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
