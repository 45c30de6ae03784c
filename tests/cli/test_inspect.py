from __future__ import annotations

from pathlib import Path

import pytest

from videdit.cli.inspect import describe, made_with, parse_frames
from videdit.cli.main import main
from videdit.errors import UsageError
from videdit.media.source import content_id
from videdit.pipeline.stage import Chunk, Json
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import ArtifactInfo


def test_parse_frames() -> None:
    assert parse_frames("0,70, 140", 141) == [0, 70, 140]
    for text in ("", "1-3", "1,,2", "x"):
        with pytest.raises(UsageError, match="is not a list of frames"):
            parse_frames(text, 10)
    for text in ("10", "-1,2"):
        with pytest.raises(UsageError, match="only frames 0 to 9"):
            parse_frames(text, 10)


def test_describe() -> None:
    info = ArtifactInfo(
        "abc", "align", "0123456789abcdef", 1, True, 3, 2_500_000, 4.25, 0.0, {}, {}, Path()
    )
    words = describe(info).split()
    assert words[:5] == ["align", "0123456789abcdef", "complete", "3", "chunks"]
    assert words[5:9] == ["2.5", "MB", "4.2", "s"]


def test_rows_say_which_edits_they_belong_to() -> None:
    def info(stage: str, key: str, settings: dict[str, Json], **inputs: str) -> ArtifactInfo:
        return ArtifactInfo(
            "s", stage, key, 1, True, 1, 1, 0.0, 0.0, settings, {}, Path(), inputs=inputs
        )

    kept = [
        info("edit", "e1", {"edits": ["Smiling=1.0", "Young=-1.0"]}, align="a"),
        info("edit", "e2", {"edits": ["Smiling=2.0"]}, align="a"),
        info("decode", "d2", {"backend": "mesh"}, edit="e2", align="a"),
        info("blend", "b1", {}, decode="gone", edit="e1"),
        info("align", "a", {}),
        info("landmarks", "l", {"backend": "fan"}),
    ]
    told = ["Smiling=1.0, Young=-1.0", "Smiling=2.0", "Smiling=2.0", "Smiling=1.0, Young=-1.0"]
    assert [made_with(one, kept) for one in kept] == [*told, "", "fan"]
    assert describe(kept[1], "Smiling=2.0").endswith("  Smiling=2.0")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not really a video")
    return path


def test_nothing_to_inspect(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "none.mp4")]) == 3
    assert "there is no file" in capsys.readouterr().err
    assert main(["inspect", str(clip), "--cache", str(tmp_path / "cache")]) == 2
    assert "nothing is kept for clip.mp4" in capsys.readouterr().err


def test_a_list_of_what_is_kept(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    with Store(cache) as store:
        meta = {"version": 1, "settings": {}, "inputs": {}, "models": {}}
        artifact = store.open(content_id(clip), "frames", "0" * 16, meta)
        chunk = Chunk("0000000", 0, 5)
        with artifact.commit(chunk) as folder:
            (folder / "data.bin").write_bytes(bytes(1000))
        artifact.finish([chunk])
    assert main(["inspect", str(clip), "--cache", str(cache)]) == 0
    _, line, hint = capsys.readouterr().out.splitlines()
    assert hint.endswith("frames")
    assert line.split()[:4] == ["frames", "0" * 16, "complete", "1"]
    # Drawing needs to know what the last run asked for.
    assert main(["inspect", str(clip), "frames", "--cache", str(cache)]) == 2
    assert "nothing is known of the last run" in capsys.readouterr().err
