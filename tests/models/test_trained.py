"""What was trained here, imported into a bundle of the user's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.published import WIDTH, generator_state, write_generator, write_map
from videdit.bundles.bundle import Bundle, load_bundle
from videdit.device import Device
from videdit.editing.classifier import LatentClassifier
from videdit.editing.directions import Directions
from videdit.editing.linear import Normals
from videdit.editing.quality import Quality, Results, save_quality
from videdit.editing.styleflow import POSE, ConditionalFlow, StyleFlow
from videdit.editing.stylespace import StyleChannels
from videdit.editing.transformer import AffineMap, LatentTransformers
from videdit.errors import WeightsError
from videdit.faces.regions import REGIONS
from videdit.generators.wspace import assumed
from videdit.models.importing import import_checkpoints
from videdit.models.networks import Networks

ROWS = 10
CODES = np.zeros((1, ROWS, WIDTH), np.float32)
ONE = np.ones(1, np.float32)
NAMES = ("Smiling", "Young")


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(tmp_path / "home"))
    return import_checkpoints([write_generator(tmp_path / "g.pt", generator_state())], "mine")


def write_transformers(path: Path, rows: int = ROWS, width: int = WIDTH) -> Path:
    maps = {
        n: AffineMap(draw(rows, width, 2), draw(rows, 2, width), draw(rows, width)) for n in NAMES
    }
    LatentTransformers(np.zeros(width, np.float32), maps, maps).save(path, {})
    return path


def write_classifier(path: Path, seed: int = 0) -> LatentClassifier:
    torch.manual_seed(seed)
    network = LatentClassifier(NAMES, 1, ROWS, WIDTH).eval().requires_grad_(False)
    network.save(path, {})
    return network


def test_editors_and_what_belongs_to_them(bundle: Bundle, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.safetensors" for name in "abcdef"}
    write_transformers(files["a"])
    classifier = write_classifier(files["b"])
    Normals({"Young": draw(ROWS, WIDTH)}, {"Young": 2.0}).save(files["c"], {})
    Directions({"brightness": draw(WIDTH)}).save(files["d"])
    flow = ConditionalFlow(WIDTH, len(NAMES) + POSE, 4, 1)
    StyleFlow(flow, assumed(torch.zeros(WIDTH)), classifier).save(files["e"], {})
    styles = bundle.latent.styles
    count = sum(styles)
    which = (np.arange(2), np.ones(2, np.float32))
    table = np.ones((len(REGIONS), count), np.float32)
    steps = {"Smiling": (which, which)}
    StyleChannels(styles, np.ones(count, np.float32), steps, table, table).save(files["f"], {})
    lengths, figures = tmp_path / "lengths.json", tmp_path / "figures.json"
    lengths.write_text(json.dumps({"Smiling": [1.0, 2.0]}))
    save_quality(figures, {"Smiling": Quality(Results(9, 0.9, 0.9, 0.3), Results(9), 0.9)})
    said: list[str] = []
    # In no order: what needs something comes after it.
    import_checkpoints([figures, lengths, files["e"], *files.values()], "mine", said.append)
    assert any("editor transformer: Smiling, Young" in line for line in said)
    networks = Networks(load_bundle("mine"), Device("cpu", "fp32"), "mesh")
    assert networks.classifier.names == NAMES
    for editor, name in (("interfacegan", "Young"), ("ganalyze", "brightness")):
        assert np.abs(networks.editor(editor).move(CODES, name, ONE)).max() > 0
    assert networks.editor("styleflow").names == NAMES
    assert networks.editor("stylespace").names == ("Smiling",)
    moved = networks.editor("transformer").move(CODES, "Smiling", ONE)
    assert "quality" in networks

    # Lengths go with the maps that they were found for.
    import_checkpoints([write_map(tmp_path / "net_39.pth")], "mine")
    networks = Networks(load_bundle("mine"), Device("cpu", "fp32"), "mesh")
    editor = networks.editor("transformer")
    assert set(editor.names) == {"Smiling", "Young"}
    np.testing.assert_allclose(moved, 2 * editor.move(CODES, "Smiling", ONE), rtol=1e-4)
    assert not list(networks.bundle.manifest.folder.glob("lengths*"))


def test_what_is_of_other_codes_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    before = sorted(path.name for path in bundle.manifest.folder.iterdir())

    def refused(told: str, *files: Path) -> None:
        with pytest.raises(WeightsError, match=told) as caught:
            import_checkpoints(files, "mine")
        assert caught.value.remedy
        assert sorted(path.name for path in bundle.manifest.folder.iterdir()) == before

    lengths = tmp_path / "lengths.json"
    lengths.write_text('{"Smiling": [1, 2]}')
    refused("belongs to the bundle's transformer", lengths)
    lengths.write_text('{"Smiling": [1, 0]}')
    refused("are no lengths", lengths)
    refused("these have", write_transformers(tmp_path / "t.safetensors", 18))
    refused("these have", write_transformers(tmp_path / "t.safetensors", 10, 16))
    path = tmp_path / "c.safetensors"
    LatentClassifier(NAMES, 1, 18, WIDTH).save(path, {})
    refused("18 rows", path)
    flow = ConditionalFlow(WIDTH, len(NAMES) + POSE, 4, 1)
    stats, own = assumed(torch.zeros(WIDTH)), write_classifier(tmp_path / "own.safetensors")
    StyleFlow(flow, stats, own).save(tmp_path / "flow.safetensors", {})
    refused("needs the bundle's classifier", tmp_path / "flow.safetensors")
    write_classifier(path, seed=1)
    refused("another latent classifier", path, tmp_path / "flow.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:100])
    refused("cut.safetensors", tmp_path / "cut.safetensors")
    (tmp_path / "odd.json").write_text("[1]")
    refused("odd.json", tmp_path / "odd.json")
