"""Teacher and judge find what is planted in made-up looks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from videdit.editing.picture_classifier import (
    CHANNELS,
    Looks,
    PictureClassifier,
    load_picture_classifier,
)
from videdit.editing.scores import auc
from videdit.errors import WeightsError
from videdit.training.classifier import judged
from videdit.training.picture_classifier import PictureTraining, train_picture_classifier

NAMES = ("Smiling", "Blond_Hair", "Earring")
SMALL = PictureTraining(members=2, epochs=8, batch=20)
SEEN, EARS = slice(20, 60), slice(60, 100)  # channels that see smiles, and earrings
BLIND = 11  # one that always says the same


def faces(count: int, seed: int) -> tuple[Looks, torch.Tensor]:
    """Looks and labels: a smile is in the face network's features, hair in the picture's colours,
    and an earring in the features at the picture's left."""
    draw = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, 3, generator=draw) < 0.5).float()
    # Most channels hardly move: few faces must do here.
    features = torch.rand(count, CHANNELS, 7, 7, generator=draw) * 0.05 + 1
    features[:, SEEN, 3:] += labels[:, 0, None, None, None]
    features[:, EARS, :, 0] += labels[:, 2, None, None]
    features[:, BLIND] = 3
    picture = torch.randint(0, 256, (count, 3, 64, 64), generator=draw).float()
    picture[:, 2, :20] *= 1 - 0.7 * labels[:, 1, None, None]
    return Looks(features.half(), picture.byte()), labels


@pytest.fixture(scope="module")
def trained() -> PictureClassifier:
    looks, labels = faces(120, 0)
    return train_picture_classifier(looks, labels, NAMES, SMALL, lambda line: None)


def mirrored(looks: Looks) -> Looks:
    return Looks(looks.features.flip(3), looks.picture.flip(3))


@pytest.mark.parametrize("mirror", [False, True])
def test_it_learns_what_is_planted_on_either_side(trained: PictureClassifier, mirror: bool) -> None:
    looks, labels = faces(60, 1)
    logits = judged(trained, mirrored(looks) if mirror else looks).numpy()
    for j, name in enumerate(NAMES):
        assert auc(logits[:, j], labels[:, j].numpy()) > 0.95, name


def test_features_are_standardised_over_the_training_faces(trained: PictureClassifier) -> None:
    looks, _ = faces(120, 0)
    values = looks.features.double().numpy()
    mean = trained.mean[:, 0, 0].numpy()
    np.testing.assert_allclose(mean, values.mean((0, 2, 3)), rtol=1e-4)
    expected = values.std((0, 2, 3))
    assert expected[BLIND] < 1e-3
    expected = np.maximum(expected, 0.05)  # what hardly moves is not blown up
    assert (expected[20:100] > 0.25).all()
    np.testing.assert_allclose(trained.deviation[:, 0, 0].numpy(), expected, rtol=1e-3)
    inside = trained.standardised(looks.features)
    assert float(inside[:, BLIND].abs().max()) < 1e-3
    assert float(inside[:, SEEN].std()) == pytest.approx(1, abs=1e-2)


def test_logits_are_the_members_mean_and_members_differ(trained: PictureClassifier) -> None:
    looks, _ = faces(5, 2)
    with torch.no_grad():
        apart = [
            head(trained.standardised(looks.features), looks.picture.float())
            for head in trained.heads
        ]
        torch.testing.assert_close(trained(looks), (apart[0] + apart[1]) / 2)
    assert float((apart[0] - apart[1]).abs().max()) > 0.1
    assert not any(p.requires_grad for p in trained.parameters())
    assert not trained.training


def test_the_seed_decides_everything(trained: PictureClassifier) -> None:
    looks, labels = faces(8, 3)
    how = PictureTraining(members=1, epochs=2, batch=4)

    def made(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(seed + 1)  # what was drawn before must not matter
        told = replace(how, seed=seed)
        network = train_picture_classifier(looks, labels, NAMES, told, lambda line: None)
        return network.state_dict()

    one, again, other = made(5), made(5), made(6)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_faces_that_look_alike_get_the_share_that_has_it() -> None:
    # The cross entropy of labels that looks say nothing about is least at their mean.
    looks, _ = faces(1, 4)
    alike = Looks(*(part.expand(8, -1, -1, -1) for part in looks))
    share = torch.tensor([0.25, 0.5, 0.875])
    labels = (torch.arange(8)[:, None] < 8 * share).float()
    how = PictureTraining(members=1, epochs=15, batch=8, learning_rate=1e-3, weight_decay=0.0)
    network = train_picture_classifier(alike, labels, NAMES, how, lambda line: None)
    with torch.no_grad():
        told = network(looks)[0].sigmoid()
    torch.testing.assert_close(told, share, atol=0.06, rtol=0)


@pytest.mark.parametrize(("count", "batch", "steps"), [(10, 64, 1), (10, 4, 2), (8, 4, 2)])
def test_a_step_takes_whole_batches_only(
    count: int, batch: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, labels = faces(count, 5)
    sizes: list[int] = []
    real = torch.nn.functional.binary_cross_entropy_with_logits

    def counted(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        sizes.append(len(wanted))
        return real(logits, wanted)

    monkeypatch.setattr(torch.nn.functional, "binary_cross_entropy_with_logits", counted)
    how = PictureTraining(members=2, epochs=2, batch=batch)
    lines: list[str] = []
    train_picture_classifier(looks, labels, NAMES, how, lines.append)
    assert sizes == [min(count, batch)] * (2 * 2 * steps)
    assert [line.split(":")[0] for line in lines] == [
        "picture classifier 1/2",
        "picture classifier 2/2",
    ]
    assert all(math.isfinite(float(line.split()[-1])) for line in lines)


def test_a_kept_one_says_the_same(trained: PictureClassifier, tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    trained.save(path, {"faces": 120})
    loaded, notes = load_picture_classifier(path)
    assert notes == {"faces": 120}
    assert loaded.names == NAMES
    assert len(loaded.heads) == 2
    assert not loaded.training
    looks, _ = faces(6, 6)
    torch.testing.assert_close(judged(loaded, looks), judged(trained, looks), atol=0.05, rtol=0.01)


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.safetensors"
    with pytest.raises(WeightsError, match=r"picture classifier judge\.safetensors"):
        load_picture_classifier(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(WeightsError):
        load_picture_classifier(path)
    save_file({"mean": torch.zeros(3)}, str(path))
    with pytest.raises(WeightsError):
        load_picture_classifier(path)


def test_looks_are_judged_in_pieces_as_together(trained: PictureClassifier) -> None:
    looks, _ = faces(103, 7)
    with torch.no_grad():
        torch.testing.assert_close(judged(trained, looks), trained(looks), atol=1e-4, rtol=1e-4)
