"""From a generated picture's clusters to its regions, at twice their resolution.

Clusters know hair from skin from background; where a cluster lies across a border, and along all
borders, the colours decide. Eyes, lips and the inside of the mouth are finer than the grid
and drawn from the mesh. A few rules tell apart what looks alike: a shaved chin from a bearded
one, a cap from a collar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..faces.regions import REGIONS, SIDE
from .clusters import BORDER, GRID

UNKNOWN = 255
"""The label of pixels that nothing is known of."""

_AT = {name: index for index, name in enumerate(REGIONS)}

# Vertices of MediaPipe's face mesh, around the eyes, the lips, the inside of the mouth, the face.
_EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)
_MOUTH = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_CHIN, _NOSE_ROOT = 152, 168

_BEARDED = 0.006  # share of the crop that a beard's cluster takes where there is a beard
_GLASSES = 0.006  # the same for glasses
_NEAR = 5  # pixels within which a colour is looked for
_COLOUR = 9.0  # CIE Lab units within which colours are alike


def label_regions(
    clusters: NDArray[np.uint8],
    names: Sequence[str],
    picture: NDArray[np.uint8],
    mesh: NDArray[np.floating[Any]],
) -> NDArray[np.uint8]:
    """The regions of a generated face.

    Args:
        clusters: (64, 64) from ``Clusters.of``.
        names: of the clusters.
        picture: (256, 256, 3) RGB.
        mesh: (468, 2 or more) the face mesh, in crop units.

    Returns:
        (128, 128) indices into ``REGIONS``, or ``UNKNOWN``.
    """
    points = np.asarray(mesh, np.float64)[:, :2]
    table = np.array([UNKNOWN if name == BORDER else _AT[name] for name in names], np.uint8)
    labels = table[clusters]
    _tell_apart(labels, points)
    labels = np.where(_on_border(labels), UNKNOWN, labels).astype(np.uint8)
    fine = cv2.resize(labels, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    fine = _by_colour(fine.astype(np.uint8), np.asarray(small, np.uint8))
    _draw(fine, points)
    return fine


def _tell_apart(labels: NDArray[np.uint8], points: NDArray[np.float64]) -> None:
    """Correct, in place, what clusters confuse."""
    axis = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(axis, axis)
    chin, root = points[_CHIN], points[_NOSE_ROOT]
    width = float(np.ptp(points[:, 0]))
    oval = np.zeros((GRID, GRID), np.uint8)
    cv2.fillPoly(oval, [np.rint(points[list(_OVAL)] * GRID).astype(np.int32)], 1)
    face = cv2.dilate(oval, np.ones((3, 3), np.uint8)) > 0
    beard = labels == _AT["beard"]
    if beard.mean() < _BEARDED:
        labels[beard] = _AT["skin"]
    glasses = labels == _AT["glasses"]
    if glasses.mean() < _GLASSES or (glasses & ~face).sum() > glasses.sum() / 2:
        labels[glasses] = UNKNOWN
    below = y > chin[1]
    head = (np.abs(x - root[0]) < 0.75 * width) & (y < root[1])
    cloth = labels == _AT["clothes"]
    labels[cloth & head] = _AT["hat"]
    labels[cloth & ~head & ~below] = _AT["background"]
    # Shoulders open downwards from the chin.
    shoulders = (y - chin[1]) * 3 + 0.25 * width > np.abs(x - chin[0])
    labels[(labels == _AT["background"]) & below & shoulders] = _AT["clothes"]
    skin = labels == _AT["skin"]
    neck = labels == _AT["neck"]
    labels[skin & ~face & below] = _AT["neck"]
    labels[neck & face & ~below] = _AT["skin"]
    # Other people and hands.
    aside = np.abs(x - root[0]) > 0.85 * width
    labels[(skin | neck) & aside & ~below] = _AT["background"]


def _on_border(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where one of the large regions meets another: a cluster's pixel is two or four of the
    picture's."""
    large = np.isin(
        labels, [_AT[n] for n in ("background", "clothes", "skin", "neck", "hair", "hat")]
    )
    wide, wide_large = np.pad(labels, 1, mode="edge"), np.pad(large, 1, mode="edge")
    border = np.zeros(labels.shape, bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        other = slice(dy, dy + len(labels)), slice(dx, dx + labels.shape[1])
        border |= large & (wide[other] != labels) & wide_large[other]
    return border


def _by_colour(labels: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give unknown pixels the label that is most common among the known ones near them of like
    colour."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    rows, columns = np.nonzero(labels == UNKNOWN)
    votes = np.zeros((len(rows), len(REGIONS)), np.float32)
    wide = cv2.copyMakeBorder(labels, *(_NEAR,) * 4, cv2.BORDER_CONSTANT, value=UNKNOWN)
    colours = cv2.copyMakeBorder(lab, *(_NEAR,) * 4, cv2.BORDER_REPLICATE)
    own = lab[rows, columns]
    for dy in range(-_NEAR, _NEAR + 1):
        for dx in range(-_NEAR, _NEAR + 1):
            at = rows + dy + _NEAR, columns + dx + _NEAR
            label = wide[at]
            known = np.flatnonzero(label != UNKNOWN)
            apart = ((colours[at] - own) ** 2).sum(1)[known] / (2 * _COLOUR**2)
            near = (dx * dx + dy * dy) / (2 * (_NEAR / 2) ** 2)
            votes[known, label[known]] += np.exp(-apart - near)
    out = labels.copy()
    found = votes.max(1) > 0
    out[rows[found], columns[found]] = votes.argmax(1)[found]
    return out


def _draw(labels: NDArray[np.uint8], points: NDArray[np.float64]) -> None:
    """Draw, in place, the parts that the mesh knows better, where nothing lies before them."""

    def inside(vertices: Sequence[int]) -> NDArray[np.bool_]:
        # Drawn large and reduced: OpenCV fills the outline as well, which would open every mouth.
        mask = np.zeros((SIDE * 8, SIDE * 8), np.float32)
        cv2.fillPoly(mask, [np.rint(points[list(vertices)] * SIDE * 8).astype(np.int32)], 1)
        return cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0.5

    free = np.isin(
        labels, [_AT[n] for n in ("skin", "eyes", "nose", "lips", "mouth", "brows")] + [UNKNOWN]
    )
    for name in ("eyes", "lips", "mouth"):
        labels[free & (labels == _AT[name])] = _AT["skin"]
    lips, mouth = inside(_LIPS), inside(_MOUTH)
    for eye in _EYES:
        labels[free & inside(eye)] = _AT["eyes"]
    bearded = labels == _AT["beard"]
    labels[(free | bearded) & lips] = _AT["lips"]
    labels[(free | bearded) & mouth] = _AT["mouth"]
