"""Codes over time: how far they are from the generator's own, and what the classifier reads off
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bundles.latent import LatentSpace
from ..editing.schedule import Edit
from ..plot import COLOURS, Line
from .over_time import Axis

if TYPE_CHECKING:
    from ..editing.classifier import LatentClassifier
    from ..generators.wspace import WStatistics

_MAIN = ("Smiling", "Mouth_Slightly_Open", "Young", "Male", "Eyeglasses", "No_Beard")
"""Attributes that are shown beside the edited ones."""


def norms(
    codes: NDArray[np.float32], statistics: WStatistics, space: LatentSpace
) -> NDArray[np.float64]:
    """(k, bands) of codes (k, rows, width): root mean square of the whitened coordinates of each
    band's rows; about 1 for a code of W."""
    import torch

    whitened = statistics.whiten(torch.from_numpy(np.asarray(codes, np.float32))).numpy()
    squares = np.square(whitened.astype(np.float64))
    return np.stack([np.sqrt(squares[:, a:b].mean((1, 2))) for a, b in space.bands.values()], 1)


def scores(
    codes: NDArray[np.float32], classifier: LatentClassifier, names: Sequence[str]
) -> NDArray[np.float64]:
    """(k, names) the classifier's probabilities, 0 to 1, of attributes in codes (k, rows,
    width)."""
    import torch

    at = [classifier.names.index(name) for name in names]
    logits = torch.from_numpy(classifier.logits(codes)[:, at])
    return np.asarray(torch.sigmoid(logits).double().numpy())


def score_names(edited: Sequence[str], known: Sequence[str]) -> list[str]:
    """The attributes whose scores are drawn: the edited ones first; as many as there are colours.

    Args:
        edited: what is edited; what is no attribute is left out.
        known: those of the classifier.
    """
    wanted = dict.fromkeys((*edited, *_MAIN))
    return [name for name in wanted if name in known][: len(_MAIN)]


class CodePlots:
    """Measures codes and draws what it measured.

    Args:
        statistics: of W.
        classifier: reads attributes off codes; None where there is none, and no scores are drawn.
        space: the codes'.
        edited: attributes that are edited.
    """

    def __init__(
        self,
        statistics: WStatistics,
        classifier: LatentClassifier | None,
        space: LatentSpace,
        edited: Sequence[str],
    ) -> None:
        self._statistics, self._classifier, self._space = statistics, classifier, space
        self._names = [] if classifier is None else score_names(edited, classifier.names)

    def measure(self, *codes: NDArray[np.float32]) -> NDArray[np.float64]:
        """(k, q) figures of codes (k, rows, width); of several versions of them side by side."""
        parts = []
        for version in codes:
            parts.append(norms(version, self._statistics, self._space))
            if self._classifier is not None:
                parts.append(scores(version, self._classifier, self._names))
        return np.concatenate(parts, 1)

    def draw(
        self, axis: Axis, lanes: Sequence[tuple[str, NDArray[np.float64]]], how: str = ""
    ) -> list[NDArray[np.uint8]]:
        """Norms and scores over time, two plots for each lane.

        Args:
            lanes: name and (n, q) of :meth:`measure`, of one version of the codes or of two; of two
                the first is drawn thin.
            how: what that is, for the title.
        """
        bands, pictures = list(self._space.bands), []
        count = len(bands) + len(self._names)
        for name, values in lanes:
            versions = [values[:, at : at + count] for at in range(0, values.shape[1], count)]
            sizes = [version[:, : len(bands)] for version in versions]
            seen = [version[:, len(bands) :] for version in versions]
            known = [float(np.nanmax(v)) for v in sizes if np.isfinite(v).any()]
            top = 1.08 * max([1.0, *known])
            title = f"{name}: rms of whitened codes; W's own have 1{how}"
            pictures.append(axis.draw(title, _pairs(bands, sizes), (0.0, top)))
            if not self._names:
                continue
            title = f"{name}: probability{how}"
            pictures.append(axis.draw(title, _pairs(self._names, seen), (-0.05, 1.15)))
        return pictures


def strength_plot(axis: Axis, edits: Sequence[Edit], notes: Sequence[str]) -> NDArray[np.uint8]:
    """The edits' strengths over time, as they were asked for; what was left out is in the title."""
    times = axis.times[axis.frames.start : axis.frames.stop]
    lines = [
        Line(edit.attribute, edit.schedule.at(times), colour)
        for edit, colour in zip(edits, COLOURS, strict=False)
    ]
    ends = [0.0, 1.0, *(float(v) for line in lines for v in (line.values.min(), line.values.max()))]
    title = "; ".join(("alpha", *notes))
    return axis.draw(title, lines, (min(ends) - 0.1, max(ends) + 0.2))


def _pairs(names: Sequence[str], versions: Sequence[NDArray[np.float64]]) -> list[Line]:
    lines = []
    for k, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        lines += [Line("", values[:, k], colour, thin=True) for values in versions[:-1]]
        lines.append(Line(name, versions[-1][:, k], colour))
    return lines
