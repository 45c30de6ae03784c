"""The loop that trains the encoder or the corrector: resumable, with averaged weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import channels_last
from ..errors import UsageError
from ..faces.recognition import FaceNetwork
from ..files import replaced
from ..generators.network import GeneratorNetwork
from ..generators.wspace import WStatistics
from ..inversion.encoder import ROW_GROUPS, Encoder, Groups
from ..inversion.readout import Readout
from ..media.pictures import write_picture
from ..sheet import tile
from .batches import batches
from .crops import RealFaces
from .encoder_settings import EncoderTraining
from .faces import FaceData
from .losses import Judge, code_losses
from .precision import half

_FACE_RATE = 0.3
"""Learning rate of the face network's layers, as a share: they know real faces already."""


@dataclass(frozen=True)
class Supervision:
    """What both trainings need.

    Attributes:
        data: generated faces.
        real: real ones; may be empty.
        stats: W's statistics.
        synthesis: the generator.
        readout: its cheap picture, which the losses see; None where that is the generator's own.
        face: the face network, which judges.
        groups: of rows, those of the latent space's bands.
    """

    data: FaceData
    real: RealFaces
    stats: WStatistics
    synthesis: GeneratorNetwork
    readout: Readout | None
    face: FaceNetwork
    groups: Groups = ROW_GROUPS


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


def train(
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
    network = network.to(device)
    channels_last(network)
    averaged = {k: v.detach().clone() for k, v in trained.state_dict().items()}
    judge = Judge(given.synthesis, given.readout, given.face, settings, device, run.compiled)
    predict = torch.compile(network, dynamic=False) if run.compiled else network
    losses = torch.compile(code_losses, dynamic=False) if run.compiled else code_losses
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
    for batch in batches(step, given.data, given.real, settings):
        crops, codes, pictures = (t.to(device) for t in batch)
        crops = crops.contiguous(memory_format=torch.channels_last)
        rate = min(1.0, (step + 1) / settings.warm_up)
        rate *= 0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate * group["share"]
        trained.train()
        n, m = len(codes), len(pictures) - settings.shown
        with half(device):
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
            with replaced(checkpoint) as temporary:
                torch.save(state, temporary)
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
    rows = [
        list((t[:10].cpu().clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy())
        for t in (targets, shown)
    ]
    write_picture(path, tile(rows, rows[0][0].shape[0]))


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
    for start in range(data.held_out.start, data.held_out.stop, 25):
        pictures, codes = data.batch(np.arange(start, min(start + 25, data.held_out.stop)))
        error = network(pictures.to(next(trained.parameters()).device)).cpu() - codes
        total += float(error.square().mean(2).sum())
        count += len(codes) * codes.shape[1]
    trained.load_state_dict(own)
    return total / count / float(given.stats.scale.square().mean())
