from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from videdit.errors import StorageError, UsageError
from videdit.media.output import check_place, check_suffix


def test_check_place(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"x")
    check_place(source, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]  # it leaves nothing
    with pytest.raises(UsageError, match="is a folder"):
        check_place(source, tmp_path)
    with pytest.raises(StorageError, match="does not exist"):
        check_place(source, tmp_path / "none" / "out.mp4")
    with pytest.raises(StorageError, match="does not exist"):
        check_place(source, source / "out.mp4")
    with pytest.raises(UsageError, match="the source itself"):
        check_place(source, tmp_path / "." / "in.mp4")
    (tmp_path / "link.mp4").symlink_to(source)
    with pytest.raises(UsageError, match="the source itself"):
        check_place(source, tmp_path / "link.mp4")


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    source, there = tmp_path / "in.mp4", tmp_path / "out.mp4"
    there.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"exists\. Allow --overwrite"):
        check_place(source, there)
    check_place(source, there, overwrite=True)
    there.chmod(0o444)
    with pytest.raises(StorageError, match="write-protected"):
        check_place(source, there, overwrite=True)
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for device in (pipe, Path("/dev/null")):
        with pytest.raises(UsageError, match="no ordinary file"):
            check_place(source, device, overwrite=True)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    check_place(tmp_path / "in.mp4", tmp_path / ("ä" * 125 + ".mp4"))
    with pytest.raises(UsageError, match="255 bytes"):
        check_place(tmp_path / "in.mp4", tmp_path / ("ä" * 126 + ".mp4"))


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StorageError, match=r"cannot be written .Permission denied.*Choose another"):
        check_place(tmp_path / "in.mp4", tmp_path / "out.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        check_place(tmp_path / "in.mp4", tmp_path / "out.mp4")
    tmp_path.chmod(0o700)


def test_suffixes_of_pictures() -> None:
    for name in ("a.png", "a.JPG"):
        check_suffix(Path(name), None)
    with pytest.raises(UsageError, match=r"\.mp4.*\.png"):
        check_suffix(Path("a.mp4"), None)
    with pytest.raises(UsageError, match="without suffix"):
        check_suffix(Path("a"), None)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "h264"),
        ("a.MOV", "prores"),
        ("a.m4v", "hevc"),
        ("a.webm", "vp9"),
        ("a.mkv", "ffv1"),
        ("a.mp4", "h264_nvenc"),
        ("a.mov", "hevc_nvenc"),
    ],
)
def test_suffixes_of_videos(name: str, codec: str) -> None:
    check_suffix(Path(name), codec)


@pytest.mark.parametrize(
    ("name", "codec", "words"),
    [
        ("a.avi", "h264", "no video suffix.*.mkv"),
        ("a", "h264", "no video suffix"),
        ("a.png", "h264", "no video suffix"),
        ("a.webm", "h264", "webm file cannot hold h264.*--codec vp9,"),
        ("a.webm", "hevc_nvenc", "webm file cannot hold hevc_nvenc.*--codec vp9,"),
        ("a.mp4", "prores", "mp4 file cannot hold prores.*h264 or hevc"),
    ],
)
def test_suffixes_that_do_not_fit(name: str, codec: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_suffix(Path(name), codec)
