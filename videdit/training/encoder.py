"""Training the encoder on generated faces, whose codes are known, and on real ones.

Generated faces teach by their codes: squared error over W's variance, and squared error of the
generator's own coarse features (32x32, rows 0 to 6), which measures what a code error does to pose,
shape and identity. Real crops, which have no code, teach by the picture: the predicted code is
decoded through the cheap `Readout` and compared with the crop in pixels and gradients at three
scales, in the features of the face network, and in its descriptor (who it is). Two degradations of
one real crop must give one code, for their difference is what flickers in video.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import InputError, UsageError
from ..generators.mobile import ROWS, SynthesisNetwork
from ..generators.wspace import WStatistics
from ..inversion.corrector import CorrectedEncoder, Corrector
from ..inversion.encoder import Encoder, load_network
from ..inversion.face_network import FaceNetwork, compare_faces
from ..inversion.readout import Readout
from ..inversion.refine import face_weight
from .degrade import degrade, relight
from .faces import SHARD, expand
from .morph import Morpher
from .readout import picture_loss

_FEATURE_BLOCKS = 3
_FACE_RATE = 0.3
"""Learning rate of the face network's layers, as a share: they know real faces already."""


@dataclass(frozen=True)
class EncoderTraining:
    """Settings of a training; the committed ones are ``training_data/encoder.json``.

    Attributes:
        steps: optimisation steps.
        batch: generated faces a step.
        real: real crops a step, half of which are mirrored.
        morphed: of these, how many are morphs of two people.
        pairs: of these, how many are seen a second time, degraded in another way.
        shown: generated faces a step that are compared as pictures, too.
        learning_rate: peak of the cosine schedule.
        warm_up: steps until the peak.
        code_weight: weight of the codes' error.
        feature_weight: weight of the generator's features.
        picture_weight: weight of pixels and gradients.
        part_weight: weight of the face network's features.
        identity_weight: weight of 1 - cosine of the descriptors.
        consistency_weight: weight of the difference of two degradations' codes.
        spread_weight: weight of the real codes' squared whitened coordinates beyond 1.
        averaging: decay of the averaged weights, which are the result.
        held_out_shards: shards of generated faces that are never trained on.
        seed: decides everything random.
    """

    steps: int = 6000
    batch: int = 12
    real: int = 16
    morphed: int = 8
    pairs: int = 4
    shown: int = 8
    learning_rate: float = 4e-4
    weight_decay: float = 0.02
    warm_up: int = 100
    code_weight: float = 0.3
    feature_weight: float = 0.3
    picture_weight: float = 6.0
    part_weight: float = 0.3
    identity_weight: float = 4.0
    consistency_weight: float = 0.5
    spread_weight: float = 0.05
    averaging: float = 0.998
    held_out_shards: int = 1
    seed: int = 0

    @staticmethod
    def load(path: Path) -> EncoderTraining:
        """Read settings from JSON.

        Raises:
            UsageError: no such file, no JSON, or unknown names.
        """
        try:
            values = json.loads(path.read_text())
            known = {f.name for f in fields(EncoderTraining)}
            unknown = sorted(set(values) - known)
            if unknown:
                raise ValueError(f"unknown settings {', '.join(unknown)}")
            return EncoderTraining(**values)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                f"{path} holds no settings ({error})", "See training_data/encoder.json"
            ) from error


class FaceData:
    """The first ``count`` shards of generated faces; the last of these are held out."""

    def __init__(self, folder: Path, count: int, held_out: int) -> None:
        paths = sorted(folder.glob("pictures-*.npy"))[:count]
        if len(paths) <= held_out:
            raise InputError(
                f"no training faces in {folder}", "Sample some first (`videdit train encoder`)."
            )
        self.pictures = [np.load(p, mmap_mode="r") for p in paths]
        codes = []
        for path in paths:
            with np.load(
                path.with_name(path.name.replace("pictures", "codes")).with_suffix(".npz")
            ) as f:
                codes.append(expand(f["w_a"], f["w_b"], f["crossover"]))
        self.codes = torch.from_numpy(np.stack(codes))
        self.shards = len(paths) - held_out

    def __len__(self) -> int:
        return self.shards * SHARD

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, 256, 256) in [0, 1] and codes (n, 16, 512) of the given faces."""
        shard, item = np.divmod(indices, SHARD)
        pictures = np.stack([self.pictures[s][i] for s, i in zip(shard, item, strict=True)])
        tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        return tensor, self.codes[torch.from_numpy(shard), torch.from_numpy(item)]


class Judge:
    """Compares what codes show with pictures, through the readout and the face network."""

    def __init__(
        self,
        synthesis: SynthesisNetwork,
        readout: Readout,
        face: FaceNetwork,
        settings: EncoderTraining,
        device: str,
        compiled: bool = False,
    ) -> None:
        self.synthesis = synthesis.to(device)
        self.readout = readout.to(device)
        self.face = face.to(device)
        self.settings = settings
        self.weight = face_weight(256).to(device)
        # Fused, a step of the generator takes a third of the time.
        self._losses = torch.compile(self._parts, dynamic=False) if compiled else self._parts

    def show(self, codes: Tensor) -> Tensor:
        """(n, 16, 512) codes as (n, 3, 256, 256) pictures."""
        return self.readout.show(self.synthesis, codes)

    def _parts(self, codes: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shown = self.show(codes)
        pixels = picture_loss(shown * self.weight, pictures * self.weight)
        parts, identity = compare_faces(self.face, shown, pictures)
        return pixels, parts, identity

    def __call__(self, codes: Tensor, pictures: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The weighted loss and its parts."""
        pixels, parts, identity = self._losses(codes, pictures)
        s = self.settings
        loss = s.picture_weight * pixels + s.part_weight * parts + s.identity_weight * identity
        values = {"pixels": pixels, "parts": parts, "identity": identity}
        return loss, {k: float(v.detach()) for k, v in values.items()}


def _code_losses(
    predicted: Tensor, codes: Tensor, synthesis: SynthesisNetwork, variance: Tensor
) -> tuple[Tensor, Tensor]:
    code_loss = (predicted - codes).square().mean() / variance
    # Half of the batch is enough for the features: they cost as much as the encoder.
    half = max(2, len(codes) // 2)
    with torch.no_grad():
        target = synthesis.features(codes[:half], _FEATURE_BLOCKS).float()
        spread = target.var(0, keepdim=True).mean((2, 3), keepdim=True) + 1e-4
    features = synthesis.features(predicted[:half], _FEATURE_BLOCKS).float()
    return code_loss, ((features - target).square() / spread).mean()


@dataclass(frozen=True)
class RealFaces:
    """Crops (n, 256, 256, 3) uint8 and their landmarks (n, 68, 2) in pixels; n may be 0."""

    crops: np.ndarray
    points68: np.ndarray

    @cached_property
    def morph(self) -> Morpher:
        """Draws people in between."""
        return Morpher(self.crops, self.points68)

    def batch(self, step: int, settings: EncoderTraining) -> Tensor:
        """The step's targets (real, 3, 256, 256); the first ones are morphs."""
        epoch, offset = divmod(step * settings.real, len(self.crops))
        order = np.random.default_rng((settings.seed, 1, epoch)).permutation(len(self.crops))
        chosen = order[np.arange(offset, offset + settings.real) % len(self.crops)]
        rng = np.random.default_rng((settings.seed, 2, step))
        pictures = self.crops[chosen].copy()
        for i, index in enumerate(chosen[: settings.morphed]):
            pictures[i] = self.morph(int(index), rng)
        targets = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        targets[::2] = targets[::2].flip(3)
        return targets


class _Batch(NamedTuple):
    """``crops``: degraded generated faces, real ones, and again the first of these. ``codes``: of
    the generated ones. ``pictures``: what the first generated and all real ones should look like.
    """

    crops: Tensor
    codes: Tensor
    pictures: Tensor


def _batch(step: int, data: FaceData, real: RealFaces, settings: EncoderTraining) -> _Batch:
    """Everything random of a step; it depends on the settings and the step's number alone."""
    rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    epoch, offset = divmod(step * settings.batch, len(data))
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(data))
    clean, codes = data.batch(order[np.arange(offset, offset + settings.batch) % len(data)])
    crops, pictures = [degrade(clean, rng)], [clean[: settings.shown]]
    if len(real.crops):
        # The light belongs to the footage and has to be met; all else is to be seen through.
        targets = relight(real.batch(step, settings), rng)
        crops += [degrade(t, rng, relit=False) for t in (targets, targets[: settings.pairs])]
        pictures.append(targets)
    return _Batch(torch.cat(crops), codes, torch.cat(pictures))


def _batches(first: int, given: Supervision, settings: EncoderTraining) -> Iterator[_Batch]:
    """The steps' batches from ``first`` on, each made while the one before is worked on."""
    with ThreadPoolExecutor(1) as ahead:
        made = (
            ahead.submit(_batch, step, given.data, given.real, settings)
            for step in range(first, settings.steps)
        )
        coming = next(made, None)
        while coming is not None:
            ready, coming = coming, next(made, None)
            yield ready.result()


@dataclass(frozen=True)
class Supervision:
    """What both trainings need.

    Attributes:
        data: generated faces.
        real: real ones; may be empty.
        stats: W's statistics.
        synthesis: the generator.
        readout: its cheap picture, which the losses see.
        face: the face network, which judges.
    """

    data: FaceData
    real: RealFaces
    stats: WStatistics
    synthesis: SynthesisNetwork
    readout: Readout
    face: FaceNetwork


@dataclass(frozen=True)
class Run:
    """How a training runs.

    Attributes:
        folder: takes the checkpoint, sample sheets, the log and the result.
        device: "cpu" or "cuda".
        compiled: whether to compile the steps: twice as fast after a minute or two.
        checkpoint_every: steps.
        report: takes lines of progress.
    """

    folder: Path
    device: str = "cpu"
    compiled: bool = False
    checkpoint_every: int = 100
    report: Callable[[str], None] = print


def train_encoder(
    given: Supervision, settings: EncoderTraining, run: Run, *, start: Path | None = None
) -> Path:
    """Train the encoder, or go on from the folder's checkpoint.

    Args:
        given: data and judges.
        settings: see there.
        run: see there.
        start: weights to start from, instead of random ones.

    Returns:
        ``encoder.safetensors``: the averaged weights.

    Raises:
        UsageError: the folder holds a training with other settings.
    """
    torch.manual_seed(settings.seed)
    if start is not None:
        network = load_network(start, given.stats).requires_grad_(True)
    else:
        network = Encoder(given.stats)
        network.face.load_state_dict(given.face.state_dict())
    averaged = _train(network, network, given, settings, run)
    return export(averaged, run.folder / "encoder.safetensors")


def train_corrector(
    given: Supervision, encoder: Encoder, readout: Readout, settings: EncoderTraining, run: Run
) -> Path:
    """Train the second look behind a finished encoder; see `train_encoder`.

    Args:
        given: data and judges.
        encoder: gives the first guess, and stays as it is.
        readout: what the corrector sees of it.
        settings: see there.
        run: see there.

    Returns:
        ``corrector.safetensors``: the averaged weights and the readout's.
    """
    torch.manual_seed(settings.seed)
    corrector = Corrector(given.stats)
    network = CorrectedEncoder(encoder, given.synthesis, readout, given.face, corrector)
    averaged = _train(network, corrector, given, settings, run)
    tensors = {f"corrector.{k}": v for k, v in averaged.items()}
    tensors |= {f"readout.{k}": v for k, v in readout.state_dict().items()}
    return export(tensors, run.folder / "corrector.safetensors")


def _train(
    network: nn.Module,
    trained: nn.Module,
    given: Supervision,
    settings: EncoderTraining,
    run: Run,
) -> dict[str, Tensor]:
    """Train the part ``trained`` of ``network``, crops to codes; its averaged weights."""
    run.folder.mkdir(parents=True, exist_ok=True)
    _same_settings(run.folder / "settings.json", settings)
    device = run.device
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {k: v.detach().clone() for k, v in trained.state_dict().items()}
    judge = Judge(given.synthesis, given.readout, given.face, settings, device, run.compiled)
    predict = torch.compile(network, dynamic=False) if run.compiled else network
    losses = torch.compile(_code_losses, dynamic=False) if run.compiled else _code_losses
    optimiser = torch.optim.AdamW(_groups(trained, settings), betas=(0.9, 0.98))
    checkpoint = run.folder / "checkpoint.pt"
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        trained.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        averaged = state["averaged"]
        step = int(state["step"])
    stats = given.stats
    variance = stats.scale.square().mean().to(device)
    scale, axes, mean = (t.to(device) for t in (stats.scale, stats.axes, stats.mean))
    started, first = time.monotonic(), step
    running: list[dict[str, float]] = []
    for batch in _batches(step, given, settings):
        crops, codes, pictures = (t.to(device) for t in batch)
        crops = crops.contiguous(memory_format=torch.channels_last)
        rate = min(1.0, (step + 1) / settings.warm_up)
        rate *= 0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate * group["share"]
        trained.train()
        n, m = len(codes), len(pictures) - settings.shown
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            predicted = predict(crops)
            code_loss, feature_loss = losses(predicted[:n], codes, given.synthesis, variance)
            seen = torch.cat((predicted[: settings.shown], predicted[n : n + m]))
            picture, parts = judge(seen, pictures)
        loss = settings.code_weight * code_loss + settings.feature_weight * feature_loss
        loss = loss + picture
        if m:
            one = predicted[n : n + m]
            consistency = (one[: settings.pairs] - predicted[n + m :]).square().mean()
            consistency = consistency / variance
            whitened = ((one - mean) @ axes) / scale
            spread = F.relu(whitened.abs() - 1).square().mean()
            loss = loss + settings.consistency_weight * consistency
            loss = loss + settings.spread_weight * spread
            parts["consistency"] = float(consistency.detach())
            parts["size"] = float((one.detach() - mean).square().sum(2).sqrt().mean())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 2.0)
        optimiser.step()
        step += 1
        _average(averaged, trained, min(settings.averaging, step / (step + 10)))
        running.append({"code": code_loss.item(), "features": feature_loss.item(), **parts})
        if step % 20 == 0:
            pace = (step - first) / (time.monotonic() - started)
            means = {k: float(np.mean([r[k] for r in running])) for k in running[0]}
            left = (settings.steps - step) / pace / 60
            line = " ".join(f"{k} {v:.3f}" for k, v in means.items())
            run.report(f"step {step}: {line} ({1 / pace:.2f} s/step, {left:.0f} min left)")
            running.clear()
        if step % run.checkpoint_every == 0 or step == settings.steps:
            state = {
                "network": trained.state_dict(),
                "averaged": averaged,
                "optimiser": optimiser.state_dict(),
                "step": step,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
            shown = judge.show(seen.detach().float())
            _sheet(run.folder / f"sheet-{step:06d}.jpg", pictures, shown)
        if step % (5 * run.checkpoint_every) == 0 or step == settings.steps:
            error = held_out_error(network, trained, averaged, given)
            run.report(f"step {step}: held out {error:.3f}")
    return averaged


@torch.no_grad()
def _average(averaged: dict[str, Tensor], network: nn.Module, keep: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - keep)
        else:
            averaged[name].copy_(value)


def _same_settings(path: Path, settings: EncoderTraining) -> None:
    if path.exists() and json.loads(path.read_text()) != asdict(settings):
        raise UsageError(
            f"{path.parent} holds a training with other settings",
            "Take another folder, or the settings in its settings.json",
        )
    path.write_text(json.dumps(asdict(settings), indent=1))


def _groups(network: nn.Module, settings: EncoderTraining) -> list[dict[str, Any]]:
    """Parameters by weight decay and learning rate."""
    groups = []
    for own in (True, False):
        for matrices in (True, False):
            chosen = [
                p
                for name, p in network.named_parameters()
                if (isinstance(network, Encoder) and name.startswith("face.")) != own
                and (p.ndim > 1) == matrices
            ]
            share = 1.0 if own else _FACE_RATE
            decay = settings.weight_decay if matrices else 0.0
            groups.append({"params": chosen, "weight_decay": decay, "lr": share, "share": share})
    return groups


@torch.no_grad()
def _sheet(path: Path, targets: Tensor, shown: Tensor) -> None:
    """Targets above, what their codes show below."""
    rows = [torch.cat(list(t[:10].cpu()), 2) for t in (targets, shown)]
    picture = (torch.cat(rows, 1).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    cv2.imwrite(str(path), picture[:, :, ::-1])


@torch.no_grad()
def held_out_error(
    network: nn.Module, trained: nn.Module, averaged: dict[str, Tensor], given: Supervision
) -> float:
    """Share of the codes' variance that ``network``, with the averaged weights in its trained part,
    leaves unexplained on generated faces that it has never seen."""
    own = {k: v.clone() for k, v in trained.state_dict().items()}
    trained.load_state_dict(averaged)
    trained.eval()
    data, total, count = given.data, 0.0, 0
    stop = len(data.pictures) * SHARD
    for start in range(len(data), stop, 25):
        pictures, codes = data.batch(np.arange(start, min(start + 25, stop)))
        error = network(pictures.to(next(trained.parameters()).device)).cpu() - codes
        total += float(error.square().mean(2).sum())
        count += len(codes) * ROWS
    trained.load_state_dict(own)
    return total / count / float(given.stats.scale.square().mean())


def export(averaged: dict[str, Tensor], path: Path) -> Path:
    """Write the averaged weights, half precision."""
    tensors = {
        k: (v.half() if v.is_floating_point() else v).cpu().contiguous()
        for k, v in averaged.items()
    }
    save_file(tensors, str(path))
    return path
