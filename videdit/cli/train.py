"""`videdit train`: makes the project's own weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.cli.options import SHIPPED, BundleName, Cache, DeviceName, Labelled
from videdit.errors import UsageError

if TYPE_CHECKING:
    from videdit.models.networks import Networks
    from videdit.training.encoder_loop import Run, Supervision
    from videdit.training.encoder_settings import EncoderTraining
    from videdit.training.faces import FaceData

app = typer.Typer(
    help="Train the models that ship with it, or another bundle's.\n\n"
    "Example: videdit train transformer work Smiling",
    no_args_is_help=True,
    add_completion=False,
)


_Folder = Annotated[Path, typer.Argument(help="Working folder: faces, checkpoints, result.")]
_Real = Annotated[
    list[Path] | None, typer.Option(help="Real faces: a picture, clip or folder. Repeatable.")
]
_Faces = Annotated[int, typer.Option(help="Generated faces to train on.")]
_Settings = Annotated[Path, typer.Option(help="Settings of the training.")]


@app.command()
def encoder(
    folder: _Folder,
    real: _Real = None,
    faces: _Faces = 6000,
    settings: _Settings = SHIPPED / "encoder.json",
    start: Annotated[
        Path | None,
        typer.Option(help="An encoder to start from, e.g. the shipped one.", show_default="none"),
    ] = None,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Train the encoder on generated and real faces; goes on where it stopped.

    Leaves FOLDER/encoder/encoder.safetensors, sample sheets, log.txt, and in held_out.txt the names
    of the real files that took no part (every fourth). See docs/encoder.md. That of a generator of
    your own is imported: videdit weights import FOLDER/encoder/encoder.safetensors --as NAME.

    Example: videdit train encoder work --real portraits/
    """
    from videdit.device import kept_memory
    from videdit.training.encoder import train_encoder
    from videdit.training.encoder_settings import EncoderTraining
    from videdit.training.settings import read_settings

    chosen = read_settings(settings, EncoderTraining)
    with kept_memory():
        networks = _networks(device, bundle)
        given, run = _prepare(folder, "encoder", real or [], faces, chosen, networks)
        run.report(str(train_encoder(given, chosen, run, start=start)))


@app.command()
def corrector(
    folder: _Folder,
    real: _Real = None,
    faces: _Faces = 6000,
    settings: _Settings = SHIPPED / "corrector.json",
    encoder: Annotated[
        Path | None,
        typer.Option(help="The encoder that it corrects.", show_default="the bundle's"),
    ] = None,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Train the encoder's second look, in the same folder; goes on where it stopped.

    Leaves FOLDER/corrector/corrector.safetensors. See docs/encoder.md.

    Example: videdit train corrector work --real portraits/
    """
    from videdit.device import kept_memory
    from videdit.inversion.encoder import load_network
    from videdit.models.choices import ENCODERS
    from videdit.training.encoder import train_corrector
    from videdit.training.encoder_settings import EncoderTraining
    from videdit.training.readout import check_readout, train_readout
    from videdit.training.settings import read_settings

    chosen = read_settings(settings, EncoderTraining)
    networks = _networks(device, bundle)
    check_readout(networks.space)
    if encoder is None and networks.bundle.manifest.role("encoder").architecture not in ENCODERS:
        raise UsageError(
            f"the encoder of the bundle {bundle!r} was not trained here, and has no second look",
            f"Name one that was: videdit train encoder {folder} --bundle {bundle}, and --encoder"
            f" {folder}/encoder/encoder.safetensors.",
        )
    path = encoder or networks.bundle.files("encoder")[0]
    network = load_network(path, networks.statistics, networks.space.groups)
    with kept_memory():
        given, run = _prepare(folder, "corrector", real or [], faces, chosen, networks)
        readout = train_readout(
            given.data,
            given.synthesis,
            given.face,
            folder / "readout-32.safetensors",
            blocks=3,
            compiled=run.compiled,
            report=run.report,
        )
        run.report(str(train_corrector(given, network, readout, chosen, run)))


@app.command()
def regions(
    folder: _Folder,
    shards: Annotated[int, typer.Option(min=2, help="Files of 250 faces; one is held out.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 3000,
    clusters: Annotated[
        Path | None,
        typer.Option(
            help="Clusters of activations. Found anew where there is no such file.",
            show_default="the shipped ones; of another bundle FOLDER/clusters.safetensors",
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help="Which region each cluster is: a CSV file, filled in by eye.",
            show_default="the shipped one; of another bundle FOLDER/regions.csv",
        ),
    ] = None,
    data: Labelled = SHIPPED / "faces",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Train the parser of regions on generated faces; goes on where it stopped.

    First the generator's activations are clustered, and FOLDER/clusters.jpg shows them: give
    each a name, and call the same command again. Of another bundle's generator they are named by
    what the parser that it has sees in them; correct FOLDER/regions.csv where it errs. Leaves
    FOLDER/regions.safetensors and sheet.jpg. See docs/regions.md.

    Example: videdit train regions work
    """
    from videdit.editing.labelled import LabelledFaces
    from videdit.media.pictures import write_picture
    from videdit.sheet import tile
    from videdit.training.clusters import (
        Clusters,
        activations,
        cluster_sheet,
        fit_clusters,
        load_names,
        save_names,
        seen_names,
        show_face,
    )
    from videdit.training.faces import random_codes
    from videdit.training.regions import (
        RegionFaces,
        RegionTraining,
        rare_faces,
        sample_regions,
        train_regions,
    )

    networks = _networks("cpu", bundle)
    mapping, stats, rows = networks.mapping, networks.statistics, networks.space.rows
    folder.mkdir(parents=True, exist_ok=True)
    if bundle == DEFAULT_BUNDLE:
        labelled = LabelledFaces.load(data)
        if labelled.bundle != bundle:
            raise UsageError(
                f"the labelled codes are of the bundle {labelled.bundle!r}",
                f"Use --bundle {labelled.bundle}.",
            )
        few, rare = rare_faces(labelled, 25), rare_faces(labelled, 200)
        clusters, names = (
            clusters or SHIPPED / "regions.safetensors",
            names or SHIPPED / "regions.csv",
        )
    else:
        few = random_codes(250, mapping, stats, rows)
        rare = random_codes(2000, mapping, stats, rows, seed=1)
        clusters = clusters or folder / "clusters.safetensors"
        names = names or folder / "regions.csv"
    if not clusters.exists() or (bundle != DEFAULT_BUNDLE and not names.exists()):
        if not clusters.exists():
            fit_clusters(networks.synthesis, few).save(clusters)
        found = Clusters.load(clusters)
        shown = [show_face(networks.generator, code) for code in few]
        maps = [found.of(activations(networks.synthesis, code)) for code in few]
        write_picture(
            folder / "clusters.jpg", tile(cluster_sheet(shown, maps, len(found.centres)), 128)
        )
        if bundle == DEFAULT_BUNDLE:
            print(f"name the clusters of {folder / 'clusters.jpg'} in {names}, then go on")
            return
        seen = [networks.parser.parse(picture / 255) for picture in shown]
        save_names(names, seen_names(maps, seen, len(found.centres)))
        print(f"{names} names the clusters of {folder / 'clusters.jpg'}")
    fitted = Clusters.load(clusters)
    settings = RegionTraining(shards=shards, steps=steps)
    sample_regions(
        folder,
        shards,
        fitted,
        load_names(names, len(fitted.centres)),
        rare,
        mapping,
        stats,
        networks.synthesis,
        networks.generator,
        networks.landmarker,
    )
    print(train_regions(RegionFaces(folder, shards), folder, settings))


def _networks(device: str, bundle: str = DEFAULT_BUNDLE) -> Networks:
    from videdit.models.networks import open_networks
    from videdit.pipeline.store import compiled_dir

    return open_networks(bundle, device, "fp32", kept_in=compiled_dir(), say=print)


def _prepare(
    folder: Path,
    name: str,
    real: list[Path],
    faces: int,
    settings: EncoderTraining,
    networks: Networks,
) -> tuple[Supervision, Run]:
    """Data and judges in ``folder``, made where they are missing; what is trained has a folder of
    its own in it."""
    import shutil

    import numpy as np

    from videdit.device import channels_last
    from videdit.inversion.predict import INPUT_SIZE
    from videdit.training.crops import RealFaces, real_crops
    from videdit.training.encoder_loop import Run, Supervision
    from videdit.training.readout import READOUT, has_readout, train_readout

    _ = networks.mapping  # without which nothing is begun
    report = _reporter(folder)
    known = RealFaces(
        np.zeros((0, INPUT_SIZE, INPUT_SIZE, 3), np.uint8), np.zeros((0, 68, 2), np.float32)
    )
    if real:
        known = real_crops(real, networks.landmarker, folder, report)
    data = _faces(folder, faces, settings.held_out_shards, networks, report)
    network, face, space = networks.synthesis, networks.recognition, networks.space
    channels_last(network)
    # Compiling for the CPU needs a C++ compiler; without one, it only takes longer.
    device = networks.device.name
    compiled = device != "cpu" or shutil.which("g++") is not None
    readout = None
    if has_readout(space):
        path = folder / READOUT
        readout = train_readout(
            data, network, face, path, blocks=4, compiled=compiled, report=report
        )
    given = Supervision(data, known, networks.statistics, network, readout, face, space.groups)
    return given, Run(folder / name, device, compiled, report=report)


def _faces(
    folder: Path, faces: int, held_out: int, networks: Networks, report: Callable[[str], None]
) -> FaceData:
    """Generated faces in ``folder``, made where they are missing."""
    import math

    from videdit.training.faces import SHARD, FaceData, sample_faces
    from videdit.training.latent import keep_bundle

    keep_bundle(folder, networks)
    shards = range(math.ceil(faces / SHARD) + held_out)
    rows, stats = networks.space.rows, networks.statistics
    place, mapping = folder / "faces", networks.mapping
    sample_faces(place, shards, mapping, stats, networks.generator, report, rows)
    return FaceData(place, len(shards), held_out, rows)


@app.command()
def readout(
    folder: Annotated[
        Path, typer.Argument(help="Working folder of the trainings that are to use it.")
    ],
    faces: Annotated[int, typer.Option(min=500, help="Generated faces to fit it to.")] = 1500,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Fit a generator's cheap pictures, which other trainings in FOLDER then look at.

    Of a StyleGAN2 of 1024 pixels a picture then takes a tenth of the time. Leaves
    FOLDER/readout-64.safetensors; the embedded generator has its own.

    Example: videdit train readout work --bundle psp-ffhq
    """
    import shutil

    from videdit.device import channels_last, kept_memory
    from videdit.training.readout import READOUT, check_readout, train_readout

    networks = _networks(device, bundle)
    check_readout(networks.space)
    report = _reporter(folder)
    with kept_memory():
        data = _faces(folder, faces, 1, networks, report)
        channels_last(networks.synthesis)
        compiled = shutil.which("g++") is not None
        path, face = folder / READOUT, networks.recognition
        train_readout(
            data, networks.synthesis, face, path, blocks=4, compiled=compiled, report=report
        )
    report(str(path))


_LABELLED = SHIPPED / "faces"


@app.command()
def classifier(
    folder: Annotated[Path, typer.Argument(help="Working folder: labelled faces, result.")],
    data: Labelled = _LABELLED,
    faces: Annotated[int, typer.Option(min=250, help="Generated faces to label.")] = 30000,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Train the latent classifier on labelled codes; goes on where it stopped.

    Leaves FOLDER/classifier.safetensors. Takes about an hour on two cores, most of it looking
    at generated faces. The data's format: training_data/faces/README.md. For another bundle, a
    classifier of pictures learns from the labels and labels that generator's faces; with a large
    one that is for a GPU.

    Example: videdit train classifier work
    """
    from videdit.device import kept_memory
    from videdit.editing.labelled import LabelledFaces
    from videdit.training.classifier import ClassifierTraining
    from videdit.training.latent import train_classifier

    labelled = LabelledFaces.load(data)
    how = ClassifierTraining(shards=max(1, faces // 250))
    with kept_memory():
        poses = data / "pose.npz"
        networks = _networks(device, bundle)
        train_classifier(folder, labelled, poses, networks, how, _reporter(folder))


@app.command()
def transformer(
    folder: Annotated[Path, typer.Argument(help="Working folder of `videdit train classifier`.")],
    attrs: Annotated[
        list[str] | None, typer.Argument(help="Attributes, or all.", show_default="all")
    ] = None,
    data: Labelled = _LABELLED,
    settings: Annotated[
        Path | None,
        typer.Option(
            help="Settings of the training; training_data/ has a GPU's.", show_default="two cores'"
        ),
    ] = None,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Train latent transformers, minutes each; goes on where it stopped.

    Leaves FOLDER/transformers.safetensors with all attributes trained so far. Use it with
    `videdit run --editor FOLDER/transformers.safetensors`.

    Example: videdit train transformer work Smiling Young
    """
    from videdit.device import kept_memory
    from videdit.editing.labelled import LabelledFaces
    from videdit.training.maps import TransformerTraining
    from videdit.training.settings import read_settings
    from videdit.training.transformers import train_transformers

    labelled = LabelledFaces.load(data)
    with kept_memory():
        train_transformers(
            folder,
            labelled,
            _networks(device, bundle),
            attrs or ["all"],
            read_settings(settings, TransformerTraining) if settings else TransformerTraining(),
            _reporter(folder),
        )


@app.command()
def baselines(
    folder: Annotated[Path, typer.Argument(help="Working folder of `videdit train classifier`.")],
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Fit the baselines: InterFaceGAN's normals, and GANSpace's components.

    Leaves FOLDER/interfacegan.safetensors and FOLDER/ganspace.json. Takes minutes.

    Example: videdit train baselines work
    """
    from videdit.training.baselines import fit_baselines
    from videdit.training.classifier import trained_classifier
    from videdit.training.latent import keep_bundle

    trained_classifier(folder)
    networks = _networks("cpu", bundle)
    keep_bundle(folder, networks)
    fit_baselines(folder, networks.statistics, _reporter(folder), networks.space.bands)


@app.command()
def stylespace(
    folder: Annotated[Path, typer.Argument(help="Working folder of `videdit train classifier`.")],
    data: Labelled = _LABELLED,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Find what each style channel of the generator does; goes on where it stopped.

    Leaves FOLDER/stylespace.safetensors: the channels of each attribute and each region, for
    `--editor stylespace` and `local`. Takes about a quarter of an hour on two cores.

    Example: videdit train stylespace work
    """
    from videdit.device import kept_memory
    from videdit.editing.labelled import LabelledFaces
    from videdit.training.stylespace import StyleSpaceTraining, train_stylespace

    labelled = LabelledFaces.load(data)
    with kept_memory():
        train_stylespace(
            folder, labelled, _networks(device, bundle), StyleSpaceTraining(), _reporter(folder)
        )


@app.command()
def styleflow(
    folder: Annotated[
        Path,
        typer.Argument(help="Working folder: result. That of `train classifier` adds its faces."),
    ],
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Train StyleFlow: a flow between codes and noise, given attributes; goes on where it stopped.

    Leaves FOLDER/styleflow.safetensors, for `--editor FOLDER/styleflow.safetensors`. Takes a
    quarter of an hour on two cores.

    Example: videdit train styleflow work
    """
    from videdit.device import kept_memory
    from videdit.training.styleflow import StyleFlowTraining, train_styleflow

    with kept_memory():
        networks = _networks(device, bundle)
        train_styleflow(folder, networks, StyleFlowTraining(), _reporter(folder))


@app.command()
def ganalyze(
    folder: Annotated[Path, typer.Argument(help="Working folder: faces, scores, result.")],
    assessor: Annotated[
        list[str] | None,
        typer.Option(
            help="What scores pictures: brightness, colourfulness, sharpness, Attractive, or a file"
            " of your own, TorchScript (.pt) or ONNX (.onnx). Repeat for several.",
            metavar="NAME|FILE",
            show_default="the four",
        ),
    ] = None,
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Learn the direction that raises an assessor's score (GANalyze); goes on where it stopped.

    Leaves FOLDER/ganalyze.safetensors with all directions learned so far, each named after its
    assessor: `--editor FOLDER/ganalyze.safetensors --attr brightness`. An assessor of your own is
    given (n, 3, 256, 256) pictures, RGB from 0 to 1, and gives a score each, with a gradient. Takes
    about five minutes each on two cores.

    Example: videdit train ganalyze work --assessor brightness
    """
    from videdit.device import kept_memory
    from videdit.training.assessors import chosen_assessors
    from videdit.training.ganalyze import train_ganalyze

    networks = _networks(device, bundle)
    with kept_memory():
        chosen = chosen_assessors(assessor or [], networks)
        train_ganalyze(folder, networks, chosen, report=_reporter(folder))


@app.command()
def judge(
    folder: Annotated[Path, typer.Argument(help="Working folder: pictures' looks, result.")],
    data: Labelled = _LABELLED,
) -> None:
    """Train the judge of edits on pictures of labelled faces that nothing else learns from.

    Leaves FOLDER/judge.safetensors. Takes a quarter of an hour on two cores.

    Example: videdit train judge work
    """
    from videdit.device import kept_memory
    from videdit.editing.labelled import LabelledFaces
    from videdit.training.judge import train_judge

    labelled = LabelledFaces.load(data)
    with kept_memory():
        train_judge(folder, labelled, _networks("cpu", labelled.bundle), _reporter(folder))


@app.command("hair-colours")
def hair_colours(
    folder: Annotated[Path, typer.Argument(help="Working folder: result.")],
    data: Labelled = _LABELLED,
) -> None:
    """Fit the meter of hair colours on labelled generated faces.

    Leaves FOLDER/hair_colours.json. Takes two minutes on two cores.

    Example: videdit train hair-colours work
    """
    from videdit.editing.labelled import LabelledFaces
    from videdit.training.hair_colours import fit_hair_colours

    labelled, report = LabelledFaces.load(data), _reporter(folder)
    networks = _networks("cpu", labelled.bundle)
    found = fit_hair_colours(labelled, networks.generator, networks.parser, report=report)
    found.save(folder / "hair_colours.json")
    report(", ".join(f"{name}: AUC {auc:.3f}" for name, auc in found.auc.items()))


@app.command()
def lengths(
    folder: Annotated[Path, typer.Argument(help="Working folder: what was tried, result.")],
    pictures: Annotated[list[Path], typer.Argument(help="Portraits of many kinds of people.")],
    attr: Annotated[
        list[str] | None,
        typer.Option("--attr", "-a", help="Attributes; repeat for several.", show_default="all"),
    ] = None,
    cache: Cache = None,
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Find how far alpha 1 goes for each attribute, on final results; goes on where it stopped.

    The shortest way on which the judge sees the attribute in the results of most people who lacked
    it. Leaves FOLDER/lengths.json, for `videdit weights import --as NAME`. About half a minute per
    attribute and fifty people. Needs the extra `eval`.

    Example: videdit train lengths work portraits/ --attr Smiling
    """
    from videdit.editing.attributes import resolve
    from videdit.evaluation.lengths import LengthSearch, find_lengths
    from videdit.pipeline.store import Store

    names = [resolve(name).name for name in attr or ()]
    report = _reporter(folder)
    with Store(cache) as store:
        find_lengths(folder, pictures, names, store, LengthSearch(), report, bundle)


def _reporter(folder: Path) -> Callable[[str], None]:
    """Prints lines, and appends them to the folder's log."""
    import time

    folder.mkdir(parents=True, exist_ok=True)

    def report(line: str) -> None:
        print(line, flush=True)
        with (folder / "log.txt").open("a") as log:
            log.write(f"{time.strftime('%F %T')} {line}\n")

    return report
