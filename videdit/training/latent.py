"""The latent classifier's training from start to end; every step that is done is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..editing.classifier import LatentClassifier, load_classifier
from ..editing.labelled import EDIT, TEST, LabelledFaces
from ..editing.scores import LEAST_POSITIVES, mean_score, score
from ..errors import UsageError
from ..files import replaced
from .classifier import (
    ClassifierTraining,
    Viewer,
    fit_classifier,
    fit_pose,
    label_faces,
    labelled_codes,
    make_teacher,
)
from .pushed import push_faces

if TYPE_CHECKING:
    from ..models.networks import Networks


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
        data: labelled codes.
        poses: ``pose.npz``, how heads are held; where there is no such file, the regressions of the
            bundle's own classifier serve.
        networks: the bundle's.
        how: settings.
        report: takes lines of progress.

    Raises:
        UsageError: ``folder`` holds a training on other labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stats = networks.statistics
    device = networks.device.name
    viewer = Viewer(networks.mobile, networks.readout, networks.recognition, device)
    teacher = make_teacher(folder, data, viewer, how.teacher, report)
    if teacher.names != data.names:
        raise UsageError(
            f"{folder} holds a training on other labels", "Take another folder for these."
        )
    label_faces(folder, teacher, viewer, networks.encoder, networks.mapping, stats, how, report)
    own, test = data.of(EDIT), data.of(TEST)
    network: LatentClassifier | None = None
    for number in range(how.rounds + 1):
        path = folder / f"classifier-{number}.safetensors"
        if not path.exists():
            if number:
                assert network is not None
                push_faces(folder, number, network, teacher, viewer, data, stats, how, report)
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
            if poses.exists():
                found.pose.copy_(fit_pose(poses, found))
            else:
                found.pose.copy_(load_classifier(networks.bundle.file("classifier")).pose)
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
