"""Fitting the readout (`inversion.readout`) to the generator's own pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ..bundles.latent import LatentSpace
from ..bundles.tensors import load_weights, read_state
from ..errors import UsageError
from ..faces.recognition import FaceNetwork
from ..files import replaced
from ..generators.network import GeneratorNetwork
from ..inversion.losses import compare_faces, seen
from ..inversion.readout import SMALLEST, Readout, readout_like
from .faces import FaceData
from .losses import mean_picture_loss
from .precision import half

READOUT = "readout-64.safetensors"
"""In the folder of a training."""

_MEMORY = 3 << 30
"""Bytes of features that are held while fitting."""
_PARTS, _IDENTITY = 0.1, 0.4
"""Weights of the face network's features and descriptor: by pixels alone, a readout shows people
who are nearly as far from the generator's (0.16) as the encoder's are from the real ones (0.3)."""
_BATCH = 12


def has_readout(space: LatentSpace) -> bool:
    """Whether a generator is so large that cheap pictures of it pay."""
    return space.resolution >= SMALLEST


def check_readout(space: LatentSpace) -> None:
    """Refuse where there is no readout.

    Raises:
        UsageError: the generator is too small.
    """
    if not has_readout(space):
        raise UsageError(
            f"a generator of {space.resolution} pixels has no cheap pictures: its own are",
            f"There are such from {SMALLEST} pixels on; leave this step out.",
        )


def load_readout(path: Path, blocks: int = 4) -> Readout:
    """The readout in a file, for whichever generator it was fitted to.

    Raises:
        WeightsError: it is damaged, or no readout.
    """
    return load_weights(readout_like(read_state(path, "readout"), blocks), path, "readout")


def train_readout(
    data: FaceData,
    synthesis: GeneratorNetwork,
    face: FaceNetwork,
    path: Path,
    *,
    blocks: int,
    steps: int = 2000,
    compiled: bool = False,
    report: Callable[[str], None] = print,
) -> Readout:
    """Fit the readout and write it to ``path``, or read it from there if it exists.

    Args:
        data: generated faces; the features of those that fit in `_MEMORY` are held. A sixteenth of
            these is held out.
        synthesis: the generator.
        face: compares pictures, besides their pixels.
        path: of the result.
        blocks: see `Readout`.
        steps: optimisation steps.
        compiled: whether to compile the loss.
        report: takes lines of progress.
    """
    if path.exists():
        return load_readout(path, blocks)
    side = 8 << (blocks - 1)
    _, first = data.batch(np.arange(1))
    with torch.no_grad():
        channels = synthesis.features(first, blocks).shape[1]
    torch.manual_seed(0)
    network = Readout(blocks, channels, *first.shape[1:])
    count = min(_MEMORY // (channels * side * side * 2), len(data))
    pictures, codes = data.batch(np.arange(count))
    features = torch.empty(count, channels, side, side, dtype=torch.half)
    with torch.no_grad():
        for i in range(count):
            features[i] = synthesis.features(codes[i : i + 1], blocks)[0].half()
    kept = count - max(count // 16, 1)
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    rng = np.random.default_rng(0)

    def parts(x: Tensor, w: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shown = network(x, w)
        return mean_picture_loss(shown, targets), *compare_faces(face, shown, seen(face, targets))

    losses = torch.compile(parts, dynamic=False) if compiled else parts
    for step in range(steps):
        chosen = torch.from_numpy(rng.integers(0, kept, _BATCH))
        with half("cpu", enabled=compiled):
            pixels, regions, identity = losses(
                features[chosen].float(), codes[chosen], pictures[chosen]
            )
        loss = pixels + _PARTS * regions + _IDENTITY * identity
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            with torch.no_grad():
                unseen = torch.arange(kept, count)[:48]
                values = parts(features[unseen].float(), codes[unseen], pictures[unseen])
            line = " ".join(
                f"{name} {float(v):.3f}"
                for name, v in zip(("pixels", "parts", "identity"), values, strict=True)
            )
            report(f"readout of {side}x{side}, step {step + 1}: held out {line}")
    with replaced(path) as temporary:
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, str(temporary))
    return network.eval().requires_grad_(False)
