"""Listing, verifying and pruning."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.pipeline.helpers import again, fill, flip
from videdit.pipeline.stage import Artifact
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import prune, show, sources, verify


def _age(artifact: Artifact, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(artifact.folder / ".used", (then, then))


def test_listing(store: Store, source: Path) -> None:
    store.note_source("s1", source)
    _age(fill(store, "codes"), 2)
    fill(store, "edit")
    _age(fill(store, "codes", source="s2"), 1)
    first, second = sources(store)
    assert (first.source_id, first.name, first.path) == ("s1", "clip.mp4", str(source))
    assert first.stages == ("codes", "edit")
    assert first.bytes > 4000
    assert (second.source_id, second.name) == ("s2", "")
    codes, edit = show(store, "s1")
    assert (codes.stage, edit.stage) == ("codes", "edit")
    assert codes.complete
    assert codes.chunks == 2
    assert codes.version == 2
    assert codes.settings == {"x": 1}
    assert show(store, "s3") == ()


def test_verifying_and_repairing(store: Store) -> None:
    artifact = fill(store)
    whole = fill(store, "edit")
    assert verify(store) == ()
    flip(artifact.folder / "a" / "codes.bin")
    os.truncate(artifact.folder / "b" / "more" / "note.txt", 0)
    flip(whole.folder / "manifest.json", 20)
    found = {(d.stage, d.chunk): d.problem for d in verify(Store(store.root))}
    assert found == {
        ("codes", "a"): "codes.bin does not have its checksum",
        ("codes", "b"): "more/note.txt has 0 bytes instead of 1",
        ("edit", ""): "the manifest is damaged",
    }
    assert len(verify(store, "s1", repair=True)) == 3
    assert not (artifact.folder / "a").exists()
    assert again(store, whole).done("a")
    assert {(d.stage, d.chunk) for d in verify(store)} == {("codes", "a"), ("codes", "b")}
    # What it was made with is still known.
    assert [info.version for info in show(store, "s1") if info.stage == "codes"] == [2]


def test_pruning_by_age_and_size(store: Store, cache: Path) -> None:
    ages = {"old": 40, "older": 50, "new": 0}
    made = {key: fill(store, key=key) for key in ages}
    (cache / "s1" / "notes.json").write_text("{}")
    for key, age in ages.items():
        _age(made[key], age)
    store.close()
    size = {info.key: info.bytes for info in show(store, "s1")}
    total = sum(size.values())
    assert [i.key for i in prune(store, older_than_s=45 * 86400, dry_run=True).removed] == ["older"]
    assert [i.key for i in prune(store, total - 1, dry_run=True).removed] == ["older"]
    less = total - size["older"] - 1
    assert [i.key for i in prune(store, less, dry_run=True).removed] == ["older", "old"]
    assert prune(store, total, dry_run=True).removed == ()
    assert all(artifact.folder.exists() for artifact in made.values())
    pruned = prune(store, less, older_than_s=45 * 86400)
    assert [i.key for i in pruned.removed] == ["older", "old"]
    assert pruned.bytes_freed == size["older"] + size["old"]
    assert pruned.bytes_left == size["new"]
    assert again(store, made["new"]).complete
    assert not made["old"].folder.exists()
    prune(store, 0)
    assert list(cache.iterdir()) == []
    assert fill(store).complete  # the emptied store can be used again


def test_what_a_run_uses_is_not_pruned(store: Store) -> None:
    artifact = fill(store)  # this holds the source
    fill(other := Store(store.root), source="s2")
    other.close()
    pruned = prune(Store(store.root), 0)
    assert [i.source_id for i in pruned.removed] == ["s2"]
    assert [i.source_id for i in pruned.in_use] == ["s1"]
    assert artifact.complete
    store.close()
    assert [i.source_id for i in prune(Store(store.root), 0).removed] == ["s1"]
