"""A filled artifact, the eyes of another process, damage, and a clock."""

from __future__ import annotations

from pathlib import Path

from videdit.pipeline.stage import Artifact, Chunk
from videdit.pipeline.store import Store

FIRST, SECOND = Chunk("a", 0, 4), Chunk("b", 4, 7)


def fill(store: Store, stage: str = "codes", key: str = "k1", source: str = "s1") -> Artifact:
    artifact = store.open(source, stage, key, {"version": 2, "settings": {"x": 1}, "models": {}})
    for chunk in (FIRST, SECOND):
        with artifact.commit(chunk) as folder:
            (folder / "codes.bin").write_bytes(chunk.name.encode() * 1000)
            (folder / "more").mkdir()
            (folder / "more" / "note.txt").write_text(chunk.name)
    artifact.finish([FIRST, SECOND])
    return artifact


def again(store: Store, artifact: Artifact) -> Artifact:
    """The same artifact as another process would see it."""
    return Store(store.root).open(artifact.source_id, artifact.stage, artifact.key)


def flip(path: Path, at: int = -7) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
