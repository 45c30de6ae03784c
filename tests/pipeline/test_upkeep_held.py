"""What cannot be made again the same is kept as long as anything that was made from it."""

from __future__ import annotations

import os
from pathlib import Path

from videdit.pipeline.artifact import USED
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import prune


def made(store: Store, stage: str, used: float, repeatable: bool = True, **inputs: str) -> None:
    meta = {"version": 1, "settings": {}, "inputs": inputs, "models": {}}
    if not repeatable:
        meta["repeatable"] = False
    artifact = store.open("source", stage, f"{stage}-key", meta)
    chunk = Chunk("a", 0, 1)
    with artifact.commit(chunk) as folder:
        (folder / "data.bin").write_bytes(b"x")
    artifact.finish([chunk])
    os.utime(artifact.folder / USED, (used, used))


def left(root: Path) -> set[str]:
    return {path.name for path in (root / "source").iterdir() if path.is_dir()}


def test_it_is_held_by_what_was_made_from_it_directly_or_not(tmp_path: Path) -> None:
    now = 4e9
    with Store(tmp_path) as store:
        made(store, "first", 1)
        made(store, "chance", 1, repeatable=False, first="first-key")
        made(store, "middle", 1, chance="chance-key")
        made(store, "last", now, middle="middle-key")
    with Store(tmp_path) as store:
        trial = prune(store, older_than_s=1000, dry_run=True)
        assert [info.stage for info in trial.removed] == ["first", "middle"]
        done = prune(store, older_than_s=1000)
        assert [info.stage for info in done.removed] == ["first", "middle"]
    assert left(tmp_path) == {"chance", "last"}
    os.utime(tmp_path / "source" / "last" / "last-key" / USED, (1, 1))
    with Store(tmp_path) as store:
        assert prune(store, max_bytes=0).bytes_left == 0
    assert not (tmp_path / "source").exists()
