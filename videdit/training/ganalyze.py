"""GANalyze: directions that raise an assessor's score of the picture (Goetschalckx et al., ICCV
2019, *GANalyze: Toward Visual Definitions of Cognitive Image Properties*).

A step theta is learned so that a face moved by alpha theta scores alpha higher:

    minimise E[(A(G(w + alpha theta)) - (A(G(w)) + alpha))^2],  alpha uniform in [-a, a],

with the assessor A in standard deviations of its scores over generated faces.

What differs from the paper, and why:

- The step is one in W, the same on all rows, and not in z. What is edited are codes that an encoder
  found for real faces, and no z is known of them; a step in z is no step of a code, nor one in the
  wider space W+ that they are of. The faces that it is learned on are samples of W, drawn through
  the mapping network and brought nearer to the mean (truncation).
- It is learned in whitened coordinates, with a ridge on its squared length there: of all steps that
  raise the score alike it is to be the shortest, along which faces differ most, since that leaves
  the faces that the generator knows last.
- It begins at a regression of the scores of some hundred faces on their codes. Their pictures are
  kept, and decoded once for all assessors.
- From there on the derivative of what the loss asks for is solved for, and not the loss descended:
  A(G(w + alpha theta)) is to rise with alpha at the rate of 1 everywhere, so that each face, moved
  by an alpha, gives with the gradient g of its score there one linear equation, g theta = 1. All of
  them are solved together, anew after every few faces. Faces' gradients differ much more than they
  agree (for Attractive, of their mean square 12 the square of their mean is 3). In short trials
  Adam followed that noise; solving for the differences of scores halved the length but left the
  score of a quarter of the faces falling somewhere; forty equations of this kind, of a twentieth.
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import keep_arrays
from ..editing.assessors import SIDE, Assessor
from ..editing.directions import Directions, load_directions
from ..errors import UsageError
from ..files import replaced

if TYPE_CHECKING:
    from ..models.networks import Networks

RESULT = "ganalyze.safetensors"

_PART = 20  # faces that are decoded between two files
_KEPT_EVERY = 5  # faces that are moved between two checkpoints
_CHECKED = 4  # faces whose kept scores are compared with the assessor's
_LONGEST = 3.0  # whitened length of a step, at most
_RIDGES = np.logspace(-1, 5, 25)
_HELD_OUT = 1  # added to the seed of the faces that are measured on

Report = Callable[[str], None]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GanalyzeTraining:
    """Settings. With the defaults an assessor takes about five minutes on two cores.

    Attributes:
        faces: generated faces that the regression sees, and whose scores' deviation is one unit of
            alpha; training takes its faces out of these.
        truncation: by which codes are brought nearer to the mean, 0 to 1: what is far out in W is
            often no face.
        steps: how often the equations are solved.
        batch: faces that are moved before each time.
        strength: largest alpha.
        tested: faces that training does not see, on which the step is measured.
        seed: decides everything random.
    """

    faces: int = 240
    truncation: float = 0.8
    steps: int = 8
    batch: int = 20
    strength: float = 2.0
    tested: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.faces < 3 or self.batch < 1 or self.tested < 1:
            raise ValueError("it takes at least 3 faces, 1 to a step and 1 to test on")
        if not 0 < self.truncation <= 1:
            raise ValueError(f"truncation is {self.truncation!r}, not above 0 and up to 1")


ALPHAS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""At which the step is measured."""


def train_ganalyze(
    folder: Path,
    networks: Networks,
    assessors: Mapping[str, Assessor],
    how: GanalyzeTraining | None = None,
    report: Report = print,
) -> Path:
    """Learn a direction per assessor; those that are there already are kept. It goes on where it
    stopped, and ends as if it had not.

    Args:
        folder: takes the faces, each assessor's scores of them, its gradients on the way, the
            settings, and ``ganalyze.safetensors`` (`editing.directions`) with all directions
            learned so far. Its notes hold for each: ``mean`` and ``deviation`` of the assessor's
            scores over generated faces; the share of their variance that the regression
            ``explained`` on faces left out; the step's whitened ``length``; and on held-out faces
            the mean ``scores`` at the ``alphas``, in deviations, ``rises``, the share on which the
            score rises from each alpha to the next, and ``slope``, the mean rise for an alpha of 1.
        networks: the bundle's.
        assessors: by the name of the direction.
        how: settings; the defaults if not given.
        report: takes lines of progress.

    Raises:
        UsageError: ``folder`` holds a training with other settings, or another assessor's scores
            under one of the names; a name is none for a file; an assessor's scores are not finite,
            or the same for all faces.
        WeightsError: ``folder`` holds a damaged result.
    """
    how = how or GanalyzeTraining()
    for name in assessors:
        if not name or name.startswith(".") or Path(name).name != name or "\0" in name:
            raise UsageError(f"a direction cannot be called {name!r}", "Take a plain word.")
    folder.mkdir(parents=True, exist_ok=True)
    _same_settings(folder / "settings.json", how)
    shower = _Shower(networks)
    faces = _sample(folder, shower, how, report)
    path = folder / RESULT
    for name, assessor in assessors.items():
        scores = _kept_scores(folder / f"scores-{name}.npz", name, assessor, faces)
        if path.exists() and name in load_directions(path).steps:
            report(f"{name} is there already")
            continue
        started = time.monotonic()
        scale = _Scale.of(name, scores)
        start, explained = regress(shower.stats.whiten(faces.codes).double().numpy(), scale(scores))
        report(f"{name}: a regression explains {explained:.0%}, length {np.linalg.norm(start):.2f}")
        task = _Task(name, assessor, scale, faces.codes, shower, how)
        checkpoint = folder / f"gradients-{name}.npz"
        whitened = _learn(task, start, checkpoint, report)
        step = shower.step(torch.from_numpy(whitened).float())
        notes = {
            "mean": scale.mean,
            "deviation": scale.deviation,
            "explained": round(explained, 4),
            "length": round(float(np.linalg.norm(whitened)), 4),
            **_measure(task, step),
            "settings": asdict(how),
        }
        _add(path, name, step.numpy(), scale, notes)
        checkpoint.unlink(missing_ok=True)
        report(
            f"{name}: rises on {notes['rises']:.0%} of {how.tested} faces, slope"
            f" {notes['slope']:.2f}, length {notes['length']:.2f}"
            f" ({time.monotonic() - started:.0f} s)"
        )
    report(str(path))
    return path


class _Faces(NamedTuple):
    """Generated faces: ``codes`` (n, width), and the ``parts`` that hold their pictures."""

    codes: Tensor
    parts: list[Path]

    def pictures(self, part: Path) -> Tensor:
        """(k, 3, s, s) in [0, 1]."""
        return torch.from_numpy(_read(part, "pictures")[0]).float()


class _Scale(NamedTuple):
    """An assessor's ``mean`` and ``deviation`` over generated faces."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, name: str, scores: Doubles) -> _Scale:
        mean, deviation = float(scores.mean()), float(scores.std())
        if deviation <= 1e-9 * max(1.0, abs(mean)):
            raise UsageError(
                f"the assessor {name} scores all generated faces alike",
                "Only what differs between faces can be learned from.",
            )
        return cls(mean, deviation)

    def __call__(self, scores: Doubles) -> Doubles:
        """In deviations from the mean."""
        return (scores - self.mean) / self.deviation


class _Shower:
    """Shows codes of W as the assessors see them: the generator's picture, reduced by area to 256
    pixels a side and clamped to [0, 1]; with a gradient, on the CPU."""

    def __init__(self, networks: Networks) -> None:
        self.device = networks.device.name
        self.synthesis = networks.synthesis.to(self.device)
        self.mapping = networks.mapping
        self.stats = networks.statistics.to("cpu")
        self.rows = networks.space.rows
        # On the CPU a second face at a time costs memory and gains nothing.
        self.together = 1 if self.device == "cpu" else 8

    def draw(self, seed: int, count: int, truncation: float) -> Tensor:
        """(count, width) samples of W."""
        generator = torch.Generator().manual_seed(seed)
        # One by one: the first faces are the same however many there are.
        z = [torch.randn(1, len(self.stats.mean), generator=generator) for _ in range(count)]
        with torch.no_grad():
            w = self.mapping(torch.cat(z))
        codes: Tensor = self.stats.mean + truncation * (w - self.stats.mean)
        return codes

    def show(self, codes: Tensor) -> Tensor:
        """(n, 3, s, s) of codes (n, width)."""
        rows = codes.to(self.device)[:, None].expand(-1, self.rows, -1)
        picture = self.synthesis(rows) * 0.5 + 0.5
        if picture.shape[-1] > SIDE:
            picture = F.adaptive_avg_pool2d(picture, SIDE)
        return cast(Tensor, picture.clamp(0, 1).float().cpu())

    def step(self, whitened: Tensor) -> Tensor:
        """Steps (..., width) in whitened coordinates as such of codes."""
        return (whitened * self.stats.scale) @ self.stats.axes.T


def _sample(folder: Path, shower: _Shower, how: GanalyzeTraining, report: Report) -> _Faces:
    """The faces in ``folder``, if they are those of these networks; otherwise made, and kept there
    in parts as they come."""
    drawn = shower.draw(_seed(how, 0), how.faces, how.truncation)
    codes, parts = [], []
    for number, piece in enumerate(torch.split(drawn, _PART)):
        path = folder / f"faces-{number:04d}.npz"
        if not _holds(path, piece):
            with torch.no_grad():
                shown = torch.cat([shower.show(few) for few in torch.split(piece, shower.together)])
            # Half precision keeps ten times less grain than bytes, which the sharpness would see.
            pictures = shown.half().numpy()
            keep_arrays(path, codes=piece.numpy(), pictures=pictures)
            report(f"{min((number + 1) * _PART, how.faces)}/{how.faces} faces")
        codes.append(torch.from_numpy(_read(path, "codes")[0]))
        parts.append(path)
    return _Faces(torch.cat(codes), parts)


def _holds(path: Path, codes: Tensor) -> bool:
    try:
        # Another machine's mapping network may round otherwise.
        return path.exists() and np.allclose(_read(path, "codes")[0], codes.numpy(), atol=1e-3)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False  # damaged, or of another space


def _read(path: Path, *names: str) -> list[npt.NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in names]


def _kept_scores(path: Path, name: str, assessor: Assessor, faces: _Faces) -> Doubles:
    """(n,) the assessor's scores of the faces; kept, and compared with its own on a few."""
    few = _scores(name, assessor, faces.pictures(faces.parts[0])[:_CHECKED])
    if path.exists():
        kept: Doubles
        kept, codes = _read(path, "scores", "codes")
        if np.array_equal(codes, faces.codes.numpy()):
            if not np.allclose(few, kept[: len(few)], rtol=1e-3, atol=1e-2 * float(kept.std())):
                raise UsageError(
                    f"{path.parent} holds another assessor's work under the name {name}",
                    "Take another name, or another folder.",
                )
            return kept
    found = np.concatenate([_scores(name, assessor, faces.pictures(part)) for part in faces.parts])
    keep_arrays(path, scores=found, codes=faces.codes.numpy())
    return found


@torch.no_grad()
def _scores(name: str, assessor: Assessor, pictures: Tensor) -> Doubles:
    # One by one: some programs round otherwise for several, and none is to see more than it has to.
    found = torch.cat(
        [assessor(picture).detach().reshape(1) for picture in torch.split(pictures, 1)]
    )
    _check(name, found)
    return found.double().numpy()


def _check(name: str, scores: Tensor) -> None:
    if not bool(torch.isfinite(scores).all()):
        raise UsageError(
            f"the assessor {name} gives a generated face a score that is not finite",
            "It has to score every picture.",
        )


def regress(whitened: Doubles, scores: Doubles) -> tuple[Doubles, float]:
    """The step that a ridge regression takes for the shortest that raises the score by 1.

    The score of a linear model with the coefficients b rises by 1 along b / |b|^2.

    Args:
        whitened: (n, k) codes.
        scores: (n,) theirs, in deviations.

    Returns:
        (k,) the step, not longer than 3, and the share of the variance that is explained on faces
        left out; below 0 if it is none.
    """
    target = scores - scores.mean()
    b, _, error = _ridge(whitened - whitened.mean(0), target, 1 / len(scores))
    step = b / max(float(b @ b), 1e-12)
    return _limited(step), 1 - error / float(target.var())


def solve(gradients: Doubles) -> Doubles:
    """The step (k,), not longer than 3, of n equations ``gradients @ step = 1``.

    Its direction is that of a ridge regression of the ones. Its length is such that on faces left
    out the score rises at the rate of 1 in the mean: the squared error alone would make it the
    shorter the more faces differ.

    Args:
        gradients: (n, k) of the scores of moved faces, by the step.
    """
    b, predicted, _ = _ridge(gradients, np.ones(len(gradients)))
    rate = float(predicted.mean())
    return _limited(b / rate if rate > 0 else b)


def _limited(step: Doubles) -> Doubles:
    return step * min(1.0, _LONGEST / max(float(np.linalg.norm(step)), 1e-12))


def _ridge(x: Doubles, y: Doubles, leverage: float = 0.0) -> tuple[Doubles, Doubles, float]:
    """Ridge regression of ``y`` (n,) on ``x`` (n, k): the coefficients (k,), what is predicted (n,)
    of each row by the others, and the mean squared error of that.

    Those predictions are known in closed form: with the hat matrix H, a row's residual without it
    is r / (1 - H_ii), to which ``leverage`` is added (1/n where the columns' means were taken off).
    A ridge makes coefficients too small; they are made as much larger as brings the predictions
    nearest to ``y``, and the ridge is chosen whose predictions then come nearest.
    """
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    # Less than this is rounding, as is what is left of a dimension that was taken off.
    kept = s > s[0] * 1e-6
    u, s, vt = u[:, kept], s[kept], vt[kept]
    along = u.T @ y
    best, left_out, least = np.zeros(x.shape[1]), np.zeros(len(y)), math.inf
    for ridge in _RIDGES:
        shrunk = s**2 / (s**2 + ridge)
        hat = leverage + (u**2 * shrunk).sum(1)
        predicted = y - (y - u @ (shrunk * along)) / np.maximum(1 - hat, 1e-9)
        slope = float(predicted @ y) / max(float(predicted @ predicted), 1e-300)
        # Predictions that are worse than none may be those of any ridge.
        slope = slope if slope > 0 else 1.0
        error = float(np.square(y - slope * predicted).mean())
        if error < least:
            best = slope * (vt.T @ (s / (s**2 + ridge) * along))
            left_out, least = slope * predicted, error
    return best, left_out, least


def _seed(how: GanalyzeTraining, number: int) -> int:
    return 1_000_003 * (2 * how.seed + 1) + number


@dataclass(frozen=True)
class _Task:
    """What is learned.

    Attributes:
        name: of the direction.
        assessor: scores pictures.
        scale: of its scores.
        codes: (n, width) faces to learn on.
        shower: shows codes.
        how: settings.
    """

    name: str
    assessor: Assessor
    scale: _Scale
    codes: Tensor
    shower: _Shower
    how: GanalyzeTraining

    def score(self, codes: Tensor) -> Tensor:
        """(n,) scores of what codes (n, width) show, in deviations."""
        found = self.assessor(self.shower.show(codes)).reshape(len(codes))
        _check(self.name, found)
        return (found - self.scale.mean) / self.scale.deviation

    def gradients(self, step: Doubles, first: int, last: int) -> Doubles:
        """(n, k) gradients of the scores of faces that are moved by a whitened step (k,).

        Args:
            step: of alpha 1.
            first, last: numbers of the faces, the last excluded. Which they are and how far they
                are moved depends on the settings and the number alone.
        """
        count, seed, strength = len(self.codes), self.how.seed, self.how.strength
        chosen, alphas = [], []
        for number in range(first, last):
            epoch, offset = divmod(number, count)
            chosen.append(np.random.default_rng((seed, epoch)).permutation(count)[offset])
            alphas.append(np.random.default_rng((seed, 1, number)).uniform(-strength, strength))
        # A step for each face, so that each has a gradient of its own.
        own = torch.from_numpy(np.outer(alphas, step)).float().requires_grad_(True)
        found = self.score(self.codes[chosen] + self.shower.step(own))
        found.sum().backward()  # type: ignore[no-untyped-call]
        assert own.grad is not None
        return own.grad.double().numpy()


def _learn(task: _Task, start: Doubles, checkpoint: Path, report: Report) -> Doubles:
    """(width,) the step in whitened coordinates: from ``start`` or the checkpoint on."""
    how, together = task.how, task.shower.together
    gradients: Doubles = np.zeros((0, len(start)))
    if checkpoint.exists():
        gradients = _read(checkpoint, "gradients")[0]
    step = start
    for number in range(how.steps):
        ended, started, had = (number + 1) * how.batch, time.monotonic(), len(gradients)
        while len(gradients) < ended:
            first = len(gradients)
            more = task.gradients(step, first, min(first + together, ended))
            gradients = np.concatenate((gradients, more))
            count = len(gradients)
            if count == ended or count // _KEPT_EVERY > first // _KEPT_EVERY:
                keep_arrays(checkpoint, gradients=gradients)
        rates = gradients[ended - how.batch : ended] @ step
        step = solve(gradients[:ended])
        if had < ended:
            pace = (time.monotonic() - started) / (ended - had)
            report(
                f"{task.name}: step {number + 1}/{how.steps}: rose on {(rates > 0).mean():.0%},"
                f" at a rate of {rates.mean():.2f}, length {np.linalg.norm(step):.2f}"
                f" ({pace:.1f} s a face)"
            )
    return step


@torch.no_grad()
def _measure(task: _Task, step: Tensor) -> dict[str, Any]:
    """What the step does to held-out faces; see `train_ganalyze`."""
    how, shower = task.how, task.shower
    codes = shower.draw(_seed(how, _HELD_OUT), how.tested, how.truncation)
    steps = torch.tensor(ALPHAS)[:, None] * step
    moved = (codes[:, None] + steps).flatten(0, 1)
    found = torch.cat([task.score(few) for few in torch.split(moved, shower.together)])
    scores, alphas = found.double().numpy().reshape(how.tested, -1), np.array(ALPHAS)
    rises = (np.diff(scores, axis=1) > 0).all(1).mean()
    slope = (scores @ alphas / (alphas @ alphas)).mean()
    return {
        "tested": how.tested,
        "alphas": list(ALPHAS),
        "scores": [round(float(v), 4) for v in scores.mean(0)],
        "rises": round(float(rises), 4),
        "slope": round(float(slope), 4),
    }


def _add(path: Path, name: str, step: Floats, scale: _Scale, notes: Mapping[str, Any]) -> None:
    """Write the file anew, with one direction more."""
    known = load_directions(path) if path.exists() else Directions({})
    told = f"alpha 1 raises {name} by one standard deviation over generated faces,"
    found = Directions(
        {**known.steps, name: step},
        {**known.scores, name: f"{told} {scale.deviation:.4g}"},
        {**known.notes, name: notes},
    )
    with replaced(path) as temporary:
        found.save(temporary)


def _same_settings(path: Path, how: GanalyzeTraining) -> None:
    if path.exists() and json.loads(path.read_text()) != asdict(how):
        raise UsageError(
            f"{path.parent} holds a training with other settings",
            "Take another folder, or the settings in its settings.json.",
        )
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(asdict(how), indent=1))
