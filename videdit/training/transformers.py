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

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..editing.attributes import unknown
from ..editing.labelled import EDIT, JUDGE, LabelledFaces
from ..editing.picture_classifier import load_picture_classifier
from ..editing.transformer import AffineMap, LatentTransformers, load_transformers
from ..errors import UsageError
from .classifier import Viewer, trained_classifier
from .maps import TransformerTraining, train_map
from .pictured import Pictured, refine_map
from .pool import Pool
from .trial import Trial

if TYPE_CHECKING:
    from ..models.networks import Networks


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
        viewer = Viewer(networks.synthesis, networks.readout, networks.recognition)
        teacher = load_picture_classifier(folder / "teacher.safetensors")[0]
        trial = Trial.of(held.chosen(held.random).codes, viewer, teacher, networks.encoder)
        faces = Pictured.of(pool, viewer, teacher, how)
        for number, name in enumerate(missing, 1):
            started = time.monotonic()
            index = classifier.names.index(name)
            learned = train_map(pool, index, how)
            refine_map(learned, pool, faces, index, how)
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
