"""Finding out what each of the generator's style channels does (StyleSpace, Wu et al. 2021).

Two things are known of a channel in the end: which attributes it gives, and where.

*Attributes*, in the two ways of the paper. From faces that have them (thirty suffice): by how many
deviations d a channel's style differs between faces with and without. And from gradients: how much
the attribute, as the teacher sees it in the picture, and all others change with the channel, and
into which regions its change of the picture falls. Neither does alone. Attributes go together in
people (grey hair, wrinkles and a tie), so d holds them all; and gradients are known at a point,
where no glasses are. So an attribute gets the step v that by the gradients J moves it by one and
nothing else, at the least cost, where a channel costs the less the more it differs between faces
with and without, and the more its change falls into the regions that the attribute may touch::

    min |W (J v - e)|^2 + ridge * sum (v / D)^2,   D = |d| sqrt(share in the regions)

whose solution is ``D^2 J' (J D^2 J' + ridge W^-2)^-1 e``. Its foremost channels are kept and fitted
anew. They move together, each little: out of what the generator knows, there are no faces.

*Regions*, twice. Where a channel's activations have their energy (Collins et al. 2020), for edits
that give one region another face's style. And where the picture changes with it: the energy of the
gradient ``dI/ds`` in each region, for all channels at once, from the gradients of randomly signed
sums over the region's pixels, whose mean square it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import keep_arrays
from ..editing.assessors import seen_logits
from ..editing.labelled import EDIT, LabelledFaces
from ..editing.picture_classifier import PictureClassifier, join, look
from ..editing.stylespace import StyleChannels
from ..editing.touch import touch_of
from ..errors import UsageError, WeightsError
from ..faces.regions import NEVER, PARSED, REGIONS, SIDE
from ..files import write_atomically
from ..generators.latents import Latents
from ..generators.mobile import ROWS
from ..generators.network import GeneratorNetwork
from ..generators.wspace import WStatistics
from .classifier import Viewer, judged, labelled_codes, make_teacher
from .latent import keep_bundle, shows
from .picture_classifier import PictureTraining
from .reach import bracketed
from .views import sized

if TYPE_CHECKING:
    from ..models.networks import Networks

Floats = npt.NDArray[np.float32]
Report = Callable[[str], None]

_LABELLED = 6000  # faces that the teacher labelled, at most

_FARTHEST = 8.0
"""Standard deviations that no channel is moved beyond by an alpha of 1."""


@dataclass(frozen=True)
class StyleSpaceTraining:
    """Settings.

    Attributes:
        pool: faces whose attributes are known from their pictures.
        measured: of these, at which gradients are taken.
        chosen: channels of an attribute.
        others: weight of the attributes that are to stay, in the fit.
        ridge: weight of a step's cost, in the fit.
        lacking: faces on which the length of alpha 1 is found.
        spots: faces on which regions are looked at.
        seed: decides everything random.
    """

    pool: int = 240
    measured: int = 12
    chosen: int = 100
    others: float = 0.5
    ridge: float = 0.1
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
    if not networks.space.styles:
        raise WeightsError(
            f"nothing is said of the style channels of the bundle {networks.bundle.name!r}",
            "Import its generator again.",
        )
    part = _labelled(folder, data, networks)
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
    device = networks.device.name
    teacher = make_teacher(
        folder, data, shows(data, networks, Viewer.of(networks, folder)), PictureTraining(), report
    )
    synthesis = networks.synthesis.to(device)
    scale = deviations(synthesis, networks.statistics, networks.space.rows, device)
    shares, local = _regions(kept, part, networks, how, report)
    seer = _Seer(networks, teacher)
    rng = np.random.default_rng(how.seed)
    drawn = rng.permutation(np.flatnonzero(part.random))[: how.pool]
    codes = part.codes[drawn]
    logits = _kept(kept / "pool.npz", lambda: seer.logits(Latents(codes)))
    gradients = []
    for number in range(min(how.measured, len(codes))):

        def gradient(code: Floats = codes[number : number + 1]) -> Floats:
            return seer.gradients(code)

        gradients.append(_kept(kept / f"gradients-{number:02d}.npz", gradient))
        report(f"gradients of face {number + 1}/{how.measured}")
    # In deviations of the attribute for one of the channel.
    jacobian = np.mean(gradients, 0) * scale / logits.std(0)[:, None]
    with torch.no_grad():
        pieces = [torch.from_numpy(p).to(device) for p in np.array_split(part.codes, 20)]
        styles = np.concatenate([synthesis.styles(piece).cpu().numpy() for piece in pieces])
    steps = {}
    for index, name in enumerate(part.names):
        natural = differences(styles, part.labels[:, index], scale)
        touched = [REGIONS.index(region) for region in touch_of(name).all - NEVER]
        free = np.abs(natural) * np.sqrt(local[touched].sum(0))
        which, step = fit_step(jacobian, free, index, how)
        sides = []
        for sign in (-1, 1):
            path = kept / f"length-{name}{'+' if sign > 0 else '-'}.npz"

            def length(
                index: int = index,
                which: npt.NDArray[np.int64] = which,
                sizes: Floats = sign * step,
                sign: int = sign,
            ) -> Floats:
                lacking = codes[sign * logits[:, index] < 0][: how.lacking]
                return np.array(_length(lacking, which, sizes, index, sign, seer, scale))

            sides.append((which, np.asarray(sign * step * _kept(path, length), np.float32)))
        far = ", ".join(f"{np.abs(sizes).max(initial=0):.1f}" for _, sizes in sides)
        report(f"{name}: {len(which)} channels, up to {far} deviations")
        steps[name] = sides[0], sides[1]
    channels = StyleChannels(networks.space.styles, scale, steps, shares, local)
    result = folder / "stylespace.safetensors"
    channels.save(result, asdict(how))
    report(str(result))
    return result


def _labelled(folder: Path, data: LabelledFaces, networks: Networks) -> LabelledFaces:
    """Faces of the bundle's generator and their labels: those of the data, or, where these are of
    another one, those that its teacher labelled in the folder.

    Raises:
        UsageError: there are none.
    """
    keep_bundle(folder, networks)
    if data.bundle == networks.bundle.name:
        return data.of(EDIT)
    try:
        codes, logits, shown = labelled_codes(folder, "labelled")
    except UsageError as error:
        raise UsageError(
            error.message,
            f"First: videdit train classifier {folder} --bundle {networks.bundle.name}.",
        ) from error
    drawn = np.flatnonzero(shown == np.arange(len(shown)))[:_LABELLED]
    labels = (logits[drawn] > 0).astype(np.float32)
    every = np.ones(len(drawn), bool)
    part = np.full(len(drawn), EDIT)
    return LabelledFaces(codes[drawn], labels, data.names, every, part, networks.bundle.name)


def deviations(
    synthesis: GeneratorNetwork, stats: WStatistics, rows: int = ROWS, device: str = "cpu"
) -> Floats:
    """(channels,) standard deviations of the styles over W.

    Styles are affine in w, ``s = A w + b``, so their covariance is ``A C A'``: with the principal
    axes, the root of the summed squares of what one deviation along each of them changes.
    """
    with torch.no_grad():
        mean = stats.mean[None]
        steps = mean + stats.axes.T * stats.scale[:, None]
        moved, still = (
            synthesis.styles(w[:, None].expand(-1, rows, -1).to(device)) for w in (steps, mean)
        )
        changed = moved - still
    return np.asarray(changed.square().sum(0).sqrt().cpu().numpy(), np.float32)


def differences(styles: Floats, labels: Floats, scale: Floats) -> Floats:
    """(channels,) by how many deviations styles differ between faces with and without.

    Args:
        styles: (n, channels) of labelled faces.
        labels: (n,).
        scale: (channels,) the deviations.
    """
    with_, without = styles[labels > 0.5], styles[labels < 0.5]
    if not len(with_) or not len(without):
        return np.zeros(len(scale), np.float32)
    return np.asarray((with_.mean(0) - without.mean(0)) / scale, np.float32)


def fit_step(
    jacobian: Floats, free: Floats, target: int, how: StyleSpaceTraining
) -> tuple[npt.NDArray[np.int64], Floats]:
    """The channels that move one attribute and nothing else, and by how many deviations each.

    Args:
        jacobian: (k, channels) what a deviation of each channel changes of the attributes, in
            deviations of theirs.
        free: (channels,) how far each channel may easily go.
        target: which attribute, that is to change by one.
        how: how many channels at most, and the weights of the fit.

    Returns:
        Which channels, rising, and by how much each; none where nothing moves the attribute.
    """
    which = np.flatnonzero(free * np.abs(jacobian[target]) > 0)
    step = _solved(jacobian[:, which], free[which], target, how)
    foremost = np.argsort(-step * jacobian[target, which])[: how.chosen]
    which = np.sort(which[foremost])
    return which, _solved(jacobian[:, which], free[which], target, how)


def _solved(jacobian: Floats, free: Floats, target: int, how: StyleSpaceTraining) -> Floats:
    if not len(free):
        return np.zeros(0, np.float32)
    # As costs: the mean channel's is 1, so that the ridge means the same for all attributes.
    squares = (free / np.sqrt(np.mean(free**2))).astype(np.float64) ** 2
    j = jacobian.astype(np.float64)
    moved = (j * squares) @ j.T
    weights = np.full(len(j), how.others)
    weights[target] = 1
    unit = how.ridge * moved[target, target]
    wanted = np.eye(len(j))[target]
    step = squares * (j.T @ np.linalg.solve(moved + np.diag(unit / weights**2), wanted))
    reached = float(j[target] @ step)
    return np.asarray(step / reached if reached > 0 else step * 0, np.float32)


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

    def gradients(self, code: Floats) -> Floats:
        """(k, channels) of the logits with respect to the styles of a code (1, rows, width)."""
        synthesis = self._networks.synthesis.to(self._device)
        channels = self._networks.space.channels
        offsets = torch.zeros(1, channels, device=self._device, requires_grad=True)
        shown = synthesis(torch.from_numpy(code).to(self._device), offsets) * 0.5 + 0.5
        small = sized(shown, PARSED)
        logits = seen_logits(self._teacher, self._networks.recognition.to(self._device), small)[0]
        rows = [
            torch.autograd.grad(logit, offsets, retain_graph=True)[0][0].cpu() for logit in logits
        ]
        return np.asarray(torch.stack(rows).numpy(), np.float32)


def _kept(path: Path, make: Callable[[], Floats]) -> Floats:
    if not path.exists():
        keep_arrays(path, values=make())
    with np.load(path, allow_pickle=False) as found:
        return np.asarray(found["values"])


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

    def reached(length: float) -> float:
        offsets = np.zeros((len(lacking), len(scale)), np.float32)
        offsets[:, channels] = length * sizes * scale[channels]
        return sign * float(np.median(seer.logits(Latents(lacking, offsets))[:, index]))

    return bracketed(reached, 0.0, _FARTHEST / float(np.abs(sizes).max()), 5)[1]


def _regions(
    folder: Path, part: LabelledFaces, networks: Networks, how: StyleSpaceTraining, report: Report
) -> tuple[Floats, Floats]:
    """(regions, channels) twice: where channels' activations have their energy, and where the
    picture changes with them; see `StyleChannels`."""
    rng = np.random.default_rng(how.seed)
    chosen = rng.permutation(len(part.codes))[: how.spots]
    energies, changes = [], []
    parser, device = networks.parser, networks.device.name
    synthesis = networks.synthesis.to(device)
    for number, place in enumerate(chosen):
        code = part.codes[place : place + 1]

        def both(code: Floats = code, number: int = number) -> Floats:
            regions = parser.parse(networks.generator.decode(code)[0])
            energy = activation_energy(synthesis, code, regions, device)
            change = change_energy(synthesis, code, regions, number, device=device)
            return np.stack((energy, change))

        energy, change = _kept(folder / f"regions-{number:02d}.npz", both)
        energies.append(energy)
        changes.append(change)
        report(f"regions of face {number + 1}/{len(chosen)}")
    return _shared(energies), _shared(changes)


def _shared(parts: Sequence[Floats]) -> Floats:
    total = np.sum(parts, 0).astype(np.float64) + 1e-20
    return np.asarray(total / total.sum(0), np.float32)


@torch.no_grad()
def activation_energy(
    synthesis: GeneratorNetwork, code: Floats, regions: Floats, device: str = "cpu"
) -> Floats:
    """(regions, channels) squares of what each style scales, less its mean over the picture, summed
    over each region.

    Args:
        synthesis: the generator.
        code: (1, rows, width).
        regions: (128, 128, regions) of its picture.
        device: where the generator is.
    """
    maps = torch.from_numpy(np.ascontiguousarray(regions.transpose(2, 0, 1)))[None].to(device)
    codes = torch.from_numpy(code).to(device)
    found = []

    def scaled(x: Tensor, style: Tensor) -> None:
        x = (x - x.mean((2, 3), keepdim=True)) * style[:, :, None, None]
        side = x.shape[-1]
        # As many pixels everywhere, or large layers would count more; within one it is the same.
        weights = _sized(maps, side)[0]
        found.append(torch.einsum("chw,rhw->rc", x[0].square(), weights) / side**2)

    for x, style in synthesis.scaled(codes):
        scaled(x, style)
    return np.asarray(torch.cat(found, 1).cpu().numpy(), np.float32)


def _sized(maps: Tensor, side: int) -> Tensor:
    if side > maps.shape[-1]:
        return F.interpolate(maps, (side, side), mode="nearest")
    return F.avg_pool2d(maps, maps.shape[-1] // side)


def change_energy(
    synthesis: GeneratorNetwork,
    code: Floats,
    regions: Floats,
    seed: int,
    probes: int = 2,
    device: str = "cpu",
) -> Floats:
    """(regions, channels) summed squares of ``dI/ds`` over each region's pixels.

    For signs e drawn by chance, the square of ``d(sum e I)/ds`` has the sum of the squares of the
    single pixels' ``dI/ds`` as its mean: one gradient gives it for all channels.

    Args:
        synthesis: the generator.
        code: (1, rows, width).
        regions: (128, 128, regions) of its picture.
        seed: of the signs.
        probes: gradients that are averaged.
        device: where the generator is.
    """
    generator = torch.Generator().manual_seed(seed)
    codes = torch.from_numpy(code).to(device)
    offsets = torch.zeros_like(synthesis.styles(codes)).requires_grad_(True)
    picture = sized(synthesis(codes, offsets), SIDE)
    found = torch.zeros(regions.shape[2], offsets.shape[1])
    for region in range(regions.shape[2]):
        weight = torch.from_numpy(np.ascontiguousarray(regions[:, :, region])).sqrt().to(device)
        if not bool((weight > 0.5).any()):
            continue
        for _ in range(probes):
            signs = torch.randint(0, 2, picture.shape, generator=generator) * 2.0 - 1
            total = (picture * signs.to(device) * weight).sum()
            (gradient,) = torch.autograd.grad(total, offsets, retain_graph=True)
            found[region] += gradient[0].square().cpu() / probes
    return np.asarray(found.numpy(), np.float32)
