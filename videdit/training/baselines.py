"""Fitting the baselines: InterFaceGAN's normals, and GANSpace's components for each attribute."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..editing.classifier import LatentClassifier
from ..editing.linear import Component, Normals
from ..generators.mobile import SPACE
from ..generators.wspace import WStatistics
from .classifier import labelled_codes, trained_classifier
from .reach import bracketed

_CODES = 10_000
"""Codes that the SVMs choose from."""

_EXTREMES = 0.1
"""Share of the codes at either end of the scores that an SVM sees."""

_COMPONENTS = 80
_SIGMAS = 3.0
_MOST_SIGMAS = 12.0

Floats = npt.NDArray[np.float32]


def fit_baselines(
    folder: Path,
    stats: WStatistics,
    report: Callable[[str], None] = print,
    bands: Mapping[str, tuple[int, int]] = SPACE.bands,
) -> None:
    """Fit both on the codes in ``folder``; leaves ``interfacegan.safetensors``, ``ganspace.json``.

    Args:
        folder: where `train_classifier` worked.
        stats: of W.
        report: takes lines of progress.
        bands: of the latent space.

    Raises:
        UsageError: no classifier in ``folder``.
    """
    classifier = trained_classifier(folder)
    codes, *_ = labelled_codes(folder, "labelled")
    codes = codes[np.random.default_rng(0).permutation(len(codes))[:_CODES]]
    logits = classifier.logits(codes)
    few = slice(None, None, max(1, len(codes) // 300))
    components = name_components(codes[few], logits[few], classifier, stats, bands)
    table = {name: asdict(component) for name, component in components.items()}
    (folder / "ganspace.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    report(f"{folder / 'ganspace.json'}")
    normals = fit_normals(codes, logits, classifier, report=report)
    normals.save(folder / "interfacegan.safetensors", {"codes": len(codes)})
    report(f"{folder / 'interfacegan.safetensors'}")


def fit_normals(
    codes: Floats,
    logits: Floats,
    classifier: LatentClassifier,
    penalty: float = 1e-3,
    report: Callable[[str], None] = print,
) -> Normals:
    """A linear SVM per attribute on the codes with the highest and the lowest scores.

    Args:
        codes: (n, rows, width).
        logits: (n, k) their scores.
        classifier: names the attributes, and says how far alpha 1 goes.
        penalty: scikit-learn's C, for codes of mean square 1.
        report: takes lines of progress.
    """
    from sklearn.svm import LinearSVC

    flat = (codes - classifier.mean.numpy()).reshape(len(codes), -1)
    flat /= np.sqrt((flat**2).mean())
    count = max(10, round(_EXTREMES * len(codes)))
    normals, lengths = {}, {}
    for j, name in enumerate(classifier.names):
        order = np.argsort(logits[:, j])
        chosen = np.concatenate((order[:count], order[-count:]))
        svm = LinearSVC(C=penalty, max_iter=3000, tol=1e-3, random_state=0)
        svm.fit(flat[chosen], np.arange(2 * count) >= count)
        normal = (svm.coef_[0] / np.linalg.norm(svm.coef_)).astype(np.float32)
        normals[name] = normal.reshape(codes.shape[1:])
        lengths[name] = _length(codes, logits[:, j], normals[name], classifier, j)
        report(f"{name}: alpha 1 is {lengths[name]:.2f}")
    return Normals(normals, lengths)


def _length(
    codes: Floats, own: Floats, step: Floats, classifier: LatentClassifier, index: int
) -> float:
    """How often ``step`` must be added until the median face without the attribute has it; where
    there is none, the median face."""
    without = codes[own < 0][:500]
    if not len(without):  # every face has it
        without = codes[:500]
    unit = float(np.sqrt(((codes[:500] - codes[:500].mean(0)) ** 2).sum((1, 2)).mean()))

    def reached(length: float) -> float:
        return float(np.median(classifier.logits(without + length * step)[:, index]))

    return bracketed(reached, 0.0, 2 * unit / float(np.linalg.norm(step)), 20)[1]


@torch.no_grad()
def name_components(
    codes: Floats,
    logits: Floats,
    classifier: LatentClassifier,
    stats: WStatistics,
    bands: Mapping[str, tuple[int, int]] = SPACE.bands,
) -> dict[str, Component]:
    """For each attribute the component and rows that stand for it best.

    Among the edits of three standard deviations that move its logit at least half as much as the
    best one does, the one that moves the other logits least.

    Args:
        codes: (n, rows, width), a few hundred.
        logits: (n, k) of the codes.
        classifier: judges.
        stats: of W.
        bands: rows that are moved together: each by itself, two that follow each other, or all.
    """
    axes, scale = stats.axes.numpy(), stats.scale.numpy()
    (_, pose), (_, features), (_, rows) = sorted(bands.values())
    spans = ((0, rows), (0, pose), (pose, features), (features, rows), (0, features), (pose, rows))
    candidates, moved = [], []
    for number in range(min(_COMPONENTS, len(scale))):
        for first, last in ((first, stop - 1) for first, stop in spans):
            step = np.zeros(codes.shape[1:], np.float32)
            step[first : last + 1] = axes[:, number] * scale[number] * _SIGMAS
            change = classifier.logits(codes + step) - classifier.logits(codes - step)
            candidates.append((number, first, last, step))
            moved.append(change.mean(0) / 2)
    table = np.array(moved)
    found = {}
    for j, name in enumerate(classifier.names):
        own = np.abs(table[:, j])
        others = np.sqrt((np.delete(table, j, 1) ** 2).sum(1))
        selective = np.where(own >= own.max() / 2, own / np.maximum(others, 1e-12), 0)
        # Where there are no others, the strongest is the most selective.
        best = int((selective if others.any() else own).argmax())
        number, first, last, step = candidates[best]
        sign = float(np.sign(table[best, j]))
        times = _length(codes, logits[:, j], sign * step, classifier, j)
        sigma = sign * min(times * _SIGMAS, _MOST_SIGMAS)
        found[name] = Component(number, first, last, round(sigma, 3))
    return found
