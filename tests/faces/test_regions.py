"""The parser: with a network of made-up weights, and the bundle's own on the example's face."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from videdit.bundles import Bundle
from videdit.bundles.tensors import load_weights
from videdit.faces.align import cut_crop, ffhq_quad, points_in_crop
from videdit.faces.detection import largest
from videdit.faces.region_network import RegionNetwork
from videdit.faces.regions import PARSED, REGIONS, SIDE, RegionParser, Touch, draw_regions
from videdit.models.networks import Networks

CHEEKS, EYES = (50, 280), (range(36, 42), range(42, 48))  # of the mesh; of the 68 landmarks
LIPS, INNER_LIPS = range(48, 60), range(60, 68)


@pytest.fixture(scope="module")
def network() -> RegionNetwork:
    """Sure of itself, as after some training: what it says depends on the place and the colour."""
    torch.manual_seed(0)
    network = RegionNetwork((8, 16, 24))
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, PARSED, PARSED))  # statistics of its normalisations
        network.last.weight.mul_(60)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def parser(network: RegionNetwork) -> RegionParser:
    return RegionParser(lambda: network)


def picture(size: int) -> NDArray[np.float32]:
    coarse = np.random.default_rng(1).random((9, 9, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def by_torch(network: nn.Module, crop: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits = network(torch.from_numpy(crop).permute(2, 0, 1)[None])
    return np.asarray(logits.softmax(1)[0].permute(1, 2, 0).numpy())


def test_the_network_gives_a_map_of_each_region(network: RegionNetwork) -> None:
    assert network(torch.rand(2, 3, PARSED, PARSED)).shape == (2, len(REGIONS), SIDE, SIDE)
    assert not [name for name in network.state_dict() if "grid" in name]


def test_the_network_knows_where_it_looks(network: RegionNetwork) -> None:
    logits = network(torch.full((1, 3, PARSED, PARSED), 0.5))[0]
    # Far from the borders, whose padding shows as well.
    assert (logits[:, 40, 40] - logits[:, 88, 88]).abs().max() > 0.05


@pytest.mark.parametrize("size", [256, 512, 100])
def test_probabilities_for_crops_of_any_size(parser: RegionParser, size: int) -> None:
    odds = parser.parse(picture(size))
    assert odds.shape == (SIDE, SIDE, len(REGIONS))
    assert odds.dtype == np.float32
    assert odds.min() >= 0
    np.testing.assert_allclose(odds.sum(2), 1, atol=1e-5)
    assert np.ptp(odds, axis=(0, 1)).max() > 0.2  # it looks at the picture
    # The same picture at another size: the same regions in the same places.
    assert np.abs(odds - parser.parse(picture(PARSED))).mean() < 0.02


def test_openvino_and_pytorch_agree(parser: RegionParser, network: RegionNetwork) -> None:
    expected = by_torch(network, picture(PARSED))
    assert np.abs(parser.parse(picture(PARSED)) - expected).max() < 2e-3


def test_a_compiled_parser_needs_no_network(network: RegionNetwork, tmp_path: Path) -> None:
    def absent() -> nn.Module:
        raise AssertionError("it was compiled before")

    ids = {"regions": "made up"}
    first = RegionParser(lambda: network, ids=ids, kept_in=tmp_path).parse(picture(100))
    again = RegionParser(absent, ids=ids, kept_in=tmp_path).parse(picture(100))
    assert np.array_equal(first, again)


class Face(NamedTuple):
    """The example's face.

    Attributes:
        crop: (256, 256, 3).
        points68, mesh: pixels of the maps.
        odds: what the bundle's parser says.
    """

    crop: NDArray[np.float32]
    points68: NDArray[np.float64]
    mesh: NDArray[np.float64]
    odds: NDArray[np.float32]

    def at(self, point: NDArray[np.float64]) -> str:
        x, y = np.floor(point).astype(int)
        return REGIONS[self.odds[y, x].argmax()]


@pytest.fixture(scope="module")
def face(networks: Networks, example: Path) -> Face:
    with av.open(str(example)) as container:
        frame = np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)
    found = largest(networks.landmarker.detect(frame))
    assert found.mesh is not None
    quad = ffhq_quad(found.points68)
    crop = cut_crop(frame, quad, PARSED)
    points, mesh = (points_in_crop(p, quad, SIDE) for p in (found.points68, found.mesh[:, :2]))
    return Face(crop, points, mesh, networks.parser.parse(crop))


@pytest.mark.weights
def test_the_bundles_parser_knows_a_face(face: Face) -> None:
    assert [face.at(face.mesh[vertex]) for vertex in CHEEKS] == ["skin", "skin"]
    assert [face.at(face.points68[list(eye)].mean(0)) for eye in EYES] == ["eyes", "eyes"]
    assert face.at(face.points68[list(INNER_LIPS)].mean(0)) in {"lips", "mouth"}
    lower_lip = (face.points68[57] + face.points68[66]) / 2
    assert face.at(lower_lip) == "lips"
    assert {REGIONS[k] for k in face.odds[0].argmax(1)} <= {"hair", "background"}


@pytest.mark.weights
def test_eyes_and_lips_lie_where_the_landmarks_are(face: Face) -> None:
    told = face.odds.argmax(2)
    for names, parts in ((("eyes",), EYES), (("lips", "mouth"), (LIPS,))):
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        for part in parts:
            cv2.fillPoly(drawn, [np.floor(face.points68[list(part)]).astype(np.int32)], 1)
        found = np.isin(told, [REGIONS.index(name) for name in names])
        shared = (found & (drawn > 0)).sum() / (found | (drawn > 0)).sum()
        assert shared > 0.5, names


@pytest.mark.weights
def test_what_lies_before_a_cheek_is_not_skin(face: Face, networks: Networks) -> None:
    x, y = np.floor(face.mesh[CHEEKS[0]]).astype(int)
    place = slice(y - 8, y + 8), slice(x - 8, x + 8)
    free = face.odds[place].argmax(2) == REGIONS.index("skin")
    assert free.mean() > 0.5
    covered = face.crop.copy()
    covered[2 * y - 16 : 2 * y + 16, 2 * x - 16 : 2 * x + 16] = (0.1, 0.5, 0.2)
    still = networks.parser.parse(covered)[place].argmax(2) == REGIONS.index("skin")
    assert (still & free).sum() < free.sum() / 2


@pytest.mark.weights
def test_the_bundles_parser_is_the_network_of_its_file(face: Face, bundle: Bundle) -> None:
    network = load_weights(RegionNetwork(), bundle.file("regions"), "parser of regions")
    assert np.abs(by_torch(network, face.crop) - face.odds).max() < 2e-3


def test_touches_are_united_way_by_way() -> None:
    one = Touch(shape=frozenset({"skin"}), matter=frozenset({"hair"}))
    other = Touch(shape=frozenset({"nose", "skin"}), colour=frozenset({"brows"}))
    both = one | other
    assert both.shape == {"skin", "nose"}
    assert both.colour == {"brows"}
    assert both.matter == {"hair"}
    assert both.all == {"skin", "nose", "brows", "hair"}
    assert both == other | one
    assert one | Touch() == one


def test_a_touch_is_told_in_the_order_of_the_regions() -> None:
    hair = frozenset({"hat", "hair"})
    touch = Touch(shape=frozenset({"lips", "nose", "skin"}), matter=hair)
    assert str(touch) == "shape: skin nose lips; matter: hair hat"
    assert str(Touch(colour=hair)) == "colour: hair hat"
    assert str(Touch(matter=hair, closes=True)) == "matter: hair hat; the mouth may close"
    assert str(Touch(matter=hair, motion=0.5)) == "matter: hair hat; 50% of the motion"
    assert str(Touch(matter=hair, tone=False)) == "matter: hair hat; the face keeps its tone"
    assert str(Touch()) == ""


def test_each_region_has_its_colour() -> None:
    labels = np.array([[*range(len(REGIONS)), 255]], np.uint8)
    colours = draw_regions(labels)
    assert colours.shape == (1, len(REGIONS) + 1, 3)
    assert len(np.unique(colours[0], axis=0)) == len(REGIONS) + 1
    assert not colours[0, -1].any()
