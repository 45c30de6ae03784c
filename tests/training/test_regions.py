from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from videdit.bundles.tensors import load_weights
from videdit.editing.labelled import LabelledFaces
from videdit.errors import InputError
from videdit.faces.detection import Detection, Landmarker
from videdit.faces.region_network import RegionNetwork
from videdit.faces.regions import PARSED, REGIONS, SIDE
from videdit.models.networks import Networks
from videdit.training import regions
from videdit.training.clusters import Clusters, load_names, show_face
from videdit.training.degrade import worsen
from videdit.training.region_labels import UNKNOWN
from videdit.training.regions import (
    RARE,
    RegionFaces,
    RegionTraining,
    measure_regions,
    parsed,
    rare_faces,
    sample_regions,
    train_regions,
)

FACES, SQUARE = 10, 56
LIPS, SKIN, BACKGROUND = (REGIONS.index(name) for name in ("lips", "skin", "background"))
DATA = Path(__file__).parents[2] / "training_data"


def write_shard(folder: Path, number: int, pictures: NDArray[Any], labels: NDArray[Any]) -> None:
    np.savez(folder / f"regions-{number:04d}.npz", pictures=pictures, labels=labels)


def shard(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Dark pictures with a bright square at the left, which is labelled lips."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(30, 50, (FACES, PARSED, PARSED, 3), np.uint8)
    labels = np.full((FACES, SIDE, SIDE), SKIN, np.uint8)
    for n, y in enumerate(rng.integers(30, 80, FACES) * 2):
        pictures[n, y : y + SQUARE, 40 : 40 + SQUARE] += 160
        labels[n, y // 2 : (y + SQUARE) // 2, 20 : (40 + SQUARE) // 2] = LIPS
    return pictures, labels


@pytest.fixture
def faces(tmp_path: Path) -> RegionFaces:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(2):
        write_shard(folder, number, *shard(number))
    return RegionFaces(folder, 2)


@pytest.fixture
def undamaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_it_was(pictures: Tensor, _: torch.Generator) -> Tensor:
        return pictures

    monkeypatch.setattr(regions, "worsen", as_it_was)


def test_the_last_shard_is_held_out(faces: RegionFaces, tmp_path: Path) -> None:
    for found, number in ((faces.train, 0), (faces.held_out, 1)):
        for part, expected in zip(found, shard(number), strict=True):
            np.testing.assert_array_equal(part, expected)
    write_shard(tmp_path / "shards", 2, *shard(2))
    three = RegionFaces(tmp_path / "shards", 3)
    assert [len(part) for part in three.train] == [2 * FACES, 2 * FACES]
    np.testing.assert_array_equal(three.held_out[0], shard(2)[0])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_shards_that_are_not_there(faces: RegionFaces, tmp_path: Path, count: int) -> None:
    with pytest.raises(InputError, match=f"does not hold {count} shards"):
        RegionFaces(tmp_path / "shards", count)


def test_a_batch_is_made_of_its_step(faces: RegionFaces) -> None:
    settings = RegionTraining(batch=4, foreign=0.5, wide=0)
    crops, labels = faces.batch(3, settings)
    assert crops.shape == (4, 3, PARSED, PARSED)
    assert crops.dtype == torch.float32
    assert crops.min() >= 0
    assert 0.5 < crops.max() <= 1
    assert labels.shape == (4, SIDE, SIDE)
    assert labels.dtype == torch.int64
    assert set(np.unique(labels.numpy())) <= {LIPS, SKIN, BACKGROUND}
    again, told = faces.batch(3, settings)
    assert torch.equal(crops, again)
    assert torch.equal(labels, told)
    for other in (faces.batch(4, settings), faces.batch(3, RegionTraining(batch=4, seed=1))):
        assert not torch.equal(crops, other[0])
        assert not torch.equal(labels, other[1])
    np.testing.assert_array_equal(faces.train[0], shard(0)[0])  # nothing happens in place
    np.testing.assert_array_equal(faces.train[1], shard(0)[1])


def coarse(crops: Tensor) -> NDArray[np.float32]:
    """(n, 128, 128) brightness of crops."""
    return np.asarray(torch.nn.functional.avg_pool2d(crops.mean(1), 2).numpy())


def test_labels_stay_with_what_they_name(faces: RegionFaces) -> None:
    settings = RegionTraining(batch=8, foreign=0, wide=0)
    for step in range(3):
        crops, labels = faces.batch(step, settings)
        for bright, label in zip(coarse(crops), labels.numpy(), strict=True):
            assert set(np.unique(label)) == {LIPS, SKIN}
            assert bright[label == LIPS].mean() > bright[label == SKIN].mean() + 0.2


@pytest.mark.usefixtures("undamaged")
def test_pictures_and_labels_move_alike(faces: RegionFaces) -> None:
    lefts, sizes = [], []
    for step in range(3):
        crops, labels = faces.batch(step, RegionTraining(batch=8, foreign=0, wide=0))
        for bright, label in zip(coarse(crops), labels.numpy(), strict=True):
            square, lips = bright > 0.45, label == LIPS
            assert (square & lips).sum() / (square | lips).sum() > 0.9
            lefts.append(np.nonzero(lips)[1].mean())
            sizes.append(lips.sum())
    places = np.array(lefts)
    # Mirrored or not, and moved a little; never elsewhere.
    assert ((np.abs(places - 34) < 18) | (np.abs(places - 94) < 18)).all()
    assert 4 < (places > SIDE / 2).sum() < 20
    assert np.abs(places - 34).min() > 0
    assert np.std(sizes) / np.mean(sizes) > 0.03


@pytest.mark.usefixtures("undamaged")
def test_from_farther_what_lies_around_is_unknown(faces: RegionFaces) -> None:
    unknown = []
    for step in range(3):
        crops, labels = faces.batch(step, RegionTraining(batch=8, foreign=0, wide=1))
        for bright, label in zip(coarse(crops), labels.numpy(), strict=True):
            assert set(np.unique(label)) <= {LIPS, SKIN, UNKNOWN}
            known = label != UNKNOWN
            assert bright[label == LIPS].mean() > bright[label == SKIN].mean() + 0.2
            unknown.append(1 - known.mean())
    # Known is (1 / factor)^2 of the crop, for factors from 1 to 1.7; turning adds a little.
    assert 0.25 < np.mean(unknown) < 0.6
    assert max(unknown) < 0.75


@pytest.mark.usefixtures("undamaged")
def test_what_lies_before_a_face_is_background(tmp_path: Path) -> None:
    shades = (20 * np.arange(FACES) + 20).astype(np.uint8)
    pictures = np.tile(shades[:, None, None, None], (1, PARSED, PARSED, 3))
    labels = np.full((FACES, SIDE, SIDE), SKIN, np.uint8)
    for number in range(2):
        write_shard(tmp_path, number, pictures, labels)
    crops, told = RegionFaces(tmp_path, 2).batch(0, RegionTraining(batch=12, foreign=1, wide=0))
    seen = 0
    for bright, label in zip(coarse(crops), told.numpy(), strict=True):
        foreign = label == BACKGROUND
        assert 0 < foreign.mean() < 0.2
        assert set(np.unique(label)) == {SKIN, BACKGROUND}
        own = np.median(bright)
        other = np.abs(bright - own) > 5 / 255
        if other.any():  # else it was cut from a face of the same shade
            seen += 1
            assert (other & foreign).sum() / (other | foreign).sum() > 0.75
            assert np.abs(shades / 255 - np.median(bright[other & foreign])).min() < 2 / 255
    assert seen > 6
    _, told = RegionFaces(tmp_path, 2).batch(0, RegionTraining(batch=12, foreign=0.5, wide=0))
    assert 2 <= sum((label == BACKGROUND).any().item() for label in told) <= 10


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_worsening_leaves_all_where_it_was() -> None:
    pictures = torch.full((8, 3, 64, 64), 0.25)
    pictures[:, :, 20:40, 12:36] = 0.75
    before, changes = pictures.clone(), []
    for seed in range(4):
        out = worsen(pictures, seeded(seed))
        assert out.shape == pictures.shape
        assert out.dtype == torch.float32
        assert out.min() >= 0
        assert out.max() <= 1
        assert torch.equal(out, worsen(pictures, seeded(seed)))
        assert not torch.equal(out, worsen(pictures, seeded(seed + 100)))
        for picture in out.mean(1):
            middle = (picture[24:36, 16:32].median() + picture[44:, 40:].median()) / 2
            y, x = torch.nonzero(picture > middle).float().add(0.5).mean(0).tolist()
            assert y == pytest.approx(30, abs=0.6)
            assert x == pytest.approx(24, abs=0.6)
        changes += (out - pictures).abs().amax((1, 2, 3)).tolist()
    assert torch.equal(pictures, before)
    assert np.mean(np.array(changes) > 0.02) > 0.6
    assert min(changes) == 0  # some stay as they are


SMALL = (8, 16, 24)
SETTINGS = RegionTraining(steps=4, batch=2, learning_rate=0.1)


class Stopped(Exception):
    pass


def stop(_: str) -> None:
    raise Stopped


def test_training_goes_on_where_it_stopped(
    faces: RegionFaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The learning rate falls over all steps; without that, two steps and two more make four.
    even = SimpleNamespace(**{**vars(math), "cos": lambda _: 1.0})
    monkeypatch.setattr(regions, "math", even)
    monkeypatch.setattr(regions, "RegionNetwork", lambda: RegionNetwork(SMALL))
    steps: list[int] = []
    make = faces.batch

    def batch(step: int, settings: RegionTraining) -> tuple[Tensor, Tensor]:
        steps.append(step)
        return make(step, settings)

    monkeypatch.setattr(faces, "batch", batch)
    folder, whole, lines = tmp_path / "stopped", tmp_path / "whole", list[str]()
    folder.mkdir()
    whole.mkdir()
    with pytest.raises(Stopped):
        train_regions(faces, folder, RegionTraining(steps=2, batch=2, learning_rate=0.1), stop)
    assert [path.name for path in folder.iterdir()] == ["checkpoint.pt"]
    assert steps == [0, 1]
    path = train_regions(faces, folder, SETTINGS, lines.append)
    assert steps == [0, 1, 2, 3]
    assert len(lines) == 1
    assert {word for word in lines[0].split() if word.isalpha()} >= set(REGIONS)

    assert path == folder / "regions.safetensors"
    network = load_weights(RegionNetwork(SMALL), path, "parser")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert state["step"] == 4
    for name, tensor in network.state_dict().items():
        kept = state["network"][name]
        torch.testing.assert_close(tensor, kept, rtol=2e-3, atol=1e-6, check_dtype=False)
    sheet = cv2.imread(str(folder / "sheet.jpg"))
    assert sheet is not None
    assert sheet.shape == (10 * 256, 12 * 256, 3)
    assert sheet[:256, :256].mean() == pytest.approx(shard(1)[0][0].mean(), abs=4)

    straight = load_file(train_regions(faces, whole, SETTINGS, lines.append))
    assert steps[4:] == [0, 1, 2, 3]
    torch.manual_seed(SETTINGS.seed)
    fresh = RegionNetwork(SMALL).state_dict()
    for name, tensor in load_file(path).items():
        torch.testing.assert_close(tensor, straight[name], rtol=1e-2, atol=1e-3)
    last = straight["last.weight"].float() - fresh["last.weight"]
    assert last.abs().max() > 5e-3  # so four steps can be told from none

    done = (folder / "checkpoint.pt").read_bytes()
    path.unlink()
    train_regions(faces, folder, SETTINGS, lines.append)
    assert len(steps) == 8
    assert path.exists()
    assert (folder / "checkpoint.pt").read_bytes() == done


def test_the_likeliest_region_is_parsed() -> None:
    torch.manual_seed(0)
    network = RegionNetwork((8, 16)).train()
    pictures = np.random.default_rng(0).integers(0, 256, (2, PARSED, PARSED, 3), np.uint8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = parsed(network, pictures)
    assert found.shape == (2, SIDE, SIDE)
    assert found.dtype == np.uint8
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    assert (logits.argmax(1).numpy() == found).mean() > 0.999
    assert len(np.unique(found)) > 1


Says = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@pytest.fixture
def scores_of(faces: RegionFaces, monkeypatch: pytest.MonkeyPatch) -> Callable[[Says], Any]:
    """Scores of a parser that sees the labels; of those, the lower half is unknown."""
    faces.held_out[1][:] = SKIN
    faces.held_out[1][:, SIDE // 2 :] = UNKNOWN
    faces.held_out[1][:, 10:60, 10:40] = LIPS
    faces.held_out[1][:, :4] = REGIONS.index("hair")

    def scores(says: Says) -> dict[str, float]:
        def parsed(_: RegionNetwork, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
            assert pictures is faces.held_out[0]
            return says(faces.held_out[1].copy())

        monkeypatch.setattr(regions, "parsed", parsed)
        return measure_regions(RegionNetwork((8, 16)), faces)

    return scores


def test_a_perfect_parser(scores_of: Callable[[Says], dict[str, float]]) -> None:
    def right(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(labels == UNKNOWN, LIPS, labels).astype(np.uint8)  # not held against it

    scores = scores_of(right)
    assert tuple(scores) == REGIONS
    shown = {"skin", "lips", "hair"}
    assert {name: score for name, score in scores.items() if name in shown} == dict.fromkeys(
        shown, 1.0
    )
    assert all(math.isnan(score) for name, score in scores.items() if name not in shown)


def test_what_is_missed_or_too_much_costs(scores_of: Callable[[Says], dict[str, float]]) -> None:
    def confused(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        labels[:, 10:20, 10:40] = SKIN  # a fifth of the lips
        labels[:, :4] = REGIONS.index("hat")
        return labels

    scores = scores_of(confused)
    skin = 64 * SIDE - 50 * 30 - 4 * SIDE
    assert scores["lips"] == pytest.approx(0.8)
    assert scores["skin"] == pytest.approx(skin / (skin + 10 * 30))
    assert scores["hair"] == 0
    assert math.isnan(scores["hat"])


def test_rare_faces_and_as_many_others() -> None:
    count, having, each = 1000, 20, 5
    names = ("Smiling", *RARE, "Young")
    labels = np.zeros((count, len(names)), np.float32)
    for k, name in enumerate(RARE):
        labels[k * having : (k + 1) * having, names.index(name)] = 1
    codes = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None], (count, 16, 512))
    faces = LabelledFaces(codes, labels, names, np.ones(count, bool), np.full(count, "edit"))
    found = rare_faces(faces, each)
    assert found.shape[1:] == (16, 512)
    assert found.dtype == np.float32
    chosen = found[:, 0, 0].astype(int)
    assert len(set(chosen)) == len(chosen)
    for k in range(len(RARE)):
        assert ((chosen >= k * having) & (chosen < (k + 1) * having)).sum() >= each
    rare = each * len(RARE)
    assert (chosen >= having * len(RARE)).sum() > rare / 2  # most of the others are no rare ones
    assert rare < len(chosen) <= 2 * rare
    assert (np.diff(chosen) < 0).any()  # mixed
    assert np.array_equal(found, rare_faces(faces, each))
    assert not np.array_equal(found[:50], rare_faces(faces, each, seed=1)[:50])
    everyone = rare_faces(faces, 10 * having)[:, 0, 0]
    assert set(range(having * len(RARE))) <= set(everyone.astype(int))


class BlinkingOnce:
    """Finds no face in the first picture."""

    threads = 1

    def __init__(self, landmarker: Landmarker) -> None:
        self.landmarker, self.seen = landmarker, 0

    def detect(self, rgb8: NDArray[np.uint8]) -> list[Detection]:
        self.seen += 1
        return self.landmarker.detect(rgb8) if self.seen > 1 else []


@pytest.mark.weights
def test_faces_are_sampled_once(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions, "SHARD", 4)
    code = np.tile(networks.statistics.mean.numpy(), (16, 1)).astype(np.float32)
    landmarker, lines = BlinkingOnce(networks.landmarker), list[str]()

    def sample(folder: Path) -> None:
        sample_regions(
            folder,
            1,
            Clusters.load(DATA / "regions.safetensors"),
            load_names(DATA / "regions.csv", 64),
            code[None],
            networks.mapping,
            networks.statistics,
            networks.synthesis,
            networks.generator,
            landmarker,
            lines.append,
        )

    sample(tmp_path / "faces")
    path = tmp_path / "faces" / "regions-0000.npz"
    assert list(path.parent.iterdir()) == [path]
    with np.load(path) as stored:
        assert set(stored) == {"pictures", "labels"}
        pictures, labels = stored["pictures"], stored["labels"]
    assert landmarker.seen == 4
    assert pictures.shape == (3, PARSED, PARSED, 3)  # one was not found
    assert labels.shape == (3, SIDE, SIDE)
    assert pictures.dtype == labels.dtype == np.uint8
    rare = show_face(networks.generator, code)
    assert [np.array_equal(picture, rare) for picture in pictures] == [False, True, True]
    assert np.array_equal(labels[1], labels[2])
    for label in labels:
        shown = {REGIONS[k] for k in np.unique(label) if k != UNKNOWN}
        assert {"background", "skin", "eyes", "lips", "nose", "brows"} <= shown

    points = networks.landmarker.detect(rare)[0].points68[36:48] * (SIDE / PARSED)
    rows, columns = np.nonzero(labels[1] == REGIONS.index("eyes"))
    assert (columns.mean(), rows.mean()) == pytest.approx(points.mean(0), abs=1.5)

    written = path.stat()
    sample(tmp_path / "faces")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (written.st_mtime_ns, written.st_ino)
    assert landmarker.seen == 4
    assert lines == ["1 of 1 shards"]


def test_shards_that_exist_are_not_made_again(faces: RegionFaces, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    absent = cast(Any, None)
    clusters = Clusters(*(np.zeros((1, 1), np.float32),) * 4)
    sample_regions(folder, 2, clusters, ("skin",), *(absent,) * 6)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
