"""What the blend leaves for the output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.artifacts.helpers import made
from videdit.artifacts.blended import (
    read_blended_picture,
    read_edited,
    read_segments,
    read_touched,
    segment_path,
    write_blended_picture,
    write_edited,
    write_touched,
)
from videdit.media.compose import Touched
from videdit.pipeline.stage import Artifact, Chunk, frame_chunks
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged

EDITED = (2, 3, 4, 9)


@pytest.fixture
def film(store: Store) -> Artifact:
    """Twelve frames in chunks of five; nothing is edited in the last one."""

    def write(folder: Path, chunk: Chunk) -> None:
        segment_path(folder).write_bytes(chunk.name.encode())
        write_edited(folder, [frame for frame in EDITED if chunk.start <= frame < chunk.stop])

    return made(store, "blend", frame_chunks(0, 12, 5), write)


def test_edited_frames_and_segments_of_all_chunks_in_order(film: Artifact) -> None:
    assert read_edited(film) == list(EDITED)
    contents = [path.read_text() for path in read_segments(film)]
    assert contents == ["0000000", "0000005", "0000010"]


@pytest.mark.parametrize("damaged", ["edited.json", "segment.segment"])
def test_damage_is_told(film: Artifact, damaged: str) -> None:
    (film.folder / "0000005" / damaged).write_bytes(b"")
    read, unharmed = (read_edited, read_segments)
    if damaged.startswith("segment"):
        read, unharmed = unharmed, read
    assert len(unharmed(film)) > 2
    with pytest.raises(ChunkDamaged) as caught:
        read(film)
    assert caught.value.chunk == "0000005"


def test_what_was_touched_is_told_by_chunk(store: Store) -> None:
    rng = np.random.default_rng(2)
    shapes = {1: (3, 5), 2: (17, 11), 4: (0, 0)}
    touched = {i: Touched(i, 7 * i, rng.random(shape) < 0.5) for i, shape in shapes.items()}

    def write(folder: Path, chunk: Chunk) -> None:
        here = {i: each for i, each in touched.items() if chunk.start <= i < chunk.stop}
        write_touched(folder, here)

    artifact = made(store, "blend", frame_chunks(0, 9, 3), write)
    assert read_touched(artifact, "0000006") == {}
    found = {**read_touched(artifact, "0000000"), **read_touched(artifact, "0000003")}
    assert found.keys() == touched.keys()
    for index, each in touched.items():
        assert (found[index].x, found[index].y) == (each.x, each.y)
        np.testing.assert_array_equal(found[index].inside, each.inside)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_keeps_its_depth(store: Store, dtype: type) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, np.iinfo(dtype).max, (6, 9, 3), dtype, endpoint=True)

    def write(folder: Path, chunk: Chunk) -> None:
        write_blended_picture(folder, picture)
        write_edited(folder, [0])

    artifact = made(store, "blend", frame_chunks(0, 1, 48), write)
    read = read_blended_picture(artifact)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, picture)
    assert read_edited(artifact) == [0]
