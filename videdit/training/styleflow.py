"""Training StyleFlow's flow, ten minutes on a CPU.

By **conditional flow matching** (Lipman et al., *Flow Matching for Generative Modeling*, ICLR
2023), not by maximum likelihood through the solver as the paper. Both fit the same kind of flow;
likelihood takes a solve of the equation and of its divergence per step, some hundred evaluations of
the network one after the other, matching takes one evaluation and a regression: a hundred times
cheaper, which is what puts it within a CPU's reach.

Between noise z and a row w, whitened, runs the path of equal variance (the trigonometric
interpolant of Albergo and Vanden-Eijnden, ICLR 2023):

    x_t = cos(pi t / 2) z + sin(pi t / 2) w,
    v(x_t, t, a) -> d x_t / dt = pi / 2 (cos(pi t / 2) w - sin(pi t / 2) z),

in the mean square, t uniform. The best v is the mean of the right side given x_t and a, and its
flow takes noise to p(w | a). Were W standard normal and a told nothing, it would be 0.

Rows are learned from faces with one code, sampled through the mapping network with truncations from
0.4 to 1 (what an encoder gives lies farther in than W's samples), and from what
`videdit train classifier` left in the folder, where it did: mixed and inverted codes, of each a
random row. Those of W teach most: what the classifier says of a mixed code is said of other rows,
too. Conditions are what the latent classifier, which will read them at edit time, says of the whole
code, the attributes with noise on them (`editing.styleflow` says why). The head's pose gets none:
its numbers tell little of what the others tell, and it is to be held closely.

A flow of one minute's training (40 000 faces of W) carried all of some inverted codes across in
twelve attributes, both ways, by the word of the classifier that its lengths were found with, moving
codes by 0.21 whitened units and the other attributes' probabilities by 0.074, root mean square; the
latent transformers carry 83 %, by 0.30 and 0.065. With 10 000 faces the loss on those held out
stayed 5 % above the others', with 40 000 less than 1 %.

Lengths are found last, on faces held out: an alpha of 1 takes the median face without the attribute
to the goal's logit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..editing.classifier import LatentClassifier
from ..editing.shell import Shell
from ..editing.styleflow import (
    POSE,
    STEPS,
    ConditionalFlow,
    Floats,
    StyleFlow,
    goal,
    raw_conditions,
)
from ..errors import UsageError
from ..files import replaced
from ..generators.wspace import WStatistics
from .classifier import labelled_codes, trained_classifier
from .latent import keep_bundle
from .reach import bracketed

if TYPE_CHECKING:
    from ..models.networks import Networks

_PIECE = 1000  # codes that are classified at a time
_SAVED_EVERY_S = 45.0
_TOLD_EVERY = 100  # steps
_TRUNCATION = (0.4, 1.0)
_WARM_UP = 100  # steps
_ROUGH_STEPS = 4  # of the solver, where lengths are found: within a hundredth of an edit
_FEW = 3  # faces that lack an attribute say nothing of a length when there are fewer


@dataclass(frozen=True)
class StyleFlowTraining:
    """Settings.

    Attributes:
        faces: sampled through the mapping network.
        hidden, layers: width and number of the velocity's hidden layers.
        steps, batch, learning_rate: rows a step, peak of Adam's rate (a cosine after a warm-up).
        averaging: of the weights, over the steps.
        noise: on the attributes' conditions, deviations.
        held_out: share of the faces that are never trained on.
        tried: faces held out, at most, on which lengths are found.
        longest: the largest length.
        seed: decides everything random.
    """

    faces: int = 80_000
    hidden: int = 768
    layers: int = 3
    steps: int = 5000
    batch: int = 512
    learning_rate: float = 1e-3
    averaging: float = 0.998
    noise: float = 0.2
    held_out: float = 0.05
    tried: int = 48
    longest: float = 6.0
    seed: int = 0


class FlowFaces(NamedTuple):
    """What a flow learns from.

    Attributes:
        whole: (n, width) codes of W, all rows of their faces.
        mixed: (m, rows, width) codes whose rows differ; half precision is enough.
        raw: (n + m, k) conditions, of ``whole`` first.
        held_out: (n + m,) which are never trained on.
    """

    whole: Tensor
    mixed: Tensor
    raw: Tensor
    held_out: Tensor

    def rows(self, chosen: Tensor, row: Tensor) -> Tensor:
        """(b, width) W units: of each face in ``chosen`` the given row."""
        found = self.whole.new_empty(len(chosen), self.whole.shape[1])
        mixed = chosen >= len(self.whole)
        found[~mixed] = self.whole[chosen[~mixed]]
        found[mixed] = self.mixed[chosen[mixed] - len(self.whole), row[mixed]].float()
        return found

    def codes(self, chosen: Tensor) -> Floats:
        """(b, rows, width) whole codes of faces."""
        rows = [
            self.rows(chosen, torch.full_like(chosen, row)) for row in range(self.mixed.shape[1])
        ]
        return np.asarray(torch.stack(rows, 1).numpy(), np.float32)


def train_styleflow(
    folder: Path,
    networks: Networks,
    settings: StyleFlowTraining,
    report: Callable[[str], None] = print,
) -> Path:
    """Train the flow, or go on where it stopped: the result is the same.

    Args:
        folder: takes ``styleflow-checkpoint.pt`` and ``styleflow.safetensors``. Where
            `train_classifier` worked in it, its classifier and codes are used, else the bundle's
            classifier and sampled codes alone. A flow works with the classifier that it was
            trained with only.
        networks: the bundle's.
        settings: see there.
        report: takes lines of progress.

    Returns:
        The result's path.

    Raises:
        UsageError: ``folder`` holds a training with other settings or of another bundle, or there
            are too few faces.
        WeightsError: the bundle's generator came without its mapping network.
    """
    mapping = networks.mapping  # without which nothing is begun
    folder.mkdir(parents=True, exist_ok=True)
    own = (folder / "classifier.safetensors").exists()
    if not own and "classifier" not in networks:
        raise UsageError(
            f"neither {folder} nor the bundle {networks.bundle.name!r} has a classifier of codes",
            f"Train one: videdit train classifier {folder} --bundle {networks.bundle.name}.",
        )
    classifier = trained_classifier(folder) if own else networks.classifier
    if not isinstance(classifier, LatentClassifier):
        raise UsageError(
            "a flow takes the pose from the project's own classifier, which the bundle has not",
            f"Train one: videdit train classifier {folder}.",
        )
    if own:
        keep_bundle(folder, networks)
    mixed, shown = _labelled(folder, networks.space.shape)
    stats = networks.statistics.to("cpu")
    whole = sampled_rows(mapping, stats, settings)
    faces = gathered(whole, mixed, shown, classifier, settings)
    report(f"{len(whole)} faces of W, {len(mixed)} mixed or inverted")
    device = networks.device.name
    checkpoint = folder / "styleflow-checkpoint.pt"
    flow = fit_flow(faces, stats, settings, report, checkpoint=checkpoint, device=device)
    error = held_out_loss(flow, faces, stats, settings, device)
    report(f"held out {error:.4f}")
    path = folder / "styleflow.safetensors"
    notes: dict[str, object] = {"settings": asdict(settings), "held_out": round(error, 5)}
    # Lengths are found for what will be loaded.
    flow.load_state_dict(flow.rounded())
    shell = Shell(stats.mean.numpy(), stats.whitening.numpy())
    editor = StyleFlow(flow.cpu(), stats, classifier, shell=shell, steps=_ROUGH_STEPS)  # nosec B604
    codes = _judged(faces, settings)
    editor.lengths = find_lengths(editor, codes, settings.longest)
    editor.steps = STEPS
    error = editor.cycle_error(codes[:8])
    notes["cycle_error"] = float(f"{error:.2g}")
    editor.save(path, notes)
    report(f"round trip {error:.2g}, lengths {_told(editor)}")
    report(str(path))
    return path


def _labelled(folder: Path, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    if not any(folder.glob("labelled-*.npz")):
        return torch.zeros(0, *shape).half(), torch.zeros(0, dtype=torch.int64)
    codes, _, shown = labelled_codes(folder, "labelled")
    return torch.from_numpy(codes.astype(np.float16)), torch.from_numpy(shown)


@torch.no_grad()
def sampled_rows(
    mapping: Callable[[Tensor], Tensor], stats: WStatistics, how: StyleFlowTraining
) -> Tensor:
    """(faces, width) codes of W, each with a truncation of its own."""
    width = len(stats.mean)
    parts = [torch.zeros(0, width)]
    for start in range(0, how.faces, _PIECE):
        count = min(_PIECE, how.faces - start)
        random = torch.Generator().manual_seed(how.seed * 1_000_003 + start)
        noise = torch.randn(count, width, generator=random)
        low, high = _TRUNCATION
        share = low + (high - low) * torch.rand(count, 1, generator=random)
        parts.append(stats.mean + share * (mapping(noise) - stats.mean))
    return torch.cat(parts)


@torch.no_grad()
def gathered(
    whole: Tensor,
    mixed: Tensor,
    shown: Tensor,
    classifier: LatentClassifier,
    how: StyleFlowTraining,
) -> FlowFaces:
    """Faces with their conditions, some of them held out.

    Args:
        whole, mixed: of ``FlowFaces``.
        shown: (m,) of each mixed one that whose picture it shows: a face and its inversion are held
            out together.
        classifier: reads the conditions.
        how: settings.

    Raises:
        UsageError: there are too few to hold some out.
    """
    raw = [torch.zeros(0, len(classifier.names) + POSE)]
    for piece in torch.split(whole, _PIECE):
        raw.append(raw_conditions(classifier, piece[:, None].expand(-1, classifier.rows, -1)))
    for piece in torch.split(mixed, _PIECE):
        raw.append(raw_conditions(classifier, piece.float()))
    people = torch.cat((torch.arange(len(whole)), len(whole) + shown))
    random = torch.Generator().manual_seed(how.seed)
    drawn = torch.rand(len(people), generator=random)[people] < how.held_out
    if not drawn.any() or drawn.all():
        raise UsageError(f"{len(people)} faces are too few to train a flow", "Sample more of them.")
    return FlowFaces(whole, mixed, torch.cat(raw), drawn)


def path_of(noise: Tensor, rows: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Where the path from noise (b, w) to whitened rows (b, w) is at times (b,), and its velocity
    there."""
    angle = math.pi / 2 * time[:, None]
    place = angle.cos() * noise + angle.sin() * rows
    return place, math.pi / 2 * (angle.cos() * rows - angle.sin() * noise)


def _errors(
    flow: ConditionalFlow,
    faces: FlowFaces,
    stats: WStatistics,
    chosen: Tensor,
    how: StyleFlowTraining,
    random: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Mean squared error of the velocity at one point of each chosen face's path, and that of no
    velocity at all. All that is random is drawn on the CPU, the same for every device."""
    count, device = len(chosen), stats.mean.device
    row = torch.randint(faces.mixed.shape[1], (count,), generator=random)
    # Spread evenly: times that leave no gaps make a quieter gradient.
    at = (torch.arange(count) + torch.rand(count, generator=random)) / count
    noise = torch.randn(count, len(stats.mean), generator=random)
    doubt = torch.randn(count, flow.conditions, generator=random)
    doubt[:, -POSE:] = 0
    rows = stats.whiten(faces.rows(chosen, row).to(device))
    conditions = flow.squashed(faces.raw[chosen].to(device)) + how.noise * doubt.to(device)
    times = at.to(device)
    place, velocity = path_of(noise.to(device), rows, times)
    error = (flow(place, times, conditions) - velocity).square().mean()
    return error, velocity.square().mean()


def fit_flow(
    faces: FlowFaces,
    stats: WStatistics,
    how: StyleFlowTraining,
    report: Callable[[str], None] = print,
    *,
    checkpoint: Path | None = None,
    device: str = "cpu",
) -> ConditionalFlow:
    """A flow from rows and conditions.

    Args:
        faces: what it learns from, on the CPU.
        stats: of W, on the CPU.
        how: settings.
        report: takes lines of progress; losses are shares of what no velocity at all would have.
        checkpoint: a file that is written every minute, and gone on from where it is there. A
            step's random numbers depend on its number alone, so that a training that was stopped
            ends where it would have.
        device: where it is trained.

    Returns:
        The flow, its weights averaged over the steps, frozen, on ``device``.

    Raises:
        UsageError: the checkpoint is of other settings.
    """
    torch.manual_seed(how.seed)
    trained = torch.where(~faces.held_out)[0]
    known = faces.raw[trained]
    flow = ConditionalFlow(len(stats.mean), known.shape[1], how.hidden, how.layers)
    flow.centre.copy_(known.mean(0))
    flow.spread.copy_(known.std(0).clamp(min=1e-3))
    flow = flow.to(device)
    stats = stats.to(device)
    optimiser = torch.optim.Adam(flow.parameters(), betas=(0.9, 0.99))
    averaged = {k: v.detach().clone() for k, v in flow.state_dict().items()}
    step = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["settings"] != asdict(how):
            raise UsageError(
                f"{checkpoint.parent} holds a flow's training with other settings",
                f"Take another folder, or delete {checkpoint.name}.",
            )
        flow.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        averaged, step = state["averaged"], int(state["step"])
    started, first, saved = time.monotonic(), step, time.monotonic()
    errors, whole = torch.zeros((), device=device), torch.zeros((), device=device)
    while step < how.steps:
        random = torch.Generator().manual_seed(how.seed * 1_000_003 + step)
        chosen = trained[torch.randint(len(trained), (how.batch,), generator=random)]
        rate = min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / how.steps))
        for group in optimiser.param_groups:
            group["lr"] = how.learning_rate * rate
        error, size = _errors(flow, faces, stats, chosen, how, random)
        optimiser.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(how.averaging, step / (step + 10))
        with torch.no_grad():
            for name, value in flow.state_dict().items():
                averaged[name].lerp_(value, 1 - keep)
            errors, whole = errors + error.detach(), whole + size
        if step % _TOLD_EVERY == 0:
            pace = (step - first) / (time.monotonic() - started)
            left = (how.steps - step) / pace / 60
            report(f"step {step}: loss {float(errors / whole):.4f} ({left:.0f} min left)")
            errors, whole = torch.zeros_like(errors), torch.zeros_like(whole)
        if checkpoint is not None and (
            time.monotonic() - saved > _SAVED_EVERY_S or step == how.steps
        ):
            with replaced(checkpoint) as temporary:
                torch.save(
                    {
                        "settings": asdict(how),
                        "network": flow.state_dict(),
                        "averaged": averaged,
                        "optimiser": optimiser.state_dict(),
                        "step": step,
                    },
                    temporary,
                )
            saved = time.monotonic()
    flow.load_state_dict(averaged)
    return flow.eval().requires_grad_(False)


@torch.no_grad()
def held_out_loss(
    flow: ConditionalFlow,
    faces: FlowFaces,
    stats: WStatistics,
    how: StyleFlowTraining,
    device: str = "cpu",
) -> float:
    """The loss on all faces held out, as a share of what no velocity at all would have."""
    random = torch.Generator().manual_seed(how.seed)
    errors = whole = 0.0
    there = stats.to(device)
    for chosen in torch.split(torch.where(faces.held_out)[0], how.batch):
        error, size = _errors(flow, faces, there, chosen, how, random)
        errors += float(error) * len(chosen)
        whole += float(size) * len(chosen)
    return errors / whole


def _judged(faces: FlowFaces, how: StyleFlowTraining) -> Floats:
    """Codes held out, (n, rows, width): as many mixed ones, which edits will be made of, as are
    there, at most ``tried``; else whole ones."""
    # From the end: inverted codes come last.
    return faces.codes(torch.where(faces.held_out)[0].flip(0)[: how.tried])


@torch.no_grad()
def find_lengths(
    editor: StyleFlow, codes: Floats, longest: float
) -> dict[str, tuple[float, float]]:
    """Lengths with which an alpha of 1 takes the median face without the attribute to the goal.

    A direction that too few of the faces can go has the length of the other one.

    Args:
        editor: the editor; its own lengths don't matter.
        codes: (n, rows, width).
        longest: the largest length, and one over it the smallest.
    """
    raw = raw_conditions(editor.classifier, torch.from_numpy(codes))
    steps = np.zeros((len(editor.names), *codes.shape), np.float32)
    for number, code in enumerate(codes):
        wanted = raw[number].repeat(len(editor.names), 1)
        for column in range(len(editor.names)):
            now = raw[number, column]
            wanted[column, column] = goal(now, 1.0 if now < 0 else -1.0)
        ways = editor.ways(code, wanted)
        for column, name in enumerate(editor.names):
            rows = editor.rows[name]
            steps[column, number, :rows] = ways[column, :rows]
    found = {}
    for column, name in enumerate(editor.names):
        own = raw[:, column].numpy()
        pair = [
            _length(editor, codes[who], steps[column, who], column, sign, longest)
            for sign in (-1, 1)
            for who in [own * sign < 0]
        ]
        minus, plus = pair
        found[name] = (
            minus if minus is not None else plus if plus is not None else 1.0,
            plus if plus is not None else minus if minus is not None else 1.0,
        )
    return found


def _length(
    editor: StyleFlow, codes: Floats, steps: Floats, column: int, sign: int, longest: float
) -> float | None:
    if len(codes) < _FEW:
        return None

    def reached(length: float) -> float:
        moved = codes + np.float32(math.exp(length)) * steps
        if editor.shell is not None:
            moved = editor.shell.held(moved, codes)
        return float(np.median(sign * editor.classifier.logits(moved)[:, column]))

    low, high = bracketed(reached, math.log(1 / longest), math.log(longest), 8)
    return round(math.exp((low + high) / 2), 3)


def _told(editor: StyleFlow) -> str:
    lengths = sorted(value for pair in editor.lengths.values() for value in pair)
    return f"{lengths[0]:.2f} to {lengths[-1]:.2f}, median {np.median(lengths):.2f}"
