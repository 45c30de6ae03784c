from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from videdit.cli.inspect import (
    MOST_FRAMES,
    as_plain,
    edits_of,
    frames_of,
    in_order,
    parse_frames,
    short_models,
    short_settings,
    table,
)
from videdit.cli.main import main
from videdit.errors import UsageError
from videdit.media.source import content_id
from videdit.pipeline.stage import Chunk, Json
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import ArtifactInfo


def info(stage: str, key: str, settings: Mapping[str, Json], **inputs: str) -> ArtifactInfo:
    return ArtifactInfo(
        "s", stage, key, 1, True, 3, 2_500_000, 4.25, 0.0, settings, {}, Path(), inputs=inputs
    )


def test_parse_frames() -> None:
    assert parse_frames("0,70, 140", 141) == [0, 70, 140]
    assert parse_frames("3-6", 7) == [3, 4, 5, 6]
    assert parse_frames("0-90/30,5,30-31", 91) == [0, 30, 60, 90, 5, 31]
    assert parse_frames("0-8/3", 10) == [0, 3, 6]
    assert parse_frames("4-4", 5) == [4]
    assert parse_frames(f"0-{MOST_FRAMES - 1}", 1000) == list(range(MOST_FRAMES))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((bad, "is not a list of frames") for bad in ("", "1,,2", "x", "-1,2", "1-", "1/2", "²")),
        *((bad, "is not a list of frames") for bad in ("1-3-5", "1.5", "0-9/", "0-9/-1")),
        *((bad, "is no range of frames") for bad in ("3-1", "0-9/0")),
        *((bad, "only frames 0 to 999") for bad in ("1000", "5,990-1000", "0-1000/7")),
        (f"0-{MOST_FRAMES}", f"more than the {MOST_FRAMES} frames"),
    ],
)
def test_bad_frames(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        parse_frames(text, 1000)
    assert "\n" not in str(raised.value)


def test_a_huge_range_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="only frames 0 to 9"):
        parse_frames("0-99999999", 10)
    with pytest.raises(UsageError, match="more than"):
        parse_frames("0-99999998", 10**8)


def test_rows_say_which_edits_they_belong_to() -> None:
    kept = [
        info("edit", "e1", {"edits": ["Smiling=1.0", "Young=-1.0"]}, align="a"),
        info("edit", "e2", {"edits": ["Smiling=2.0"]}, align="a"),
        info("decode", "d2", {"backend": "mesh"}, edit="e2", align="a"),
        info("blend", "b1", {}, decode="gone", edit="e1"),
        info("align", "a", {}),
    ]
    two = ["Smiling=1.0", "Young=-1.0"]
    assert [edits_of(one, kept) for one in kept] == [two, ["Smiling=2.0"], ["Smiling=2.0"], two, []]


def test_stages_come_after_those_they_were_made_from() -> None:
    kept = [
        info("edit", "e2", {}, encode="n", align="a"),
        info("edit", "e3", {}),  # what it was made from is gone
        info("encode", "n", {}, align="a"),
        info("edit", "e1", {}, encode="n", align="a"),
        info("align", "a", {}, landmarks="l"),
        info("landmarks", "l", {}),
    ]
    kept[3] = replace(kept[3], last_used=-5.0)
    ordered = [one.key for one in in_order(kept)]
    assert ordered == ["l", "a", "n", "e1", "e2", "e3"]


def test_what_has_no_frames_covers_those_of_its_inputs() -> None:
    kept = [
        replace(info("frames", "f", {}), frames=100),
        replace(info("landmarks", "l", {}), frames=60),
        info("track", "t", {}, frames="f", landmarks="l"),
        info("refine", "r", {}, track="t", encode="gone"),
    ]
    assert [frames_of(one, kept) for one in kept] == [100, 60, 60, 60]


def test_settings_that_differ_come_first() -> None:
    kept = [
        info("blend", "1", {"chunk": 48, "codec": None, "how": {"floor": 0.1, "gain": 6.0}}),
        info("blend", "2", {"chunk": 48, "codec": None, "how": {"floor": 0.2, "gain": 6.0}}),
        info("align", "3", {"floor": 7, "edits": ["x"], "frames": [[0, 100], [0, 100]]}),
        info("align", "4", {"floor": 7, "edits": ["y"], "frames": [[50, 75], [30, 100]]}),
        info("align", "5", {"frames": [0, 10], "sizes": [256, 512], "keep": []}),
    ]
    assert short_settings(kept[0], kept) == ["how.floor 0.1", "chunk 48"]
    assert short_settings(kept[1], kept) == ["how.floor 0.2", "chunk 48"]
    assert short_settings(kept[2], kept[:3]) == ["floor 7", "frames 0-99"]
    assert short_settings(kept[3], kept[2:4]) == ["frames 50-74 30-99", "floor 7"]
    assert short_settings(kept[4], kept[4:]) == ["frames 0-9", "sizes 256 512"]


def test_models_are_named_once() -> None:
    models = {"synthesis.xml": "7918fce515", "synthesis.bin": "c7da15fa22", "mesh.tflite": "2efcb4"}
    assert short_models(models) == ["synthesis 7918fc+c7da15", "mesh 2efcb4"]


def test_the_table_holds_figures_settings_and_models() -> None:
    long: dict[str, Any] = {"edits": ["Smiling=1.0"], "backend": "mesh " * 40}
    one = replace(info("edit", "0123456789abcdef", long), models={"a.bin": "1234567"}, frames=77)
    other = replace(info("frames", "f", {}), complete=False)
    head, figures, settings, models, last = table([one, other], 100)
    assert head.split()[:5] == ["STAGE", "STATE", "FRAMES", "SIZE", "TIME"]
    words = figures.split()
    assert words[:7] == ["edit", "complete", "77", "2.5", "MB", "4.2", "s"]
    assert words[-2:] == ["01234567", "Smiling=1.0"]
    assert len(settings) == 100
    assert settings.startswith("    settings: backend mesh mesh")
    assert settings.endswith("…")
    assert models == "    models: a 123456"
    assert last.split()[:3] == ["frames", "unfinished", "0"]
    assert len(table([one], 160)[2]) == 160


def test_json_holds_everything() -> None:
    one = info("edit", "e", {"edits": ["Smiling=1.0"]}, align="a")
    plain = json.loads(json.dumps(as_plain(Path("in.mp4"), "abc", [one])))
    assert (plain["source"], plain["source_id"]) == ("in.mp4", "abc")
    assert plain["artifacts"] == [
        {
            "stage": "edit",
            "key": "e",
            "version": 1,
            "complete": True,
            "plans": [""],
            "chunks": 3,
            "bytes": 2_500_000,
            "seconds": 4.25,
            "last_used": 0.0,
            "settings": {"edits": ["Smiling=1.0"]},
            "models": {},
            "inputs": {"align": "a"},
            "frames": 0,
            "edits": ["Smiling=1.0"],
            "folder": ".",
        }
    ]
    told = str(as_plain.__doc__)
    assert all(f"``{key}``" in told for key in plain["artifacts"][0])


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
        # They overlap, as tracks do, and leave two frames out.
        chunks = [Chunk("a", 0, 5), Chunk("b", 3, 8), Chunk("c", 4, 6), Chunk("d", 10, 11)]
        for chunk in chunks:
            with artifact.commit(chunk) as folder:
                (folder / "data.bin").write_bytes(bytes(1000))
        artifact.finish(chunks)
    asked = ["inspect", str(clip), "--cache", str(cache)]
    assert main(asked) == 0
    _, line, hint = capsys.readouterr().out.splitlines()
    assert hint.endswith("frames")
    assert line.split()[:3] == ["frames", "complete", "9"]
    assert main([*asked, "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)["artifacts"]
    assert (kept["stage"], kept["frames"], kept["chunks"]) == ("frames", 9, 4)
    assert Path(kept["folder"]) == artifact.folder
    # Drawing needs to know what the last run asked for.
    assert main(["inspect", str(clip), "frames", "--cache", str(cache)]) == 2
    assert "nothing is known of the last run" in capsys.readouterr().err
    assert main([*asked, "frames", "--json"]) == 2
    assert "Name no stage" in capsys.readouterr().err
    assert main([*asked, "frames", "-o", "sheet.xyz"]) == 2
    assert "cannot be written as .xyz" in capsys.readouterr().err
