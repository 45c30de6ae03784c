"""Codes and other arrays with a row per face: read across chunks, with offsets, smoothed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.artifacts.helpers import ALL, FIRST, STOP, TRACKS, made, stored_table
from videdit.artifacts.codes import (
    CodeReader,
    code_of,
    code_pictures,
    latent_pictures,
    read_codes,
    read_latents,
    read_offset,
    write_codes,
    write_latents,
    write_offset,
    write_offsets,
)
from videdit.artifacts.faces import FaceTable
from videdit.artifacts.rows import read_rows, smooth_rows
from videdit.bundles.latent import LatentSpace
from videdit.faces.smoothing import smooth
from videdit.generators.latents import MASK_SIDE, Latents, Mixture
from videdit.generators.wspace import WStatistics
from videdit.inversion.parameters import CodeSmoothing
from videdit.pipeline.stage import Artifact, Chunk, frame_chunks
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged

SPACE = LatentSpace(6, 8, 64, {"pose": (0, 2), "features": (2, 5), "colour": (5, 6)})
SMOOTHING = CodeSmoothing(pose=0.05, features=0.03, colour=0.4)
RNG = np.random.default_rng(0)
TIMES = {
    "even": np.arange(80) / 25,
    "uneven": np.cumsum(RNG.choice([1 / 60, 1 / 24, 1 / 10], 80)),
    # Some frames lie at the end of the reach of others but for rounding.
    "dropped": np.cumsum(np.random.default_rng(13).choice([1, 1, 1, 2], 80)) / 25,
}
CODES = RNG.standard_normal((len(ALL), *SPACE.shape)).astype(np.float16)
OFFSETS: dict[int, NDArray[np.float32]] = {
    t.id: RNG.standard_normal(SPACE.shape).astype(np.float32) for t in TRACKS
}


def encoded(store: Store, size: int, codes: NDArray[np.float16] = CODES) -> Artifact:
    """What ``encode`` leaves, in chunks of ``size`` frames."""

    def write(folder: Path, chunk: Chunk) -> None:
        rows = ALL.rows(chunk.start, chunk.stop)
        write_codes(folder, codes[rows.start : rows.stop], SPACE)

    return made(store, "encode", frame_chunks(FIRST, STOP, size), write)


def refined(store: Store, offsets: Mapping[int, NDArray[np.float32]]) -> Artifact:
    """What ``refine`` leaves as a whole."""

    def whole(folder: Path) -> None:
        write_offsets(folder, list(offsets), list(offsets.values()), SPACE)

    return made(store, "refine", [], lambda folder, chunk: None, whole)


def reader(
    store: Store,
    size: int = 7,
    *,
    codes: NDArray[np.float16] = CODES,
    offsets: Mapping[int, NDArray[np.float32]] = OFFSETS,
    times: NDArray[np.float64] = TIMES["uneven"],
    space: LatentSpace = SPACE,
    smoothing: CodeSmoothing = SMOOTHING,
) -> CodeReader:
    """Of codes in chunks of ``size`` frames, over a table in other chunks."""
    table = FaceTable(stored_table(store, 11))
    return CodeReader(
        encoded(store, size, codes), refined(store, offsets), table, times, space, smoothing
    )


@pytest.mark.parametrize("size", [1, 7, 100])
def test_rows_across_chunks(store: Store, size: int) -> None:
    artifact, table = encoded(store, size), FaceTable(stored_table(store, 11))
    for start, stop in itertools.product((0, 3, 12, 25, 46), (4, 13, 26, 47, 60, 67)):
        if stop > start:
            rows = ALL.rows(start, stop)
            expected = CODES[rows.start : rows.stop]
            np.testing.assert_array_equal(
                read_rows(artifact, "codes.npy", table, start, stop), expected
            )
            codes = read_codes(artifact, table, start, stop)
            assert codes.dtype == np.float32
            np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("kind", ["even", "uneven", "dropped"])
def test_codes_do_not_depend_on_the_chunks(tmp_path: Path, kind: str) -> None:
    times = TIMES[kind]
    whole = np.empty(CODES.shape, np.float64)
    for track in TRACKS:
        mine = ALL.track == track.id
        seconds = times[ALL.frame[mine]]
        for rows, sigma in ((slice(0, 2), 0.05), (slice(2, 5), 0.03), (slice(5, 6), 0.4)):
            values = CODES[mine, rows].astype(np.float64)
            whole[mine, rows] = smooth(values, seconds, sigma) + OFFSETS[track.id][rows]
    with Store(tmp_path / "one chunk") as store:
        first = reader(store, 1000, times=times).read(FIRST, STOP)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, whole, atol=1e-5)
    for size in (5, 16):
        with Store(tmp_path / str(size)) as store:
            codes = reader(store, size, times=times)
            for step in (1, 10):
                for start in range(FIRST, STOP, step):
                    stop = min(start + step, STOP)
                    rows = ALL.rows(start, stop)
                    # To the last bit: a stretch made anew must not differ from what was there.
                    np.testing.assert_array_equal(
                        codes.read(start, stop), first[rows.start : rows.stop]
                    )


def test_each_band_is_smoothed_as_its_name_says(store: Store) -> None:
    """Whatever rows it has, and whatever the others are smoothed with."""
    swapped = LatentSpace(6, 8, 64, {"colour": (0, 2), "pose": (2, 5), "features": (5, 6)})
    times = TIMES["even"]
    raw = CODES.astype(np.float32)
    for smoothing in (CodeSmoothing(0, 0.2, 0), CodeSmoothing(0.2, 0, 0), CodeSmoothing(0, 0, 0.2)):
        for space in (SPACE, swapped):
            with Store(store.root / f"{smoothing} {space.bands['pose']}") as own:
                codes = reader(own, times=times, offsets={}, space=space, smoothing=smoothing)
                read = codes.read(FIRST, STOP)
            for band, (first, last) in space.bands.items():
                values, here = raw[:, first:last], read[:, first:last]
                if getattr(smoothing, band) == 0:
                    np.testing.assert_array_equal(here, values)
                else:
                    expected = smooth_rows(values, ALL, times, 0.2)
                    np.testing.assert_allclose(here, expected, atol=1e-6)
                    assert np.abs(here - values).max() > 0.5


def test_every_track_gets_its_own_offset(store: Store) -> None:
    backwards = dict(reversed(OFFSETS.items()))  # they are written in any order
    read = reader(store, codes=np.zeros_like(CODES), offsets=backwards).read(FIRST, STOP)
    for row, track in zip(read, ALL.track, strict=True):
        np.testing.assert_array_equal(row, OFFSETS[int(track)])


def test_without_offsets_nothing_is_added(store: Store) -> None:
    still = CodeSmoothing(0, 0, 0)
    read = reader(store, offsets={}, smoothing=still).read(FIRST, STOP)
    np.testing.assert_array_equal(read, CODES.astype(np.float32))


def test_frames_without_faces_have_no_codes(store: Store) -> None:
    codes = reader(store)
    assert codes.read(45, 60).shape == (0, *SPACE.shape)
    assert codes.read(50, 61).shape == (1, *SPACE.shape)


def test_tracks_are_smoothed_by_themselves() -> None:
    values = np.where(ALL.track == 2, 5.0, -1.0)
    smoothed = smooth_rows(values, ALL, TIMES["uneven"], 0.4)
    np.testing.assert_allclose(smoothed, values, atol=1e-9)


def test_damage_is_told(store: Store) -> None:
    codes = reader(store, 7)
    artifact = store.open("source", "encode", f"{7:016d}")
    damaged = artifact.chunks[-1]
    (artifact.folder / damaged.name / "codes.npy").write_bytes(b"")
    assert len(codes.read(3, 5))  # far from it
    with pytest.raises(ChunkDamaged) as caught:
        codes.read(60, 62)
    assert caught.value.chunk == damaged.name


def test_the_code_of_one_face(store: Store) -> None:
    """Also while the stage is at work, and only in that chunk."""
    table = FaceTable(stored_table(store, 11))
    artifact = store.open("source", "encode", "0" * 16)
    chunk = Chunk("some", 30, 40)
    rows = ALL.rows(30, 40)
    with artifact.commit(chunk) as folder:
        write_codes(folder, list(CODES[rows.start : rows.stop]), SPACE)
    for row in rows:
        frame, track = int(ALL.frame[row]), int(ALL.track[row])
        code = code_of(artifact, table, "some", 30, frame, track)
        assert code is not None
        assert code.dtype == np.float32
        np.testing.assert_array_equal(code, CODES[row])
    assert code_of(artifact, table, "some", 30, 30, 1) is None  # it comes a frame later
    assert code_of(artifact, table, "some", 30, 38, 2) is None  # it went a frame before
    with pytest.raises(ChunkDamaged):
        code_of(artifact, table, "other", 40, 40, 1)


def test_latents_are_read_back_over_chunks_of_which_some_have_nothing_to_add(store: Store) -> None:
    table = FaceTable(stored_table(store, 11))
    artifact = store.open("source", "edit", "0" * 16)
    random = np.random.default_rng(3)
    offsets = np.zeros((len(ALL), 20), np.float32)
    offsets[:, [2, 7]] = random.normal(size=(len(ALL), 2)).astype(np.float16)
    other = random.normal(size=(len(ALL), *SPACE.shape)).astype(np.float16).astype(np.float32)
    mask = np.rint(random.random((len(ALL), MASK_SIDE, MASK_SIDE)) * 255).astype(np.float32) / 255
    plain = []
    chunks = frame_chunks(table.first_frame, table.stop_frame, 16)
    for number, chunk in enumerate(chunks):
        rows = table.rows(chunk.start, chunk.stop)
        at = slice(rows.start, rows.stop)
        latents = Latents(CODES[at].astype(np.float32), offsets[at], Mixture(other[at], mask[at]))
        if number == 1:  # all its edits were left out
            latents = Latents(latents.codes)
            plain += list(range(rows.start, rows.stop))
        with artifact.commit(chunk) as folder:
            write_latents(folder, latents, SPACE)
    artifact.finish(chunks)
    found = read_latents(artifact, table, table.first_frame, table.stop_frame)
    np.testing.assert_array_equal(found.codes, CODES)
    offsets[plain], mask[plain] = 0, 0
    assert found.offsets is not None
    assert found.mixture is not None
    np.testing.assert_array_equal(found.offsets, offsets)
    np.testing.assert_allclose(found.mixture.mask, mask, atol=1e-6)
    told = np.delete(np.arange(len(ALL)), plain)
    np.testing.assert_array_equal(found.mixture.codes[told], other[told])
    some = read_latents(artifact, table, 30, 34)
    rows = table.rows(30, 34)
    np.testing.assert_array_equal(some.codes, CODES[rows.start : rows.stop])


def test_pictures_of_latents() -> None:
    import torch

    statistics = WStatistics(torch.zeros(512), torch.eye(512), torch.ones(512))
    space = LatentSpace(
        16, 512, 64, {"pose": (0, 4), "features": (4, 8), "colour": (8, 16)}, (512, 512)
    )
    codes = np.zeros((1, 16, 512), np.float32)
    offsets = np.zeros((1, 1024), np.float32)
    offsets[0, 600] = -2
    mask = np.zeros((1, MASK_SIDE, MASK_SIDE), np.float32)
    mask[0, 3, 4] = 1
    shown = latent_pictures([Latents(codes, offsets, Mixture(codes, mask))], statistics, space)
    code, styles, marked = shown
    assert (code == 255).all()
    assert (styles[:16] == 255).all()
    assert tuple(styles[20, 0]) == (0, 0, 255)  # the strongest comes first, blue
    assert marked[3, 4].tolist() == [255] * 3
    assert not marked[0].any()
    assert len(latent_pictures([Latents(codes)], statistics, space)) == 1


def test_codes_of_a_chunk_without_faces(tmp_path: Path) -> None:
    write_codes(tmp_path, [], SPACE)
    kept = np.load(tmp_path / "codes.npy")
    assert (kept.shape, kept.dtype) == ((0, *SPACE.shape), np.float16)


@pytest.mark.parametrize("own", [True, False])
def test_a_tracks_offset_is_read_back(store: Store, own: bool) -> None:
    descriptor = np.float32([0.6, 0.8])
    artifact = store.open("source", "refine", "0" * 16)
    with artifact.commit(Chunk("track-3", 0, 9)) as folder:
        write_offset(folder, OFFSETS[2], descriptor, own)
    offset, who, found = read_offset(artifact, "track-3")
    np.testing.assert_array_equal(offset, OFFSETS[2])
    np.testing.assert_array_equal(who, descriptor)
    assert found is own


def test_pictures_of_codes() -> None:
    """A picture for each code of all groups, in order; white at W's mean."""
    import torch

    statistics = WStatistics(torch.full((512,), 2.0), torch.eye(512), torch.full((512,), 2.0))
    mean = np.full((16, 512), 2, np.float16)
    red = mean + np.float16(6)
    pictures = code_pictures([np.stack([mean, red]), mean[None]], statistics)
    assert [picture.shape for picture in pictures] == [(256, 512, 3)] * 3
    assert (pictures[0] == 255).all()
    assert (pictures[2] == 255).all()
    assert (pictures[1] == (255, 0, 0)).all()
