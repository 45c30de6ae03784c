"""Teaching the classifier what its own transformers do to faces.

A transformer climbs whatever the classifier has wrong: trained against one that only knows faces as
they come, the edit of Eyeglasses flipped 98 % of its judgements and put glasses on 23 % of the
faces. So transformers are trained roughly, faces are moved along them, the teacher looks at what
they then show, and the classifier learns that, too; twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..arrays import keep_arrays
from ..editing.classifier import LatentClassifier
from ..editing.labelled import LabelledFaces
from ..editing.picture_classifier import PictureClassifier
from .classifier import ClassifierTraining, Viewer
from .maps import TransformerTraining, both, draw_lacking, learn_maps
from .pool import pool_of

if TYPE_CHECKING:
    from ..models.networks import Networks

_ROUGH = TransformerTraining(steps=250, batch=16)
_ALPHAS = (0.3, 2.5)


def push_faces(
    folder: Path,
    number: int,
    classifier: LatentClassifier,
    teacher: PictureClassifier,
    viewer: Viewer,
    data: LabelledFaces,
    networks: Networks,
    how: ClassifierTraining,
    report: Callable[[str], None],
) -> None:
    """Make round ``number``'s ``pushed-R-NAME.npz`` that ``folder`` does not hold yet: codes moved
    along each attribute, in both directions, from where they lack what it gives, and the teacher's
    logits, as in `label_faces`."""
    missing = [n for n in classifier.names if not (folder / f"pushed-{number}-{n}.npz").exists()]
    if not missing:
        return
    started = time.monotonic()
    pool = pool_of(folder, classifier, data, networks)
    # All of them, whatever is missing: a run that goes on makes what one in a piece does.
    names = classifier.names
    directions = both(names, range(len(names)))
    bank = learn_maps(pool, directions, replace(_ROUGH, seed=number))
    report(f"round {number}: rough maps ({time.monotonic() - started:.0f} s)")
    half = max(1, how.pushed // 2)
    chosen, alphas = draw_lacking(pool, directions, how.seed * 1009 + number)(half, _ALPHAS)
    with torch.no_grad():
        before = pool.coordinates[chosen]
        moved = pool.space.codes(before + alphas[..., None, None] * bank(before))
        thought = pool.classifier(moved.flatten(0, 1)).unflatten(0, chosen.shape).cpu()
    for name in missing:
        k = names.index(name)
        codes = moved[2 * k : 2 * k + 2].flatten(0, 1)
        logits = viewer.judged(teacher, codes)
        signs = torch.tensor([1, -1]).repeat_interleave(half)
        believed = thought[2 * k : 2 * k + 2, :, k].flatten() * signs > 0
        keep_arrays(
            folder / f"pushed-{number}-{name}.npz",
            codes=codes.cpu().numpy().astype(np.float16),
            logits=logits.numpy(),
        )
        report(
            f"round {number} {name}: the classifier sees {believed.float().mean():.0%} as asked,"
            f" the teacher {(logits[:, k] * signs > 0).float().mean():.0%}"
        )
