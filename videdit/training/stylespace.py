"""Finding out what each of the generator's style channels does (StyleSpace, Wu et al. 2021).

Two things are known of a channel in the end: which attributes it gives, and where.

*Attributes*, from faces that have them (thirty suffice). As the paper does: with ``d = (s - mean) /
deviation`` the styles of faces with the attribute, channels are ranked by ``|mean d| / std d`` over
them; once for all channels, once times the share of their change that falls into the regions that
the attribute may touch. Attributes go together in people (grey hair, wrinkles and a tie), and so do
channels in this ranking. So the first of both lists are then moved on a few faces, the teacher
looks at the pictures, and an attribute gets the few channels that together move it and nothing
else: a non-negative least squares fit, one more channel at a time.

*Regions*, twice. Where a channel's activations have their energy (Collins et al. 2020), for edits
that give one region another face's style. And where the picture changes with it: the energy of the
gradient ``dI/ds`` in each region, for all channels at once, from the gradients of randomly signed
sums over the region's pixels, whose mean square it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import nnls
from torch import Tensor

from ..arrays import keep_arrays
from ..editing.labelled import EDIT, LabelledFaces
from ..editing.picture_classifier import PictureClassifier, join, look
from ..editing.stylespace import StyleChannels
from ..editing.touch import touch_of
from ..errors import UsageError
from ..faces.regions import NEVER, PARSED, REGIONS, SIDE
from ..files import write_atomically
from ..generators.latents import Latents
from ..generators.mobile import LAYERS, Block, SynthesisNetwork
from ..generators.wspace import WStatistics
from .classifier import Viewer, judged, make_teacher
from .picture_classifier import PictureTraining

if TYPE_CHECKING:
    from ..models.networks import Networks

Floats = npt.NDArray[np.float32]
Report = Callable[[str], None]

_GOAL = 1.75
"""Alpha 1 takes the median face without the attribute to this logit, a probability of 0.85."""

_FARTHEST = 30.0
"""Standard deviations that no channel is moved beyond."""

_PART = 20
"""Channels that are looked at between two lines of progress."""


@dataclass(frozen=True)
class StyleSpaceTraining:
    """Settings; the defaults made what ships.

    Attributes:
        pool: faces whose attributes are known from their pictures.
        measured: of these, on which channels are tried.
        deviations: how far channels are tried, either way.
        candidates: of each of an attribute's two lists of channels.
        chosen: channels that an attribute may get.
        others: weight of the attributes that are to stay, in the fit.
        ridge: weight of how far channels are moved, in the fit: many a little way rather than a few
            far out, where the generator has never been.
        lacking: faces on which the length of alpha 1 is found.
        spots: faces on which regions are looked at.
        seed: decides everything random.
    """

    pool: int = 240
    measured: int = 6
    deviations: float = 6.0
    candidates: int = 12
    chosen: int = 40
    others: float = 0.5
    ridge: float = 0.05
    lacking: int = 10
    spots: int = 8
    seed: int = 0


def train_stylespace(
    folder: Path,
    data: LabelledFaces,
    networks: Networks,
    how: StyleSpaceTraining,
    report: Report = print,
) -> Path:
    """Find the channels, or go on where it stopped; leaves ``stylespace.safetensors``.

    Args:
        folder: where `train_classifier` worked, for the teacher; trained where there is none.
        data: labelled codes.
        networks: the bundle's.
        how: settings.
        report: takes lines of progress.

    Raises:
        UsageError: ``folder`` holds a training on other labels, or with other settings.
    """
    kept = folder / "stylespace"
    kept.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(asdict(how) | {"names": data.names}).encode()
    asked = kept / "settings.json"
    if asked.exists() and asked.read_bytes() != settings:
        raise UsageError(
            f"{kept} holds a training on other labels or with other settings",
            "Take another folder, or delete it.",
        )
    write_atomically(asked, settings)
    part = data.of(EDIT)
    viewer = Viewer(
        networks.synthesis, networks.readout, networks.recognition, networks.device.name
    )
    teacher = make_teacher(folder, data, viewer, PictureTraining(), report)
    synthesis = networks.synthesis
    scale = deviations(synthesis, networks.statistics)
    shares, local = _regions(kept, part, networks, how, report)
    seer = _Seer(networks, teacher)
    rng = np.random.default_rng(how.seed)
    drawn = rng.permutation(np.flatnonzero(part.random))[: how.pool]
    codes = part.codes[drawn]
    logits = _kept(kept / "pool.npz", lambda: seer.logits(Latents(codes)))
    spread = logits.std(0)
    with torch.no_grad():
        styles = np.concatenate(
            [
                synthesis.styles(torch.from_numpy(piece)).numpy()
                for piece in np.array_split(part.codes, 20)
            ]
        )
    wanted = candidates(styles, part.labels, scale, local, part.names, how.candidates)
    report(f"{len(wanted)} channels to try")
    effects = _effects(
        kept, wanted, codes[: how.measured], logits[: how.measured], seer, scale, how, report
    )
    effects /= how.deviations * spread
    steps = {}
    for index, name in enumerate(part.names):
        sides = []
        for sign in (-1, 1):
            path = kept / f"step-{name}{'+' if sign > 0 else '-'}.json"
            if not path.exists():
                which, sizes = fit_step(effects, index, sign, how)
                lacking = codes[sign * logits[:, index] < 0][: how.lacking]
                length = _length(lacking, wanted[which], sizes, index, sign, seer, scale)
                sizes = sizes * length
                table = {"channels": wanted[which].tolist(), "sizes": sizes.tolist()}
                write_atomically(path, json.dumps(table).encode())
            table = json.loads(path.read_text())
            sides.append(
                (np.array(table["channels"], np.int64), np.array(table["sizes"], np.float32))
            )
        report(f"{name}: {', '.join(str(len(which)) for which, _ in sides)} channels")
        steps[name] = sides[0], sides[1]
    channels = StyleChannels(LAYERS, scale, steps, shares, local)
    result = folder / "stylespace.safetensors"
    channels.save(result, asdict(how))
    report(str(result))
    return result


def deviations(synthesis: SynthesisNetwork, stats: WStatistics) -> Floats:
    """(channels,) standard deviations of the styles over W.

    Styles are affine in w, ``s = A w + b``, so their covariance is ``A C A'``: with the principal
    axes, the root of the summed squares of what one deviation along each of them changes.
    """
    rows = synthesis.styles
    with torch.no_grad():
        mean = stats.mean[None]
        steps = mean + stats.axes.T * stats.scale[:, None]
        changed = rows(_rows(steps)) - rows(_rows(mean))
    return np.asarray(changed.square().sum(0).sqrt().numpy(), np.float32)


def _rows(w: Tensor) -> Tensor:
    return w[:, None].expand(-1, 16, -1)


def candidates(
    styles: Floats,
    labels: Floats,
    scale: Floats,
    local: Floats,
    names: Sequence[str],
    count: int,
) -> npt.NDArray[np.int64]:
    """Channels that may have to do with some attribute, rising.

    Args:
        styles: (n, channels) of labelled faces.
        labels: (n, k).
        scale: (channels,) their deviations.
        local: (regions, channels), see `StyleChannels`.
        names: of the attributes.
        count: of each of an attribute's two lists.
    """
    apart = (styles - styles.mean(0)) / scale
    found: set[int] = set()
    for index, name in enumerate(names):
        shown = apart[labels[:, index] > 0.5]
        if len(shown) < 2:
            continue
        ranking = np.abs(shown.mean(0)) / (shown.std(0) + 1e-6)
        touched = [REGIONS.index(region) for region in touch_of(name).all - NEVER]
        for order in (ranking, ranking * local[touched].sum(0)):
            found.update(np.argsort(-order)[:count].tolist())
    return np.array(sorted(found), np.int64)


def fit_step(
    effects: Floats, target: int, sign: int, how: StyleSpaceTraining
) -> tuple[npt.NDArray[np.int64], Floats]:
    """The few channels that move one attribute, and by how many deviations each.

    Orthogonal matching pursuit with non-negative coefficients: of all channels, each either way,
    the one that fits what is left best is added, and all are fitted anew.

    Args:
        effects: (m, 2, k) what a deviation down and one up of each channel change of the
            attributes, in deviations of theirs.
        target: which attribute, that is to change by one towards ``sign``.
        how: how many channels at most, and the weights of the fit.

    Returns:
        Which of the m channels, and by how much.
    """
    weights = np.full(effects.shape[2], how.others)
    weights[target] = 1
    columns = (effects.reshape(-1, effects.shape[2]) * weights).T.astype(np.float64)
    wanted = np.zeros(len(weights))
    wanted[target] = sign
    used: list[int] = []
    sizes = np.zeros(0)
    left = wanted
    lengths = np.linalg.norm(columns, axis=0) + 1e-9
    while len(used) < how.chosen:
        gain = columns.T @ left / lengths
        # A channel goes one way.
        gain[[i ^ 1 for i in used] + used] = -np.inf
        best = int(gain.argmax())
        if gain[best] <= 1e-3:
            break
        used.append(best)
        ridge = how.ridge * np.eye(len(used))
        stacked = np.vstack((columns[:, used], ridge))
        sizes = nnls(stacked, np.concatenate((wanted, np.zeros(len(used)))))[0]
        left = wanted - columns[:, used] @ sizes
    kept = sizes > 0
    places = np.array(used, np.int64)[kept]
    signs = np.where(places % 2 == 1, 1, -1)
    return places // 2, np.asarray(signs * sizes[kept], np.float32)


class _Seer:
    """What the teacher sees in the pictures of latents."""

    def __init__(self, networks: Networks, teacher: PictureClassifier) -> None:
        self._networks = networks
        self._teacher = teacher
        self._device = networks.device.name

    def logits(self, latents: Latents) -> Floats:
        """(n, k)."""
        looks = []
        for start in range(0, len(latents), 10):
            pictures = self._networks.generator.decode(latents[start : start + 10])
            small = np.stack(
                [cv2.resize(p, (PARSED, PARSED), interpolation=cv2.INTER_AREA) for p in pictures]
            )
            tensor = torch.from_numpy(small).permute(0, 3, 1, 2).to(self._device)
            looks.append(look(self._networks.recognition.to(self._device), tensor))
        return np.asarray(judged(self._teacher, join(looks)).cpu().numpy(), np.float32)


def _kept(path: Path, make: Callable[[], Floats]) -> Floats:
    if not path.exists():
        keep_arrays(path, values=make())
    with np.load(path, allow_pickle=False) as found:
        return np.asarray(found["values"])


def _effects(
    folder: Path,
    channels: npt.NDArray[np.int64],
    codes: Floats,
    before: Floats,
    seer: _Seer,
    scale: Floats,
    how: StyleSpaceTraining,
    report: Report,
) -> Floats:
    """(m, 2, k) what the channels change of the logits, down and up by ``how.deviations``; mean
    over the faces."""

    def effect(channel: int, sign: int) -> Floats:
        offsets = np.zeros((len(codes), len(scale)), np.float32)
        offsets[:, channel] = sign * how.deviations * scale[channel]
        return np.asarray((seer.logits(Latents(codes, offsets)) - before).mean(0), np.float32)

    parts = []
    for start in range(0, len(channels), _PART):
        piece, began = channels[start : start + _PART], time.monotonic()

        def make(piece: npt.NDArray[np.int64] = piece) -> Floats:
            return np.stack([[effect(int(c), sign) for sign in (-1, 1)] for c in piece])

        parts.append(_kept(folder / f"effects-{start:04d}.npz", make))
        report(f"tried {start + len(piece)}/{len(channels)} ({time.monotonic() - began:.0f} s)")
    return np.concatenate(parts)


def _length(
    lacking: Floats,
    channels: npt.NDArray[np.int64],
    sizes: Floats,
    index: int,
    sign: int,
    seer: _Seer,
    scale: Floats,
) -> float:
    """How many steps it takes until the median of the faces has the attribute."""
    if not len(channels) or not len(lacking):
        return 0.0
    low, high = 0.0, _FARTHEST / float(np.abs(sizes).max())
    for _ in range(5):
        middle = (low + high) / 2
        offsets = np.zeros((len(lacking), len(scale)), np.float32)
        offsets[:, channels] = middle * sizes * scale[channels]
        reached = sign * np.median(seer.logits(Latents(lacking, offsets))[:, index])
        low, high = (middle, high) if reached < _GOAL else (low, middle)
    return high


def _regions(
    folder: Path, part: LabelledFaces, networks: Networks, how: StyleSpaceTraining, report: Report
) -> tuple[Floats, Floats]:
    """(regions, channels) twice: where channels' activations have their energy, and where the
    picture changes with them; see `StyleChannels`."""
    rng = np.random.default_rng(how.seed)
    chosen = rng.permutation(len(part.codes))[: how.spots]
    energies, changes = [], []
    parser, synthesis = networks.parser, networks.synthesis
    for number, place in enumerate(chosen):
        code = part.codes[place : place + 1]

        def both(code: Floats = code, number: int = number) -> Floats:
            regions = parser.parse(networks.generator.decode(code)[0])
            energy = activation_energy(synthesis, code, regions)
            return np.stack((energy, change_energy(synthesis, code, regions, number)))

        energy, change = _kept(folder / f"regions-{number:02d}.npz", both)
        energies.append(energy)
        changes.append(change)
        report(f"regions of face {number + 1}/{len(chosen)}")
    return _shared(energies), _shared(changes)


def _shared(parts: Sequence[Floats]) -> Floats:
    total = np.sum(parts, 0).astype(np.float64) + 1e-20
    return np.asarray(total / total.sum(0), np.float32)


@torch.no_grad()
def activation_energy(synthesis: SynthesisNetwork, code: Floats, regions: Floats) -> Floats:
    """(regions, channels) squares of what each style scales, less its mean over the picture, summed
    over each region.

    Args:
        synthesis: the generator.
        code: (1, 16, 512).
        regions: (128, 128, regions) of its picture.
    """
    maps = torch.from_numpy(np.ascontiguousarray(regions.transpose(2, 0, 1)))[None]
    codes = torch.from_numpy(code)
    found = []

    def scaled(x: Tensor, style: Tensor) -> None:
        x = (x - x.mean((2, 3), keepdim=True)) * style[:, :, None, None]
        side = x.shape[-1]
        # As many pixels everywhere, or large layers would count more; within one it is the same.
        weights = _sized(maps, side)[0]
        found.append(torch.einsum("chw,rhw->rc", x[0].square(), weights) / side**2)

    steps = synthesis.stepwise(codes)
    scaled(synthesis.const, synthesis.first_style(codes[:, 0]))
    x = next(steps)
    for index, block in enumerate(synthesis.blocks):
        assert isinstance(block, Block)
        styles = block.styles(codes[:, 2 * index + 1], codes[:, 2 * index + 2])
        for step, style in zip(block.steps(), styles, strict=True):
            scaled(x, style)
            x = step(x, style)
    scaled(x, synthesis.image_style(codes[:, 15]))
    return np.asarray(torch.cat(found, 1).numpy(), np.float32)


def _sized(maps: Tensor, side: int) -> Tensor:
    if side > maps.shape[-1]:
        return F.interpolate(maps, (side, side), mode="nearest")
    return F.avg_pool2d(maps, maps.shape[-1] // side)


def change_energy(
    synthesis: SynthesisNetwork, code: Floats, regions: Floats, seed: int, probes: int = 2
) -> Floats:
    """(regions, channels) summed squares of ``dI/ds`` over each region's pixels.

    For signs e drawn by chance, the square of ``d(sum e I)/ds`` has the sum of the squares of the
    single pixels' ``dI/ds`` as its mean: one gradient gives it for all channels.

    Args:
        synthesis: the generator.
        code: (1, 16, 512).
        regions: (128, 128, regions) of its picture.
        seed: of the signs.
        probes: gradients that are averaged.
    """
    generator = torch.Generator().manual_seed(seed)
    codes = torch.from_numpy(code)
    offsets = torch.zeros(1, sum(LAYERS), requires_grad=True)
    picture = synthesis(codes, offsets)
    picture = F.avg_pool2d(picture, picture.shape[-1] // SIDE)
    found = torch.zeros(regions.shape[2], offsets.shape[1])
    for region in range(regions.shape[2]):
        weight = torch.from_numpy(np.ascontiguousarray(regions[:, :, region])).sqrt()
        if not bool((weight > 0.5).any()):
            continue
        for _ in range(probes):
            signs = torch.randint(0, 2, picture.shape, generator=generator) * 2.0 - 1
            total = (picture * signs * weight).sum()
            (gradient,) = torch.autograd.grad(total, offsets, retain_graph=True)
            found[region] += gradient[0].square() / probes
    return np.asarray(found.numpy(), np.float32)
