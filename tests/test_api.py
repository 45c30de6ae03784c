from __future__ import annotations

from pathlib import Path

import pytest

from videdit.api import default_output, edit_video, parse_edits
from videdit.editing.schedule import Edit
from videdit.errors import InputError, StorageError, UsageError


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("clip.mp4", "clip-edited.mp4"),
        ("a.b.MOV", "a.b-edited.mov"),
        ("film.mkv", "film-edited.mkv"),
        ("old.avi", "old-edited.mp4"),
        ("no_suffix", "no_suffix-edited.mp4"),
        ("face.JPEG", "face-edited.jpeg"),
        ("face.png", "face-edited.png"),
    ],
)
def test_default_output(source: str, expected: str) -> None:
    assert default_output(Path("folder") / source) == Path("folder") / expected


def test_parse_edits() -> None:
    edits = parse_edits({"smiling": 1.5, "Young": "0s:0,2s:-1"})
    assert edits == (Edit.parse("Smiling=1.5"), Edit.parse("Young=0s:0,2s:-1"))
    assert parse_edits(list(edits)) == edits
    assert parse_edits({"Wearing_Mask": 1}) == (
        Edit.parse("Wearing_Mask"),
    )  # an editor may know it
    with pytest.raises(UsageError, match="not a number"):
        parse_edits({"Smiling": "much"})


def test_refusals_come_before_any_work(tmp_path: Path) -> None:
    settings = {"cache_dir": tmp_path / "cache"}
    broken = tmp_path / "in.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(UsageError, match="nothing to edit"):
        edit_video(broken, settings=settings)
    with pytest.raises(StorageError, match="does not exist"):
        edit_video(broken, tmp_path / "none" / "o.mp4", {"Smiling": 1}, settings=settings)
    with pytest.raises(InputError):
        edit_video(broken, None, {"Smiling": 1}, settings=settings)
    with pytest.raises(InputError):
        edit_video(tmp_path / "missing.mp4", None, {"Smiling": 1}, settings=settings)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]
