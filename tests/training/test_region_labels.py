"""Labels from made-up maps of clusters, whose numbers are those of the regions, and a made-up mesh;
and with the shipped clusters on a generated face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from videdit.faces.detection import largest
from videdit.faces.regions import PARSED, REGIONS, SIDE
from videdit.models.networks import Networks
from videdit.training.clusters import (
    BORDER,
    GRID,
    Clusters,
    activations,
    load_names,
    show_face,
)
from videdit.training.region_labels import (
    _CHIN,
    _EYES,
    _LIPS,
    _MOUTH,
    _NOSE_ROOT,
    _OVAL,
    UNKNOWN,
    label_regions,
)

NAMES = (*REGIONS, BORDER)
CENTRE = 0.5, 0.55  # of the face, in crop units
FACE = 0.2, 0.3  # half its width and height
EYE = 0.06, 0.03
EYES = ((0.42, 0.47), (0.58, 0.47))
LIPS, MOUTH, LIPS_AT = (0.09, 0.05), (0.06, 0.02), (0.5, 0.7)


def around(
    vertices: tuple[int, ...], centre: tuple[float, float], radii: tuple[float, float]
) -> NDArray[np.float64]:
    angle = np.arange(len(vertices)) * 2 * np.pi / len(vertices)
    return np.column_stack(
        (centre[0] + radii[0] * np.sin(angle), centre[1] - radii[1] * np.cos(angle))
    )


def mesh(open_by: float = MOUTH[1]) -> NDArray[np.float32]:
    """A face whose parts are ellipses."""
    points = np.full((468, 3), CENTRE[0], np.float64)
    points[list(_OVAL), :2] = around(_OVAL, CENTRE, FACE)
    for vertices, at in zip(_EYES, EYES, strict=True):
        points[list(vertices), :2] = around(vertices, at, EYE)
    points[list(_LIPS), :2] = around(_LIPS, LIPS_AT, LIPS)
    points[list(_MOUTH), :2] = around(_MOUTH, LIPS_AT, (MOUTH[0], open_by))
    points[_NOSE_ROOT, :2] = CENTRE[0], 0.46
    assert points[_CHIN, 1] == pytest.approx(0.85)
    return points.astype(np.float32)


def ellipse(
    side: int, centre: tuple[float, float], radii: tuple[float, float], wider: float = 0
) -> NDArray[np.bool_]:
    """The pixels of a map within an ellipse whose radii are ``wider`` by so many pixels."""
    axis = (np.arange(side) + 0.5) / side
    x, y = (axis[None] - centre[0]), (axis[:, None] - centre[1])
    across, down = (max(radius + wider / side, 1e-9) for radius in radii)
    return np.asarray((x / across) ** 2 + (y / down) ** 2 < 1)


def head() -> NDArray[np.uint8]:
    """A map of clusters: skin in the oval of the face, background around it."""
    return np.where(ellipse(GRID, CENTRE, FACE), at("skin"), at("background")).astype(np.uint8)


def at(name: str) -> int:
    return NAMES.index(name)


def labelled(
    clusters: NDArray[np.uint8],
    picture: NDArray[np.uint8] | None = None,
    points: NDArray[np.float32] | None = None,
) -> NDArray[np.str_]:
    """(128, 128) names of the regions, of a picture that is grey if none is given."""
    if picture is None:
        picture = np.full((PARSED, PARSED, 3), 128, np.uint8)
    before = clusters.copy()
    labels = label_regions(clusters, NAMES, picture, mesh() if points is None else points)
    assert labels.shape == (SIDE, SIDE)
    assert labels.dtype == np.uint8
    assert np.array_equal(clusters, before)
    return np.array([*REGIONS, *["?"] * (256 - len(REGIONS))])[labels]


def spot(crop_x: float, crop_y: float) -> tuple[int, int]:
    """The pixel of the result at a place, row and column."""
    return int(crop_y * SIDE), int(crop_x * SIDE)


def test_eyes_lips_and_mouth_are_drawn_from_the_mesh() -> None:
    clusters = head()
    clusters[ellipse(GRID, (0.5, 0.35), (0.05, 0.02))] = at("lips")  # the clusters' are forgotten
    clusters[ellipse(GRID, (0.42, 0.6), (0.05, 0.02))] = at("eyes")
    clusters[ellipse(GRID, (0.58, 0.6), (0.05, 0.02))] = at("mouth")
    found = labelled(clusters)
    eyes = [ellipse(SIDE, eye, EYE, 1) for eye in EYES]
    lips, mouth = ellipse(SIDE, LIPS_AT, LIPS, 1), ellipse(SIDE, LIPS_AT, MOUTH, 1)
    assert not (found[~(eyes[0] | eyes[1])] == "eyes").any()
    for eye in EYES:
        assert (found[ellipse(SIDE, eye, EYE, -1)] == "eyes").all()
    assert (found[ellipse(SIDE, LIPS_AT, MOUTH, -1)] == "mouth").all()
    assert not (found[~mouth] == "mouth").any()
    assert (found[ellipse(SIDE, LIPS_AT, LIPS, -1) & ~mouth] == "lips").all()
    assert not (found[~lips] == "lips").any()
    for place in ((0.5, 0.35), (0.42, 0.6), (0.58, 0.6)):
        assert found[spot(*place)] == "skin"


def test_a_closed_mouth_shows_no_mouth() -> None:
    found = labelled(head(), points=mesh(open_by=0))
    assert not (found == "mouth").any()
    assert (found[ellipse(SIDE, LIPS_AT, LIPS, -1)] == "lips").all()


def test_what_lies_before_the_face_stays_before_it() -> None:
    clusters = head()
    hand, lens = (0.56, 0.72), EYES[0]
    clusters[ellipse(GRID, hand, (0.06, 0.12))] = at("background")
    clusters[ellipse(GRID, lens, (0.09, 0.06))] = at("glasses")
    found = labelled(clusters)
    assert found[spot(0.57, 0.7)] == "background"
    assert found[spot(0.44, 0.7)] in ("lips", "mouth")
    assert (found[ellipse(SIDE, lens, (0.09, 0.06), -2)] == "glasses").all()
    assert found[spot(*EYES[1])] == "eyes"


def test_lips_and_mouth_are_drawn_into_a_beard() -> None:
    clusters = head()
    clusters[ellipse(GRID, (0.5, 0.72), (0.14, 0.1))] = at("beard")
    found = labelled(clusters)
    assert found[spot(*LIPS_AT)] == "mouth"
    assert found[spot(0.5, 0.738)] == "lips"
    assert found[spot(0.5, 0.79)] == "beard"


@pytest.mark.parametrize(("pixels", "expected"), [(20, "skin"), (40, "beard")])
def test_a_beard_is_larger_than_a_few_pixels(pixels: int, expected: str) -> None:
    clusters = head()
    clusters[48:50, 32 - pixels // 4 : 32 + pixels // 4] = at("beard")
    assert (clusters == at("beard")).sum() == pixels
    found = labelled(clusters)
    assert (found[97:99, 61:67] == expected).all()
    assert ("beard" in found) == (expected == "beard")


@pytest.mark.parametrize(
    ("x", "pixels", "stay"), [(0.5, 60, True), (0.5, 18, False), (0.1, 60, False)]
)
def test_glasses_are_large_and_on_the_face(x: float, pixels: int, stay: bool) -> None:
    clusters = head()
    left = int(x * GRID) - pixels // 12
    clusters[26:32, left : left + pixels // 6] = at("glasses")
    assert (clusters == at("glasses")).sum() == pixels
    assert ("glasses" in labelled(clusters)) == stay


def test_borders_are_told_by_colour() -> None:
    """Between dark hair and a bright face, where the clusters don't know."""
    clusters = np.full((GRID, GRID), at("skin"), np.uint8)
    clusters[:, :29], clusters[:, 29:31] = at("hair"), at(BORDER)
    picture = np.full((PARSED, PARSED, 3), (210, 170, 150), np.uint8)
    edge = 118 + np.arange(PARSED) // 16 % 3 * 2  # a jagged one, all of it within the border
    picture[np.arange(PARSED)[None] < edge[:, None]] = (40, 30, 25)
    above = slice(4, 40)  # the eyes, and off the crop's edge
    found = labelled(clusters, picture)[above, 20:100]
    dark = picture[1::2, 1::2, 0][above, 20:100] < 100
    assert len({row.sum() for row in dark}) == 3
    assert np.array_equal(found, np.where(dark, "hair", "skin"))


def test_a_cluster_between_two_regions_goes_to_the_like_colour_near() -> None:
    clusters = np.full((GRID, GRID), at("background"), np.uint8)
    clusters[:, 40:] = at("hair")
    clusters[10:13, 20:24] = clusters[10:13, 50:54] = at(BORDER)
    picture = np.full((PARSED, PARSED, 3), 128, np.uint8)
    found = labelled(clusters, picture)
    assert (found[20:26, 40:48] == "background").all()
    assert (found[20:26, 100:108] == "hair").all()


def test_clusters_that_end_a_pixel_too_far_are_corrected() -> None:
    clusters = np.full((GRID, GRID), at("skin"), np.uint8)
    clusters[:, :30] = at("hair")
    picture = np.full((PARSED, PARSED, 3), (210, 170, 150), np.uint8)
    picture[:, :118] = (40, 30, 25)
    above = slice(4, 40)
    assert (labelled(clusters, picture)[above, 40:59] == "hair").all()
    assert (labelled(clusters, picture)[above, 59:80] == "skin").all()
    clusters[:, 20:30] = at("brows")  # no large region: it keeps its place
    assert (labelled(clusters, picture)[above, 40:60] == "brows").all()


def test_of_like_colours_the_nearest_counts_most() -> None:
    clusters = np.full((GRID, GRID), at("skin"), np.uint8)
    clusters[:, :28], clusters[:, 28], clusters[:, 29:31] = at("ears"), at("hair"), at(BORDER)
    found = labelled(clusters)[8:36]
    assert (found[:, 59] == "hair").all()  # of which there is less within reach
    assert (found[:, 61] == "skin").all()


def test_what_is_far_from_all_that_is_known_stays_unknown() -> None:
    clusters = np.full((GRID, GRID), at("hair"), np.uint8)
    clusters[2:22, 2:22] = at(BORDER)
    found = labelled(clusters)
    assert (found[4:44, 4:44] == "?").mean() == pytest.approx(30**2 / 40**2)
    assert (found[9:39, 9:39] == "?").all()


def test_cloth_is_a_hat_above_the_eyes_and_background_beside_them() -> None:
    clusters = head()
    clusters[8:18, 24:40] = at("clothes")
    clusters[8:18, 2:8] = clusters[36:48, 2:8] = at("clothes")
    clusters[58:, 24:40] = at("clothes")
    found = labelled(clusters)
    assert (found[20:32, 52:76] == "hat").all()
    assert (found[20:32, 6:14] == "background").all()
    assert (found[76:92, 6:14] == "background").all()
    assert (found[120:126, 52:76] == "clothes").all()
    assert not (found[:100] == "clothes").any()


def test_what_is_below_the_chin_is_shoulders_and_background_beyond_them() -> None:
    found = labelled(head())
    assert (found[122:126, 40:88] == "clothes").all()
    assert (found[112:118, 2:10] == "background").all()
    assert (found[:100, :30] == "background").all()


def test_skin_below_the_chin_is_neck_and_beside_the_head_somebody_else() -> None:
    clusters = head()
    clusters[56:, 24:40] = at("skin")
    clusters[40:46, 28:36] = at("neck")  # within the face
    clusters[20:30, 2:8] = at("skin")
    clusters[34:44, 2:8] = at("neck")
    found = labelled(clusters)
    assert (found[116:126, 52:76] == "neck").all()
    assert not (found[:104] == "neck").any()
    assert (found[80:82, 58:70] == "skin").all()
    assert (found[42:58, 6:14] == "background").all()
    assert (found[70:86, 6:14] == "background").all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_labels_are_regions_or_unknown(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, len(NAMES), (8, 8)).astype(np.uint8)
    clusters = np.kron(coarse, np.ones((8, 8), np.uint8))
    picture = rng.integers(0, 256, (PARSED, PARSED, 3), np.uint8)
    labels = label_regions(clusters, NAMES, picture, mesh())
    assert labels.dtype == np.uint8
    assert labels.shape == (SIDE, SIDE)
    assert set(np.unique(labels).tolist()) <= {*range(len(REGIONS)), UNKNOWN}


@pytest.mark.weights
def test_the_shipped_clusters_know_a_generated_face(networks: Networks) -> None:
    data = Path(__file__).parents[2] / "training_data"
    code = np.tile(networks.statistics.mean.numpy(), (16, 1)).astype(np.float32)
    picture = show_face(networks.generator, code)
    points = largest(networks.landmarker.detect(picture)).mesh
    assert points is not None
    clusters = Clusters.load(data / "regions.safetensors").of(activations(networks.synthesis, code))
    names = load_names(data / "regions.csv", 64)
    labels = label_regions(clusters, names, picture, points / PARSED)
    assert (labels == UNKNOWN).mean() < 0.02

    def told(*vertices: int) -> str:
        x, y = (points[list(vertices), :2].mean(0) / PARSED * SIDE).astype(int)
        return REGIONS[labels[y, x]]

    assert [told(*eye) for eye in _EYES] == ["eyes", "eyes"]
    assert told(0, 17) in ("lips", "mouth")
    assert told(17, 14) == "lips"
    assert {told(50), told(280), told(9)} == {"skin"}  # cheeks and brow
    assert told(195) == "nose"
    assert REGIONS[labels[2, SIDE // 2]] in ("hair", "background")
    assert {REGIONS[labels[2, 2]], REGIONS[labels[2, -3]]} == {"background"}
    assert {"hair", "brows", "neck"} <= {REGIONS[k] for k in np.unique(labels) if k != UNKNOWN}
