"""Learning one attribute's affine map; the losses are explained in `training.transformers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..editing.transformer import EDITED_ROWS, RANK, AffineMap
from ..generators.mobile import STYLE_DIM
from .pool import Pool, Space


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


def train_map(pool: Pool, index: int, how: TransformerTraining) -> Map:
    """One attribute's map, learned through the classifier.

    Args:
        pool: what it is trained on.
        index: the attribute's column.
        how: settings.
    """
    found = Map(how.seed)

    def see(after: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return pool.classifier.of_coordinates(pool.space.principal(after)), torch.zeros(())

    part = Part(how.steps, how.batch, how.learning_rate, pool.coordinates, pool.logits, see)
    descend(found, part, pool, index, how)
    return found


@dataclass(frozen=True)
class Part:
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


def descend(found: Map, part: Part, pool: Pool, index: int, how: TransformerTraining) -> None:
    """Train a map; see `train_map` for the arguments."""
    kept = pool.kept(index)
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
        turned = pool.classifier.turns(pool.space.principal(change)).square().mean()
        loss = _losses(seen, was, index, kept, how) + own
        loss = loss + how.length * change.square().mean() + how.pose * turned
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


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
