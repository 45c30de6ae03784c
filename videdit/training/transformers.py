"""Training latent transformers: an attribute's two maps, minutes on a CPU, seconds on a GPU.

The paper's losses (Yao et al., ICCV 2021), through the latent classifier C, which stays fixed.
A face that lacks the attribute is moved by an alpha of 1 so that the label is flipped (the paper's
alpha is the distance to the label, 1 - p where C gives p; a face that lacks something has p near
0):

- classification: softplus(margin - s z), z the logit of the edited face, s the direction's sign:
  the cross-entropy against the flipped label, but for a margin, since some of an edit is lost on
  its way into a person's own picture;
- attributes: squared difference of all attributes before and after, each weighted by
  1 - |correlation| of its labels with the edited attribute's;
- length: mean squared difference of the codes.

What differs, and why:

- Giving an attribute and taking it away are two maps: glasses are put on by one way and taken off
  by another, and neither has to be good at both.
- The attributes kept are compared as probabilities, 16 (p' - p)^2, which is the square of the
  logits' difference where a decision is open (p = 1/2) and little where it is beyond doubt.
- The map is learned with a rank of 16, in W's principal axes, each scaled by the root of its
  deviation. There the length is d' Q^-1 d with Q the root of W's covariance, so that an edit goes
  where faces differ rather than where C happens to be steep.
- The head is held: what the edit does to yaw, pitch and the size of yaw, by the regressions that
  the classifier carries, is a fourth term. An edited face is laid over the head it came from.
- A third of the faces are moved farther, up to twice as far, so that a long edit keeps to the same
  rules.
- A second part looks at pictures, and only at what of them will be shown (`training.pictured`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..editing.attributes import unknown
from ..editing.files import read_described
from ..editing.labelled import LabelledFaces
from ..editing.picture_classifier import load_picture_classifier
from ..editing.transformer import LatentTransformers, Map, load_transformers
from ..errors import UsageError
from .classifier import Viewer, trained_classifier
from .latent import keep_bundle
from .maps import TransformerTraining, both, learn_maps
from .pictured import Pictured, refine_maps
from .pool import pool_of

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
    """Train maps; an attribute's that are there already are kept.

    Args:
        folder: where `train_classifier` worked; takes a file per attribute in ``maps``, and
            ``transformers.safetensors`` with all of them.
        data: labelled codes.
        networks: the bundle's.
        names: attributes, or ``all``.
        how: settings.
        report: takes lines of progress.

    Raises:
        UsageError: no classifier of the bundle's in ``folder``, or it knows no such attribute.
    """
    classifier = trained_classifier(folder)
    keep_bundle(folder, networks)
    wanted = classifier.names if list(names) == ["all"] else tuple(names)
    for name in wanted:
        if name not in classifier.names:
            raise unknown(name, classifier.names)
    if classifier.names != data.names:
        raise UsageError(
            f"the classifier in {folder} was trained on other labels", "Name its data with --data."
        )
    (folder / "maps").mkdir(exist_ok=True)
    mean = networks.statistics.mean.cpu().numpy()
    missing = [name for name in wanted if not _map_file(folder, name).exists()]
    if missing:
        pool = pool_of(folder, classifier, data, networks)
        viewer, own = (Viewer.of(networks, folder, cheap=cheap) for cheap in (True, False))
        teacher = load_picture_classifier(folder / "teacher.safetensors")[0]
        shows = [(how.refining_steps, viewer), (how.finishing_steps, own)]
        parser = networks.region_network()
        seen = [
            (steps, Pictured.of(pool, one, parser, teacher, how, steps))
            for steps, one in shows
            if steps
        ]
        for first in range(0, len(missing), how.together):
            group = missing[first : first + how.together]
            started = time.monotonic()
            bank = learn_maps(pool, both(group, [classifier.names.index(n) for n in group]), how)
            reached = None
            for steps, faces in seen:
                reached = refine_maps(bank, pool, faces, how, steps)
            for number, name in enumerate(group):
                more, less = (bank.affine(2 * number + k, pool.space) for k in range(2))
                found = LatentTransformers(mean, {name: more}, {name: less})
                found.save(_map_file(folder, name), {"settings": asdict(how)})
                shares = "" if reached is None else _shares(reached[2 * number : 2 * number + 2])
                report(f"{first + number + 1}/{len(missing)} {name}{shares}")
            report(f"{time.monotonic() - started:.0f} s")
    more_, less_ = dict[str, Map](), dict[str, Map]()
    made: dict[str, object] = {}  # by attribute: they may have been learned with different ones
    for name in classifier.names:
        if _map_file(folder, name).exists():
            found = load_transformers(_map_file(folder, name))
            more_ |= found.maps
            less_ |= found.less
            made[name] = read_described(_map_file(folder, name))[0]["notes"].get("settings")
    result = folder / "transformers.safetensors"
    LatentTransformers(mean, more_, less_).save(result, {"settings": made})
    report(str(result))
    return result


def _shares(reached: Tensor) -> str:
    return f": given to {reached[0]:.0%}, taken from {reached[1]:.0%}"


def _map_file(folder: Path, name: str) -> Path:
    return folder / "maps" / f"{name}.safetensors"
