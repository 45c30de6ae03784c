"""Learning affine maps, many side by side; the losses are explained in `training.transformers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..editing.transformer import EDITED_ROWS, RANK, AffineMap
from ..generators.mobile import ROWS, STYLE_DIM
from .pool import Pool, Space

_COLOURS = {
    *("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    *("Pale_Skin", "Rosy_Cheeks", "Wearing_Lipstick", "Heavy_Makeup"),
}
"""Attributes whose maps edit all rows: colours live in the finer ones, too."""


@dataclass(frozen=True)
class TransformerTraining:
    """Settings of a training of maps.

    Attributes:
        together: attributes that are learned side by side; more take more memory, and less time
            each on a GPU.
        steps, batch, learning_rate: of the first part, through the classifier: optimisation steps,
            faces a step and direction, peak of the one-cycle schedule of Adam.
        refining_faces, refining_steps, refining_batch, refining_rate: of the second part, through
            pictures; it draws from fewer faces.
        finishing_steps: of a third part, like the second one, through the generator's own pictures
            instead of the cheap ones, at half the rate. They cost four times as much: for a GPU.
        memory: cheap pictures at a time; a step of more is taken in pieces, down to one face of
            each direction.
        longest: a third of the faces are moved by alphas from 1 to so much; the others by 1.
        margin: logits beyond which an attribute counts as given.
        classification, attributes, length, pose, identity, outside, tone: weights of the losses.
        seed: decides everything random.
    """

    together: int = 1
    steps: int = 400
    batch: int = 16
    learning_rate: float = 2e-3
    refining_faces: int = 800
    refining_steps: int = 150
    refining_batch: int = 4
    refining_rate: float = 2e-3
    finishing_steps: int = 0
    memory: int = 80
    longest: float = 2.0
    margin: float = 1.0
    classification: float = 5.0
    attributes: float = 5.0
    length: float = 4.0
    pose: float = 1.0
    identity: float = 4.0
    outside: float = 20.0
    tone: float = 10.0
    seed: int = 0


@dataclass(frozen=True)
class Direction:
    """What a map does: gives an attribute (``sign`` 1) or takes it away (-1).

    Attributes:
        name: of the attribute.
        index: its column.
        sign: of the alphas.
    """

    name: str
    index: int
    sign: int

    def __str__(self) -> str:
        return f"{self.name} {self.sign:+d}"


def both(names: Sequence[str], indices: Sequence[int]) -> list[Direction]:
    """Both directions of attributes."""
    return [Direction(n, i, s) for n, i in zip(names, indices, strict=True) for s in (1, -1)]


class MapBank(nn.Module):
    """Maps being learned, in a `Space`'s coordinates: (m, b, rows, width) faces of m directions to
    what their maps add to them.

    Args:
        directions: the m directions.
        seed: of the first weights.
        rows, width: of a code.
    """

    edited: Tensor

    def __init__(
        self,
        directions: Sequence[Direction],
        seed: int,
        rows: int = ROWS,
        width: int = STYLE_DIM,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.directions = tuple(directions)
        count = len(directions)
        self.down = nn.Parameter(torch.randn(count, rows, width, RANK) / width**0.5)
        self.up = nn.Parameter(torch.zeros(count, rows, RANK, width))
        self.bias = nn.Parameter(torch.zeros(count, rows, width))
        first = [rows if one.name in _COLOURS else min(rows, EDITED_ROWS) for one in directions]
        edited = torch.arange(rows)[None] < torch.tensor(first)[:, None]
        self.register_buffer("edited", edited[:, :, None, None].float())

    def forward(self, coordinates: Tensor) -> Tensor:
        rows = coordinates.transpose(1, 2)
        moved = rows @ self.down @ self.up + self.bias[:, :, None]
        return (moved * self.edited).transpose(1, 2)

    def affine(self, number: int, space: Space) -> AffineMap:
        """The map of direction ``number``, of codes."""
        rows = int(self.edited[number].sum())
        with torch.no_grad():
            parts = (part[number, :rows].cpu() for part in (self.down, self.up, self.bias))
            return space.affine(*parts)


class Seen(NamedTuple):
    """What is seen of edited faces.

    Attributes:
        logits: (m, b, k) of all attributes.
        doubted: the same, less sure: by these an attribute has to be given.
        more: a loss of this part's own.
    """

    logits: Tensor
    doubted: Tensor
    more: Tensor


@dataclass(frozen=True)
class Part:
    """One part of the maps' training.

    Attributes:
        steps: optimisation steps.
        batch: faces a step and direction.
        pieces: a step's faces are worked on in so many pieces.
        rate: peak of the one-cycle schedule of Adam.
        coordinates: (n, rows, width) of the faces to draw from.
        logits: (n, k) of these faces, unedited.
        see: coordinates (m, b, rows, width) of edited faces, and which of the n they are (m, b).
    """

    steps: int
    batch: int
    pieces: int
    rate: float
    coordinates: Tensor
    logits: Tensor
    see: Callable[[Tensor, Tensor], Seen]


def learn_maps(pool: Pool, directions: Sequence[Direction], how: TransformerTraining) -> MapBank:
    """Maps learned through the classifier.

    Args:
        pool: what they are trained on.
        directions: of the maps.
        how: settings.
    """
    bank = MapBank(directions, how.seed, *pool.coordinates.shape[1:]).to(pool.device)

    def see(after: Tensor, chosen: Tensor) -> Seen:
        logits = pool.classifier.of_coordinates(pool.space.principal(after.flatten(0, 1)))
        logits = logits.reshape(*chosen.shape, -1)
        return Seen(logits, logits, after.new_zeros(()))

    part = Part(how.steps, how.batch, 1, how.learning_rate, pool.coordinates, pool.logits, see)
    descend(bank, part, pool, how)
    return bank


def draw_lacking(pool: Pool, directions: Sequence[Direction], seed: int) -> Draw:
    """Draws from a pool, by its classifier."""
    return Draw(pool.logits, *_columns(directions, pool.device), seed)


def _columns(directions: Sequence[Direction], device: torch.device) -> tuple[Tensor, Tensor]:
    """(m,) the directions' attributes and (m,) signs."""
    index = torch.tensor([one.index for one in directions], device=device)
    return index, torch.tensor([one.sign for one in directions], device=device)


def descend(bank: MapBank, part: Part, pool: Pool, how: TransformerTraining) -> Tensor:
    """Train maps.

    Args:
        bank: the maps.
        part: what is seen of them.
        pool: what the losses need to know.
        how: weights of the losses, margin, longest alpha and seed.

    Returns:
        (m,) the share of faces that get what they lacked, over the last tenth of the steps.
    """
    device = part.coordinates.device
    index, sign = _columns(bank.directions, device)
    kept = torch.stack([pool.kept(one.index) for one in bank.directions]).to(device)
    optimiser = torch.optim.Adam(bank.parameters(), part.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        # Its warm-up divides by the length of a tenth of the steps, less one.
        optimiser,
        part.rate,
        total_steps=max(part.steps + 1, 11),
        pct_start=0.1,
    )
    draw = Draw(part.logits, index, sign, how.seed)
    some = part.batch // part.pieces
    reached = torch.zeros(len(index), device=device)
    last = part.steps - max(1, part.steps // 10)
    for step in range(part.steps):
        optimiser.zero_grad(set_to_none=True)
        for _ in range(part.pieces):
            chosen, alphas = draw(some, (1.0, how.longest), 1 / 3)
            before, was = part.coordinates[chosen], part.logits[chosen]
            change = alphas[..., None, None] * bank(before)
            seen = part.see(before + change, chosen)
            wrong, others = flip_losses(seen, was, index, sign, kept, how.margin)
            moved = pool.space.principal(change).flatten(0, 1)
            loss = how.classification * wrong + how.attributes * others + seen.more
            loss = loss + how.length * change.square().mean()
            loss = loss + how.pose * pool.classifier.turns(moved).square().mean()
            # The sum over the maps: each is trained as if it were alone.
            (loss * len(index) / part.pieces).backward()
            if step >= last:
                with torch.no_grad():
                    at = seen.logits.gather(2, index[:, None, None].expand(-1, some, 1))[..., 0]
                    reached += (at * sign[:, None] > 0).float().mean(1) / part.pieces
        optimiser.step()
        schedule.step()
    return (reached / (part.steps - last)).cpu()


def flip_losses(
    seen: Seen, was: Tensor, index: Tensor, sign: Tensor, kept: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """Classification and attributes.

    Args:
        seen: after the edit.
        was: (m, b, k) logits before it.
        index, sign: (m,) which attribute is given (1) or taken away (-1).
        kept: (m, k) how much the others are to stay.
        margin: logits beyond which the attribute counts as given.
    """
    at = seen.doubted.gather(2, index[:, None, None].expand(-1, was.shape[1], 1))[..., 0]
    wrong = F.softplus(margin - at * sign[:, None]).mean()
    others = 16 * ((seen.logits.sigmoid() - was.sigmoid()).square() * kept[:, None]).mean()
    return wrong, others


class Draw:
    """Draws, for each direction, faces that lack what it gives; any, where none does.

    Args:
        logits: (n, k) of the faces to draw from.
        index, sign: (m,) of the directions.
        seed: decides what is drawn.
    """

    def __init__(self, logits: Tensor, index: Tensor, sign: Tensor, seed: int) -> None:
        lacking = (logits[:, index] * sign < 0).cpu().numpy()
        self._rng = np.random.default_rng(seed)
        self._device = logits.device
        self._lacking = [np.flatnonzero(column) for column in lacking.T]
        self._all = np.arange(len(logits))

    def __call__(
        self, count: int, alphas: tuple[float, float], farther: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """(m, count) faces, and how far each is to be moved: a share of them by alphas from a
        range, the others by 1."""
        chosen = np.stack(
            [self._rng.choice(r if len(r) else self._all, count) for r in self._lacking]
        )
        some = self._rng.random(chosen.shape) < farther
        moved = np.where(some, self._rng.uniform(*alphas, chosen.shape), 1.0)
        return (
            torch.from_numpy(chosen).to(self._device),
            torch.from_numpy(moved.astype(np.float32)).to(self._device),
        )
