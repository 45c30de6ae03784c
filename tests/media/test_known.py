from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from videdit.errors import InputError
from videdit.media import known
from videdit.media.known import known_content_id, known_timeline
from videdit.media.probe import probe
from videdit.media.source import content_id
from videdit.media.timeline import Timeline


def check_equal(first: Timeline, second: Timeline) -> None:
    for name in first.__dataclass_fields__:
        np.testing.assert_equal(getattr(first, name), getattr(second, name), err_msg=name)


@pytest.fixture
def clip(plain: Path, tmp_path: Path) -> Path:
    """A clip that a test may change."""
    path = tmp_path / "clip.mp4"
    shutil.copy(plain, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "timelines"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each probing and each hashing."""
    done: list[str] = []

    def counted(what: str, function: Callable[[Path], object]) -> Callable[[Path], object]:
        def call(path: Path) -> object:
            done.append(what)
            return function(path)

        return call

    monkeypatch.setattr(known, "probe_apart", counted("probe", probe))
    monkeypatch.setattr(known, "content_id", counted("hash", content_id))
    return done


def test_a_known_source_is_not_read_again(clip: Path, folder: Path, reads: list[str]) -> None:
    first = known_timeline(clip, folder)
    assert reads == ["probe"]
    check_equal(first, probe(clip))
    check_equal(known_timeline(clip, folder), first)
    assert known_content_id(clip, folder) == first.content_id
    assert reads == ["probe"]
    assert len(list(folder.iterdir())) == 1


def test_an_unknown_source_is_only_hashed_for_its_id(
    clip: Path, folder: Path, reads: list[str]
) -> None:
    assert known_content_id(clip, folder) == content_id(clip)
    assert reads == ["hash"]
    assert not folder.exists()


def test_relative_paths(
    clip: Path, folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    assert known_timeline(Path(clip.name), folder).path == clip
    assert known_timeline(clip, folder).path == clip
    assert reads == ["probe"]


def set_back(path: Path, before: os.stat_result) -> None:
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def new_time(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def new_size(path: Path) -> None:
    before = path.stat()
    with path.open("ab") as file:
        file.write(b"\0\0\0\x08free")
    set_back(path, before)


def new_file(path: Path) -> None:
    """The same content and time, but another file."""
    before = path.stat()
    shutil.copy(path, path.with_name("other"))
    path.with_name("other").replace(path)
    set_back(path, before)


def new_content(path: Path) -> None:
    """The same size and time, but another title."""
    before = path.stat()
    data = path.read_bytes()
    assert b"VideoHandler" in data
    path.write_bytes(data.replace(b"VideoHandler", b"AnotherThing"))
    set_back(path, before)


@pytest.mark.parametrize("change", [new_time, new_size, new_file, new_content])
def test_a_changed_source_is_read_again(
    clip: Path, folder: Path, reads: list[str], change: Callable[[Path], None]
) -> None:
    known_timeline(clip, folder)
    change(clip)
    assert known_content_id(clip, folder) == content_id(clip)
    assert known_timeline(clip, folder).content_id == content_id(clip)
    assert reads == ["probe", "hash", "probe"]
    known_timeline(clip, folder)
    assert len(reads) == 3
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "fault",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data.replace(b'"width":96', b'"width":97'),
        lambda data: data[:10] + b"\xff" + data[11:],
        lambda data: data.partition(b"\n")[2],
    ],
)
def test_a_damaged_entry_is_made_anew(
    clip: Path, folder: Path, reads: list[str], fault: Callable[[bytes], bytes]
) -> None:
    first = known_timeline(clip, folder)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(fault(whole))
    assert entry.read_bytes() != whole
    check_equal(known_timeline(clip, folder), first)
    assert reads == ["probe", "probe"]
    assert entry.read_bytes() == whole


@pytest.mark.parametrize(("name", "value"), [("FORMAT", 0), ("_DECODER", "an older one")])
def test_entries_of_another_version_are_not_used(
    clip: Path,
    folder: Path,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: object,
) -> None:
    with monkeypatch.context() as before:
        before.setattr(known, name, value)
        known_timeline(clip, folder)
    known_timeline(clip, folder)
    assert reads == ["probe", "probe"]


def test_a_moved_source(clip: Path, folder: Path, reads: list[str]) -> None:
    known_timeline(clip, folder)
    moved = clip.rename(clip.with_name("moved.mp4"))
    assert known_timeline(moved, folder).path == moved
    assert reads == ["probe", "probe"]
    with pytest.raises(InputError, match="does not exist"):
        known_timeline(clip, folder)
    with pytest.raises(InputError, match="does not exist"):
        known_content_id(clip, folder)


def test_a_link_that_is_pointed_elsewhere(
    clip: Path, vfr: Path, folder: Path, reads: list[str]
) -> None:
    link = clip.with_name("link.mp4")
    link.symlink_to(clip)
    assert known_timeline(link, folder).path == link
    assert known_timeline(link, folder).content_id == content_id(clip)
    assert reads == ["probe"]
    link.unlink()
    link.symlink_to(vfr)
    assert known_timeline(link, folder).content_id == content_id(vfr)
    assert reads == ["probe", "probe"]


def test_a_source_that_changes_while_it_is_read_is_not_kept(
    clip: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe_and_change(path: Path) -> Timeline:
        timeline = probe(path)
        new_time(path)
        return timeline

    monkeypatch.setattr(known, "probe_apart", probe_and_change)
    assert len(known_timeline(clip, folder)) == 25
    assert not folder.exists()


def test_a_folder_that_cannot_be_written(clip: Path, tmp_path: Path, reads: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        assert len(known_timeline(clip, folder)) == 25
        assert known_content_id(clip, folder) == content_id(clip)
    assert reads == ["probe", "hash"] * 2
    assert file.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(clip: Path, folder: Path, reads: list[str]) -> None:
    folder.mkdir(parents=True, mode=0o500)
    assert len(known_timeline(clip, folder)) == 25
    assert len(known_timeline(clip, folder)) == 25
    assert reads == ["probe", "probe"]
    assert list(folder.iterdir()) == []


def test_what_cannot_be_probed_is_not_kept(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 1000)
    for _ in range(2):
        with pytest.raises(InputError, match="not a video or picture"):
            known_timeline(path, folder)
    assert not folder.exists()


def test_a_long_film(clip: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 200_000
    pts = np.cumsum(np.random.default_rng(0).integers(1, 10_000, count))
    film = replace(
        probe(clip),
        pts=pts,
        durations=np.diff(pts, append=pts[-1] + 7),
        keyframes=np.arange(0, count, 250, dtype=np.int32),
    )
    monkeypatch.setattr(known, "probe_apart", lambda path: film)
    known_timeline(clip, folder)
    monkeypatch.undo()
    check_equal(known_timeline(clip, folder), film)
    (entry,) = folder.iterdir()
    assert entry.stat().st_size < 5e6
