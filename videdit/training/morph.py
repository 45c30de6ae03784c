"""People in between: morphs of two real crops.

A few hundred real people are learned by heart within a few hundred steps. A morph takes the shape
and the inner face part of the way from one person to another, so that hardly any face is seen
twice.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

_NEIGHBOURS = 48
"""A partner is one of so many whose landmarks are closest: morphs across poses are no faces."""
_GRID = 33
_SHAPE = (-0.4, 1.2)
_TEXTURE = (0.0, 0.85)


class Morpher:
    """Draws morphs of crops.

    Args:
        crops: (n, s, s, 3) uint8 aligned crops.
        points68: (n, 68, 2) landmarks in pixels of the crops.
    """

    def __init__(self, crops: NDArray[np.uint8], points68: NDArray[np.float32]) -> None:
        self._crops = crops
        self._points = points68
        self._partners = np.stack([self._closest(index) for index in range(len(crops))])

    def _closest(self, index: int) -> NDArray[np.intp]:
        """The others whose landmarks are closest, nearest first; one crop at a time, for the
        distances of all to all don't fit into memory."""
        apart = np.linalg.norm(self._points - self._points[index], axis=2).mean(1)
        apart[index] = np.inf
        count = min(_NEIGHBOURS, len(apart) - 1)
        near = np.argpartition(apart, count - 1)[:count] if count else np.zeros(1, np.intp)
        return np.asarray(near[np.argsort(apart[near], kind="stable")], np.intp)

    def __call__(self, index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A morph of crop ``index`` with a partner: hair and surroundings stay its own."""
        partner = int(rng.choice(self._partners[index]))
        shape, texture = rng.uniform(*_SHAPE), rng.uniform(*_TEXTURE)
        own, other = self._points[index], self._points[partner]
        between = own + shape * (other - own)
        a = _warp(self._crops[index], own, between)
        b = _warp(self._crops[partner], other, between)
        mask = _inner_face(between, a.shape[0])[:, :, None]
        inside = mask[:, :, 0] > 0.5
        matched = b.astype(np.float32)
        for channel in range(3):
            # The partner's skin comes in the light of this picture.
            ours, theirs = a[inside, channel], b[inside, channel]
            gain = (ours.std() + 5) / (theirs.std() + 5)
            matched[:, :, channel] = (matched[:, :, channel] - theirs.mean()) * gain + ours.mean()
        mixed = a + texture * mask * (matched - a)
        return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def _warp(
    crop: NDArray[np.uint8], points: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Move ``points`` to where they are wanted by a thin plate spline that holds the border."""
    size = crop.shape[0]
    edge = np.linspace(0, size - 1, 5)
    border = np.array([(x, y) for x in edge for y in edge if {x, y} & {0, size - 1}])
    spline = RBFInterpolator(
        np.concatenate((wanted, border)),
        np.concatenate((points - wanted, np.zeros_like(border))),
        smoothing=1.0,
    )
    axis = np.linspace(0, size - 1, _GRID)
    x, y = np.meshgrid(axis, axis)
    coarse = spline(np.stack((x.ravel(), y.ravel()), 1)).reshape(_GRID, _GRID, 2)
    shift = cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    ys, xs = np.mgrid[:size, :size].astype(np.float32)
    warped = cv2.remap(
        crop, xs + shift[:, :, 0], ys + shift[:, :, 1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
    )
    return np.asarray(warped, np.uint8)


def _inner_face(points: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """1 inside brows to chin, 0 outside, soft between."""
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points).astype(np.int32)), 1.0)
    shrunk = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=size // 32)
    return np.asarray(cv2.GaussianBlur(shrunk, (0, 0), size / 32), np.float32)
