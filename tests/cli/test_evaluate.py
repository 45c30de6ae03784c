from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.cli import main as cli
from videdit.cli.evaluate import _files, line
from videdit.editing.classifier import LatentClassifier, load_classifier
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


@pytest.mark.parametrize("strengths", ["", "1,0.5", "0,1", "x"])
def test_strengths_must_rise(tmp_path: Path, strengths: str) -> None:
    assert cli.main(["evaluate", "attributes", str(tmp_path), "--strengths", strengths]) == 2
