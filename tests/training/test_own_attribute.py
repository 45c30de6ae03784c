"""From labelled codes to a working --attr, as examples/own_attribute.md says, in small."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from videdit.cli.main import main
from videdit.editing.classifier import load_classifier
from videdit.editing.labelled import LabelledFaces
from videdit.editing.transformer import load_transformers
from videdit.errors import UsageError
from videdit.models.networks import Networks
from videdit.training.classifier import ClassifierTraining
from videdit.training.latent import train_classifier
from videdit.training.maps import TransformerTraining
from videdit.training.transformers import train_transformers

ROOT = Path(__file__).resolve().parents[2]
FACES = slice(88, 132)  # among which are enough elders
HOW = ClassifierTraining(shards=1, members=1, epochs=2, rounds=1, pushed=6, more_epochs=1)
SMALL = TransformerTraining(
    together=2, steps=15, refining_steps=1, refining_batch=2, refining_faces=4, memory=4
)


@pytest.fixture(scope="module")
def elders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder, cut to a few faces."""
    folder = tmp_path_factory.mktemp("data") / "elder"
    script = ROOT / "examples" / "own_attribute.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    with np.load(folder / "latents.npz") as arrays:
        cut = {k: v if k == "w_mean" else v[FACES] for k, v in arrays.items()}
    np.savez(folder / "latents.npz", **cut)
    head, *lines = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join([head, *lines[FACES]]) + "\n")
    with open(folder / "labels.csv", newline="") as file:
        elder = [int(row["Elder"]) for row in csv.DictReader(file)]
    assert 5 < sum(elder) < len(elder) / 2
    return folder


@pytest.mark.weights
@pytest.mark.slow
def test_an_attribute_of_ones_own(
    networks: Networks, elders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videdit.training.faces.SHARD", 36)
    data, work, lines = LabelledFaces.load(elders), tmp_path / "work", []
    train_classifier(work, data, elders / "pose.npz", networks, HOW, lines.append)
    classifier = load_classifier(work / "classifier.safetensors")
    assert classifier.names == ("Elder", "Smiling", "Male")
    assert float(classifier.pose.abs().sum()) > 0  # the bundle's: the folder has no poses
    assert any("round 1 Elder" in line for line in lines)
    made = {path.name: path.stat().st_mtime_ns for path in work.glob("*.npz")}
    train_classifier(work, data, elders / "pose.npz", networks, HOW, lines.append)
    assert {path.name: path.stat().st_mtime_ns for path in work.glob("*.npz")} == made

    train_transformers(work, data, networks, ["Elder"], SMALL, lines.append)
    first = (work / "maps" / "Elder.safetensors").read_bytes()
    result = train_transformers(work, data, networks, ["Male"], SMALL, lines.append)
    assert (work / "maps" / "Elder.safetensors").read_bytes() == first
    assert load_transformers(result).names == ("Elder", "Male")
    with pytest.raises(UsageError, match="Charm"):
        train_transformers(work, data, networks, ["Charm"], SMALL, lines.append)
    other = replace(data, names=("Elder", "Smiling", "Female"))
    with pytest.raises(UsageError, match="other labels"):
        train_classifier(work, other, elders / "pose.npz", networks, HOW, lines.append)

    # An unknown attribute is refused by the editor that would have to know it.
    clip = str(ROOT / "examples" / "input.mp4")
    assert main(["run", clip, "--editor", str(result), "--attr", "Smiling"]) == 2
