from __future__ import annotations

from pathlib import Path

import pytest

from videdit.cli.main import main
from videdit.media.source import content_id
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not really a video")
    return path


@pytest.fixture
def cache(clip: Path, tmp_path: Path) -> Path:
    """Something is kept of the clip, but of no run."""
    folder = tmp_path / "cache"
    with Store(folder) as store:
        meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
        artifact = store.open(content_id(clip), "frames", "0" * 16, meta)
        with artifact.commit(Chunk("a", 0, 5)) as made:
            (made / "data.bin").write_bytes(b"x")
        artifact.finish([Chunk("a", 0, 5)])
    return folder


def test_what_cannot_be_reported(
    clip: Path,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*words: str | Path) -> tuple[int, str]:
        code = main(["report", *map(str, words)])
        out, err = capsys.readouterr()
        assert out == ""
        return code, err.splitlines()[-1]

    code, line = said(tmp_path / "none.mp4")
    assert (code, "there is no file" in line) == (3, True)
    code, line = said(clip, "--cache", tmp_path / "empty")
    assert (code, line) == (
        2,
        "videdit: nothing is kept for clip.mp4. Run `videdit run` first.",
    )
    code, line = said(clip, "--cache", cache)
    assert (code, "nothing is known of the last run" in line) == (2, True)
    for name in ("page.pdf", "page"):
        code, line = said(clip, "--cache", cache, "-o", name)
        assert (code, "Use .html." in line) == (2, True)
    (tmp_path / "clip-report.html").write_text("mine")  # where it goes by itself
    code, line = said(clip, "--cache", cache)
    assert (code, "clip-report.html exists" in line) == (2, True)
    code, line = said(clip, "--cache", cache, "-o", tmp_path / "no folder" / "a.html")
    assert (code, "does not exist" in line) == (6, True)
    assert (tmp_path / "clip-report.html").read_text() == "mine"
    assert not (tmp_path / "empty").exists()
