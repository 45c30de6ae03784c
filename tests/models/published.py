"""Checkpoints in the published layouts, small and of random numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from videdit.generators.stylegan2 import Mapping8, Shape, Synthesis
from videdit.inversion.psp import EncoderShape, PyramidEncoder
from videdit.models.importing import import_checkpoints

State = dict[str, Tensor]
WIDTH = 32


def generator_state(size: int = 64, width: int = WIDTH, mapping: int = 1, seed: int = 0) -> State:
    """``g_ema`` of a StyleGAN2; ``mapping`` says of how many layers that network is."""
    torch.manual_seed(seed)
    channels = (8,) * (size.bit_length() - 2)
    state = dict(Synthesis(Shape(size, channels, mapping, width)).state_dict())
    if mapping:
        for name, value in Mapping8(width, mapping).state_dict().items():
            state[name.replace("layers", "style", 1)] = value
    return state


def encoder_state(rows: int = 10, width: int = WIDTH, seed: int = 1) -> State:
    """``encoder`` of a pSp or e4e for pictures of 32 pixels."""
    torch.manual_seed(seed)
    pools = tuple(1 if row < 3 else 2 if row < 7 else 3 for row in range(rows))
    shape = EncoderShape((8, 8, 16, 16, width), rows, width, pools)
    state = dict(PyramidEncoder(shape, progressive=False).state_dict())
    del state["mean"]
    return state


def write_generator(path: Path, state: State | None = None, *, mean: bool = True) -> Path:
    """A generator's checkpoint as the widely used port writes it."""
    state = generator_state() if state is None else state
    held: dict[str, object] = {"g_ema": state, "args": argparse.Namespace(size=64)}
    if mean:
        held["latent_avg"] = torch.full((WIDTH,), 0.01)
    torch.save(held, path)
    return path


def write_encoder(
    path: Path,
    encoder: State | None = None,
    decoder: State | None = None,
    kind: str = "GradualStyleEncoder",
) -> Path:
    """A pSp's or e4e's checkpoint, by ``opts.encoder_type``; without ``decoder``, of the encoder
    alone."""
    encoder = encoder_state() if encoder is None else encoder
    state = {f"encoder.{name}": value for name, value in encoder.items()}
    state |= {f"decoder.{name}": value for name, value in (decoder or {}).items()}
    rows = sum(name.endswith("linear.weight") for name in encoder)
    width = len(encoder["styles.0.linear.weight"])
    torch.save(
        {
            "state_dict": state,
            "latent_avg": torch.full((rows, width), 0.01),
            "opts": {"encoder_type": kind, "output_size": 64, "device": "cuda:0"},
        },
        path,
    )
    return path


def import_tiny(home: Path, folder: Path, embedded: Path) -> None:
    """A bundle ``tiny`` of a generator of 64 pixels, with the editors ganspace and transformer
    (``Smiling``), below ``home``, which `VIDEDIT_WEIGHTS` is to name already.

    Args:
        home: the folder of weights.
        folder: takes the checkpoints.
        embedded: the embedded bundle's fetched files.
    """
    home.mkdir(exist_ok=True)
    (home / "mobile").symlink_to(embedded)
    state = generator_state()
    files = [
        write_generator(folder / "g.pt", state),
        write_encoder(folder / "e4e.pt", decoder=state, kind="Encoder4Editing"),
        write_map(folder / "net_31.pth"),
    ]
    import_checkpoints(files, "tiny")


def write_map(path: Path, rows: int = 10, width: int = WIDTH, seed: int = 2) -> Path:
    """A latent transformer of one attribute, as its authors write it."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for row in range(rows):
        state[f"dense.{row}.weight"] = torch.randn(width, width, generator=generator)
        state[f"dense.{row}.bias"] = torch.randn(width, generator=generator)
    torch.save(state, path)
    return path
