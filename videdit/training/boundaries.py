"""Fitting the attributes' linear boundaries on labelled codes.

    python -m videdit.training.boundaries training_data/faces weights/mobile/boundaries.safetensors

**Boundary.** Per attribute a logistic regression on the code's rows, in ten groups (a group's
feature is the mean of its rows, in W's leading principal components, times the root of their
number). About half of the labelled faces mix two codes at one row, so the data say which rows an
attribute lives in. They are heard by refitting: after each fit a group's features are scaled by
the root of its share of the score's variance, so that rows which explain nothing fade.
On random faces left out (five folds, eight groups of rows, before the settings were fixed) this
raised the mean AUC from 0.904 to 0.913, most for what lives in few rows (glasses, rows 0-1: 0.976
to 0.988). With the settings below it is 0.912.

**Step.** The boundary's normal n, in units where the score has unit variance over faces, is not the
best direction to walk: it spends much of its length where W has little variance, and it moves other
attributes. The step is

    argmin_d  d' Q^-1 d + mu * sum_k (1 - |corr_jk|) (n_k . d)^2   with  n_j . d fixed,

with Q the square root of W's covariance within each row, restricted to the rows that matter, and
corr the correlation of the labels. The second term is the attribute-preservation loss of the latent
transformer (Yao et al., ICCV 2021) for a linear step; it is InterFaceGAN's conditional projection
(Shen et al. 2020) against all other attributes at once, softly, sparing what goes together in
nature (a smile and raised cheekbones). Measured at equal change (80 % of faces flip) over
twelve attributes, steps, probe and faces from different thirds of the data: the normal keeps
92.3 % of the other judgements at a whitened length of 3.19; covariance times normal 88.8 % at 0.96;
the difference of class means 86.1 % at 1.47; Q as here without the second term 90.9 % at 1.25; with
it 93.2 % at 1.68.

**Pose.** An edited face is laid over the head it came from, so a step must not turn the head.
What a ridge regression on measured poses (``videdit.training.pose``) says that a step does to yaw,
pitch and the size of yaw is taken back along these three's covariances with rows 0-3. Steps that
leave rows 0-1 alone are not corrected. It costs little
(worst is Chubby: alpha 1 adds it to 39 % of the faces without it, 50 % without the correction).
Measured from the meshes of 40 rendered faces, mean absolute change at alpha 1: a smile turns the
head by 1.3 degrees of yaw and 1.3 of pitch, before this and with the longer step of 95 % by 2.1 and
1.7; Young by 0.7 and 1.1, before by 1.0 and 2.2. Blond_Hair, which leaves rows 0-5 alone, measures
0.8 and 0.7. What is left of a smile's yaw grows with the head's own: 9 % of it, 15 % before.
Eyeglasses (1.3 and 2.2) and Male (1.1 and 1.3) gain next to nothing: no direction is common.
Expressions also keep hair, sex, age, glasses and hats firmly, and stay out of rows 8 and up.

**Length.** Alpha 1 takes the score of the median face without the attribute, as a probe fitted on
other faces judges it, to odds of 19:1 (95 %) above the probe's threshold, which is where the probe
calls as many random faces as the labels do; for expressions to 85 %, a plain smile, and 1.5 is a
broad one. No row moves by more than ``MAX_ROW_SHIFT`` in
whitened coordinates at alpha 1: by eye, pictures break at about twice that.
"""

from __future__ import annotations

import argparse
import bisect
import csv
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..editing.attributes import NAMES
from ..editing.boundaries import ROWS, STYLE_DIM, Boundaries, Quality
from ..errors import InputError
from .pose import POSE

Array = npt.NDArray[np.float64]

GROUPS = ((0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 10), (10, 12), (12, 16))
"""First and last-plus-one row of each group; rows 0 and 1 are never told apart by a crossover."""

MAX_ROW_SHIFT = np.array([4.0] * 6 + [6.0] * 10)
"""(16,) largest whitened length by which alpha 1 may move each row; finer rows bear more."""

_FOLDS = 5

# How far a step may touch rows 0-1, 2-3, 4-5, 6-7, 8-11 and 12-15, whatever correlates with the
# attribute in the data; within that the fit decides.
_SECTIONS = (2, 4, 6, 8, 12, 16)
_KINDS = {
    # Inside the face. Rows 0-1 turn the head and change the hair's outline, so they take a small
    # part: leaving them out altogether doubles the length and breaks pictures. The finest rows only
    # recolour.
    "face": (0.3, 1.0, 1.0, 1.0, 1.0, 0.0),
    # As face, without rows 8-11, which add nothing to a smile, and with who it is, the hair and
    # what is worn held firmly. Lips, noses and brows don't bear that: it halves what a step adds.
    "expression": (0.3, 1.0, 1.0, 1.0, 0.0, 0.0),
    # Hair, hats, glasses, the head's outline: that is what rows 0-1 are for.
    "shape": (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    "makeup": (0.0, 0.0, 1.0, 1.0, 1.0, 1.0),
    "colour": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0),
    "all": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
}
_KIND_OF = {
    **dict.fromkeys(("Smiling", "Mouth_Slightly_Open", "High_Cheekbones"), "expression"),
    **dict.fromkeys(("Bald", "Bangs", "Receding_Hairline", "Straight_Hair", "Wavy_Hair"), "shape"),
    **dict.fromkeys(("Chubby", "Double_Chin", "Oval_Face", "Eyeglasses", "Wearing_Hat"), "shape"),
    **dict.fromkeys(("Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie"), "shape"),
    **dict.fromkeys(("Heavy_Makeup", "Wearing_Lipstick"), "makeup"),
    **dict.fromkeys(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"), "colour"),
    **dict.fromkeys(("Pale_Skin", "Rosy_Cheeks"), "colour"),
    "Blurry": "all",
}

_FIRM = (
    *("Male", "Young", "Eyeglasses", "Wearing_Hat", "Bald", "Bangs", "Receding_Hairline"),
    *("Straight_Hair", "Wavy_Hair", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
)
"""What expressions keep above all."""

POSE_ROWS = 4
"""The pose is corrected in the rows below this one; 0-3 explain 94 % of the predicted yaw."""


def _kind(name: str) -> str:
    return _KIND_OF.get(name, "face")


def _row_weights(name: str) -> Array:
    """(10,) the weight of each group of rows in the steps of an attribute."""
    weights = _KINDS[_kind(name)]
    return np.array([weights[bisect.bisect_right(_SECTIONS, start)] for start, _ in GROUPS])


@dataclass(frozen=True)
class BoundaryTraining:
    """Settings of the fit; the defaults made what ships.

    Attributes:
        components: principal components of W that are used.
        inverse_penalty: scikit-learn's C.
        refits: how often the groups of rows are reweighted.
        floor: part of a group's weight that does not depend on the fit before, 0 to 1.
        preserve: mu, how much other attributes count in a step.
        firm: what mu (1 - |corr|) is at least, for what an expression must keep.
        pose_penalty: of the ridge regression of the pose.
        relevant: groups with less than this share of the largest group's score variance keep the
            source's rows.
        confidence: what the median face's probability rises to at alpha 1.
        expression_confidence: the same for expressions, whose strength is a matter of degree.
    """

    components: int = 256
    inverse_penalty: float = 0.3
    refits: int = 2
    floor: float = 0.1
    preserve: float = 0.3
    firm: float = 30.0
    pose_penalty: float = 3.0
    relevant: float = 0.05
    confidence: float = 0.95
    expression_confidence: float = 0.85


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    # Opened here: numpy leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@dataclass(frozen=True)
class LabelledFaces:
    """What ``training_data/faces`` holds, see the README there.

    Attributes:
        first, second: (n, 512) the two codes of each face, minus W's mean.
        from_first: (n, 16) 1 where a row is the first code's, else 0.
        truncation: (n,) how far codes were drawn to the mean, already applied.
        labels: (n, 40) 0 or 1.
        random: (n,) bool, whether the face was sampled at random.
        mean: (512,) W's mean.
    """

    first: Array
    second: Array
    from_first: Array
    truncation: Array
    labels: npt.NDArray[np.int64]
    random: npt.NDArray[np.bool_]
    mean: Array

    @classmethod
    def load(cls, folder: Path) -> LabelledFaces:
        """Reads ``latents.npz`` and ``labels.csv``.

        Raises:
            InputError: missing, damaged, or the two don't belong together.
        """
        try:
            with open(folder / "labels.csv", newline="") as file:
                header, *table = list(csv.reader(file))
            faces = _read(folder / "latents.npz")
            if tuple(header) != ("id", "sampling", *NAMES):
                raise ValueError("labels.csv has other columns")
            if [int(row[0]) for row in table] != faces["id"].tolist():
                raise ValueError("the two files list different faces")
            mean = faces["w_mean"].astype(np.float64)
            return cls(
                faces["w_a"] - mean,
                faces["w_b"] - mean,
                faces["from_a"].astype(np.float64),
                faces["psi"].astype(np.float64),
                np.array([[int(label) for label in row[2:]] for row in table]),
                np.array([row[1] == "random" for row in table]),
                mean,
            )
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"the labelled faces in {folder} cannot be read ({error})",
                "It takes latents.npz and labels.csv, see training_data/faces/README.md.",
            ) from error


@dataclass(frozen=True)
class PosedFaces:
    """What ``pose.npz`` holds: generated faces and how their heads are held.

    Attributes:
        first, second: (n, 512) the two codes of each face, minus W's mean.
        from_first: (n, 16) 1 where a row is the first code's, else 0.
        pose: (n, 6) see ``videdit.training.pose``.
    """

    first: Array
    second: Array
    from_first: Array
    pose: Array

    @classmethod
    def load(cls, folder: Path, mean: Array) -> PosedFaces:
        """Reads ``pose.npz``.

        Args:
            folder: where it is.
            mean: (512,) W's mean.

        Raises:
            InputError: missing or damaged.
        """
        try:
            faces = _read(folder / "pose.npz")
            first = faces["w_a"] - mean
            crossover, pose = faces["crossover"], faces["pose"].astype(np.float64)
            second = first.copy()
            second[crossover < ROWS] = faces["w_b"] - mean
            if crossover.shape != first.shape[:1] or pose.shape != (len(first), len(POSE)):
                raise ValueError("its arrays don't fit together")
            from_first = (np.arange(ROWS) < crossover[:, None]).astype(np.float64)
            return cls(first, second, from_first, pose)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"the measured poses in {folder} cannot be read ({error})",
                "It takes pose.npz, see training_data/faces/README.md.",
            ) from error


class _Features:
    """Codes as rows of numbers: group by group, principal component by component.

    Scaled so that a code of W has variance 1 in each group.
    """

    def __init__(self, faces: LabelledFaces, components: int) -> None:
        truncation = faces.truncation[faces.random][:, None]
        codes = np.concatenate(
            [faces.first[faces.random] / truncation, faces.second[faces.random] / truncation]
        )
        values, vectors = np.linalg.eigh(np.cov(codes.T))
        kept = slice(None, -components - 1, -1)
        self.axes: Array = vectors[:, kept]
        self.unit = math.sqrt(values.sum())
        variance = np.maximum(values[kept], 1e-6 * values[-1]) / values.sum()
        self.variance: Array = np.tile(variance, len(GROUPS))
        table = self._of(faces)
        self._centre = table.mean(0)
        self.table: npt.NDArray[np.float32] = (table - self._centre).astype(np.float32)

    def _of(self, faces: LabelledFaces | PosedFaces) -> Array:
        columns = []
        for start, stop in GROUPS:
            share = faces.from_first[:, start:stop].sum(1, keepdims=True)
            total = share * faces.first + (stop - start - share) * faces.second
            columns.append(total @ self.axes / (self.unit * math.sqrt(stop - start)))
        return np.concatenate(columns, 1)

    def of(self, faces: LabelledFaces | PosedFaces) -> npt.NDArray[np.float32]:
        """(n, features) of other faces, in the same coordinates as ``table``."""
        table: npt.NDArray[np.float32] = (self._of(faces) - self._centre).astype(np.float32)
        return table

    def spread(self, groups: Array) -> Array:
        """(10, ...) values of groups to (10 * components, ...) values of features."""
        return np.repeat(groups, len(self.variance) // len(GROUPS), 0)

    def rows(self, step: Array) -> Array:
        """A step in features to a (16, 512) step in W units."""
        out = np.zeros((ROWS, STYLE_DIM))
        for (start, stop), part in zip(GROUPS, step.reshape(len(GROUPS), -1), strict=True):
            out[start:stop] = part @ self.axes.T * (self.unit / math.sqrt(stop - start))
        return out

    def row_shifts(self, step: Array) -> Array:
        """(16,) whitened length by which a step in features moves each row."""
        squares = (step**2 / self.variance).reshape(len(GROUPS), -1).sum(1)
        counts = np.array([stop - start for start, stop in GROUPS])
        return np.repeat(np.sqrt(squares / counts), counts)


@dataclass(frozen=True)
class _Scores:
    """Fitted boundaries: 40 linear scores of the features.

    Attributes:
        normals: (40, features).
        offsets: (40,) so that a score above 0 means that the attribute is there.
        shares: (40, 10) each group's share of the score's variance.
        spread: (40,) the score's standard deviation over random faces.
    """

    normals: Array
    offsets: Array
    shares: Array
    spread: Array

    def of(self, table: npt.NDArray[np.float32]) -> Array:
        return table @ self.normals.T + self.offsets


def _fit_one(
    features: _Features, table: npt.NDArray[np.float32], labels: Array, how: BoundaryTraining
) -> tuple[Array, Array]:
    """The normal and the groups' shares of one attribute."""
    from sklearn.linear_model import LogisticRegression

    scale = np.ones(len(GROUPS))
    for _ in range(how.refits + 1):
        weights = features.spread(scale)
        model = LogisticRegression(
            C=how.inverse_penalty, class_weight="balanced", max_iter=300, tol=1e-3
        )
        model.fit(table * weights.astype(np.float32), labels)
        normal = model.coef_[0] * weights
        shares = (normal**2 * features.variance).reshape(len(GROUPS), -1).sum(1)
        shares /= shares.sum()
        scale = np.sqrt(shares * len(GROUPS) * (1 - how.floor) + how.floor)
    return normal, shares


def _fit_all(
    features: _Features, faces: LabelledFaces, chosen: npt.NDArray[np.bool_], how: BoundaryTraining
) -> _Scores:
    """Boundaries of all attributes from the chosen faces; thresholds from the random ones."""
    table = features.table[chosen]
    fits = [_fit_one(features, table, faces.labels[chosen, j], how) for j in range(len(NAMES))]
    normals = np.stack([normal for normal, _ in fits])
    scores = features.table[chosen & faces.random] @ normals.T
    rates = faces.labels[chosen & faces.random].mean(0)
    thresholds = [np.quantile(scores[:, j], 1 - rates[j]) for j in range(len(NAMES))]
    return _Scores(
        normals, -np.array(thresholds), np.stack([share for _, share in fits]), scores.std(0)
    )


@dataclass(frozen=True)
class _Pose:
    """What a step must hold, in standard deviations.

    Attributes:
        slopes: (3, features) ridge regressions: what a step changes.
        turns: (3, features) covariances with the codes' coarse rows: how to change it back.
    """

    slopes: Array
    turns: Array


def _fit_pose(features: _Features, faces: PosedFaces, how: BoundaryTraining) -> _Pose:
    """Regressions of the pose.

    It is yaw, pitch, and the size of yaw: faces seen from the front smile more, so that a
    smile's step turns any head to the front, whichever way it looks. Roll is no part of it: the
    pictures are aligned, what is left (1.2 degrees) codes hardly explain (R2 0.17).
    """
    table = features.of(faces)
    table = table - table.mean(0)
    yaw, pitch = faces.pose[:, 0], faces.pose[:, 1]
    held = np.column_stack([yaw, pitch, np.abs(yaw)])
    held = ((held - held.mean(0)) / held.std(0)).astype(np.float32)
    gram, moments = table.T @ table, table.T @ held
    scale, slopes = np.ones(len(GROUPS)), np.zeros(moments.T.shape)
    for _ in range(how.refits + 1):
        weights = features.spread(scale)
        system = gram * weights * weights[:, None] + how.pose_penalty * np.eye(len(gram))
        slopes = np.linalg.solve(system, moments * weights[:, None]).T * weights
        shares = (slopes**2 * features.variance).reshape(-1, len(GROUPS), len(features.axes.T))
        scale = np.sqrt(
            shares.sum((0, 2)) / shares.sum() * len(GROUPS) * (1 - how.floor) + how.floor
        )
    coarse = features.spread(np.array([float(start < POSE_ROWS) for start, _ in GROUPS]))
    # Not the slopes times the codes' covariance: that has the slopes' own errors in it, so that
    # it promises more than it turns (by a sixth, for the size of yaw by a half).
    return _Pose(slopes, moments.T / len(table) * coarse)


def _hold(step: Array, pose: _Pose) -> Array:
    """The (features,) step without what it does to the pose, see the module's head."""
    turned = np.linalg.solve(pose.slopes @ pose.turns.T, pose.slopes @ step)
    result: Array = step - turned @ pose.turns
    return result


def _preserved(faces: LabelledFaces, how: BoundaryTraining) -> Array:
    """(40, 40) how much an edit of the row's attribute keeps the column's."""
    correlation = np.nan_to_num(np.corrcoef(faces.labels[faces.random].T))
    weights: Array = how.preserve * (1 - np.abs(correlation))
    firm = [NAMES.index(name) for name in _FIRM]
    for j, name in enumerate(NAMES):
        if _kind(name) == "expression":
            weights[j, firm] = np.maximum(weights[j, firm], how.firm)
    return weights


def _steps(
    features: _Features, scores: _Scores, pose: _Pose, preserved: Array, how: BoundaryTraining
) -> Array:
    """(40, features) steps of whitened length 1 (root mean square over the 16 rows).

    Args:
        features: the coordinates.
        scores: the boundaries.
        pose: ``_fit_pose``.
        preserved: ``_preserved``.
        how: settings.
    """
    normals = scores.normals / scores.spread[:, None]
    steps = np.zeros_like(normals)
    for j, name in enumerate(NAMES):
        weights = _row_weights(name)
        coarse = weights[0] > 0
        shares = scores.shares[j] * (weights > 0)
        weights = weights * (shares >= how.relevant * shares.max())
        metric = np.sqrt(features.variance) * features.spread(weights)
        others = np.arange(len(NAMES)) != j
        moved = (normals[others] * metric).T
        # Woodbury: 39 unknowns in place of thousands. An attribute that always goes along with
        # this one has weight 0; it must not divide.
        loads = 1 / np.maximum(preserved[j, others], 1e-9)
        inner = np.diag(loads) + normals[others] @ moved
        step = metric * normals[j] - moved @ np.linalg.solve(inner, moved.T @ normals[j])
        if coarse:
            step = _hold(step, pose)
        steps[j] = step / np.sqrt((features.row_shifts(step) ** 2).mean())
    return steps


def _lengths(scores: Array, gains: Array, labels: Array, how: BoundaryTraining) -> Array:
    """(40,) how far to walk along unit steps.

    Args:
        scores: (n, 40) a probe's scores of held-out faces.
        gains: (40,) what a unit step adds to the attribute's own score.
        labels: (n, 40).
        how: settings.

    Returns:
        Whitened lengths, infinite where a step does not raise the score.
    """
    confidence = np.array(
        [
            how.expression_confidence if _kind(name) == "expression" else how.confidence
            for name in NAMES
        ]
    )
    odds = np.log(confidence / (1 - confidence))
    without = np.array([np.median(scores[labels[:, j] == 0, j]) for j in range(len(NAMES))])
    return np.where(gains > 0, (odds - without) / np.maximum(gains, 1e-9), np.inf)


def _auc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve; NaN where there is one class only."""
    from scipy.stats import rankdata

    positive = labels > 0
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if not n1 or not n0:
        return math.nan
    return float((rankdata(scores)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def _mean(values: Sequence[Array]) -> Array:
    """Mean over folds of (40,) figures, leaving out those that a fold could not measure."""
    table = np.stack(values)
    known = np.isfinite(table)
    total = np.where(known, table, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _judge(before: Array, gains: Array, lengths: Array) -> tuple[Array, Array, Array]:
    """Added, removed and kept (see ``Quality``), each (40,).

    Args:
        before: (n, 40) a probe's scores.
        gains: (40, 40) what a unit step of the row's attribute adds to the column's score.
        lengths: (40,) of the steps at alpha 1.
    """
    added, removed, kept = (np.full(len(NAMES), np.nan) for _ in range(3))
    own = before > 0
    for j in range(len(NAMES)):
        has = own[:, j]
        sign = np.where(has, -1.0, 1.0)[:, None]
        after = before + sign * lengths[j] * gains[j] > 0
        if (~has).any():
            added[j] = after[~has, j].mean()
        if has.any():
            removed[j] = (~after[has, j]).mean()
        kept[j] = np.delete(after == own, j, axis=1).mean()
    return added, removed, kept


def fit(
    data_dir: Path, out_path: Path, seed: int = 0, how: BoundaryTraining | None = None
) -> Boundaries:
    """Fits, measures and writes the boundaries.

    The faces are split in five. AUC: each fifth by boundaries from the other four. Length and
    editing figures: steps from two fifths, the probe from two others, faces of the fifth one; five
    rotations. What is written is fitted on all faces, with the mean length of the rotations.

    Args:
        data_dir: folder with ``latents.npz``, ``labels.csv`` and ``pose.npz``.
        out_path: the safetensors file to write.
        seed: of the split.
        how: settings.

    Returns:
        What was written.

    Raises:
        InputError: the data cannot be read.
    """
    how = how or BoundaryTraining()
    faces = LabelledFaces.load(data_dir)
    features = _Features(faces, how.components)
    fold = np.random.default_rng(seed).permutation(len(faces.labels)) % _FOLDS
    preserved = _preserved(faces, how)
    pose = _fit_pose(features, PosedFaces.load(data_dir, faces.mean), how)

    aucs = []
    for f in range(_FOLDS):
        scores = _fit_all(features, faces, fold != f, how)
        test = (fold == f) & faces.random
        table, labels = features.table[test] @ scores.normals.T, faces.labels[test]
        aucs.append(np.array([_auc(table[:, j], labels[:, j]) for j in range(len(NAMES))]))

    # The pair {f, f+1} gives steps in rotation f and the probe in rotation f-2.
    pairs = [
        _fit_all(features, faces, (fold == f) | (fold == (f + 1) % _FOLDS), how)
        for f in range(_FOLDS)
    ]
    trials = []
    for f in range(_FOLDS):
        probe, test = pairs[(f + 2) % _FOLDS], (fold == (f + 4) % _FOLDS) & faces.random
        gains = _steps(features, pairs[f], pose, preserved, how) @ probe.normals.T
        before = probe.of(features.table[test])
        trials.append((before, gains, _lengths(before, np.diag(gains), faces.labels[test], how)))

    whole = _fit_all(features, faces, np.ones(len(fold), bool), how)
    final = _steps(features, whole, pose, preserved, how)
    largest = np.stack([1 / (features.row_shifts(step) / MAX_ROW_SHIFT).max() for step in final])
    lengths = np.minimum(np.median([length for *_, length in trials], 0), largest)
    judged = [_judge(before, gains, lengths) for before, gains, _ in trials]
    added, removed, kept = (_mean(parts) for parts in zip(*judged, strict=True))

    figures = (_mean(aucs), added, removed, kept, lengths)
    quality = {
        name: Quality(*(round(float(figure[j]), 4) for figure in figures))
        for j, name in enumerate(NAMES)
    }
    steps = {
        name: features.rows(final[j] * lengths[j]).astype(np.float32)
        for j, name in enumerate(NAMES)
    }
    boundaries = Boundaries(steps, quality)
    boundaries.save(out_path, {"faces": len(fold), "seed": seed, "settings": asdict(how)})
    return boundaries


def main() -> None:
    """The module's command line."""
    parser = argparse.ArgumentParser(description="Fit the attributes' linear boundaries.")
    parser.add_argument("data", type=Path, help="folder with latents.npz and labels.csv")
    parser.add_argument("output", type=Path, help="the safetensors file to write")
    arguments = parser.parse_args()
    boundaries = fit(arguments.data, arguments.output)
    for name in boundaries.names:
        figures = asdict(boundaries.quality(name))
        print(name.ljust(20), *(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
