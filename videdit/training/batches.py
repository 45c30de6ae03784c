"""What the encoder's training sees at a step: generated and real faces, degraded as video does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .crops import RealFaces
from .degrade import degrade, relight
from .encoder_settings import EncoderTraining
from .faces import FaceData


class Batch(NamedTuple):
    """``crops``: degraded generated faces, real ones, and again the first of these. ``codes``: of
    the generated ones. ``pictures``: what the first generated and all real ones should look like.
    """

    crops: Tensor
    codes: Tensor
    pictures: Tensor


def make_batch(step: int, data: FaceData, real: RealFaces, settings: EncoderTraining) -> Batch:
    """Everything random of a step; it depends on the settings and the step's number alone."""
    rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    epoch, offset = divmod(step * settings.batch, len(data))
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(data))
    clean, codes = data.batch(order[np.arange(offset, offset + settings.batch) % len(data)])
    crops, pictures = [degrade(clean, rng)], [clean[: settings.shown]]
    if len(real.crops):
        # The light belongs to the footage and has to be met; all else is to be seen through.
        targets = relight(real.batch(step, settings), rng)
        crops += [degrade(t, rng, relit=False) for t in (targets, targets[: settings.pairs])]
        pictures.append(targets)
    return Batch(torch.cat(crops), codes, torch.cat(pictures))


def batches(
    first: int, data: FaceData, real: RealFaces, settings: EncoderTraining
) -> Iterator[Batch]:
    """The steps' batches from ``first`` on, each made while the one before is worked on."""
    with ThreadPoolExecutor(1) as ahead:
        made = (
            ahead.submit(make_batch, step, data, real, settings)
            for step in range(first, settings.steps)
        )
        coming = next(made, None)
        while coming is not None:
            ready, coming = coming, next(made, None)
            yield ready.result()
