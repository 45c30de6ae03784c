"""The latent classifier's training from start to end; every step that is done is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..arrays import keep_arrays
from ..bundles.manifest import DEFAULT_BUNDLE
from ..editing.classifier import LatentClassifier, load_classifier
from ..editing.labelled import TEST, LabelledFaces
from ..editing.picture_classifier import PictureClassifier
from ..editing.scores import LEAST_POSITIVES, mean_score, score
from ..errors import UsageError
from ..files import replaced
from .classifier import (
    ClassifierTraining,
    Viewer,
    fit_classifier,
    fit_measured_pose,
    fit_pose,
    label_faces,
    labelled_codes,
    make_teacher,
)
from .faces import SHARD, random_codes
from .pool import own_faces
from .pushed import push_faces

if TYPE_CHECKING:
    from ..models.networks import Networks


_POSED = 12
"""Shards whose heads are measured: about as many faces as the embedded generator's poses are of."""

_BUNDLE = "bundle.txt"
_TESTED = 7  # seed of the faces that are tested on


def train_classifier(
    folder: Path,
    data: LabelledFaces,
    poses: Path,
    networks: Networks,
    how: ClassifierTraining,
    report: Callable[[str], None] = print,
) -> Path:
    """Train the classifier, or go on where it stopped.

    Args:
        folder: takes what is made on the way, and ``classifier.safetensors``, whose notes hold its
            AUCs on the test's faces.
        data: labelled codes, of any generator.
        poses: ``pose.npz``, how heads are held, of the same generator's faces; where there is no
            such file, the regressions of the bundle's own classifier serve. Without either, or
            where the codes are of another generator than the bundle's, heads are measured.
        networks: the bundle's.
        how: settings.
        report: takes lines of progress.

    Raises:
        UsageError: ``folder`` holds a training on other labels, or of another bundle.
        WeightsError: the bundle's generator came without its mapping network.
    """
    _ = networks.mapping  # without which nothing is begun
    keep_bundle(folder, networks)
    stats = networks.statistics
    device = networks.device.name
    viewer = Viewer.of(networks, folder)
    teacher = make_teacher(folder, data, shows(data, networks, viewer), how.teacher, report)
    if teacher.names != data.names:
        raise UsageError(
            f"{folder} holds a training on other labels", "Take another folder for these."
        )
    same = data.bundle == networks.bundle.name
    known = same and (poses.exists() or _knows_poses(networks))
    label_faces(folder, teacher, viewer, networks, how, report, posed=0 if known else _POSED)
    own = own_faces(data, networks)
    test = data.of(TEST) if same else _judged_faces(folder, data, networks, viewer, teacher)
    network: LatentClassifier | None = None
    for number in range(how.rounds + 1):
        path = folder / f"classifier-{number}.safetensors"
        if not path.exists():
            if number:
                assert network is not None
                push_faces(folder, number, network, teacher, viewer, data, networks, how, report)
            kinds = ("labelled", *(f"pushed-{n}" for n in range(1, number + 1)))
            codes, logits, _ = (
                np.concatenate(parts)
                for parts in zip(*(labelled_codes(folder, kind) for kind in kinds), strict=True)
            )
            found = fit_classifier(
                np.concatenate((own.codes, codes)),
                np.concatenate((own.labels, 1 / (1 + np.exp(-logits)))).astype(np.float32),
                data.names,
                stats,
                how,
                report,
                taught=network,
                device=device,
            )
            pose = _pose(poses, networks, found) if known else fit_measured_pose(folder, found)
            if pose is None:
                report("no heads were measured: edits will not be kept from turning them")
            else:
                found.pose.copy_(pose)
            mean = mean_score(score(found.logits(test.codes), test.labels, data.names))
            report(f"round {number}: AUC {mean.auc:.4f} ({mean.name})")
            with replaced(path) as temporary:
                found.save(temporary, {})
        network = load_classifier(path)
    assert network is not None
    scores = score(network.logits(test.codes), test.labels, data.names)
    aucs = {s.name: round(s.auc, 4) for s in scores if s.positives >= LEAST_POSITIVES}
    result = folder / "classifier.safetensors"
    with replaced(result) as temporary:
        network.save(temporary, {"auc": aucs, "settings": asdict(how)})
    report(str(result))
    return result


def keep_bundle(folder: Path, networks: Networks) -> None:
    """Note in a working folder, which is made, whose generator its codes are of.

    Raises:
        UsageError: it holds another's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, name = folder / _BUNDLE, networks.bundle.name
    begun = any(folder.glob("labelled-*.npz")) or (folder / "faces").exists()
    if path.exists() or begun:
        known = path.read_text(encoding="utf-8").strip() if path.exists() else DEFAULT_BUNDLE
        if known != name:
            raise UsageError(
                f"{folder} holds a training of the bundle {known!r}, not of {name!r}",
                f"Take another folder, or --bundle {known}.",
            )
    path.write_text(name + "\n", encoding="utf-8")


def shows(data: LabelledFaces, networks: Networks, viewer: Viewer) -> Viewer:
    """What shows the labelled faces: the bundle's viewer, or one of theirs."""
    if data.bundle == networks.bundle.name:
        return viewer
    return Viewer.of(networks.of(data.bundle))


def _judged_faces(
    folder: Path,
    data: LabelledFaces,
    networks: Networks,
    viewer: Viewer,
    teacher: PictureClassifier,
) -> LabelledFaces:
    """Faces of the bundle's generator that nothing is trained on, as the teacher sees them."""
    path = folder / "tested.npz"
    rows = networks.space.rows
    if not path.exists():
        codes = random_codes(SHARD, networks.mapping, networks.statistics, rows, seed=_TESTED)
        keep_arrays(path, codes=codes, logits=viewer.judged(teacher, codes).numpy())
    with np.load(path, allow_pickle=False) as arrays:
        codes, logits = arrays["codes"], arrays["logits"]
    every = np.ones(len(codes), bool)
    labels = (logits > 0).astype(np.float32)
    return LabelledFaces(
        codes, labels, data.names, every, np.full(len(codes), TEST), networks.bundle.name
    )


def _knows_poses(networks: Networks) -> bool:
    return "classifier" in networks and isinstance(networks.classifier, LatentClassifier)


def _pose(poses: Path, networks: Networks, classifier: LatentClassifier) -> Tensor:
    if poses.exists():
        return fit_pose(poses, classifier)
    assert isinstance(networks.classifier, LatentClassifier)
    return networks.classifier.pose
