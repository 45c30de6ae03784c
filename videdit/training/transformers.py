"""Training latent transformers: one attribute's affine map at a time, a minute or less each.

The paper's losses (Yao et al., ICCV 2021), through the latent classifier C, which stays fixed.
With p = sigmoid(C(w))_k the training alpha is -p where p > 0.5 and 1 - p where not: the label is
flipped.

- classification: cross-entropy of C(T(w, alpha))_k against the flipped label, samples weighted by
  the inverse frequency of their target in the batch;
- attributes: squared difference of all logits before and after, each weighted by 1 - |correlation|
  of its labels with the edited attribute's;
- length: mean squared difference of the codes.

What differs, and why:

- The map is learned with a rank of 16, in W's principal axes, each scaled by the root of its
  deviation. There the length is d' Q^-1 d with Q the root of W's covariance, so that an edit goes
  where faces differ rather than where C happens to be steep.
- The head is held: what the edit does to yaw, pitch and the size of yaw, by the regressions that
  the classifier carries, is a fourth term. An edited face is laid over the head it came from.
- Half of a batch are faces that have the attribute, where there are any, or rare ones would never
  learn to be removed.
- Afterwards the map is multiplied by one number: alpha 1 is where the teacher, looking at
  pictures of held-out codes, calls most faces otherwise (`calibrate`).
"""

from __future__ import annotations

import math
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
from ..editing.classifier import LatentClassifier, load_classifier
from ..editing.picture_classifier import PictureClassifier, load_picture_classifier
from ..editing.transformer import (
    EDITED_ROWS,
    RANK,
    AffineMap,
    LatentTransformers,
    load_transformers,
)
from ..errors import UsageError
from ..generators.wspace import WStatistics
from .classifier import Viewer, judged, labelled_codes
from .labelled import EDIT, JUDGE, LabelledFaces

if TYPE_CHECKING:
    from ..stages.resources import Networks

Floats = npt.NDArray[np.float32]

GOAL = 0.8
"""Share of the held-out faces without an attribute that have it at an alpha of 1."""

_LENGTHS = (0.0, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
_TRIED = 50


@dataclass(frozen=True)
class TransformerTraining:
    """Settings; the defaults made what ships.

    Attributes:
        steps: optimisation steps.
        batch: codes a step.
        learning_rate: peak of the one-cycle schedule of Adam.
        classification, attributes, length, pose: weights of the losses.
        seed: decides everything random.
    """

    steps: int = 1000
    batch: int = 64
    learning_rate: float = 2e-3
    classification: float = 1.0
    attributes: float = 1.0
    length: float = 10.0
    pose: float = 1.0
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
        coordinates: of the codes.
        logits: (n, k) C's, of the codes.
        correlation: (k, k) of the labels.
    """

    classifier: LatentClassifier
    space: Space
    codes: Floats
    coordinates: Tensor
    logits: Tensor
    correlation: Floats

    @staticmethod
    def of(
        folder: Path, classifier: LatentClassifier, own: LabelledFaces, stats: WStatistics
    ) -> Pool:
        """The labelled faces and those that the teacher labelled in ``folder``."""
        space = Space(stats)
        codes = np.concatenate((own.codes, labelled_codes(folder, "labelled")[0]))
        rows = torch.cat([space.of(torch.from_numpy(c)) for c in np.array_split(codes, 50)])
        logits = torch.from_numpy(classifier.logits(codes))
        count = len(own.names)
        table = np.nan_to_num(np.corrcoef(own.labels[own.random].T)).reshape(count, count)
        return Pool(classifier, space, codes, rows, logits, table.astype(np.float32))

    def train(self, index: int, how: TransformerTraining) -> AffineMap:
        """The map of the attribute in column ``index``, see `train_transformer`."""
        kept = torch.from_numpy(1 - np.abs(self.correlation[index]))
        kept[index] = 0
        return train_transformer(
            self.classifier, self.space, self.coordinates, self.logits, kept, index, how
        )


def train_transformer(
    classifier: LatentClassifier,
    space: Space,
    coordinates: Tensor,
    logits: Tensor,
    kept: Tensor,
    index: int,
    how: TransformerTraining,
) -> AffineMap:
    """One attribute's map, before its calibration.

    Args:
        classifier: C, frozen.
        space: of the coordinates.
        coordinates: (n, 16, 512) codes.
        logits: (n, k) C's, of these codes.
        kept: (k,) weights of the logits to be kept.
        index: the attribute's column.
        how: settings.
    """
    torch.manual_seed(how.seed)
    down = nn.Parameter(torch.randn(EDITED_ROWS, 512, RANK) / 512**0.5)
    up = nn.Parameter(torch.zeros(EDITED_ROWS, RANK, 512))
    bias = nn.Parameter(torch.zeros(EDITED_ROWS, 512))
    parameters = [down, up, bias]
    optimiser = torch.optim.Adam(parameters, how.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, how.learning_rate, total_steps=how.steps + 1, pct_start=0.1
    )
    probability = logits[:, index].sigmoid()
    having = torch.nonzero(probability > 0.5)[:, 0]
    lacking = torch.nonzero(probability <= 0.5)[:, 0]
    if not len(lacking):
        having, lacking = lacking, having
    some = min(how.batch // 2, len(having))
    for _ in range(how.steps):
        chosen = torch.cat(
            (
                having[torch.randint(max(len(having), 1), (some,))],
                lacking[torch.randint(len(lacking), (how.batch - some,))],
            )
        )
        before, p = coordinates[chosen], probability[chosen]
        flip = torch.where(p > 0.5, -p, 1 - p)
        target = (p <= 0.5).float()
        rows = before[:, :EDITED_ROWS].transpose(0, 1)
        moved = torch.bmm(torch.bmm(rows, down), up).transpose(0, 1) + bias
        change = flip[:, None, None] * moved
        after = torch.cat((before[:, :EDITED_ROWS] + change, before[:, EDITED_ROWS:]), 1)
        seen = classifier.of_coordinates(space.principal(after))
        share = target.mean()
        weight = 1 / torch.where(target > 0.5, share, 1 - share)
        wrong = F.binary_cross_entropy_with_logits(seen[:, index], target, weight / weight.mean())
        others = ((seen - logits[chosen]).square() * kept).mean()
        turned = classifier.turns(space.principal(change)).square().mean()
        loss = how.classification * wrong + how.attributes * others
        loss = loss + how.length * change.square().mean() + how.pose * turned
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return space.affine(down.detach(), up.detach(), bias.detach())


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
    path = folder / "classifier.safetensors"
    if not path.exists():
        raise UsageError(f"{folder} holds no classifier", "Run `videdit train classifier` first.")
    classifier = load_classifier(path)
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
        trial = Trial.of(held.chosen(held.random).codes, viewer, teacher)
        for number, name in enumerate(missing, 1):
            started = time.monotonic()
            index = classifier.names.index(name)
            found = pool.train(index, how)
            learned = time.monotonic() - started
            length, share = trial.length(found, mean, index)
            found = AffineMap(found.down, found.up * length, found.bias * length)
            LatentTransformers(mean, {name: found}).save(_map_file(folder, name), {})
            report(
                f"{number}/{len(missing)} {name}: {learned:.0f} s; alpha 1 is {length:.2f} of it"
                f" and changes {share:.0%} ({time.monotonic() - started:.0f} s)"
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
    def of(codes: Floats, viewer: Viewer, teacher: PictureClassifier, most: int = 400) -> Trial:
        """A trial on the first codes."""
        codes = codes[:most]
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
