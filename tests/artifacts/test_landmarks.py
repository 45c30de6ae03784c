"""The faces of single frames and the tracks through them, on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.faces.helpers import detection, laid_out
from videdit.artifacts.landmarks import (
    DetectionReader,
    read_tracks,
    write_detections,
    write_tracks,
)
from videdit.faces.detection import Detection, Detections
from videdit.faces.tracking import Tracks, link_faces
from videdit.pipeline.stage import Artifact, Chunk, frame_chunks
from videdit.pipeline.store import Store

FIRST, COUNT = 10, 23
COLUMNS = ("counts", "box", "score", "points68", "moved", "ok")


def frames() -> list[list[Detection]]:
    """0, 1 or 2 faces per frame."""
    return [[detection(200 + i, 300), detection(600 - i, 300)][: (i * 7) % 3] for i in range(COUNT)]


def stored(store: Store, size: int) -> tuple[Artifact, list[Chunk], Detections]:
    """The frames in chunks, with some flow, and all of them in memory."""
    found = frames()
    every = laid_out(found, FIRST)
    rng = np.random.default_rng(0)
    moved = (every.points68 + rng.normal(0, 1, every.points68.shape)).astype(np.float32)
    every = replace(every, moved=moved, ok=rng.random((len(moved), 68)) < 0.5)
    meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
    artifact = store.open("source", "landmarks", f"{size:016d}", meta)
    chunks = frame_chunks(FIRST, FIRST + COUNT, size)
    for chunk in chunks:
        part = every.between(chunk.start, chunk.stop)
        with artifact.commit(chunk) as folder:
            here = found[chunk.start - FIRST : chunk.stop - FIRST]
            write_detections(folder, here, list(part.moved), list(part.ok))
    return artifact, chunks, every


def assert_same(one: Detections, other: Detections) -> None:
    assert (one.start, one.stop) == (other.start, other.stop)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


@pytest.mark.parametrize("size", [1, 5, 100])
def test_detections_are_read_back_in_any_window(store: Store, size: int) -> None:
    artifact, chunks, every = stored(store, size)
    reader = DetectionReader(artifact, chunks)
    for first, stop in ((FIRST, FIRST + COUNT), (12, 29), (14, 21), (16, 17)):
        pieces = list(reader.pieces(range(first, stop)))
        assert_same(Detections.join(pieces), every.between(first, stop))
    assert list(reader.pieces(range(15, 15))) == []
    for start in range(FIRST, FIRST + COUNT):
        for stop in range(start + 1, FIRST + COUNT + 1, 4):
            assert_same(reader.window(start, stop), every.between(start, stop))
    for start, stop in ((9, 12), (30, 34), (12, 12), (40, 50), (0, 5)):
        with pytest.raises(ValueError, match="hold frames"):
            reader.window(start, stop)


def test_a_reader_keeps_its_last_windows_chunks_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, chunks, _ = stored(store, 5)
    opened: list[str] = []
    path = artifact.path

    def noted(chunk: str, name: str) -> Path:
        opened.append(chunk)
        return path(chunk, name)

    monkeypatch.setattr(artifact, "path", noted)
    reader = DetectionReader(artifact, chunks)
    for start in range(FIRST, FIRST + COUNT - 6):
        reader.window(start, start + 7)
        assert len(reader._kept) <= 3
    assert opened == [chunk.name for chunk in chunks for _ in range(2)]


def test_pieces_must_follow_each_other() -> None:
    every = laid_out(frames(), FIRST)
    with pytest.raises(ValueError, match="frame 12 is missing"):
        Detections.join([every.between(10, 12), every.between(13, 15)])


def test_files_hold_plain_arrays(tmp_path: Path) -> None:
    mesh = np.random.default_rng(0).normal(300, 50, (468, 3)).astype(np.float32)
    found = [
        [detection(200, 300), replace(detection(600, 300), mesh=mesh)],
        [],
        [detection(210, 300)],
    ]
    faces = [face for frame in found for face in frame]
    flow = [face.points68 + 1 for face in faces], [np.ones(68, bool)] * 3
    write_detections(tmp_path, found, *flow)
    with np.load(tmp_path / "detections.npz", allow_pickle=False) as stored:
        assert stored["counts"].tolist() == [2, 0, 1]
        np.testing.assert_array_equal(stored["mesh"][1], mesh)
        assert np.isnan(stored["mesh"][[0, 2]]).all()
        for row, face in enumerate(faces):
            np.testing.assert_array_equal(stored["points68"][row], face.points68)
            np.testing.assert_array_equal(stored["box"][row], face.box)
            assert stored["score"][row] == pytest.approx(face.score)
    with np.load(tmp_path / "flow.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["moved"], np.stack(flow[0]))
        assert stored["ok"].all()
    # A backend without meshes leaves no room for them; no face is no trouble.
    write_detections(tmp_path, [found[2]], flow[0][:1], flow[1][:1])
    assert (tmp_path / "detections.npz").stat().st_size < 3000
    write_detections(tmp_path, [[], []], [], [])
    with np.load(tmp_path / "detections.npz", allow_pickle=False) as stored:
        assert [stored[name].shape for name in ("counts", "box", "points68", "mesh")] == [
            (2,), (0, 4), (0, 68, 2), (0, 468, 3)
        ]  # fmt: skip


def test_tracks_are_read_back(store: Store) -> None:
    found = (
        [[detection(300, 300), detection(600, 300)]] * 9 + [[]] * 2 + [[detection(301, 300)]] * 5
    )
    linked = link_faces([laid_out(found, 4)], range(4, 20), [4, 16], np.arange(20) / 25)
    assert len(linked.summaries) == 3
    meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
    for number, tracks in enumerate((linked, Tracks((), np.zeros(0, np.int32)))):
        artifact = store.open("source", "landmarks", f"{number:016d}", meta)
        with artifact.commit(Chunk(artifact.whole, 4, 20)) as folder:
            write_tracks(folder, tracks)
        read = read_tracks(artifact)
        assert read.summaries == tracks.summaries
        np.testing.assert_array_equal(read.index, tracks.index)
        assert read.index.dtype == np.int32
        for track in read.summaries:
            np.testing.assert_array_equal(read.index_of(track), tracks.index_of(track))
