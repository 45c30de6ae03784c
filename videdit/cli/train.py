"""`videdit train`: makes the project's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train the models that ship with the tool.", no_args_is_help=True)


@app.command()
def encoder(
    folder: Annotated[Path, typer.Argument(help="Working folder: faces, checkpoints, result.")],
    real: Annotated[
        list[Path] | None, typer.Option(help="Real faces: a picture, clip or folder. Repeatable.")
    ] = None,
    faces: Annotated[int, typer.Option(help="Generated faces to train on.")] = 6000,
    settings: Annotated[Path, typer.Option(help="Settings of the training.")] = Path(
        "training_data/encoder.json"
    ),
    start: Annotated[
        Path | None, typer.Option(help="An encoder to start from, e.g. the shipped one.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train the encoder on generated and real faces; goes on where it stopped.

    Leaves FOLDER/encoder.safetensors, sample sheets, log.txt, and in held_out.txt the names of the
    real files that took no part (every fourth). See docs/encoder.md.
    """
    import math
    import shutil
    import time

    import numpy as np
    import torch

    from videdit.bundles import ensure_bundle
    from videdit.device import choose_device, kept_memory
    from videdit.faces.backend import load_backend
    from videdit.generators.decoder import load_decoder
    from videdit.generators.mobile import load_mapping, load_synthesis
    from videdit.generators.wspace import WStatistics
    from videdit.inversion.encoder import INPUT_SIZE
    from videdit.inversion.face_network import load_face_network
    from videdit.stages.resources import FACE_PARTS
    from videdit.training.crops import real_crops
    from videdit.training.encoder import EncoderTraining, FaceData, train_encoder
    from videdit.training.faces import SHARD, sample_faces
    from videdit.training.readout import train_readout

    chosen = EncoderTraining.load(settings)
    bundle = ensure_bundle(say=print)
    judge = load_face_network(bundle.path("face_network.safetensors"))
    where = choose_device(device)
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    synthesis = (bundle.path("synthesis.xml"), bundle.path("synthesis.bin"))
    folder.mkdir(parents=True, exist_ok=True)

    def report(line: str) -> None:
        print(line, flush=True)
        with (folder / "log.txt").open("a") as log:
            log.write(f"{time.strftime('%F %T')} {line}\n")

    crops = np.zeros((0, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
    if real:
        backend = load_backend("mesh", {part: bundle.path(part) for part in FACE_PARTS})
        crops = real_crops(real, backend, folder, report)
    shards = range(math.ceil(faces / SHARD) + chosen.held_out_shards)
    mapping = load_mapping(bundle.path("mapping.xml"), bundle.path("mapping.bin"))
    decoder = load_decoder(*synthesis, device=where.name)
    sample_faces(folder / "faces", shards, mapping, stats, decoder, report)
    data = FaceData(folder / "faces", len(shards), chosen.held_out_shards)
    network = load_synthesis(*synthesis).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with kept_memory():
        readout = train_readout(data, network, folder / "readout.safetensors", report=report)
        path = train_encoder(
            data,
            crops,
            stats,
            network,
            readout,
            judge,
            folder,
            chosen,
            start=start,
            device=where.name,
            # Compiling for the CPU needs a C++ compiler; without one, it only takes longer.
            compiled=where.name != "cpu" or shutil.which("g++") is not None,
            report=report,
        )
        report(str(path))


@app.command()
def boundaries(
    output: Annotated[Path, typer.Argument(help="The file to write.")],
    data: Annotated[Path, typer.Option(help="Labelled codes.")] = Path("training_data/faces"),
) -> None:
    """Fit the attributes' linear boundaries on labelled codes (minutes)."""
    from videdit.training.boundaries import fit

    fit(data, output)
