"""Fitting the meter of hair colours on labelled generated faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..editing.hair_colour import COLOURS, HairColours, hair_look, terms
from ..editing.labelled import LabelledFaces
from ..editing.scores import auc as area
from ..faces.regions import Parser
from ..models.protocols import Generator
from .clusters import show_face

_DECAY = 1e-3


def fit_hair_colours(
    faces: LabelledFaces,
    generator: Generator,
    parser: Parser,
    each: int = 220,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> HairColours:
    """Logistic regressions on up to ``each`` faces of every colour, a third of them left out for
    the AUC."""
    labels = faces.labels[:, [faces.names.index(name) for name in COLOURS]].astype(bool)
    rng = np.random.default_rng(seed)
    only = labels.sum(1) == 1
    chosen = [
        face
        for j in range(len(COLOURS))
        for face in rng.permutation(np.flatnonzero(labels[:, j] & only))[:each].tolist()
    ]
    looks, told = [], []
    for done, face in enumerate(chosen, 1):
        picture = show_face(generator, np.asarray(faces.codes[face], np.float32))
        crop = np.asarray(picture / 255, np.float32)
        look = hair_look(crop, parser.parse(crop))
        if look is not None:
            looks.append(look)
            told.append(labels[face])
        if done % 100 == 0:
            report(f"{done} of {len(chosen)} faces")
    return fitted(np.stack(looks), np.stack(told), rng)


def fitted(
    looks: NDArray[np.float64], labels: NDArray[np.bool_], rng: np.random.Generator
) -> HairColours:
    """The regressions of looks (n, 7) and labels (n, 4)."""
    order = rng.permutation(len(looks))
    held_out, train = order[: len(order) // 3], order[len(order) // 3 :]
    mean, scale = looks[train].mean(0), looks[train].std(0) + 1e-9
    values = terms((looks - mean) / scale)
    weights, auc = [], {}
    for j, name in enumerate(COLOURS):
        sign = np.where(labels[train, j], 1.0, -1.0)

        def loss(w: NDArray[np.float64], sign: NDArray[np.float64] = sign) -> float:
            wrong = np.logaddexp(0, -sign * (values[train] @ w)).mean()
            return float(wrong + _DECAY * (w @ w))

        w = minimize(loss, np.zeros(values.shape[1])).x
        weights.append(w)
        auc[name] = round(area(values[held_out] @ w, labels[held_out, j]), 4)
    return HairColours(mean, scale, np.stack(weights), auc)
