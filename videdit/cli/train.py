"""`videdit train`: makes the project's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train the models that ship with the tool.", no_args_is_help=True)


@app.command()
def encoder(
    folder: Annotated[Path, typer.Argument(help="Working folder: faces, checkpoints, result.")],
    faces: Annotated[int, typer.Option(help="Generated faces to train on.")] = 6000,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 6000,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train the encoder on generated faces; goes on where it stopped.

    Leaves FOLDER/encoder.safetensors. Two to three hours on two CPU cores.
    """
    import math

    from videdit.bundles import ensure_bundle
    from videdit.device import choose_device
    from videdit.generators.decoder import load_decoder
    from videdit.generators.mobile import load_mapping, load_synthesis
    from videdit.generators.wspace import WStatistics
    from videdit.training.encoder import EncoderTraining, FaceData, train_encoder
    from videdit.training.faces import SHARD, sample_faces

    bundle = ensure_bundle(say=print)
    where = choose_device(device)
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    synthesis = (bundle.path("synthesis.xml"), bundle.path("synthesis.bin"))
    settings = EncoderTraining(steps=steps)
    shards = range(math.ceil(faces / SHARD) + settings.held_out_shards)
    mapping = load_mapping(bundle.path("mapping.xml"), bundle.path("mapping.bin"))
    decoder = load_decoder(*synthesis, device=where.name)
    sample_faces(folder / "faces", shards, mapping, stats, decoder)
    data = FaceData(folder / "faces", settings.held_out_shards)
    network = load_synthesis(*synthesis)
    print(train_encoder(data, stats, network, folder, settings, device=where.name))


@app.command()
def boundaries(
    output: Annotated[Path, typer.Argument(help="The file to write.")],
    data: Annotated[Path, typer.Option(help="Labelled codes.")] = Path("training_data/faces"),
) -> None:
    """Fit the attributes' linear boundaries on labelled codes (minutes)."""
    from videdit.training.boundaries import fit

    fit(data, output)
