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
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError, UsageError
from ..generators.mobile import ROWS, SynthesisNetwork
from ..generators.wspace import WStatistics
from ..inversion.encoder import Encoder, load_network
from ..inversion.face_network import FaceNetwork, compare_faces
from ..inversion.refine import face_weight
from .degrade import degrade, relight
from .faces import SHARD, expand
from .readout import BLOCKS, Readout, picture_loss

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
        return cast(Tensor, self.readout(self.synthesis.features(codes, BLOCKS).float(), codes))

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


def _real_batch(
    crops: np.ndarray, step: int, settings: EncoderTraining, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Targets (real, 3, 256, 256), and degraded inputs (real + pairs, 3, 256, 256)."""
    epoch, offset = divmod(step * settings.real, len(crops))
    order = np.random.default_rng((settings.seed, 1, epoch)).permutation(len(crops))
    chosen = order[np.arange(offset, offset + settings.real) % len(crops)]
    targets = torch.from_numpy(crops[chosen]).permute(0, 3, 1, 2).float() / 255
    targets[::2] = targets[::2].flip(3)
    # The light belongs to the footage and has to be met; everything else is to be seen through.
    targets = relight(targets, rng)
    again = degrade(targets[: settings.pairs], rng, relit=False)
    return targets, torch.cat((degrade(targets, rng, relit=False), again))


def train_encoder(
    data: FaceData,
    real: np.ndarray,
    stats: WStatistics,
    synthesis: SynthesisNetwork,
    readout: Readout,
    face: FaceNetwork,
    folder: Path,
    settings: EncoderTraining,
    *,
    start: Path | None = None,
    device: str = "cpu",
    compiled: bool = False,
    checkpoint_every: int = 100,
    report: Callable[[str], None] = print,
) -> Path:
    """Train, or go on from ``folder``'s checkpoint; returns the path of the averaged weights.

    Everything that decides a step (data order, degradations, rate) depends on the settings and the
    step's number alone.

    Args:
        data: generated faces.
        real: (n, 256, 256, 3) uint8 aligned crops of real faces; may be empty.
        stats: W's statistics.
        synthesis: the generator.
        readout: its cheap picture.
        face: the face network, which starts the encoder's and judges.
        folder: takes the checkpoint, sample sheets, the log and the result.
        settings: see there.
        start: weights to start from, instead of random ones.
        device: "cpu" or "cuda".
        compiled: whether to compile the steps: twice as fast after a minute or two.
        checkpoint_every: steps.
        report: takes lines of progress.

    Raises:
        UsageError: the folder holds a training with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _same_settings(folder / "settings.json", settings)
    torch.manual_seed(settings.seed)
    if start is not None:
        network = load_network(start, stats).requires_grad_(True)
    else:
        network = Encoder(stats)
        network.face.load_state_dict(face.state_dict())
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {k: v.detach().clone() for k, v in network.state_dict().items()}
    judge = Judge(synthesis, readout, face, settings, device, compiled)
    predict = torch.compile(network, dynamic=False) if compiled else network
    losses = torch.compile(_code_losses, dynamic=False) if compiled else _code_losses
    optimiser = torch.optim.AdamW(_groups(network, settings), betas=(0.9, 0.98))
    checkpoint = folder / "checkpoint.pt"
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        averaged = state["averaged"]
        step = int(state["step"])
    variance = stats.scale.square().mean().to(device)
    scale, axes, mean = (t.to(device) for t in (stats.scale, stats.axes, stats.mean))
    started, first = time.monotonic(), step
    running: list[dict[str, float]] = []
    while step < settings.steps:
        rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        epoch, offset = divmod(step * settings.batch, len(data))
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(data))
        indices = order[np.arange(offset, offset + settings.batch) % len(data)]
        clean, codes = data.batch(indices)
        inputs = [degrade(clean, rng)]
        clean = clean[: settings.shown]
        m = settings.real if len(real) else 0
        if m:
            targets, degraded = _real_batch(real, step, settings, rng)
            inputs.append(degraded)
            clean = torch.cat((clean, targets))
        crops = torch.cat(inputs).to(device, memory_format=torch.channels_last)
        codes, clean = codes.to(device), clean.to(device)
        rate = min(1.0, (step + 1) / settings.warm_up)
        rate *= 0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate * group["share"]
        network.train()
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            predicted = predict(crops)
            n = len(codes)
            code_loss, feature_loss = losses(predicted[:n], codes, synthesis, variance)
            seen = torch.cat((predicted[: settings.shown], predicted[n : n + m]))
            picture, parts = judge(seen, clean)
        loss = settings.code_weight * code_loss + settings.feature_weight * feature_loss + picture
        if m:
            one = predicted[n : n + m]
            pairs = one[: settings.pairs], predicted[n + m :]
            consistency = (pairs[0] - pairs[1]).square().mean() / variance
            whitened = ((one - mean) @ axes) / scale
            spread = F.relu(whitened.abs() - 1).square().mean()
            loss = loss + settings.consistency_weight * consistency
            loss = loss + settings.spread_weight * spread
            parts["consistency"] = float(consistency.detach())
            parts["size"] = float((one.detach() - mean).square().sum(2).sqrt().mean())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        step += 1
        keep = min(settings.averaging, step / (step + 10))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    averaged[name].lerp_(value, 1 - keep)
                else:
                    averaged[name].copy_(value)
        running.append({"code": code_loss.item(), "features": feature_loss.item(), **parts})
        if step % 20 == 0:
            pace = (step - first) / (time.monotonic() - started)
            means = {k: float(np.mean([r[k] for r in running])) for k in running[0]}
            left = (settings.steps - step) / pace / 60
            line = " ".join(f"{k} {v:.3f}" for k, v in means.items())
            report(f"step {step}: {line} ({1 / pace:.2f} s/step, {left:.0f} min left)")
            running.clear()
        if step % checkpoint_every == 0 or step == settings.steps:
            state = {
                "network": network.state_dict(),
                "averaged": averaged,
                "optimiser": optimiser.state_dict(),
                "step": step,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
            export(averaged, folder / "encoder.safetensors")
            _sheet(folder / f"sheet-{step:06d}.jpg", clean, judge.show(seen.detach().float()))
        if step % (5 * checkpoint_every) == 0 or step == settings.steps:
            report(f"step {step}: held out {held_out_error(averaged, data, stats):.3f}")
    return export(averaged, folder / "encoder.safetensors")


def _same_settings(path: Path, settings: EncoderTraining) -> None:
    if path.exists() and json.loads(path.read_text()) != asdict(settings):
        raise UsageError(
            f"{path.parent} holds a training with other settings",
            "Take another folder, or the settings in its settings.json",
        )
    path.write_text(json.dumps(asdict(settings), indent=1))


def _groups(network: Encoder, settings: EncoderTraining) -> list[dict[str, Any]]:
    """Parameters by weight decay and learning rate."""
    groups = []
    for own in (True, False):
        for matrices in (True, False):
            chosen = [
                p
                for name, p in network.named_parameters()
                if name.startswith("face.") != own and (p.ndim > 1) == matrices
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


@torch.inference_mode()
def held_out_error(averaged: dict[str, Tensor], data: FaceData, stats: WStatistics) -> float:
    """Share of the codes' variance that the averaged network leaves unexplained on unseen faces."""
    network = Encoder(stats)
    network.load_state_dict(averaged)
    network.eval()
    total, count = 0.0, 0
    stop = len(data.pictures) * SHARD
    for start in range(len(data), stop, 25):
        pictures, codes = data.batch(np.arange(start, min(start + 25, stop)))
        total += float((network(pictures) - codes).square().mean(2).sum())
        count += len(codes) * ROWS
    return total / count / float(stats.scale.square().mean())


def export(averaged: dict[str, Tensor], path: Path) -> Path:
    """Write the averaged weights, half precision."""
    tensors = {
        k: (v.half() if v.is_floating_point() else v).cpu().contiguous()
        for k, v in averaged.items()
    }
    save_file(tensors, str(path))
    return path
