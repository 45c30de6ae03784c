"""Training the judge of edits: a picture classifier on faces that nothing else learns from.

It sees the generator's own pictures, not cheap ones, as the evaluation of edits does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ..editing.labelled import JUDGE, TEST, LabelledFaces
from ..editing.picture_classifier import Looks, join, look
from ..editing.scores import LEAST_POSITIVES, mean_score, score
from ..faces.recognition import FaceNetwork
from ..files import replaced
from ..inversion.predict import INPUT_SIZE
from ..models.protocols import Generator
from .classifier import judged
from .looks import kept_look
from .picture_classifier import PictureTraining, train_picture_classifier

if TYPE_CHECKING:
    from ..models.networks import Networks

_PIECE = 100


def train_judge(
    folder: Path,
    data: LabelledFaces,
    networks: Networks,
    report: Callable[[str], None] = print,
    how: PictureTraining | None = None,
) -> Path:
    """Train the judge on the part ``judge`` and measure it on the part ``test``.

    Args:
        folder: takes the pictures' looks, so that a stopped run goes on, and ``judge.safetensors``,
            whose notes hold its figures.
        data: labelled codes.
        networks: the bundle's.
        report: takes lines of progress.
        how: settings; by default more passes than the teacher's, over fewer faces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    how = how or PictureTraining(epochs=18, batch=48)
    decoder, face = networks.generator, networks.recognition
    own, test = data.of(JUDGE), data.of(TEST)
    looks = _looks(folder, JUDGE, own.codes, decoder, face, report)
    judge = train_picture_classifier(looks, torch.from_numpy(own.labels), data.names, how, report)
    logits = judged(judge, _looks(folder, TEST, test.codes, decoder, face, report)).numpy()
    scores = score(logits, test.labels, data.names)
    mean = mean_score(scores)
    known = [s for s in scores if s.positives >= LEAST_POSITIVES]
    notes = {
        "faces": len(own.codes),
        "tested_on": len(test.codes),
        "mean_auc": round(mean.auc, 4),
        "mean_balanced_accuracy": round(mean.balanced_accuracy, 4),
        "accuracy": round(float(((logits > 0) == (test.labels > 0)).mean()), 4),
        "calibration": round(mean.calibration, 4),
        "auc": {s.name: round(s.auc, 4) if s in known else None for s in scores},
    }
    report(f"judge: AUC {mean.auc:.4f} ({mean.name}), accuracy {notes['accuracy']:.3f}")
    path = folder / "judge.safetensors"
    with replaced(path) as temporary:
        judge.save(temporary, notes)
    return path


def _looks(
    folder: Path,
    name: str,
    codes: npt.NDArray[np.float32],
    decoder: Generator,
    face: FaceNetwork,
    report: Callable[[str], None],
) -> Looks:
    """The looks of the generator's pictures, kept a hundred at a time."""
    parts = []
    for start in range(0, len(codes), _PIECE):
        piece = codes[start : start + _PIECE]

        def make(piece: npt.NDArray[np.float32] = piece, start: int = start) -> Looks:
            made = join([_look(decoder, face, code) for code in piece])
            report(f"{name}: {start + len(piece)}/{len(codes)} pictures")
            return made

        parts.append(kept_look(folder / f"looks-{name}-{start:05d}.npz", piece, make))
    return join(parts)


def _look(decoder: Generator, face: FaceNetwork, code: npt.NDArray[np.float32]) -> Looks:
    picture = decoder.decode(code[None])[0]
    small = cv2.resize(picture, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)
    return look(face, torch.from_numpy(small).permute(2, 0, 1)[None])
