"""A few frames edited by themselves before a long run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import videdit.trial
from videdit.bundles import Bundle
from videdit.cli.main import main
from videdit.errors import NoFaceError, StorageError, UsageError
from videdit.media.pictures import read_picture, write_picture
from videdit.sheet import GAP, PANEL
from videdit.trial import preview_sheet

FACES = {"Smiling": "0s:0,2s:1"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / ".compiled").symlink_to(compiled)
    monkeypatch.setenv("VIDEDIT_CACHE", str(folder))
    return folder


@pytest.mark.weights
def test_frames_beside_what_they_become(
    example: Path, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    edit = videdit.trial.edit_image

    def noting(picture: Path, result: Path, edits: object, **more: object) -> object:
        asked.append(str(*edits))  # type: ignore[misc]
        return edit(picture, result, edits, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(videdit.trial, "edit_image", noting)
    sheet = preview_sheet(example, tmp_path / "sheet.png", FACES, 2)
    # In the middle of each half of 100 frames, 25 a second.
    assert asked == ["Smiling=0.5", "Smiling=1.0"]
    shown = read_picture(sheet)
    width = round(1280 * PANEL / 720)
    assert shown.shape == (2 * (PANEL + 20) + GAP, 2 * width + GAP, 3)
    for row in (shown[20 : 20 + PANEL], shown[-PANEL:]):
        differs = np.abs(row[:, :width].astype(int) - row[:, -width:]).max(2) > 24
        assert 0.0001 < differs.mean() < 0.1  # the face, and nothing else
        assert not differs[:, :50].any()


def test_a_video_without_a_face_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise NoFaceError("no face")

    monkeypatch.setattr(videdit.trial, "edit_image", none)
    monkeypatch.setattr(videdit.trial, "networks_for", lambda *_: None)
    example = Path(__file__).parent.parent / "examples" / "input.mp4"
    with pytest.raises(NoFaceError, match="in 3 frames of input"):
        preview_sheet(example, tmp_path / "sheet.png", FACES, 3)
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("count", "settings", "told"),
    [
        (0, {}, "1 to 60 frames"),
        (61, {}, "1 to 60 frames"),
        (3, {"face": "track:1"}, "no tracks"),
        (3, {"start_s": 90.0}, "no frame"),
    ],
)
def test_what_cannot_be(
    example: Path, tmp_path: Path, count: int, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        preview_sheet(example, tmp_path / "sheet.png", FACES, count, settings=settings)


def test_what_it_cannot_be_written_to(example: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4"):
        preview_sheet(example, tmp_path / "sheet.mp4", FACES, 1)
    with pytest.raises(StorageError):
        preview_sheet(example, tmp_path / "nowhere" / "sheet.png", FACES, 1)
    (tmp_path / "sheet.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        preview_sheet(example, tmp_path / "sheet.png", FACES, 1)


def test_a_picture_needs_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "a.png"
    write_picture(picture, np.zeros((64, 64, 3), np.uint8))
    words = ["run", str(picture), "--attr", "Smiling", "--preview", "3", "--log-json"]
    assert main(words) == 2
    assert "videdit image" in json.loads(capsys.readouterr().err)["remedy"]
