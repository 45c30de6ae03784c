"""`videdit ui` as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

import videdit.ui
from videdit.cli.main import main


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(videdit.ui, "find_spec", lambda _: None)
    assert main(["ui"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "pip install 'videdit[ui]'" in told


def test_what_is_no_video_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setenv("VIDEDIT_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    assert main(["ui", str(text)]) == 3
    assert capsys.readouterr().err.count("\n") == 1
