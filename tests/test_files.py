"""Files that are there whole or not at all, and what the system's refusals are called."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from videdit.errors import InputError, StorageError
from videdit.files import (
    REFUSALS,
    finish_file,
    make_private,
    read_text,
    read_toml,
    replaced,
    sha256_of,
    storage_error,
    storage_errors,
    temporary_file,
    write_atomically,
    write_synced,
)


@pytest.mark.parametrize("number", sorted(REFUSALS))
def test_a_refusal_says_what_and_what_helps(tmp_path: Path, number: int) -> None:
    path = tmp_path / "out.mp4"
    with (
        pytest.raises(StorageError) as caught,
        storage_errors(path, "choose another -o"),
    ):
        raise OSError(number, "refused", str(path))
    assert caught.value.message == f"cannot write to {path}: {REFUSALS[number].what}"
    assert caught.value.remedy == f"{REFUSALS[number].remedy}, or choose another -o."
    assert isinstance(caught.value.__cause__, OSError)


def test_errors_about_other_files_stay_what_they_are(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    for error in (
        FileNotFoundError(errno.ENOENT, "gone", str(tmp_path / "in.mp4")),  # beside it
        PermissionError(errno.EACCES, "no", "/elsewhere/out.mp4"),
        OSError(errno.EINVAL, "something else", str(output)),
        InputError("frame 3 is damaged"),
        ValueError("a bug"),
    ):
        with pytest.raises(type(error)) as caught, storage_errors(output):
            raise error
        assert caught.value is error


def test_which_files_an_error_may_name(tmp_path: Path) -> None:
    def found(named: Path) -> bool:
        error = PermissionError(errno.EACCES, "no", str(named))
        return storage_error(error, tmp_path / "out.mp4", "x") is not None

    assert found(tmp_path / "out.mp4")
    assert found(tmp_path / "out.mp4" / "below")
    assert found(tmp_path)
    assert found(tmp_path / ".out.mp4-0123")
    assert not found(tmp_path / "out.mp3")


def test_an_error_that_names_no_file(tmp_path: Path) -> None:
    nameless = PermissionError(errno.EACCES, "no")
    assert storage_error(nameless, tmp_path, "x") is not None
    assert storage_error(nameless, tmp_path, "x", mixed=True) is None
    full = OSError(errno.ENOSPC, "full")
    assert storage_error(full, tmp_path, "x", mixed=True) is not None


def test_a_library_error_on_a_disk_with_room_is_not_a_storage_error(tmp_path: Path) -> None:
    assert storage_error(RuntimeError("encoder failed"), tmp_path, "x") is None


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.json"
    write_atomically(path, b"first")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask  # not mkstemp's 0600

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_atomically(path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["notes.json"]


def test_only_its_owner_reads_what_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    usual = tmp_path / "usual"
    usual.touch()
    with temporary_file(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        finish_file(temporary, path)
    assert path.stat().st_mode == usual.stat().st_mode


def test_private_folders(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "a" / "b")
    assert [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("a", "a/b")] == [0o700] * 2
    (tmp_path / "a").chmod(0o750)
    make_private(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750  # the user's will


def test_a_temporary_file_becomes_the_file_or_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with temporary_file(path, ".mp4") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mp4"
        temporary.write_bytes(b"whole")
        finish_file(temporary, path)
    with temporary_file(path) as temporary:
        temporary.write_bytes(b"half")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert path.read_bytes() == b"whole"


def test_temporary_names_cannot_be_foreseen_and_no_link_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, prey = tmp_path / "a", tmp_path / "prey"
    prey.write_text("kept")
    with temporary_file(path) as first, temporary_file(path) as second:
        assert first != second
    # Even a guessed name leads nowhere.
    monkeypatch.setattr("secrets.token_hex", lambda count: "guessed")
    (tmp_path / ".a-guessed").symlink_to(prey)
    with pytest.raises(FileExistsError), temporary_file(path):
        pass
    with pytest.raises(StorageError):
        write_atomically(path, b"x")
    assert prey.read_text() == "kept"
    assert (tmp_path / ".a-guessed").is_symlink()


def test_what_is_written_anew_replaces_nothing(tmp_path: Path) -> None:
    write_synced(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        write_synced(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_checksum(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than one piece
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_it_imports_nothing_but_errors() -> None:
    code = (
        "import sys, videdit.files; "
        "print(*sorted(m for m in sys.modules if m.startswith('videdit')), 'numpy' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["videdit", "videdit.errors", "videdit.files", "False"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    path.write_bytes(b"before")

    def fail() -> None:
        with replaced(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"before"
    with replaced(path) as temporary:
        assert temporary.suffix == path.suffix  # libraries go by it
        temporary.write_bytes(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_texts_that_users_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jobs.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "\xc3\xa4"\n')
    assert read_toml(path) == {"name": "ä"}
    path.write_bytes(b"name = \n")
    with pytest.raises(InputError, match=r"jobs\.toml is no TOML: .*line 1"):
        read_toml(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(path)
    monkeypatch.setattr("videdit.files.LARGEST_TEXT", 4)
    path.write_text("12345")
    with pytest.raises(InputError, match="is larger than"):
        read_text(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "none.toml")
