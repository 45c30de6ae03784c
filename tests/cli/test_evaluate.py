from __future__ import annotations

from pathlib import Path

import pytest

from videdit.cli import main as cli
from videdit.cli.evaluate import _files, line
from videdit.evaluation.inversion import FaceScore, InputScore


def code(*words: str) -> int:
    return cli.main(["evaluate", "inversion", *words])


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    assert code(str(tmp_path / "missing.mp4")) == 3
    assert "does not exist" in capsys.readouterr().err
    folder = tmp_path / "empty"
    folder.mkdir()
    assert code(str(folder)) == 3
    assert code(str(clip), "--json", str(tmp_path / "no" / "where.json")) == 2
    assert code(str(clip), "--method", "magic") == 2
    assert code() == 2


def test_folders_are_searched_for_media(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.mp4", "index.csv", "c.PNG"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in _files([tmp_path])] == ["a.mp4", "b.jpg", "c.PNG"]


def test_lines() -> None:
    face = FaceScore(0, 0.41, 21.0, 0.7, 0.031, 22.0, 1.0)
    clip = InputScore("a.mp4", [face], 0, 0.05, 0.2, 1.1, (0.9, 0), (0.8, 1))
    assert "identity 0.410" in line(clip)
    assert "jitter 1.10" in line(clip)
    assert "mouth follow with correlation 0.80, 1 frames behind" in line(clip)
    assert "jitter" not in line(InputScore("a.jpg", [face]))
    assert "no face" in line(InputScore("a.jpg"))
