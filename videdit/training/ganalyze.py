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
- It begins at a ridge regression of the scores of some hundred faces on their whitened codes. Their
  pictures are kept, and decoded once for all assessors.
- It is learned in whitened coordinates, and its squared length there is held by a small term: of
  all steps that raise the score alike it is to be the one along which faces differ most, since
  those leave the faces that the generator knows last.
- Each face is moved up and down by the same alpha, so that the score's curvature cancels.
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
_KEPT_EVERY = 5  # steps between two checkpoints
_TOLD_EVERY = 10
_CHECKED = 4  # faces whose kept scores are compared with the assessor's
_LONGEST = 3.0  # whitened length of the step that training begins with, at most
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
        steps: of Adam.
        batch: faces a step; each is decoded twice.
        strength: largest alpha.
        learning_rate: of whitened coordinates, at the first step; falls to 0 linearly.
        prior: weight of the step's squared whitened length.
        tested: faces that training does not see, on which the step is measured.
        seed: decides everything random.
    """

    faces: int = 240
    truncation: float = 0.8
    steps: int = 50
    batch: int = 2
    strength: float = 2.0
    learning_rate: float = 0.01
    prior: float = 0.01
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
        folder: takes the faces, each assessor's scores of them, a checkpoint, the settings, and
            ``ganalyze.safetensors`` (`editing.directions`) with all directions learned so far. Its
            notes hold for each: ``mean`` and ``deviation`` of the assessor's scores over generated
            faces, the share of their variance that the regression ``explained`` on faces left out,
            the step's whitened ``length``, and on held-out faces the mean ``scores`` at the
            ``alphas`` in deviations, ``rises``, the share on which the score rises from each alpha
            to the next, and ``slope``, the mean rise for an alpha of 1.
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
        task = _Task(name, assessor, scale, faces.codes, scale(scores), shower, how)
        checkpoint = folder / f"checkpoint-{name}.pt"
        learned = _learn(task, start, checkpoint, report)
        notes = {
            "mean": scale.mean,
            "deviation": scale.deviation,
            "explained": round(explained, 4),
            "length": round(float(learned.norm()), 4),
            **_measure(task, learned),
            "settings": asdict(how),
        }
        _add(path, name, shower.step(learned).numpy(), scale, notes)
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
        device = next(iter(self.mapping.parameters()), self.stats.mean).device
        with torch.no_grad():
            w = self.mapping(torch.cat(z).to(device)).cpu()
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
        """A step (width,) in whitened coordinates as one of codes."""
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

    The ridge is the one with the least error on faces left out, in closed form: with the hat matrix
    H a face's residual without it is r / (1 - H_ii). A regression of so few faces thinks too little
    of its coefficients b; by how much, its predictions of the faces left out say. The score of such
    a linear model rises by 1 along b / |b|^2.

    Args:
        whitened: (n, k) codes.
        scores: (n,) theirs, in deviations.

    Returns:
        (k,) the step, not longer than 3, and the share of the variance that is explained on faces
        left out; below 0 if it is none.
    """
    n = len(scores)
    centred, target = whitened - whitened.mean(0), scores - scores.mean()
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    # All that is centred lies in n - 1 dimensions; the last is rounding.
    kept = s > s[0] * 1e-6
    u, s, vt = u[:, kept], s[kept], vt[kept]
    along, best = u.T @ target, (math.inf, 0.0, target)
    for ridge in _RIDGES:
        shrunk = s**2 / (s**2 + ridge)
        hat = 1 / n + (u**2 * shrunk).sum(1)
        left_out = (target - u @ (shrunk * along)) / np.maximum(1 - hat, 1e-9)
        error = float(np.square(left_out).mean())
        if error < best[0]:
            best = error, float(ridge), target - left_out
    error, ridge, predicted = best
    b = vt.T @ (s / (s**2 + ridge) * along)
    length = float(np.linalg.norm(b))
    slope = float(predicted @ target / max(predicted @ predicted, 1e-12))
    rise = length * (slope if slope > 0 else 1.0)
    step = b / max(length, 1e-12) * min(1 / max(rise, 1e-12), _LONGEST)
    return step, 1 - error / float(target.var())


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
        scores: (n,) theirs, in deviations.
        shower: shows codes.
        how: settings.
    """

    name: str
    assessor: Assessor
    scale: _Scale
    codes: Tensor
    scores: Doubles
    shower: _Shower
    how: GanalyzeTraining

    def score(self, codes: Tensor) -> Tensor:
        """(n,) scores of what codes (n, width) show, in deviations."""
        found = self.assessor(self.shower.show(codes)).reshape(len(codes))
        _check(self.name, found)
        return (found - self.scale.mean) / self.scale.deviation

    def descend(self, theta: Tensor, number: int) -> float:
        """Leave the gradient of a step of training in ``theta``, a step in whitened coordinates;
        the mean squared error of the scores. What is drawn depends on the settings and the
        step's number alone."""
        how, count = self.how, len(self.codes)
        epoch, offset = divmod(number * how.batch, count)
        order = np.random.default_rng((how.seed, epoch)).permutation(count)
        chosen = np.repeat(order[np.arange(offset, offset + how.batch) % count], 2)
        drawn = np.random.default_rng((how.seed, epoch, number)).uniform(0, how.strength, how.batch)
        alphas = torch.from_numpy(np.stack((drawn, -drawn), 1).ravel()).float()
        targets = torch.from_numpy(self.scores[chosen]).float() + alphas
        codes, total = self.codes[torch.from_numpy(chosen)], 0.0
        for few in torch.split(torch.arange(len(chosen)), self.shower.together):
            found = self.score(codes[few] + alphas[few, None] * self.shower.step(theta))
            loss = (found - targets[few]).square().sum() / len(chosen)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        (how.prior * theta.square().sum()).backward()  # type: ignore[no-untyped-call]
        return total


def _learn(task: _Task, start: Doubles, checkpoint: Path, report: Report) -> Tensor:
    """(width,) the step in whitened coordinates, from ``start`` or the checkpoint on."""
    how = task.how
    theta = torch.from_numpy(start.astype(np.float32)).requires_grad_(True)
    optimiser = torch.optim.Adam([theta], how.learning_rate, betas=(0.9, 0.99))
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        with torch.no_grad():
            theta.copy_(state["theta"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    first, started, errors = step, time.monotonic(), list[float]()
    while step < how.steps:
        for group in optimiser.param_groups:
            group["lr"] = how.learning_rate * (1 - step / how.steps)
        optimiser.zero_grad(set_to_none=True)
        errors.append(task.descend(theta, step))
        optimiser.step()
        step += 1
        if step % _TOLD_EVERY == 0 or step == how.steps:
            pace = (time.monotonic() - started) / (step - first)
            report(f"{task.name}: step {step}: {np.mean(errors):.3f} ({pace:.1f} s/step)")
            errors.clear()
        if step % _KEPT_EVERY == 0 or step == how.steps:
            state = {"theta": theta.detach(), "optimiser": optimiser.state_dict(), "step": step}
            with replaced(checkpoint) as temporary:
                torch.save(state, temporary)
    return theta.detach()


@torch.no_grad()
def _measure(task: _Task, learned: Tensor) -> dict[str, Any]:
    """What the step does to held-out faces; see `train_ganalyze`."""
    how, shower = task.how, task.shower
    codes = shower.draw(_seed(how, _HELD_OUT), how.tested, how.truncation)
    steps = torch.tensor(ALPHAS)[:, None] * shower.step(learned)
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
