"""Training the encoder on generated faces.

The loss has two parts. On the code: squared error over W's variance. On the generator's own coarse
features (32x32, rows 0 to 6): squared error over their variance. The second measures what a code
error does to pose, shape and identity, and costs no more than the encoder itself, where decoding to
pixels would cost twenty times as much.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import InputError
from ..generators.mobile import ROWS, SynthesisNetwork
from ..generators.wspace import WStatistics
from ..inversion.encoder import Encoder
from .degrade import degrade
from .faces import SHARD, expand

_FEATURE_BLOCKS = 3


@dataclass(frozen=True)
class EncoderTraining:
    """Settings of a training; they are stored beside its checkpoints."""

    steps: int = 6000
    batch: int = 24
    learning_rate: float = 6e-4
    weight_decay: float = 0.02
    warm_up: int = 200
    feature_weight: float = 1.0
    averaging: float = 0.998
    held_out_shards: int = 1
    seed: int = 0


class FaceData:
    """Shards of generated faces; the last shards are held out."""

    def __init__(self, folder: Path, held_out: int) -> None:
        paths = sorted(folder.glob("pictures-*.npy"))
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


def _losses(
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


def train_encoder(
    data: FaceData,
    stats: WStatistics,
    synthesis: SynthesisNetwork,
    folder: Path,
    settings: EncoderTraining,
    *,
    device: str = "cpu",
    checkpoint_every: int = 200,
    report: Callable[[str], None] = print,
) -> Path:
    """Train, or go on from ``folder``'s checkpoint; returns the path of the averaged weights.

    Everything that decides a step (data order, degradations, rate) depends on the settings and the
    step's number alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(asdict(settings), indent=1))
    torch.manual_seed(settings.seed)
    network = Encoder(stats).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = {k: v.detach().clone() for k, v in network.state_dict().items()}
    synthesis = synthesis.to(device)
    decay: list[Tensor] = []
    plain: list[Tensor] = []
    for parameter in network.parameters():
        (decay if parameter.ndim > 1 else plain).append(parameter)
    optimiser = torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
    )
    checkpoint = folder / "checkpoint.pt"
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        averaged = state["averaged"]
        step = int(state["step"])
    variance = stats.scale.square().mean().to(device)
    started, first = time.monotonic(), step
    running: list[tuple[float, float]] = []
    while step < settings.steps:
        rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        epoch, offset = divmod(step * settings.batch, len(data))
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(data))
        indices = order[np.arange(offset, offset + settings.batch) % len(data)]
        pictures, codes = data.batch(indices)
        pictures = degrade(pictures, rng).to(device, memory_format=torch.channels_last)
        codes = codes.to(device)
        rate = settings.learning_rate * min(1.0, (step + 1) / settings.warm_up)
        rate *= 0.5 * (1 + math.cos(math.pi * step / settings.steps)) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = rate
        network.train()
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            predicted = network(pictures)
            code_loss, feature_loss = _losses(predicted, codes, synthesis, variance)
        loss = code_loss + settings.feature_weight * feature_loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(settings.averaging, step / (step + 10))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    averaged[name].lerp_(value, 1 - keep)
                else:
                    averaged[name].copy_(value)
        running.append((code_loss.item(), feature_loss.item()))
        if step % 50 == 0:
            code, feature = np.mean(running, 0)
            pace = (step - first) / (time.monotonic() - started)
            left = (settings.steps - step) / pace / 60
            report(
                f"step {step}: code {code:.3f} features {feature:.3f}"
                f" ({pace * settings.batch:.0f} faces/s, {left:.0f} min left)"
            )
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
        if step % (5 * checkpoint_every) == 0 or step == settings.steps:
            report(f"step {step}: held out {held_out_error(averaged, data, stats):.3f}")
    return export(averaged, folder / "encoder.safetensors")


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
