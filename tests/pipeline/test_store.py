"""Commits, checksums, and a disk that refuses."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.helpers import FIRST, SECOND, again, fill, flip
from videdit.errors import InputError, StorageError
from videdit.pipeline.records import canonical_json
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store, default_cache_dir
from videdit.pipeline.stored import ChunkDamaged
from videdit.pipeline.upkeep import sources, verify


def test_what_is_committed_is_there_for_others(store: Store) -> None:
    other = again(store, fill(store))
    assert other.complete
    assert other.chunks == (FIRST, SECOND)
    assert other.count == 2
    assert other.files("a") == ("codes.bin", "more/note.txt")
    assert other.path("b", "codes.bin").read_bytes() == b"b" * 1000
    assert other.overlapping(3, 4) == (FIRST,)
    assert other.overlapping(3, 5) == (FIRST, SECOND)
    manifest = json.loads((other.folder / "manifest.json").read_text())
    assert manifest["stage"] == "codes"
    assert manifest["version"] == 2
    assert manifest["settings"] == {"x": 1}
    assert list(manifest["plans"][""]["chunks"]) == ["a", "b"]


def test_looking_writes_nothing(store: Store, cache: Path) -> None:
    artifact = store.open("s1", "codes", "k1")
    assert not artifact.complete
    assert not artifact.done("a")
    assert sources(store) == verify(store) == ()
    assert not cache.exists()
    with pytest.raises(StorageError, match="not complete"):
        _ = artifact.chunks
    with pytest.raises(ChunkDamaged, match="missing"):
        artifact.path("a", "codes.bin")


def test_a_failed_commit_leaves_nothing(store: Store) -> None:
    artifact = store.open("s1", "codes", "k1")

    def half() -> None:
        with artifact.commit(FIRST) as folder:
            (folder / "codes.bin").write_bytes(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert not artifact.done("a")
    assert list(artifact.folder.rglob("*.bin")) == []
    assert list((artifact.folder / ".tmp").iterdir()) == []


def test_unfinished_is_not_complete_but_its_chunks_count(store: Store) -> None:
    artifact = store.open("s1", "codes", "k1")
    with artifact.commit(FIRST) as folder:
        (folder / "codes.bin").write_bytes(b"x")
    other = again(store, artifact)
    assert other.done("a")
    assert not other.done("b")
    assert not other.complete
    with pytest.raises(ChunkDamaged):
        artifact.finish([FIRST, SECOND])


def test_a_chunk_of_no_files_counts(store: Store) -> None:
    artifact = store.open("s1", "codes", "k1")
    with artifact.commit(FIRST):
        pass
    assert again(store, artifact).done("a")
    assert again(store, artifact).files("a") == ()


def test_finishing_removes_chunks_that_do_not_belong(store: Store) -> None:
    artifact = fill(store)
    whole = Chunk("c", 0, 7)
    with artifact.commit(whole) as folder:
        (folder / "codes.bin").write_bytes(b"x")
    artifact.finish([whole])
    assert sorted(p.name for p in artifact.folder.iterdir() if p.name[0] != ".") == [
        "c",
        "manifest.json",
    ]
    assert again(store, artifact).chunks == (whole,)


def test_a_flipped_byte_is_found_on_first_access(store: Store) -> None:
    other = again(store, fill(store))
    flip(other.folder / "a" / "codes.bin")
    assert other.complete  # sizes are right, contents are read when they are used
    with pytest.raises(ChunkDamaged, match=r"codes\.bin does not have its checksum") as caught:
        other.path("a", "codes.bin")
    assert (caught.value.artifact, caught.value.chunk) == (other, "a")
    other.path("a", "more/note.txt")
    other.path("b", "codes.bin")


@pytest.mark.parametrize("what", ["truncated", "file gone", "chunk gone", "record", "no record"])
def test_other_damage_is_found_at_once(store: Store, what: str) -> None:
    artifact = fill(store)
    chunk = artifact.folder / "a"
    if what == "truncated":
        os.truncate(chunk / "codes.bin", 999)
    elif what == "file gone":
        (chunk / "codes.bin").unlink()
    elif what == "chunk gone":
        chunk.rename(artifact.folder.parent / "elsewhere")
    elif what == "record":
        flip(chunk / "chunk.json", 30)
    else:
        (chunk / "chunk.json").unlink()
    other = again(store, artifact)
    assert not other.complete
    assert not other.done("a")
    assert other.done("b")
    with pytest.raises(ChunkDamaged):
        other.path("a", "codes.bin")


@pytest.mark.parametrize("at", range(2, 400, 13))
def test_any_flipped_byte_of_a_manifest_is_found(store: Store, at: int) -> None:
    artifact = fill(store)
    flip(artifact.folder / "manifest.json", at)
    other = again(store, artifact)
    text = (artifact.folder / "manifest.json").read_bytes()
    try:
        same = json.loads(text)
    except ValueError:
        same = None
    manifest = other.manifest()
    assert not other.complete or (manifest and same == {**same, **manifest.meta})
    assert other.done("a")
    other.finish([FIRST, SECOND])
    assert again(store, artifact).complete


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"sum": 1}', "\x00" * 50])
def test_a_manifest_of_rubbish_is_no_manifest(store: Store, text: str) -> None:
    artifact = fill(store)
    (artifact.folder / "manifest.json").write_text(text)
    assert not again(store, artifact).complete
    assert {d.chunk for d in verify(store)} == {""}


def test_damage_after_the_first_access_is_seen_where_it_is_cheap(store: Store) -> None:
    artifact = fill(store)
    (artifact.folder / "a" / "codes.bin").unlink()
    with pytest.raises(ChunkDamaged, match="is missing"):
        artifact.path("a", "codes.bin")


def test_committing_again_replaces_what_is_damaged(store: Store) -> None:
    artifact = fill(store)
    flip(artifact.folder / "a" / "codes.bin")
    with artifact.commit(FIRST) as folder:
        (folder / "codes.bin").write_bytes(b"new")
    assert artifact.path("a", "codes.bin").read_bytes() == b"new"
    # The manifest still speaks of the chunk that was there before.
    assert not again(store, artifact).complete
    artifact.finish([FIRST, SECOND])
    assert again(store, artifact).complete


def test_leftovers_of_dead_processes_are_cleared(store: Store) -> None:
    artifact = fill(store)
    left = artifact.folder / ".tmp" / "a-12345678"
    left.mkdir(parents=True)
    (left / "codes.bin").write_bytes(b"half")
    with again(store, artifact).lock():
        assert not left.exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".tmp", "manifest.json", "chunk.json", "a b"])
def test_bad_chunk_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a chunk name"):
        Chunk(name, 0, 1)


def test_links_and_reserved_names_are_refused(store: Store) -> None:
    artifact = store.open("s1", "codes", "k1")
    with pytest.raises(ValueError, match="not links"), artifact.commit(FIRST) as folder:
        (folder / "x").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="cannot be called"), artifact.commit(FIRST) as folder:
        (folder / "chunk.json").write_text("{}")
    assert not artifact.done("a")


# --- storage errors ------------------------------------------------------------------------------


def test_a_file_in_place_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        artifact = Store(root).open("s1", "codes", "k1")
        with (
            pytest.raises(StorageError, match="a file stands where a folder should be"),
            artifact.commit(FIRST),
        ):
            pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
def test_a_folder_that_cannot_be_made() -> None:
    artifact = Store(Path("/proc/videdit")).open("s1", "codes", "k1")
    with pytest.raises(StorageError, match="cannot write to /proc") as caught:
        artifact.commit(FIRST).__enter__()
    assert "VIDEDIT_CACHE" in caught.value.remedy


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "the disk reports an error"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir"])
def test_every_refusal_of_the_disk_is_a_storage_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, message: str, call: str
) -> None:
    artifact = fill(store)

    def refuse(*args: object, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(artifact.folder / "x"))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(StorageError, match=message), artifact.commit(Chunk("c", 7, 8)) as folder:
        (folder / "codes.bin").write_bytes(b"x")
    monkeypatch.undo()
    assert not artifact.done("c")
    assert artifact.complete
    assert list(artifact.folder.glob(".tmp/*")) == []


def test_errors_about_other_things_stay_what_they_are(store: Store) -> None:
    artifact = store.open("s1", "codes", "k1")
    for error in (
        FileNotFoundError(errno.ENOENT, "no", "/elsewhere/clip.mp4"),
        PermissionError(errno.EACCES, "no", "/elsewhere/clip.mp4"),
        InputError("frame 3 is damaged"),
        ValueError("a bug"),
    ):
        with pytest.raises(type(error)) as caught, artifact.commit(FIRST):
            raise error
        assert caught.value is error


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("how", ["write", "numpy", "many"])
def test_a_disk_that_fills_up(small_disk: Path, how: str) -> None:
    with Store(small_disk / "cache") as store:
        artifact = fill(store)

        def until_full() -> None:
            for i in range(300):
                with artifact.commit(Chunk(f"c{i}", i, i + 1)) as folder:
                    if how == "write":
                        (folder / "x.bin").write_bytes(bytes(2 << 20))
                    elif how == "numpy":  # has no errno: "262144 requested and 131072 written"
                        np.save(folder / "x.npy", np.zeros(1 << 18))
                    else:
                        (folder / "x.bin").write_bytes(bytes(9000))

        with pytest.raises(StorageError, match="the disk is full"):
            until_full()
        assert artifact.path("a", "codes.bin").read_bytes() == b"a" * 1000
        assert artifact.complete
        # Room again, and it goes on.
        for path in artifact.folder.glob("c*[0-9]/x.*"):
            path.unlink()
        with artifact.commit(Chunk("d", 0, 1)) as folder:
            (folder / "x.bin").write_bytes(bytes(9000))
        assert artifact.done("d")
        assert verify(store, "s1") == tuple(d for d in verify(store) if d.chunk[0] == "c")


def test_a_limit_on_file_sizes(cache: Path) -> None:
    code = """
        import resource, sys
        from pathlib import Path
        from videdit.errors import StorageError
        from videdit.pipeline.stage import Chunk
        from videdit.pipeline.store import Store
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        artifact = Store(Path(sys.argv[1])).open("s1", "codes", "k1")
        try:
            with artifact.commit(Chunk("a", 0, 1)) as folder:
                (folder / "x.bin").write_bytes(bytes(20000))
        except StorageError as error:
            print(error)
    """
    words = [sys.executable, "-c", textwrap.dedent(code), str(cache)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "a file grew over the allowed size" in done.stdout


# --- small things --------------------------------------------------------------------------------


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDEDIT_CACHE", str(tmp_path / "mine"))
    assert default_cache_dir() == tmp_path / "mine"
    assert Store().root == tmp_path / "mine"
    monkeypatch.delenv("VIDEDIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_dir().parts[-2:] == ("videdit", "runs")


def test_canonical_json_is_one_text_for_equal_values() -> None:
    assert canonical_json({"b": 1, "a": (1.5, None)}) == '{"a":[1.5,null],"b":1}'
    bad: list[Any] = [float("nan"), Path("x"), np.zeros(2)]
    for value in bad:
        with pytest.raises((TypeError, ValueError)):
            canonical_json(value)
