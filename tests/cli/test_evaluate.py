from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from videdit.bundles import Bundle
from videdit.cli import main as cli
from videdit.cli.evaluate import _files, line
from videdit.editing.classifier import LatentClassifier, load_classifier
from videdit.errors import InputError, Interrupted, NoFaceError, UsageError, WeightsError
from videdit.evaluation.edits import EditedInput
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
    # No video; or, where the extra `eval` is not installed, no dlib.
    assert code(str(clip), "--cache", str(tmp_path / "cache")) in (3, 5)
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


def test_a_classifier_is_scored_on_data_in_the_projects_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("Smiling", "Wearing_Mask")
    torch.manual_seed(0)
    network = LatentClassifier(names, members=1).eval()
    weights, report = tmp_path / "c.safetensors", tmp_path / "r.json"
    network.save(weights, {})
    codes = np.random.default_rng(0).standard_normal((60, 16, 512)).astype(np.float16)
    labels = load_classifier(weights).logits(codes) > 0
    np.savez(tmp_path / "latents.npz", id=np.arange(60), codes=codes)
    lines = [f"{i},{int(a)},{int(i % 7 == 0)}" for i, (a, _) in enumerate(labels)]
    text = "id,Smiling,Charm\n" + "\n".join(lines) + "\n"
    (tmp_path / "labels.csv").write_text(text)
    words = ["evaluate", "classifier", "--latents", str(tmp_path / "latents.npz"), "--labels"]
    words += [str(tmp_path / "labels.csv"), "--weights", str(weights), "--json", str(report)]
    assert cli.main(words) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["Smiling", "mean"]  # it knows no Charm
    found = json.loads(report.read_text())
    assert found["attributes"][0]["auc"] == 1
    assert found["attributes"][0]["positives"] == int(labels[:, 0].sum())
    (tmp_path / "labels.csv").write_text(text.replace("Smiling", "Grinning"))
    assert cli.main(words) == 3
    weights.write_bytes(b"x")
    (tmp_path / "labels.csv").write_text(text)
    assert cli.main(words) == 5


@pytest.mark.weights
def test_a_classifier_of_another_bundles_codes(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = LatentClassifier(("Smiling",), 1, 10, 32).eval()
    network.save(tmp_path / "c.safetensors", {})
    codes = np.random.default_rng(0).standard_normal((40, 10, 32)).astype(np.float32)
    np.savez(tmp_path / "latents.npz", id=np.arange(40), codes=codes, bundle="tiny")
    lines = "".join(f"{i},{int(z[0] > 0)}\n" for i, z in enumerate(network.logits(codes)))
    (tmp_path / "labels.csv").write_text("id,Smiling\n" + lines)
    words = ["evaluate", "classifier", "--latents", str(tmp_path / "latents.npz"), "--labels"]
    words += [str(tmp_path / "labels.csv")]
    assert cli.main([*words, "--weights", str(tmp_path / "c.safetensors")]) == 0
    assert "Smiling" in capsys.readouterr().out
    # Codes of one bundle are not read by another's classifier, and this one has none.
    assert cli.main(words) == 2
    assert "--bundle tiny" in capsys.readouterr().err
    assert cli.main([*words, "--bundle", "tiny"]) == 5
    assert "videdit train classifier FOLDER --bundle tiny" in capsys.readouterr().err
    np.savez(tmp_path / "latents.npz", id=np.arange(40), codes=codes)
    assert cli.main(words) == 3
    assert "'mobile'" in capsys.readouterr().err


@pytest.mark.parametrize("strengths", ["", "1,0.5", "0,1", "x"])
def test_strengths_must_rise(tmp_path: Path, strengths: str) -> None:
    assert cli.main(["evaluate", "attributes", str(tmp_path), "--strengths", strengths]) == 2


# --- one of several inputs goes wrong -------------------------------------------------------------

ERRORS: dict[str, Exception] = {
    "cut.mp4": InputError("cut.mp4 cannot be read", "Convert it."),
    "odd.jpg": RuntimeError("a library's\nown words"),
    "tree.jpg": NoFaceError("no face was found in tree.jpg"),
    "weights.jpg": WeightsError("the encoder is missing"),
    "request.jpg": UsageError("there is no such thing"),
    "stop.jpg": Interrupted("stopped"),
}
Several = Callable[..., tuple[int, list[str]]]


@pytest.fixture(params=["inversion", "edits"])
def several(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Several:
    """Evaluates inputs of these names with a meter that knows only the names: exit code, and the
    inputs that it was asked for."""
    asked: list[str] = []

    def looked_at(source: Path) -> None:
        asked.append(source.name)
        if source.name in ERRORS:
            raise ERRORS[source.name]

    class Inversion:
        pairs: tuple[()] = ()

        def __init__(self, *_: object, **__: object) -> None: ...

        def measure(self, source: Path) -> InputScore:
            looked_at(source)
            return InputScore(source.name, [FaceScore(0, 0.4, 21.0, 0.7, 0.03, 22.0, 1.0)])

    class Edits:
        judged: tuple[()] = ()
        rows: tuple[()] = ()
        about_judge: dict[str, Any] = {}  # noqa: RUF012 - empty, and nobody writes to it

        def __init__(self, *_: object, **__: object) -> None: ...

        def measure(self, source: Path, edit: object) -> EditedInput:
            looked_at(source)
            return EditedInput(source.name, str(edit), [], 0)

    monkeypatch.setattr("videdit.evaluation.inversion.InversionMeter", Inversion)
    monkeypatch.setattr("videdit.evaluation.edits.EditMeter", Edits)

    def evaluated(*names: str) -> tuple[int, list[str]]:
        asked.clear()
        for name in names:
            (tmp_path / name).write_bytes(b"")
        words = ["evaluate", request.param, *(str(tmp_path / name) for name in names)]
        words += ["--json", str(tmp_path / "r.json"), "--cache", str(tmp_path / "cache")]
        words += ["--attr", "Smiling"] if request.param == "edits" else []
        return cli.main(words), list(asked)

    return evaluated


def test_an_input_that_goes_wrong_is_named_and_stops_no_other(
    several: Several, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a.jpg", "cut.mp4", "b.jpg", "tree.jpg", "odd.jpg", "c.jpg"]
    assert several(*names) == (InputError.exit_code, names)
    told = capsys.readouterr()
    assert "cut.mp4 is left out: cut.mp4 cannot be read. Convert it." in told.err
    assert "odd.jpg is left out: internal error: RuntimeError: a library's own words" in told.err
    assert told.err.splitlines()[-1] == "videdit: 2 of 6 inputs were left out: cut.mp4, odd.jpg"
    for name in ("1/6 a.jpg", "3/6 b.jpg", "4/6 tree.jpg", "6/6 c.jpg"):
        assert f"\n{name}" in f"\n{told.out}"
    report = json.loads((tmp_path / "r.json").read_text())
    assert [one["name"] for one in report["inputs"]] == ["a.jpg", "b.jpg", "c.jpg"]
    assert report["no_face"] == ["tree.jpg"]
    assert report["unread"] == ["cut.mp4", "odd.jpg"]


def test_the_exit_code_is_that_of_the_worst(several: Several, tmp_path: Path) -> None:
    assert several("a.jpg", "b.jpg")[0] == 0
    assert several("a.jpg", "tree.jpg")[0] == 0  # a picture of a tree is no failure
    assert several("odd.jpg", "a.jpg")[0] == 1
    (tmp_path / "r.json").unlink()
    assert several("cut.mp4", "odd.jpg")[0] == InputError.exit_code
    assert several("cut.mp4")[0] == InputError.exit_code
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("name", ["weights.jpg", "request.jpg", "stop.jpg"])
def test_what_concerns_all_inputs_ends_it(several: Several, name: str) -> None:
    code, asked = several("a.jpg", name, "b.jpg")
    assert code == ERRORS[name].exit_code  # type: ignore[attr-defined]
    assert asked == ["a.jpg", name]
