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

import numpy as np
import torch

from ..arrays import keep_arrays
from ..editing.classifier import LatentClassifier
from ..editing.labelled import EDIT, LabelledFaces
from ..editing.picture_classifier import PictureClassifier
from ..editing.transformer import LatentTransformers
from ..generators.wspace import WStatistics
from .classifier import ClassifierTraining, Viewer, judged
from .maps import TransformerTraining, train_map
from .pool import Pool

_ROUGH = TransformerTraining(steps=250, batch=32)
_ALPHAS = (0.3, 2.5)


def push_faces(
    folder: Path,
    number: int,
    classifier: LatentClassifier,
    teacher: PictureClassifier,
    viewer: Viewer,
    data: LabelledFaces,
    stats: WStatistics,
    how: ClassifierTraining,
    report: Callable[[str], None],
) -> None:
    """Make round ``number``'s ``pushed-R-NAME.npz`` that ``folder`` does not hold yet: codes moved
    along each attribute and the teacher's logits, as in `label_faces`."""
    pool: Pool | None = None
    for index, name in enumerate(classifier.names):
        path = folder / f"pushed-{number}-{name}.npz"
        if path.exists():
            continue
        started = time.monotonic()
        if pool is None:
            pool = Pool.of(folder, classifier, data.of(EDIT), stats)
        found = train_map(pool, index, replace(_ROUGH, seed=number)).affine(pool.space)
        rng = np.random.default_rng((how.seed, number, index))
        chosen = rng.choice(len(pool.codes), how.pushed)
        before = pool.logits[torch.from_numpy(chosen), index].numpy() > 0
        alphas = rng.uniform(*_ALPHAS, how.pushed).astype(np.float32)
        alphas *= np.where(before, -1, 1)
        editor = LatentTransformers(stats.mean.numpy(), {name: found})
        moved = editor.move(pool.codes[chosen], name, alphas)
        logits = judged(teacher, viewer.looks(moved)).numpy()
        thought = classifier.logits(moved)[:, index]
        keep_arrays(path, codes=moved.astype(np.float16), logits=logits)
        report(
            f"round {number} {name}: the classifier sees {((thought > 0) != before).mean():.0%}"
            f" changed, the teacher {((logits[:, index] > 0) != before).mean():.0%}"
            f" ({time.monotonic() - started:.0f} s)"
        )
