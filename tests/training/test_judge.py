"""The judge learns from its own faces alone, goes on where it stopped, and says how good it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from videdit.editing.labelled import EDIT, JUDGE, TEST, LabelledFaces
from videdit.editing.picture_classifier import Looks, load_picture_classifier
from videdit.faces.recognition import FaceFeatures
from videdit.training.classifier import judged
from videdit.training.judge import train_judge
from videdit.training.picture_classifier import PictureTraining

NAMES = ("Dark", "Rare", "Bright")
SIDE = 64
HOW = PictureTraining(members=1, epochs=10, batch=20)


class Generator:
    """Paints the code's first number as a grey, and remembers what it was asked for."""

    def __init__(self, lasts: int = 1000) -> None:
        self.lasts = lasts
        self.shown: list[float] = []

    def decode(self, codes: np.ndarray) -> np.ndarray:
        assert codes.shape == (1, 16, 512)
        if len(self.shown) == self.lasts:
            raise KeyboardInterrupt
        grey = float(codes[0, 0, 0])
        self.shown.append(grey)
        return np.full((1, SIDE, SIDE, 3), grey, np.float32)


class Face:
    """Sees the grey in every channel."""

    def __call__(self, crops: torch.Tensor) -> FaceFeatures:
        assert crops.shape[1:] == (3, 256, 256)
        small = F.adaptive_avg_pool2d(crops[:, :1], 7)
        wide = F.interpolate(small, scale_factor=2.0), F.interpolate(small, scale_factor=4.0)
        return FaceFeatures(
            wide[1].expand(-1, 256, -1, -1),
            wide[0].expand(-1, 512, -1, -1),
            small.expand(-1, 1024, -1, -1),
        )


def networks(lasts: int = 1000) -> Any:
    return SimpleNamespace(generator=Generator(lasts), recognition=Face())


def made_up() -> LabelledFaces:
    """130 faces for the judge, 60 for the test, every third of them picked, and others. Each has a
    grey of its own; nine of the test's that count have the rare thing."""
    part = np.array([JUDGE] * 130 + [TEST] * 60 + [EDIT] * 30)
    order = np.random.default_rng(0).permutation(len(part))
    grey = (np.arange(220, dtype=np.float32)[order] + 1) / 222
    codes = np.zeros((220, 16, 512), np.float32)
    codes[:, 0, 0] = grey
    random = np.ones(220, bool)
    random[132:190:3] = False
    labels = np.stack([grey < 0.5, np.zeros(220), grey > 0.6], 1).astype(np.float32)
    labels[np.flatnonzero((part == TEST) & random)[:9], 1] = 1
    return LabelledFaces(codes, labels, NAMES, random, part)


def greys(faces: LabelledFaces) -> list[float]:
    return [float(code[0, 0]) for code in faces.codes]


def test_it_learns_from_its_own_faces_and_is_measured_on_those_nobody_knows(
    tmp_path: Path,
) -> None:
    data, made = made_up(), networks()
    lines: list[str] = []
    path = train_judge(tmp_path / "judge", data, made, lines.append, HOW)
    assert path == tmp_path / "judge" / "judge.safetensors"
    own, test = data.of(JUDGE), data.of(TEST)
    assert len(test.codes) == 40
    # Its own part, then the test's that were drawn without looking; nobody else's.
    assert made.generator.shown == greys(own) + greys(test)
    assert lines[:2] == ["judge: 100/130 pictures", "judge: 130/130 pictures"]
    assert "test: 40/40 pictures" in lines

    judge, notes = load_picture_classifier(path)
    assert judge.names == NAMES
    assert len(judge.heads) == HOW.members
    assert (notes["faces"], notes["tested_on"]) == (130, 40)
    # The same figures by their definitions, from what the kept judge says of the kept looks.
    with np.load(tmp_path / "judge" / "looks-test-00000.npz") as arrays:
        looks = Looks(torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["picture"]))
    logits, labels = judged(judge, looks).numpy(), test.labels
    aucs = {}
    for j in (0, 2):
        with_, without = logits[labels[:, j] == 1, j], logits[labels[:, j] == 0, j]
        pairs = np.sign(with_[:, None] - without[None])  # 1 where they are told apart, 0 a tie
        aucs[NAMES[j]] = float((pairs + 1).mean() / 2)
    assert aucs["Dark"] > 0.98
    assert aucs["Bright"] > 0.98
    # Nine faces are too few to say anything of the rare thing.
    assert int(labels[:, 1].sum()) == 9
    assert notes["auc"]["Rare"] is None
    assert notes["auc"] == pytest.approx({**aucs, "Rare": None}, abs=2e-3)
    assert notes["mean_auc"] == pytest.approx(sum(aucs.values()) / 2, abs=2e-3)
    right = float(((logits > 0) == (labels > 0)).mean())
    assert notes["accuracy"] == pytest.approx(right, abs=0.02)
    assert 0 <= notes["calibration"] <= 0.5
    assert lines[-1].startswith(f"judge: AUC {notes['mean_auc']:.4f} (mean of 2)")


def test_what_it_looks_at_is_the_generators_picture(tmp_path: Path) -> None:
    data = made_up()
    train_judge(tmp_path, data, networks(), lambda line: None, PictureTraining(1, 1, 130))
    looks = []
    for start in (0, 100):
        with np.load(tmp_path / f"looks-judge-{start:05d}.npz") as arrays:
            assert arrays["features"].shape[1:] == (1792, 7, 7)
            assert arrays["picture"].shape[1:] == (3, 64, 64)
            looks.append((arrays["features"][:, :, 3, 3], arrays["picture"][:, :, 9, 9]))
    features, pictures = (np.concatenate(parts) for parts in zip(*looks, strict=True))
    expected = np.array(greys(data.of(JUDGE)))
    np.testing.assert_allclose(features, np.tile(expected[:, None], 1792), atol=1e-3)
    np.testing.assert_allclose(pictures, np.tile(255 * expected[:, None], 3), atol=0.51)


def test_a_stopped_one_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    data, how = made_up(), PictureTraining(1, 1, 65)
    whole = train_judge(tmp_path / "whole", data, networks(), lambda line: None, how)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train_judge(folder, data, networks(lasts=120), lambda line: None, how)
    assert [path.name for path in folder.iterdir()] == ["looks-judge-00000.npz"]
    again = networks()
    path = train_judge(folder, data, again, lambda line: None, how)
    # The hundred that were kept are not shown again.
    assert again.generator.shown == greys(data.of(JUDGE))[100:] + greys(data.of(TEST))
    assert path.read_bytes() == whole.read_bytes()
    last = networks()
    train_judge(folder, data, last, lambda line: None, how)
    assert last.generator.shown == []
    assert path.read_bytes() == whole.read_bytes()
