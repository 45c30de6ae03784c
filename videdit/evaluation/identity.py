"""Whether two pictures show the same person: dlib's face descriptor, which only ever measures.

The network (King 2017, ResNet, 128 numbers, 99.38 % on LFW, public domain) takes no part in any
training here and has no gradient. Two pictures of one person are usually nearer than 0.6.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError

SAME_PERSON = 0.6
_PROCESSORS = 5
"""With fewer, the networks before it leave none idle."""

_MOST = 16


class IdentityMeter:
    """dlib's descriptor of faces whose landmarks are known.

    Raises:
        WeightsError: the extra ``eval`` is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("face_recognition_models")
        if importlib.util.find_spec("dlib") is None or found is None:
            raise WeightsError(
                "measuring identity needs dlib and its models",
                "Install them in this project's folder: pip install -c constraints.txt '.[eval]'",
            )
        import dlib

        self._others: ProcessPoolExecutor | None = None
        assert found.submodule_search_locations is not None
        # Not imported: the package's code needs a module that newer setuptools have dropped.
        folder = Path(next(iter(found.submodule_search_locations))) / "models"
        self._dlib: Any = dlib
        self._shape = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(
            str(folder / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def describe(
        self, rgb8: NDArray[np.uint8], points68: NDArray[np.floating[Any]], jitters: int = 4
    ) -> NDArray[np.float64]:
        """(128,) descriptor of the face with these landmarks (68, 2), pixels.

        Mean over ``jitters`` slightly moved crops, as dlib's own examples do for single pictures;
        0 takes the crop as it is.
        """
        (left, top), (right, bottom) = points68.min(0), points68.max(0)
        # The landmarks end at the brows, dlib's boxes a little above them.
        top -= 0.15 * (bottom - top)
        box = self._dlib.rectangle(*(round(float(v)) for v in (left, top, right, bottom)))
        pixels = np.ascontiguousarray(rgb8)
        shape = self._shape(pixels, box)
        return np.asarray(self._network.compute_face_descriptor(pixels, shape, jitters), np.float64)

    def describe_all(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        points: Sequence[NDArray[np.floating[Any]]],
    ) -> list[NDArray[np.float64]]:
        """`describe` of many pictures as they are, by as many processes as there are processors
        where there are more than a few of both."""
        pairs = list(zip(pictures, points, strict=True))
        known = getattr(os, "sched_getaffinity", None)
        processors = min(len(known(0)) if known else os.cpu_count() or 1, _MOST)
        if processors < _PROCESSORS or len(pairs) < processors:
            return [self.describe(*pair, jitters=0) for pair in pairs]
        if self._others is None:
            spawned = multiprocessing.get_context("spawn")
            self._others = ProcessPoolExecutor(processors, spawned, _start)
        return list(self._others.map(_described, pairs, chunksize=4))


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Euclidean distance of two descriptors; under `SAME_PERSON` they pass for one person."""
    return float(np.linalg.norm(a - b))


_meter: IdentityMeter | None = None


def _start() -> None:
    global _meter
    _meter = IdentityMeter()


def _described(
    pair: tuple[NDArray[np.uint8], NDArray[np.floating[Any]]],
) -> NDArray[np.float64]:
    assert _meter is not None
    return _meter.describe(*pair, jitters=0)
