"""Training the teacher and the judge: attributes from pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..editing.picture_classifier import Looks, PictureClassifier

_LEAST_DEVIATION = 0.05
"""Features that hardly ever move must not be blown up to noise."""


@dataclass(frozen=True)
class PictureTraining:
    """Settings; the defaults made what ships.

    Attributes:
        members: networks whose logits are averaged.
        epochs: passes over the faces.
        batch: faces a step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: AdamW's.
        views: how often a face is looked at, from the second time on a little moved and lit
            otherwise; only the teacher's are.
        seed: decides everything random.
    """

    members: int = 3
    epochs: int = 14
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    views: int = 1
    seed: int = 0


def train_picture_classifier(
    looks: Looks,
    labels: Tensor,
    names: Sequence[str],
    how: PictureTraining,
    report: Callable[[str], None] = print,
    device: str = "cpu",
) -> PictureClassifier:
    """A classifier of faces whose looks and labels are known; a minute or two a member.

    Args:
        looks: of n faces.
        labels: (n, k) from 0 to 1.
        names: of the k attributes.
        how: settings.
        report: takes lines of progress.
        device: where it is trained, and stays.
    """
    torch.manual_seed(how.seed)
    network = PictureClassifier(names, how.members).to(device)
    looks, labels = Looks(*(part.to(device) for part in looks)), labels.to(device)
    values = looks.features.float()
    network.mean.copy_(values.mean((0, 2, 3))[:, None, None])
    deviation = values.std((0, 2, 3)).clamp(min=_LEAST_DEVIATION)
    network.deviation.copy_(deviation[:, None, None])
    del values
    batch = min(how.batch, len(labels))
    steps = how.epochs * (len(labels) // batch)
    for member, head in enumerate(network.heads):
        rng = np.random.default_rng((how.seed, member))
        optimiser = torch.optim.AdamW(head.parameters(), weight_decay=how.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, how.learning_rate, total_steps=steps + 1
        )
        head.train()
        loss = torch.zeros(())
        for _ in range(how.epochs):
            order = torch.from_numpy(rng.permutation(len(labels)))
            for start in range(0, len(order) - batch + 1, batch):
                chosen = order[start : start + batch].to(device)
                features = network.standardised(looks.features[chosen])
                picture = looks.picture[chosen].float()
                if rng.random() < 0.5:  # faces have no left and right
                    features, picture = features.flip(3), picture.flip(3)
                loss = F.binary_cross_entropy_with_logits(head(features, picture), labels[chosen])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
        report(f"picture classifier {member + 1}/{how.members}: loss {loss.item():.3f}")
    return network.eval().requires_grad_(False)
