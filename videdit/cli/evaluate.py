"""`videdit evaluate`: measures how good the results are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.bundles.manifest import DEFAULT_BUNDLE
from videdit.cli.options import SHIPPED, BundleName, Cache, DeviceName, Labelled
from videdit.cli.run import Alphas, Attributes, EditTexts
from videdit.errors import (
    InputError,
    Interrupted,
    NoFaceError,
    UsageError,
    WeightsError,
    explained,
)

if TYPE_CHECKING:
    from videdit.bundles.bundle import Bundle
    from videdit.evaluation.inversion import InputScore

app = typer.Typer(
    help="Measure how good the results are.\n\nExample: videdit evaluate inversion clip.mp4",
    no_args_is_help=True,
    add_completion=False,
)


class Method(str, Enum):
    """How codes are found; see `videdit run --help`."""

    encoder = "encoder"
    refined = "refined"
    projector = "projector"


@app.command()
def inversion(
    inputs: Annotated[
        list[Path], typer.Argument(help="Pictures, clips, or folders of them.", show_default=False)
    ],
    method: Annotated[Method, typer.Option(help="How codes are found.")] = Method.refined,
    frames: Annotated[int, typer.Option(min=1, help="Frames compared per clip.")] = 24,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Also write everything to this file.", show_default="none"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Also write source and reconstruction side by side (.jpg).", show_default="none"
        ),
    ] = None,
    bundle: BundleName = DEFAULT_BUNDLE,
    cache: Cache = None,
) -> int:
    """Compare the person with the reconstruction: videdit evaluate inversion clip.mp4

    Identity is the distance of dlib's descriptors: under 0.6 passes for the same person. Needs the
    extra `eval`. Work is kept in the cache, so a second evaluation is quick. An input that cannot
    be read does not stop the others; the exit code tells.
    """
    from videdit.evaluation.inversion import InversionMeter, summarise, to_json
    from videdit.media.pictures import write_picture
    from videdit.pipeline.store import Store
    from videdit.sheet import contact_sheet

    files = _files(inputs)
    _writable(json_file, sheet)
    scores: list[InputScore] = []
    without: list[str] = []
    others = _LeftOut(len(files))
    with Store(cache) as store:
        meter = InversionMeter(method.value, frames, store, bundle=bundle)
        for number, path in enumerate(files, 1):
            with others.unless_measured(path):
                try:
                    scores.append(meter.measure(path))
                    text = line(scores[-1])
                except NoFaceError:
                    without.append(path.name)
                    text = f"{path.name}: no face"
                print(f"{number}/{len(files)} {text}", flush=True)
    code = others.told()
    if len(others.names) == len(files):
        return code
    total = summarise(scores)
    print(
        f"{method.value}: {total.faces} faces, {len(without)} inputs without a face,"
        f" {total.failed} reconstructions without one\n"
        f"identity distance: median {total.identity_median:.3f}, 90 % under"
        f" {total.identity_p90:.3f}; the same person (under 0.6): {total.same_person:.0%}\n"
        f"face: PSNR {total.psnr:.1f} dB, SSIM {total.ssim:.3f};"
        f" landmarks off by {total.landmarks:.1%} of the inter-ocular distance\n"
        f"codes: whitened row norm {total.norm:.1f},"
        f" {total.inside:.0%} of rows within W's 99th percentile"
    )
    if json_file is not None:
        left = {"no_face": without, "unread": others.names}
        text = json.dumps(to_json(scores, method.value) | left, indent=1)
        json_file.write_text(text + "\n")
    if sheet is not None:
        write_picture(sheet, contact_sheet(meter.pairs[:48], 256))
    return code


@app.command()
def edits(
    inputs: Annotated[
        list[Path], typer.Argument(help="Pictures, clips, or folders of them.", show_default=False)
    ],
    attr: Attributes = [],  # noqa: B006 - typer copies it
    alpha: Alphas = [],  # noqa: B006
    edit: EditTexts = [],  # noqa: B006
    method: Annotated[Method, typer.Option(help="How codes are found.")] = Method.refined,
    frames: Annotated[int, typer.Option(min=1, help="Frames compared per clip.")] = 8,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Also write everything to this file.", show_default="none"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Also write source, generator's edit and result (.jpg).", show_default="none"
        ),
    ] = None,
    figures_file: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            help="Also write what `videdit attributes` shows; of all attributes, if none is named.",
            show_default="none",
        ),
    ] = None,
    editor: Annotated[str, typer.Option(help="As of `videdit run`.")] = "transformer",
    bundle: BundleName = DEFAULT_BUNDLE,
    cache: Cache = None,
) -> int:
    """Judge results against their source: videdit evaluate edits portraits/ --attr Smiling

    Every edit is made by itself. SEEN: share of the faces lacking it, in whose result the judge
    sees it. SHIFT: of its logit, on those. KEPT: of its other judgements. IDENTITY: distance of
    dlib's descriptors, under 0.6 passes for the same person. BACKGROUND: share of background and
    clothes that changed. GHOSTS: per mille of the crop on an edge that is no one's. SEAM: contrast
    along the rim, 1 is none. Needs the extra `eval`. An input that cannot be read does not stop the
    others; the exit code tells.
    """
    from videdit.cli.whose import collect_edits
    from videdit.editing.quality import save_quality
    from videdit.evaluation.edits import (
        EditedInput,
        EditMeter,
        figures,
        sign_of,
        to_json,
        total,
    )
    from videdit.media.pictures import write_picture
    from videdit.pipeline.store import Store
    from videdit.sheet import tile

    if figures_file is not None and not (attr or edit):
        edit = [f"{name}={sign}" for name in _known(bundle, editor) for sign in (1, -1)]
    wanted = list({str(one): one for one in collect_edits(attr, alpha, edit)}.values())
    files = _files(inputs)
    _writable(json_file, sheet, figures_file)
    results: list[EditedInput] = []
    without: set[str] = set()
    others = _LeftOut(len(files))
    with Store(cache) as store:
        meter = EditMeter(
            frames, store, {"method": method.value, "editor": editor, "bundle": bundle}
        )
        for number, path in enumerate(files, 1):
            before: dict[str, list[float]] = {}
            own: list[EditedInput] = []
            with others.unless_measured(path):
                for one in wanted:
                    # For the figures only those who lack what an edit gives count.
                    known = before.get(one.attribute, [])
                    if figures_file and known and all(b * sign_of(one) >= 0 for b in known):
                        continue
                    try:
                        own.append(meter.measure(path, one))
                        before[one.attribute] = [face.before for face in own[-1].faces]
                    except NoFaceError:
                        without.add(path.name)
                        break
                # All of an input or nothing of it.
                results += own
                print(f"{number}/{len(files)} {path.name}", flush=True)
    code = others.told()
    if len(others.names) == len(files):
        return code
    width = max(len(str(one)) for one in wanted)
    print(
        f"{'EDIT':<{width}}  FACES  LACKED   SEEN  SHIFT   KEPT  IDENTITY  (90 %)  BACKGROUND"
        "  GHOSTS  SEAM  CORNERS  OPENING"
    )
    for one in wanted:
        faces = [face for result in results if result.edit == str(one) for face in result.faces]
        t = total(faces, sign_of(one))
        print(
            f"{one!s:<{width}}  {t.faces:>5}  {t.lacked:>6}  {t.seen:>5.0%}  {t.shift:>5.1f}"
            f"  {t.kept:>5.1%}  {t.identity:>8.3f}  {t.identity_p90:>6.3f}  {t.background:>10.2%}"
            f"  {1000 * t.ghosts:>6.2f}  {t.seam:>4.2f}  {t.corners:>+7.3f}  {t.opening:>+7.3f}"
        )
    unknown = sorted({one.attribute for one in wanted} - set(meter.judged))
    if unknown:
        print(
            f"The judge knows no {', '.join(unknown)}: nothing is said of LACKED, SEEN and SHIFT."
        )
    failed = sum(result.failed for result in results)
    if without or failed:
        print(f"{len(without)} inputs without a face, {failed} results without one")
    if json_file is not None:
        left = {"no_face": sorted(without), "unread": others.names}
        text = json.dumps(to_json(results, wanted) | left, indent=1)
        json_file.write_text(text + "\n")
    if figures_file is not None:
        save_quality(figures_file, figures(results, meter.about_judge.get("auc", {})))
    if sheet is not None and meter.rows:
        write_picture(sheet, tile(meter.rows[:48], 256))
    return code


def _known(bundle: str, editor: str) -> list[str]:
    """CelebA's attributes that a bundle's editor has.

    Raises:
        UsageError: it has none.
    """
    from videdit.bundles.bundle import load_bundle
    from videdit.device import Device
    from videdit.editing.attributes import NAMES
    from videdit.models.networks import Networks

    has = Networks(load_bundle(bundle), Device("cpu", "fp32"), "mesh").editor(editor).names
    found = [name for name in NAMES if name in has]
    if not found:
        raise UsageError(
            f"the editor {editor!r} of the bundle {bundle!r} has none of the judge's attributes",
            f"Name edits: videdit attributes --bundle {bundle} lists them.",
        )
    return found


@app.command()
def video(
    source: Annotated[Path, typer.Argument(help="The source.", show_default=False)],
    edited: Annotated[Path, typer.Argument(help="Its edit, by any tool.", show_default=False)],
    attr: Annotated[
        str | None,
        typer.Option(help="An attribute that is followed over time.", show_default="none"),
    ] = None,
    face: Annotated[str, typer.Option(help="Whose face: largest, all, or track:N.")] = "largest",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Also write everything to this file.", show_default="none"),
    ] = None,
    strip: Annotated[
        Path | None,
        typer.Option(
            help="Also write a row of pixels over time, source left (.png).", show_default="none"
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Say how steady an edit is: videdit evaluate video input.mp4 result.mp4 --attr Smiling

    TL-ID, TG-ID: likeness of neighbouring and of all frames' descriptors over the source's.
    IDENTITY: distance to the source, under 0.6 passes for the same person. WARP: change from frame
    to frame that motion does not explain, JITTER: of the landmarks, both over the source's; 1 is as
    steady. BLINKS, SPEECH: how much of the movement of its lids and lips is left. Needs the extra
    `eval`.
    """
    from videdit.editing.attributes import resolve
    from videdit.evaluation.video import VideoMeter, to_json
    from videdit.media.pictures import write_picture
    from videdit.pipeline.store import Store

    _writable(json_file, strip)
    for path in (source, edited):
        if not path.exists():
            raise InputError(f"{path} does not exist", "Check the name.")
    name = None if attr is None else resolve(attr).name
    with Store(cache) as store:
        meter = VideoMeter(store, face, name)
        tracks = meter.measure(source, edited)
    print(
        "TRACK     FRAMES   TL-ID   TG-ID  IDENTITY  (90 %)   WARP  JITTER  BLINKS  SPEECH"
        "  ATTRIBUTE"
    )
    for t in tracks:
        seen = ""
        if name is not None:
            seen = f"{t.attribute_source:.2f} -> {t.attribute:.2f} (deviation"
            seen += f" {t.attribute_deviation:.2f})"
        frames = f"{t.first}-{t.last}"
        print(
            f"{t.track:>5}  {frames:>9}  {t.tl_id:.4f}  {t.tg_id:.4f}  {t.identity:>8.3f}"
            f"  {t.identity_p90:>6.3f}  {t.warp:>5.2f}  {t.jitter:>6.2f}"
            f"  {t.blinks:>6.2f}  {t.speech:>6.2f}  {seen}"
        )
    if json_file is not None:
        json_file.write_text(json.dumps({"tracks": to_json(tracks)}, indent=1) + "\n")
    if strip is not None and meter.strip is not None:
        write_picture(strip, meter.strip)


@app.command()
def classifier(
    latents: Annotated[Path, typer.Option(help="Codes: an npz file.")],
    labels: Annotated[Path, typer.Option(help="Their labels: a CSV file.")],
    split: Annotated[
        Path | None,
        typer.Option(
            help="Which face belongs to which part: a CSV file; then only the test's count.",
            show_default="all count",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The classifier.", show_default="the bundle's")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Also write everything to this file.", show_default="none"),
    ] = None,
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Measure the latent classifier on labelled codes.

    AUC; BALANCED: mean of the shares of positives and negatives that are called so; CALIBRATION:
    how far probabilities are off, on average. The mean counts attributes with at least ten
    positives. Formats: training_data/faces/README.md.

    Example: videdit evaluate classifier --latents latents.npz --labels labels.csv
    """
    from dataclasses import asdict

    from videdit.bundles.bundle import load_bundle
    from videdit.editing.classifier import load_any_classifier
    from videdit.editing.labelled import TEST, load_labelled
    from videdit.editing.scores import mean_score, score

    _writable(json_file)
    faces = load_labelled(latents, labels, split)
    if split is not None:
        faces = faces.of(TEST)
    if weights is None and faces.bundle != bundle:
        raise UsageError(
            f"the codes are of the bundle {faces.bundle!r}, not of {bundle!r}",
            f"Use --bundle {faces.bundle}, or name the classifier: --weights FILE.",
        )
    path = weights or _classifier_of(load_bundle(bundle))
    network = load_any_classifier(path, faces.codes.shape[1])
    names = [name for name in faces.names if name in network.names]
    if not names:
        raise InputError("the labels hold none of the classifier's attributes", "Check the names.")
    columns = [network.names.index(name) for name in names]
    known = faces.labels[:, [faces.names.index(name) for name in names]]
    scores = score(network.logits(faces.codes)[:, columns], known, names)
    mean = mean_score(scores)
    width = max(len(name) for name in names)
    print(f"{'ATTRIBUTE':<{width}}  POSITIVES    AUC  BALANCED  CALIBRATION")
    for one in (*scores, mean):
        print(
            f"{one.name:<{width}}  {one.positives:>9}  {one.auc:.3f}  "
            f"{one.balanced_accuracy:>8.3f}  {one.calibration:>11.3f}"
        )
    if json_file is not None:
        table = {"faces": len(faces.codes), "mean": asdict(mean)}
        table |= {"attributes": [asdict(one) for one in scores]}
        json_file.write_text(json.dumps(table, indent=1) + "\n")


@app.command()
def attributes(
    folder: Annotated[
        Path, typer.Argument(help="Takes tables, plots, the sheet, and work that is done.")
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="Editors of `videdit run`, with commas; interfacegan+keep keeps the others; all:"
            " the usual ones and stylespace and styleflow.",
            show_default="transformer,interfacegan,interfacegan+keep,ganspace that the bundle has",
        ),
    ] = None,
    attrs: Annotated[
        str, typer.Option("--attr", help="Attributes, with commas; or main (12), or all.")
    ] = "main",
    faces: Annotated[int, typer.Option(min=2, help="Held-out faces.")] = 50,
    strengths: Annotated[
        str, typer.Option(help="|alpha|, rising, with commas.")
    ] = "0.33,0.67,1,1.5,2,3",
    full: Annotated[
        bool,
        typer.Option("--full", help="The paper's size: 1000 faces, all attributes, 10 strengths."),
    ] = False,
    data: Labelled = SHIPPED / "faces",
    device: DeviceName = "auto",
    bundle: BundleName = DEFAULT_BUNDLE,
) -> None:
    """Compare editors as the latent transformer's paper does: videdit evaluate attributes report

    Of every bundle the same faces are inverted, whose pictures the embedded generator draws. About
    forty minutes on two cores for 50 faces; goes on where it stopped, and from fewer faces to
    more. Needs the extra `eval`.
    """
    from videdit.evaluation.attributes import MAIN, Protocol
    from videdit.evaluation.protocol import evaluate_attributes

    try:
        alphas = tuple(float(text) for text in strengths.split(","))
        if list(alphas) != sorted(set(alphas)) or alphas[0] <= 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--strengths is {strengths!r}", "Give rising numbers above 0.") from None
    names = MAIN if attrs == "main" else tuple(name.strip() for name in attrs.split(","))
    protocol = Protocol(names, alphas, faces)
    if full:
        protocol = Protocol(("all",), tuple(round(0.2 * i, 1) for i in range(1, 11)), 1000)
    chosen = [method.strip() for method in (methods or "").split(",") if method.strip()]
    evaluate_attributes(folder, chosen, protocol, data, device=device, bundle=bundle)


def _classifier_of(bundle: Bundle) -> Path:
    if "classifier" not in bundle.manifest.roles:
        raise WeightsError(
            f"the bundle {bundle.name!r} has no latent classifier",
            f"Train one: videdit train classifier FOLDER --bundle {bundle.name}; and name it:"
            " --weights FOLDER/classifier.safetensors.",
        )
    return bundle.file("classifier")


class _LeftOut:
    """Those of several inputs that cannot be measured: said when it happens and at the end; they
    stop no other, as with `videdit image`.

    Args:
        inputs: how many there are. What goes wrong with a single one is raised.

    Attributes:
        names: of those left out.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.names: list[str] = []
        self._worst = 0

    @contextmanager
    def unless_measured(self, path: Path) -> Iterator[None]:
        """Leaves out the input of the block if the block fails.

        Raises:
            VideditError: it concerns them all: the request, the weights; or a stop.
        """
        try:
            yield
        except (Interrupted, UsageError, WeightsError):
            raise
        except Exception as error:
            if self.inputs == 1:
                raise
            told = explained(error, "Measure it alone with --debug.")
            self.names.append(path.name)
            self._worst = max(self._worst, told.exit_code)
            why = " ".join(str(told).split())
            print(f"videdit: {path.name} is left out: {why}", file=sys.stderr, flush=True)

    def told(self) -> int:
        """The exit code of what went worst, after saying which inputs were left out."""
        if self.names:
            text = f"{len(self.names)} of {self.inputs} inputs were left out"
            print(f"videdit: {text}: {', '.join(self.names)}", file=sys.stderr, flush=True)
        return self._worst


def _files(inputs: list[Path]) -> list[Path]:
    files: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path} does not exist", "Check the name.")
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and _media(p))
            if not inside:
                raise InputError(f"{path} holds no pictures or videos", "Name another folder.")
            files += inside
        else:
            files.append(path)
    return files


def _media(path: Path) -> bool:
    from videdit.media.output import CONTAINERS, PICTURE_SUFFIXES

    return path.suffix.lower() in (*CONTAINERS, *PICTURE_SUFFIXES)


def line(score: InputScore) -> str:
    """One input's figures."""
    if not score.faces:
        return f"{score.name}: no face in its reconstruction"
    from videdit.evaluation.inversion import summarise

    own = summarise([score])
    text = (
        f"{score.name}: identity {own.identity_median:.3f}, landmarks {own.landmarks:.1%},"
        f" PSNR {own.psnr:.1f}, SSIM {own.ssim:.3f}, {score.seconds_per_crop:.2f} s/crop"
    )
    if score.landmark_jitter is not None:
        text += f", landmark jitter {score.landmark_jitter:.2f} of the source's"
        text += f", code jitter {score.code_jitter:.3f}"
    for name, found in (("eyes", score.eyes), ("mouth", score.mouth)):
        if found is not None:
            text += f", {name} follow with correlation {found[0]:.2f}, {found[1]} frames behind"
    return text


def _writable(*targets: Path | None) -> None:
    for target in targets:
        if target is not None and not target.absolute().parent.is_dir():
            raise UsageError(f"the folder of {target} does not exist", "Create it first.")
