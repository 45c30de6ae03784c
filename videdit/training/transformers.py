"""Training latent transformers: one attribute's affine map at a time, a minute or less each.

The paper's losses (Yao et al., ICCV 2021), through the latent classifier C, which stays fixed.
With p = sigmoid(C(w))_k the training alpha is -p where p > 0.5 and 1 - p where not: the label is
flipped.

- classification: cross-entropy of C(T(w, alpha))_k against the flipped label, samples weighted by
  the inverse frequency of their target in the batch;
- attributes: squared difference of all attributes before and after, each weighted by
  1 - |correlation| of its labels with the edited attribute's;
- length: mean squared difference of the codes.

What differs, and why:

- The attributes kept are compared as probabilities, 16 (p' - p)^2, which is the square of the
  logits' difference where a decision is open (p = 1/2) and little where it is beyond doubt.
- The map is learned with a rank of 16, in W's principal axes, each scaled by the root of its
  deviation. There the length is d' Q^-1 d with Q the root of W's covariance, so that an edit goes
  where faces differ rather than where C happens to be steep.
- The head is held: what the edit does to yaw, pitch and the size of yaw, by the regressions that
  the classifier carries, is a fourth term. An edited face is laid over the head it came from.
- Half of a batch are faces that have the attribute, where there are any, or rare ones would never
  learn to be removed.
- Afterwards the map is multiplied by one number: alpha 1 is where the teacher, looking at
  pictures of held-out codes, calls most faces otherwise (`Trial.length`).
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..editing.attributes import unknown
from ..editing.classifier import LatentClassifier
from ..editing.editor import STYLE_DIM
from ..editing.labelled import EDIT, JUDGE, LabelledFaces
from ..editing.picture_classifier import Looks, PictureClassifier, load_picture_classifier
from ..editing.transformer import (
    EDITED_ROWS,
    RANK,
    AffineMap,
    LatentTransformers,
    load_transformers,
)
from ..errors import UsageError
from ..generators.wspace import WStatistics
from ..inversion.encoder import CodePredictor
from .classifier import Viewer, judged, labelled_codes, trained_classifier

if TYPE_CHECKING:
    from ..stages.resources import Networks

Floats = npt.NDArray[np.float32]

GOAL = 0.8
"""Share of the held-out faces without an attribute that have it at an alpha of 1."""

_LENGTHS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
_TRIED = 50
_PAYS = 30
"""Compiling takes as long as some tens of steps."""


@dataclass(frozen=True)
class TransformerTraining:
    """Settings of the next training. What ships was made with a `classification` of 1, an
    `attributes` of 2 on logits, and pictures of codes that were not inverted.

    Attributes:
        steps: optimisation steps.
        batch: codes a step.
        learning_rate: peak of the one-cycle schedule of Adam.
        refining_faces, refining_steps, refining_batch, refining_rate: of the second part, through
            pictures; it draws from fewer faces.
        classification, attributes, length, pose, identity: weights of the losses.
        seed: decides everything random.
    """

    steps: int = 400
    batch: int = 32
    learning_rate: float = 2e-3
    refining_faces: int = 800
    refining_steps: int = 150
    refining_batch: int = 8
    refining_rate: float = 2e-3
    classification: float = 5.0
    attributes: float = 5.0
    length: float = 3.0
    pose: float = 1.0
    identity: float = 2.0
    seed: int = 0


class Space:
    """W's principal axes, each divided by the root of its deviation over W's."""

    def __init__(self, stats: WStatistics) -> None:
        self.mean = stats.mean
        self.unit = float(stats.scale.square().mean().sqrt())
        self.root = (stats.scale / self.unit).sqrt()
        self.axes = stats.axes

    def of(self, codes: Tensor) -> Tensor:
        """Coordinates of codes, (..., 512)."""
        return (codes - self.mean) @ self.axes / (self.unit * self.root)

    def principal(self, coordinates: Tensor) -> Tensor:
        """The classifier's coordinates."""
        return coordinates * self.root

    def codes(self, coordinates: Tensor) -> Tensor:
        """Codes of coordinates, (..., 512)."""
        return (coordinates * (self.unit * self.root)) @ self.axes.T + self.mean

    def affine(self, down: Tensor, up: Tensor, bias: Tensor) -> AffineMap:
        """A map of coordinates as one of codes."""
        into = self.axes / (self.unit * self.root)
        back = (self.unit * self.root)[:, None] * self.axes.T
        return AffineMap((into @ down).numpy(), (up @ back).numpy(), (bias @ back).numpy())


@dataclass(frozen=True)
class Pool:
    """What maps are trained on.

    Attributes:
        classifier: C, frozen.
        space: of the coordinates.
        codes: (n, 16, 512).
        inverted: (n,) which of them the encoder gave.
        coordinates: of the codes.
        logits: (n, k) C's, of the codes.
        correlation: (k, k) of the labels.
    """

    classifier: LatentClassifier
    space: Space
    codes: Floats
    inverted: npt.NDArray[np.bool_]
    coordinates: Tensor
    logits: Tensor
    correlation: Floats

    @staticmethod
    def of(
        folder: Path, classifier: LatentClassifier, own: LabelledFaces, stats: WStatistics
    ) -> Pool:
        """The labelled faces and those that the teacher labelled in ``folder``."""
        space = Space(stats)
        taught, _, inverted = labelled_codes(folder, "labelled")
        codes = np.concatenate((own.codes, taught))
        inverted = np.r_[np.zeros(len(own.codes), bool), inverted]
        rows = torch.cat([space.of(torch.from_numpy(c)) for c in np.array_split(codes, 50)])
        logits = torch.from_numpy(classifier.logits(codes))
        count = len(own.names)
        table = np.nan_to_num(np.corrcoef(own.labels[own.random].T)).reshape(count, count)
        return Pool(classifier, space, codes, inverted, rows, logits, table.astype(np.float32))

    def kept(self, index: int) -> Tensor:
        """(k,) how much an edit of the attribute in column ``index`` keeps the others."""
        weights = torch.from_numpy(1 - np.abs(self.correlation[index]))
        weights[index] = 0
        return weights

    def train(self, index: int, how: TransformerTraining) -> Map:
        """The map of the attribute in column ``index``, see `train_transformer`."""
        return train_transformer(
            self.classifier,
            self.space,
            self.coordinates,
            self.logits,
            self.kept(index),
            index,
            how,
        )


class Map(nn.Module):
    """A map being learned, in a `Space`'s coordinates: (n, 16, 512) to what alpha 1 adds to the
    first rows."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.down = nn.Parameter(torch.randn(EDITED_ROWS, STYLE_DIM, RANK) / STYLE_DIM**0.5)
        self.up = nn.Parameter(torch.zeros(EDITED_ROWS, RANK, STYLE_DIM))
        self.bias = nn.Parameter(torch.zeros(EDITED_ROWS, STYLE_DIM))

    def forward(self, coordinates: Tensor) -> Tensor:
        rows = coordinates[:, :EDITED_ROWS].transpose(0, 1)
        return torch.bmm(torch.bmm(rows, self.down), self.up).transpose(0, 1) + self.bias

    def affine(self, space: Space) -> AffineMap:
        """The same map of codes."""
        with torch.no_grad():
            return space.affine(self.down, self.up, self.bias)


class _Draw:
    """Draws faces, half of them with the attribute, where there are any."""

    def __init__(self, probability: Tensor, batch: int) -> None:
        having = torch.nonzero(probability > 0.5)[:, 0]
        lacking = torch.nonzero(probability <= 0.5)[:, 0]
        if not len(lacking):
            having, lacking = lacking, having
        self.having, self.lacking = having, lacking
        self.some = min(batch // 2, len(having))
        self.rest = batch - self.some

    def __call__(self) -> Tensor:
        having = self.having[torch.randint(max(len(self.having), 1), (self.some,))]
        lacking = self.lacking[torch.randint(len(self.lacking), (self.rest,))]
        return torch.cat((having, lacking))


def _losses(
    seen: Tensor, before: Tensor, index: int, kept: Tensor, how: TransformerTraining
) -> Tensor:
    """Classification and attributes: logits (n, k) after and before the edit."""
    target = (before[:, index] <= 0).float()
    share = target.mean()
    weight = 1 / torch.where(target > 0.5, share, 1 - share)
    wrong = F.binary_cross_entropy_with_logits(seen[:, index], target, weight / weight.mean())
    others = 16 * ((seen.sigmoid() - before.sigmoid()).square() * kept).mean()
    return how.classification * wrong + how.attributes * others


def _flip(logits: Tensor) -> Tensor:
    """(n, 1, 1) the training alpha: towards the other label."""
    p = logits.sigmoid()
    return torch.where(p > 0.5, -p, 1 - p)[:, None, None]


def train_transformer(
    classifier: LatentClassifier,
    space: Space,
    coordinates: Tensor,
    logits: Tensor,
    kept: Tensor,
    index: int,
    how: TransformerTraining,
) -> Map:
    """One attribute's map through the classifier.

    Args:
        classifier: C, frozen.
        space: of the coordinates.
        coordinates: (n, 16, 512) codes.
        logits: (n, k) C's, of these codes.
        kept: (k,) weights of the logits to be kept.
        index: the attribute's column.
        how: settings.
    """
    found = Map(how.seed)

    def see(after: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return classifier.of_coordinates(space.principal(after)), torch.zeros(())

    part = _Part(how.steps, how.batch, how.learning_rate, coordinates, logits, see)
    _descend(found, part, classifier, space, kept, index, how)
    return found


@dataclass(frozen=True)
class _Part:
    """One of the two parts of a map's training.

    Attributes:
        steps: optimisation steps.
        batch: faces a step.
        rate: peak of the one-cycle schedule of Adam.
        coordinates: (n, 16, 512) of the faces to draw from.
        logits: (n, k) of these faces, unedited.
        see: coordinates of the edited faces, and which of the n they are, to logits and a loss of
            this part's own.
    """

    steps: int
    batch: int
    rate: float
    coordinates: Tensor
    logits: Tensor
    see: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _descend(
    found: Map,
    part: _Part,
    classifier: LatentClassifier,
    space: Space,
    kept: Tensor,
    index: int,
    how: TransformerTraining,
) -> None:
    """Train a map; see `train_transformer` for the arguments."""
    optimiser = torch.optim.Adam(found.parameters(), part.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, part.rate, total_steps=part.steps + 1, pct_start=0.1
    )
    draw = _Draw(part.logits[:, index].sigmoid(), part.batch)
    for _ in range(part.steps):
        chosen = draw()
        before, was = part.coordinates[chosen], part.logits[chosen]
        change = _flip(was[:, index]) * found(before)
        after = torch.cat((before[:, :EDITED_ROWS] + change, before[:, EDITED_ROWS:]), 1)
        seen, own = part.see(after, chosen)
        turned = classifier.turns(space.principal(change)).square().mean()
        loss = _losses(seen, was, index, kept, how) + own
        loss = loss + how.length * change.square().mean() + how.pose * turned
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


class Witness(nn.Module):
    """What the teacher says of the pictures of codes, with a gradient.

    Codes (n, 16, 512) to logits (n, k) and the face network's descriptors (n, 1024).
    """

    def __init__(self, viewer: Viewer, teacher: PictureClassifier) -> None:
        super().__init__()
        self.synthesis, self.readout = viewer.synthesis, viewer.readout
        self.face, self.teacher = viewer.face, teacher

    def forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        pictures = self.readout.show(self.synthesis, codes)
        seen = self.face(pictures)
        parts = (seen.whole, F.avg_pool2d(seen.regions, 2), F.avg_pool2d(seen.parts, 4))
        looks = Looks(torch.cat(parts, 1), F.avg_pool2d(pictures, 4) * 255)
        return self.teacher(looks), seen.descriptor


@dataclass(frozen=True)
class Pictured:
    """Faces on which maps are refined, as the witness sees them.

    Attributes:
        witness: sees.
        coordinates: (n, 16, 512).
        logits: (n, k) the witness's.
        descriptors: (n, 1024).
    """

    witness: Callable[[Tensor], tuple[Tensor, Tensor]]
    coordinates: Tensor
    logits: Tensor
    descriptors: Tensor

    @staticmethod
    def of(
        pool: Pool, viewer: Viewer, teacher: PictureClassifier, how: TransformerTraining
    ) -> Pictured:
        """Some of the pool's inverted faces."""
        witness = Witness(viewer, teacher)
        rng = np.random.default_rng(how.seed)
        # What users edit are inverted codes; a folder without any has only the others.
        rows = np.flatnonzero(pool.inverted) if pool.inverted.any() else np.arange(len(pool.codes))
        chosen = rng.choice(rows, min(how.refining_faces, len(rows)), replace=False)
        logits, descriptors = [], []
        with torch.no_grad():
            for piece in np.array_split(chosen, max(1, len(chosen) // 10)):
                seen, who = witness(torch.from_numpy(pool.codes[piece]))
                logits.append(seen)
                descriptors.append(who)
        # Compiling for the CPU needs a C++ compiler; without one, it only takes three times longer.
        pays = how.refining_steps > _PAYS and shutil.which("g++") is not None
        fused = torch.compile(witness, dynamic=False) if pays else witness
        return Pictured(fused, pool.coordinates[chosen], torch.cat(logits), torch.cat(descriptors))


def refine_transformer(
    found: Map,
    classifier: LatentClassifier,
    space: Space,
    faces: Pictured,
    kept: Tensor,
    index: int,
    how: TransformerTraining,
) -> None:
    """Train a map on through pictures: the same losses by the teacher's logits, and one more, that
    the face network still sees the same person."""
    if not how.refining_steps:
        return

    def see(after: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            seen, who = faces.witness(space.codes(after))
        same = (1 - (who.float() * faces.descriptors[chosen]).sum(1)).mean()
        return seen.float(), how.identity * same

    torch.manual_seed(how.seed)
    part = _Part(
        how.refining_steps,
        how.refining_batch,
        how.refining_rate,
        faces.coordinates,
        faces.logits,
        see,
    )
    _descend(found, part, classifier, space, kept, index, how)


def train_transformers(
    folder: Path,
    data: LabelledFaces,
    networks: Networks,
    names: Sequence[str],
    how: TransformerTraining,
    report: Callable[[str], None] = print,
) -> Path:
    """Train and calibrate maps; an attribute's that is there already is kept.

    Args:
        folder: where `train_classifier` worked; takes a file per attribute in ``maps``, and
            ``transformers.safetensors`` with all of them.
        data: labelled codes.
        networks: the bundle's.
        names: attributes, or ``all``.
        how: settings.
        report: takes lines of progress.

    Raises:
        UsageError: no classifier in ``folder``, or it knows no such attribute.
    """
    classifier = trained_classifier(folder)
    wanted = classifier.names if list(names) == ["all"] else tuple(names)
    for name in wanted:
        if name not in classifier.names:
            raise unknown(name, classifier.names)
    if classifier.names != data.names:
        raise UsageError(
            f"the classifier in {folder} was trained on other labels", "Name its data with --data."
        )
    (folder / "maps").mkdir(exist_ok=True)
    stats = networks.statistics
    mean = stats.mean.numpy()
    missing = [name for name in wanted if not _map_file(folder, name).exists()]
    if missing:
        pool, held = Pool.of(folder, classifier, data.of(EDIT), stats), data.of(JUDGE)
        viewer = Viewer(networks.synthesis, networks.readout, networks.face_network)
        teacher = load_picture_classifier(folder / "teacher.safetensors")[0]
        trial = Trial.of(held.chosen(held.random).codes, viewer, teacher, networks.encoder)
        faces = Pictured.of(pool, viewer, teacher, how)
        for number, name in enumerate(missing, 1):
            started = time.monotonic()
            index = classifier.names.index(name)
            learned = pool.train(index, how)
            refine_transformer(learned, classifier, pool.space, faces, pool.kept(index), index, how)
            found = learned.affine(pool.space)
            length, share = trial.length(found, mean, index)
            found = AffineMap(found.down, found.up * length, found.bias * length)
            LatentTransformers(mean, {name: found}).save(_map_file(folder, name), {})
            report(
                f"{number}/{len(missing)} {name}: alpha 1 is {length:.2f} of what was learned and"
                f" changes {share:.0%} ({time.monotonic() - started:.0f} s)"
            )
    maps: dict[str, AffineMap] = {}
    for name in classifier.names:
        if _map_file(folder, name).exists():
            maps |= load_transformers(_map_file(folder, name)).maps
    result = folder / "transformers.safetensors"
    LatentTransformers(mean, maps).save(result, {"settings": asdict(how)})
    report(str(result))
    return result


def _map_file(folder: Path, name: str) -> Path:
    return folder / "maps" / f"{name}.safetensors"


@dataclass(frozen=True)
class Trial:
    """Held-out codes on which a map's length is tried, seen by the teacher.

    Attributes:
        codes: (n, 16, 512).
        logits: (n, k) the teacher's, of their pictures.
        viewer: shows codes.
        teacher: judges.
    """

    codes: Floats
    logits: Floats
    viewer: Viewer
    teacher: PictureClassifier

    @staticmethod
    def of(
        codes: Floats,
        viewer: Viewer,
        teacher: PictureClassifier,
        encoder: CodePredictor,
        most: int = 200,
    ) -> Trial:
        """A trial on the first codes, as the encoder inverts their pictures."""
        crops = viewer.pictures(codes[:most]).permute(0, 2, 3, 1).numpy()
        codes = encoder.encode(crops).astype(np.float32)
        return Trial(codes, judged(teacher, viewer.looks(codes)).numpy(), viewer, teacher)

    def length(self, found: AffineMap, mean: Floats, index: int) -> tuple[float, float]:
        """What to multiply a map with, and the share of faces without the attribute that then have
        it: `GOAL`, or what the longest one reaches."""
        lacking = self.codes[self.logits[:, index] < 0][:_TRIED]
        if not len(lacking):
            return 1.0, math.nan
        step = found.of(lacking, mean)
        shares = [0.0]
        for length in _LENGTHS[1:]:
            edited = lacking.copy()
            edited[:, :EDITED_ROWS] += np.float32(length) * step
            seen = judged(self.teacher, self.viewer.looks(edited))[:, index]
            shares.append(max(shares[-1], float((seen > 0).float().mean())))
            if shares[-1] >= GOAL:
                share = (GOAL - shares[-2]) / (shares[-1] - shares[-2])
                before = _LENGTHS[len(shares) - 2]
                return before + share * (length - before), GOAL
        return _LENGTHS[-1], shares[-1]
