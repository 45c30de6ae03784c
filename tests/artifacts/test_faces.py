"""The table of faces: written in chunks, read in windows."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.artifacts.helpers import ALL, FIELDS, TRACKS, stored_table
from videdit.artifacts import faces as module
from videdit.artifacts.faces import FaceTable, frames_with_faces
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged


@pytest.mark.parametrize("size", [1, 7, 48, 1000])
def test_windows_are_parts_of_the_table(store: Store, size: int) -> None:
    table = FaceTable(stored_table(store, size))
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
    faces = FaceTable(stored_table(store, 7)).window(9, 12)
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
    artifact = stored_table(store, 4)
    opened: list[str] = []
    path = artifact.path

    def noted(chunk: str, name: str) -> Path:
        opened.append(chunk)
        return path(chunk, name)

    monkeypatch.setattr(artifact, "path", noted)
    table = FaceTable(artifact)
    assert [table.rows(f, f + 1) for f in range(70)][10] == ALL.rows(10, 11)
    assert opened == [artifact.whole]  # the index knows all row numbers
    for start in range(3, 67, 4):
        table.window(start - 5, start + 9)
    chunks = [chunk.name for chunk in artifact.chunks]
    assert opened == [artifact.whole, *chunks]
    held: Any = table._kept
    assert len(held) == module._KEPT < len(chunks)


def test_damage_is_told(store: Store) -> None:
    artifact = stored_table(store, 7)
    table = FaceTable(artifact)
    (artifact.folder / artifact.chunks[1].name / "faces.npz").write_bytes(b"")
    assert len(table.window(3, 5))
    with pytest.raises(ChunkDamaged):
        table.window(3, 12)


class OneByOne:
    """Frames whose pixels are their number, and which of them were converted to RGB."""

    def __init__(self) -> None:
        self.read_frames: list[int] = []
        self.converted: list[int] = []

    def read(self, start: int, stop: int) -> Any:
        for index in range(start, stop):
            self.read_frames.append(index)
            yield Numbered(self, index)


class Numbered(SimpleNamespace):
    def __init__(self, reader: OneByOne, index: int) -> None:
        super().__init__(reader=reader, index=index)

    @property
    def rgb(self) -> np.ndarray:
        self.reader.converted.append(self.index)
        return np.full((2, 2, 3), self.index, np.uint8)


def test_frames_come_with_their_faces(store: Store) -> None:
    reader: Any = OneByOne()
    faces = FaceTable(stored_table(store, 7)).window(6, 70)
    found = list(frames_with_faces(reader, faces, 6, 10)) + list(
        frames_with_faces(reader, faces, 44, 62)
    )
    assert [frame.index for frame, _ in found] == reader.read_frames
    assert reader.read_frames == [*range(6, 10), *range(44, 62)]
    assert [len(here) for _, here in found] == [1, 1, 2, 2, 1, *[0] * 15, 1, 1]
    for frame, here in found:
        for k, rgb in here:
            assert faces.frame[k] == frame.index
            assert (rgb == frame.index).all()
    assert [k for _, here in found for k, _ in here][:6] == [0, 1, 2, 3, 4, 5]
    # Once each, and none without a face.
    assert reader.converted == [6, 7, 8, 9, 44, 60, 61]
