"""The table of faces: written in chunks, read in windows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faces.helpers import face68
from videdit.artifacts import faces as module
from videdit.artifacts.faces import Faces, FaceTable, FaceTrack, write_faces, write_index
from videdit.faces.align import ffhq_quad
from videdit.pipeline.stage import frame_chunks
from videdit.pipeline.store import WHOLE, Artifact, Chunk, ChunkDamaged, Store

# Track 0 leaves and comes back as track 1; track 2 is there most of the time. Nobody is there in
# the frames 45 to 59.
TRACKS = (
    FaceTrack(0, 3, 19, 256),
    FaceTrack(1, 31, 44, 512),
    FaceTrack(2, 8, 37, 256),
    FaceTrack(5, 60, 66, 1024),
)
FIELDS = ("frame", "track", "quad", "points", "size")


def whole_table() -> Faces:
    """All rows, in order."""
    rows = sorted((f, t.id, t.size) for t in TRACKS for f in range(t.first, t.last + 1))
    frame, track, size = np.array(rows, np.int64).T
    points = (face68() * 30 + (100, 80))[None] + np.arange(len(rows))[:, None, None]
    return Faces(0, frame, track, ffhq_quad(points), points.astype(np.float32), size)


ALL = whole_table()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "cache") as store:
        yield store


def stored(store: Store, size: int) -> Artifact:
    """The table in chunks of ``size`` frames, each chunk's rows written in two shuffled parts."""
    meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
    artifact = store.open("source", "align", f"{size:016d}", meta)
    chunks = frame_chunks(3, 67, size)
    for chunk in chunks:
        rows = np.array(ALL.rows(chunk.start, chunk.stop), np.int64)[::-1]
        parts = [
            Faces(9, *(getattr(ALL, name)[some] for name in FIELDS))
            for some in np.array_split(rows, 2)
        ]
        with artifact.commit(chunk) as folder:
            write_faces(folder, parts if len(rows) else [])
    whole = Chunk(WHOLE, 3, 67)
    with artifact.commit(whole) as folder:
        write_index(folder, TRACKS)
    artifact.finish([*chunks, whole])
    return artifact


@pytest.mark.parametrize("size", [1, 7, 48, 1000])
def test_windows_are_parts_of_the_table(store: Store, size: int) -> None:
    table = FaceTable(stored(store, size))
    assert (table.first_frame, table.stop_frame, len(table)) == (3, 67, len(ALL))
    assert table.tracks == TRACKS
    for start, stop in itertools.product((0, 3, 12, 25, 46, 60, 66, 70), (4, 13, 26, 47, 67, 99)):
        faces, expected = table.window(start, stop), ALL.rows(start, max(start, stop))
        assert table.rows(start, stop) == expected
        assert faces.first_row == expected.start
        assert len(faces) == len(expected)
        for name in FIELDS:
            values, whole = getattr(faces, name), getattr(ALL, name)
            assert values.dtype == whole.dtype
            np.testing.assert_array_equal(values, whole[expected.start : expected.stop])


def test_positions_and_names() -> None:
    assert ALL.rows(0, 3) == range(0)
    assert [int(f) for f in ALL.frame[list(ALL.rows(3, 5))]] == [3, 4]
    both = ALL.rows(10, 11)
    assert [int(t) for t in ALL.track[list(both)]] == [0, 2]
    assert ALL.rows(0, 99) == range(len(ALL))
    assert len({ALL.name(k) for k in range(len(ALL))}) == len(ALL)
    assert ALL.name(both[1]) == "0000010-2"


def test_positions_count_within_a_window(store: Store) -> None:
    faces = FaceTable(stored(store, 7)).window(9, 12)
    assert faces.rows(9, 12) == range(6)
    assert faces.rows(10, 11) == range(2, 4)
    assert faces.name(3) == "0000010-2"
    k = faces.first_row + 3
    np.testing.assert_array_equal(faces.points_in_crop(3), ALL.points_in_crop(k))


def test_landmarks_in_the_crop() -> None:
    for k in (0, 30):
        points = ALL.points_in_crop(k)
        # The face is upright and its quad a square: a shift and a scale.
        quad = ALL.quad[k]
        expected = (ALL.points[k] - quad[0]) / np.linalg.norm(quad[3] - quad[0])
        np.testing.assert_allclose(points, expected, atol=1e-6)
        assert 0.3 < points[30, 0] < 0.7


def test_neighbouring_windows_read_each_chunk_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = stored(store, 4)
    opened: list[str] = []
    path = artifact.path

    def noted(chunk: str, name: str) -> Path:
        opened.append(chunk)
        return path(chunk, name)

    monkeypatch.setattr(artifact, "path", noted)
    table = FaceTable(artifact)
    assert [table.rows(f, f + 1) for f in range(70)][10] == ALL.rows(10, 11)
    assert opened == [WHOLE]  # the index knows all row numbers
    for start in range(3, 67, 4):
        table.window(start - 5, start + 9)
    chunks = [chunk.name for chunk in artifact.chunks]
    assert opened == [WHOLE, *chunks]
    held: Any = table._kept
    assert len(held) == module._KEPT < len(chunks)


def test_damage_is_told(store: Store) -> None:
    artifact = stored(store, 7)
    table = FaceTable(artifact)
    (artifact.folder / artifact.chunks[1].name / "faces.npz").write_bytes(b"")
    assert len(table.window(3, 5))
    with pytest.raises(ChunkDamaged):
        table.window(3, 12)
