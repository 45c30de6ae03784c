"""What an artifact of many chunks costs to read: memory and time don't grow with its length."""

from __future__ import annotations

import os
import pathlib
import random
import tracemalloc
from pathlib import Path

import pytest

from videdit.pipeline import stored
from videdit.pipeline.manifest import Plan
from videdit.pipeline.records import Chunk
from videdit.pipeline.store import Store

FILES = 24  # a chunk of pictures has one file per face
RECENT = 16
FEW, MANY = 20, 200


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few records are kept, and the disk is not waited for."""
    monkeypatch.setattr(stored, "RECENT", RECENT)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def _fill(cache: Path, key: str, count: int) -> None:
    """An artifact of ``count`` chunks of a frame each, and one of all."""
    chunks = [Chunk(f"{i:07d}", i, i + 1) for i in range(count)]
    with Store(cache) as store:
        artifact = store.open("s1", "pictures", key)
        with artifact.lock():
            for chunk in chunks:
                with artifact.commit(chunk) as folder:
                    for face in range(FILES):
                        (folder / f"{chunk.name}-{face:03d}.jpg").touch()
            whole = Chunk(artifact.whole, 0, count)
            with artifact.commit(whole):
                pass
            artifact.finish([*chunks, whole])


def _kept(cache: Path, key: str) -> int:
    """Bytes kept after finding the artifact complete and reading windows all over it."""
    artifact = Store(cache).open("s1", "pictures", key)
    tracemalloc.start()
    try:
        assert artifact.complete
        for i in range(0, len(artifact.chunks), 3):
            for chunk in artifact.overlapping(i - 5, i + 5):
                artifact.path(chunk.name, f"{chunk.name}-000.jpg")
        artifact.check()
        taken = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    assert len(artifact._records) == len(artifact._verified) == RECENT
    # pathlib interns names, and the interpreter's table of those grows when it likes.
    ours = taken.filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
    return sum(trace.size for trace in ours.traces)


@pytest.mark.usefixtures("small")
def test_memory_does_not_grow_with_the_records(cache: Path) -> None:
    for key, count in (("few", FEW), ("many", MANY)):
        _fill(cache, key, count)
    _kept(cache, "few")  # what is made once in a process
    few, many = _kept(cache, "few"), _kept(cache, "many")
    # A line of the manifest per chunk, nothing per file.
    assert many - few < (MANY - FEW) * 1000


@pytest.mark.usefixtures("small")
def test_chunks_are_not_built_anew_at_every_question(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(cache, "few", FEW)
    artifact = Store(cache).open("s1", "pictures", "few")
    first = artifact.chunks
    built: list[Chunk] = []
    monkeypatch.setattr(Chunk, "__post_init__", built.append)
    assert artifact.overlapping(3, 5) == first[3:5]
    assert artifact.chunks is first
    assert built == []


def test_overlapping_chunks_of_any_shape() -> None:
    chance = random.Random(0)
    for count in (0, 1, 7, 40):
        # Such as a chunk per track: in any order, one within another, empty.
        starts = [chance.randrange(50) for _ in range(count)]
        chunks = [Chunk(f"c{i}", s, s + chance.choice((0, 1, 3, 30))) for i, s in enumerate(starts)]
        plan = Plan("", dict.fromkeys([*chunks, Chunk("whole", 0, 90)], ""), 0)
        for start in range(-1, 60, 3):
            for stop in range(start, start + 20, 4):
                expected = [c for c in chunks if c.start < stop and start < c.stop]
                assert plan.overlapping(start, stop) == expected
