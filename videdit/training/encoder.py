"""Training the encoder on generated faces, whose codes are known, and on real ones.

Generated faces teach by their codes: squared error over W's variance, and squared error of the
generator's own coarse features (32x32, rows 0 to 6), which measures what a code error does to pose,
shape and identity. Real crops, which have no code, teach by the picture: the predicted code is
decoded through the cheap `Readout` and compared with the crop in pixels and gradients at three
scales, in the features of the face network, and in its descriptor (who it is). Two degradations of
one real crop must give one code, for their difference is what flickers in video.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..inversion.corrector import CorrectedEncoder, Corrector
from ..inversion.encoder import Encoder, load_network
from ..inversion.readout import Readout
from .encoder_loop import Run, Supervision, train
from .encoder_settings import EncoderTraining


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
        network = load_network(start, given.stats, given.groups).requires_grad_(True)
    else:
        network = Encoder(given.stats, given.groups)
        network.face.load_state_dict(given.face.state_dict())
    averaged = train(network, network, given, settings, run)
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
    corrector = Corrector(given.stats, given.groups)
    network = CorrectedEncoder(encoder, given.synthesis, readout, given.face, corrector)
    averaged = train(network, corrector, given, settings, run)
    tensors = {f"corrector.{k}": v for k, v in averaged.items()}
    tensors |= {f"readout.{k}": v for k, v in readout.state_dict().items()}
    return export(tensors, run.folder / "corrector.safetensors")


def export(averaged: dict[str, Tensor], path: Path) -> Path:
    """Write the averaged weights, half precision."""
    tensors = {
        k: (v.half() if v.is_floating_point() else v).cpu().contiguous()
        for k, v in averaged.items()
    }
    save_file(tensors, str(path))
    return path
