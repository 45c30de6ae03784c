from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import videdit.api
from videdit.api import Result
from videdit.bundles import Bundle
from videdit.cli.main import main
from videdit.cli.run import (
    LocalEdits,
    frame_ranges,
    local_edits,
    summary,
)
from videdit.cli.whose import collect_edits
from videdit.editing.schedule import Edit
from videdit.errors import InputError, Interrupted, NoFaceError, UsageError, VideditError
from videdit.pipeline.runner import RunReport, StageReport
from videdit.settings import parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("12.5", 12.5),
        ("12.5s", 12.5),
        ("1:02.5", 62.5),
        ("1:00:02.5", 3602.5),
        ("90:00", 5400),
    ],
)
def test_parse_time(text: str | None, seconds: float | None) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1:-2", "nan", "inf", "1:2:3:4", "1h", "1s:2", ":"]
)
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_time(text)


def edits(*texts: str) -> list[Edit]:
    return [Edit.parse(text) for text in texts]


def test_collect_edits() -> None:
    assert collect_edits(["smiling"], [], []) == edits("Smiling=1")
    assert collect_edits(["Smiling"], ["-1.5"], []) == edits("Smiling=-1.5")
    assert collect_edits(["Smiling", "Young"], ["1.5", "0s:0,2s:-1"], []) == edits(
        "Smiling=1.5", "Young=0s:0,2s:-1"
    )
    assert collect_edits(["Smiling", "Male"], [], ["Young=-2", "Bangs"]) == edits(
        "Smiling=1", "Male=1", "Young=-2", "Bangs=1"
    )


@pytest.mark.parametrize(
    ("attributes", "alphas", "texts", "message"),
    [
        ([], [], [], "nothing to edit"),
        (["Smiling", "Young"], ["1"], [], "2 --attr but 1 --alpha"),
        ([], ["1"], [], "0 --attr but 1 --alpha"),
        ([], ["1"], ["Young=1"], "0 --attr but 1 --alpha"),
        (["Smiling"], ["strong"], [], "'strong' .*is not a number"),
        (["Smiling"], ["nan"], [], "is not a number"),
        (["Smiling"], ["1000"], [], "out of range"),
    ],
)
def test_edits_that_are_refused(
    attributes: list[str], alphas: list[str], texts: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        collect_edits(attributes, alphas, texts)


@pytest.mark.parametrize(
    ("frames", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2, 5, 7, 8], "0-2, 5, 7-8")],
)
def test_frame_ranges(frames: list[int], text: str) -> None:
    assert frame_ranges(frames) == text


@given(st.sets(st.integers(0, 60)))
def test_frame_ranges_say_all_frames(frames: set[int]) -> None:
    said: set[int] = set()
    for part in filter(None, frame_ranges(sorted(frames)).split(", ")):
        first, _, last = part.partition("-")
        said |= set(range(int(first), int(last or first) + 1))
    assert said == frames


def result(frames: int, edited: list[int], notes: tuple[str, ...] = ()) -> Result:
    report = RunReport({"frames": StageReport(seconds=2.0), "blend": StageReport(seconds=3.0)})
    return Result(Path("out.mp4"), frames, edited, notes, 7.4, report)


def test_summary() -> None:
    text = summary(result(10, [2, 3, 4], ("not in the result: attachment",)), edits("Smiling=1.5"))
    assert text.splitlines() == [
        "edited Smiling=1.5 in 3 of 10 frames, 7 s (stages 5 s)",
        "passed through unchanged: frames 0-1, 5-9",
        "not in the result: attachment",
        "result: out.mp4",
    ]
    compared = replace(result(2, [0, 1]), comparison=Path("out-side.mp4"))
    assert summary(compared, edits("Smiling=1")).splitlines()[-1] == "compared: out-side.mp4"
    assert "unchanged" not in summary(result(2, [0, 1]), edits("Smiling=1", "Young=-1"))
    many = summary(result(2000, list(range(0, 2000, 2))), edits("Smiling"))
    assert max(map(len, many.splitlines())) < 250


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What `edit_video` or `edit_image` was called with; nothing is done."""
    made: list[SimpleNamespace] = []

    def fake(source: Path, output: Path | None, edits: Any, **more: Any) -> Result:
        made.append(SimpleNamespace(source=source, output=output, edits=edits, **more))
        return result(2, [0, 1])

    for name in ("edit_video", "edit_image"):
        monkeypatch.setattr(videdit.api, name, fake)
    return made


@pytest.fixture
def clip(tmp_path: Path) -> str:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x")
    return str(path)


def test_run_passes_the_command_line_on(
    calls: list[SimpleNamespace], clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", clip, "--attr", "Smiling", "--alpha", "-1.5", "--from", "0:01", "--to", "2s"]
    words += ["-o", "out.mov", "--crf", "20", "--face", "all", "--quality", "fast"]
    assert main(words) == 0
    (call,) = calls
    assert (str(call.source), call.output) == (clip, Path("out.mov"))
    assert call.edits == edits("Smiling=-1.5")
    assert {k: call.settings[k] for k in ("start_s", "stop_s", "crf", "face", "method")} == {
        "start_s": 1.0,
        "stop_s": 2.0,
        "crf": 20,
        "face": "all",
        "method": "encoder",
    }
    assert capsys.readouterr().out.splitlines()[-1] == "result: out.mp4"
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_settings_of_the_command_line_are_those_of_a_run(
    calls: list[SimpleNamespace], clip: str
) -> None:
    from videdit.settings import RunSettings

    for verb in ("run", "image"):
        assert main([verb, clip, "-e", "Smiling"]) == 0
        settings = RunSettings(Path(clip), Path("out.mp4"), **calls[-1].settings)
        assert settings == RunSettings(Path(clip), Path("out.mp4"))  # the same defaults
        assert main([verb, clip, "-e", "Smiling", "--no-tag"]) == 0
        assert calls[-1].settings["tag"] is False
        assert main([verb, clip, "-e", "Smiling", "--compare", "split"]) == 0
        assert calls[-1].settings["compare"] == "split"
        assert main([verb, clip, "-e", "Smiling", "--sign", "c.pem", "--key", "k.pem"]) == 0
        assert calls[-1].settings["sign"] == Path("c.pem")
        assert calls[-1].settings["key"] == Path("k.pem")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "CLIP"], 2, "nothing to edit"),
        (["run", "CLIP", "-e", "Smiling=x"], 2, "is not a number"),
        (["run", "CLIP", "-e", "Smiling", "--from", "soon"], 2, "'soon' is not a time"),
        (["run", "CLIP", "-e", "Smiling", "--crf", "low"], 2, "crf"),
        (["image", "CLIP", "CLIP", "-e", "Smiling", "-o", "a.png"], 2, "one output for several"),
    ],
)
def test_refusals(
    words: list[str],
    code: int,
    message: str,
    clip: str,
    calls: list[SimpleNamespace],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([clip if word == "CLIP" else word for word in words]) == code
    error = capsys.readouterr().err
    assert error.startswith("videdit: ")
    assert error.count("\n") == 1
    assert message in error
    assert not calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "ouija"], "no face backend is called 'ouija'"),
        (["--quality", "superb"], "no quality 'superb'"),
        (["--face", "bogus"], "Use largest, all, track:N, or like:photo.jpg"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--precision", "int4"], "unknown precision 'int4'"),
        (["--editor", "magic"], "no editor 'magic'"),
        (["--codec", "mpeg1"], "no codec 'mpeg1'"),
        (["--from", "3", "--to", "2"], "is empty"),
    ],
)
def test_settings_that_no_run_can_have_are_refused_before_the_source_is_read(
    options: list[str],
    message: str,
    clip: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The clip is none: reading it would be exit code 3."""
    words = ["run", clip, "-e", "Smiling", "--cache", str(tmp_path / "cache"), *options]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The networks that were made."""
    made: list[object] = []

    def fake(*_: object) -> object:
        editor = SimpleNamespace(name=lambda text: text)
        made.append(SimpleNamespace(editor=lambda choice, keep, within: editor))
        return made[-1]

    monkeypatch.setattr(videdit.api, "networks_for", fake)
    return made


def test_image_edits_each_picture_with_the_same_networks(
    calls: list[SimpleNamespace], loaded: list[object], clip: str
) -> None:
    assert main(["image", clip, clip, clip, "-e", "Smiling"]) == 0
    assert [str(call.source) for call in calls] == [clip, clip, clip]
    assert len(loaded) == 1
    assert all(call.networks is loaded[0] for call in calls)


def test_several_pictures_go_into_a_folder(
    calls: list[SimpleNamespace], loaded: list[object], clip: str, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    assert main(["image", clip, clip, "-e", "Smiling", "-o", str(folder)]) == 0
    assert [call.output for call in calls] == [folder, folder]


def test_a_picture_that_goes_wrong_does_not_stop_the_others(
    loaded: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors: dict[str, Exception] = {
        "broken.jpg": InputError("broken.jpg cannot be read"),
        "tree.jpg": NoFaceError("no face was found in tree.jpg"),
        "odd.jpg": RuntimeError("a library's own words"),
    }
    seen = []

    def fake(source: Path, *_: object, **__: object) -> Result:
        seen.append(source.name)
        if source.name in errors:
            raise errors[source.name]
        return result(1, [0])

    monkeypatch.setattr(videdit.api, "edit_image", fake)
    words = ["image", "a.jpg", "tree.jpg", "b.jpg", "broken.jpg", "c.jpg", "-e", "Smiling"]
    assert main(words) == NoFaceError.exit_code  # the worst
    assert seen == ["a.jpg", "tree.jpg", "b.jpg", "broken.jpg", "c.jpg"]
    told = capsys.readouterr()
    assert told.out.count("result: ") == 3
    assert "no face was found in tree.jpg" in told.err
    assert "2 of 5 pictures were not edited: tree.jpg, broken.jpg" in told.err
    assert main(["image", "a.jpg", "broken.jpg", "-e", "Smiling"]) == InputError.exit_code
    assert main(["image", "odd.jpg", "a.jpg", "-e", "Smiling"]) == VideditError.exit_code
    assert "odd.jpg: internal error: RuntimeError: a library's own words" in capsys.readouterr().err
    assert main(["image", "tree.jpg", "-e", "Smiling"]) == NoFaceError.exit_code


def test_a_stop_ends_the_batch(
    loaded: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def fake(source: Path, *_: object, **__: object) -> Result:
        seen.append(source.name)
        raise Interrupted("stopped")

    monkeypatch.setattr(videdit.api, "edit_image", fake)
    assert main(["image", "a.jpg", "b.jpg", "-e", "Smiling"]) == Interrupted.exit_code
    assert seen == ["a.jpg"]


@pytest.mark.weights
def test_an_unknown_attribute_is_refused_before_any_work(
    bundle: Bundle, example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(example), "--attr", "Smilin", "--cache", str(tmp_path / "cache")]
    assert main([*words, "-o", str(tmp_path / "out.mp4")]) == 2
    assert "Smiling" in capsys.readouterr().err
    assert main([*words, "--editor", "magic", "-o", str(tmp_path / "out.mp4")]) == 2
    assert "no editor 'magic'" in capsys.readouterr().err
    # Nothing but what the source is was found out.
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert not list((tmp_path / "cache").glob("[!.]*"))


PHOTO, MASK = Path("b.jpg"), Path("mask.png")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ((None, None, "", None, []), ("transformer", [], ())),
        (("ganspace", None, "", None, []), ("ganspace", [], ())),
        ((None, None, "lips, mouth", None, []), ("transformer", [], ("lips", "mouth"))),
        ((None, PHOTO, "nose", None, []), ("activations", ["nose=1"], ())),
        (("local", PHOTO, "nose,eyes", "0.5", []), ("local", ["nose=0.5", "eyes=0.5"], ())),
        ((None, PHOTO, "nose", "0s:0,2s:1", []), ("activations", ["nose=0s:0,2s:1"], ())),
        ((None, None, "", None, ["9:409=5"]), ("stylespace", ["9:409=5"], ())),
        (("own.safetensors", None, "", None, ["9:4=5"]), ("own.safetensors", ["9:4=5"], ())),
        ((None, None, "", None, [], MASK), ("transformer", [], ("mask",))),
        ((None, PHOTO, "", None, [], MASK), ("activations", ["mask=1"], ())),
        ((None, PHOTO, "mask", None, [], MASK), ("activations", ["mask=1"], ())),
        ((None, None, "", None, [], None, PHOTO), ("scribble", ["mask=1"], ())),
    ],
)
def test_what_is_said_of_regions_and_channels(
    said: tuple[Any, ...], meant: tuple[Any, ...]
) -> None:
    assert local_edits(*said) == LocalEdits(*meant)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((None, PHOTO, "", None, []), "--like takes regions"),
        ((None, None, "nose", "0.5", []), "--strength says"),
        ((None, None, "", "1.5", [], None, PHOTO), "--strength is 1.5"),
        ((None, PHOTO, "nose", "1.5", []), "--strength is 1.5"),
        ((None, PHOTO, "nose", "0s:0,1s:-1", []), "--strength is"),
        ((None, PHOTO, "nose", "much", []), "much"),
        (("transformer", PHOTO, "nose", None, []), "no use for another picture"),
        (("local", None, "nose", None, []), "from another picture"),
        (("ganspace", None, "", None, ["9:4=1"]), "no single channels"),
        ((None, PHOTO, "nose", None, [], None, PHOTO), "--scribble says by itself"),
        (("scribble", None, "", None, []), "--scribble painted.png"),
    ],
)
def test_what_does_not_go_together(said: tuple[Any, ...], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        local_edits(*said)
    assert told in str(caught.value)


def test_a_dry_run_does_nothing(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, result = tmp_path / "cache", tmp_path / "result.mp4"
    words = ["run", str(example), "--attr", "Smiling", "--to", "1", "-o", str(result)]
    words += ["--cache", str(cache), "--dry-run"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "input.mp4: 100 frames; Smiling=1.0 in frames 0-24" in said
    assert re.search(r"^reconstruct +25 frames +0:09 +3\.0 MB$", said, re.MULTILINE)
    assert str(result) in said
    assert not result.exists()
    assert {path.name for path in cache.iterdir()} <= {".timelines"}

    assert main([*words, "--log-json"]) == 0
    event = json.loads(capsys.readouterr().err)
    assert event["event"] == "forecast"
    assert [stage["name"] for stage in event["stages"]][-1] == "blend"
    assert not any(stage["reused"] for stage in event["stages"])


def test_a_dry_run_refuses_what_a_run_does(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there.mp4"
    there.write_bytes(b"mine")
    words = ["run", str(example), "--attr", "Smiling", "--dry-run", "-o"]
    assert main([*words, str(there)]) == 2
    assert main([*words, str(tmp_path / "a.mp4"), "--from", "90"]) == 2
    capsys.readouterr()
