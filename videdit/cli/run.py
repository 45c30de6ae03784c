"""`videdit run` and `videdit image`: the main job."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videdit.cli.log import LogJson, event_log, write_error, write_forecast, write_result
from videdit.cli.options import BundleName, Cache, DeviceName, Precision, Quiet
from videdit.cli.whose import Faces, edits_of_faces, options_in_order
from videdit.editing.touch import MASK
from videdit.errors import UsageError, VideditError
from videdit.models.choices import check_editor

if TYPE_CHECKING:
    from videdit.api import Forecast, Result
    from videdit.editing.schedule import Edit

Input = Annotated[Path, typer.Argument(help="The video or picture to edit.", show_default=False)]
Attributes = Annotated[
    list[str],
    typer.Option("--attr", "-a", help="Attribute to edit; repeat for several.", metavar="NAME"),
]
Alphas = Annotated[
    list[str],
    typer.Option(
        "--alpha",
        help="Strength of the --attr before it: 1 = clearly there, negative removes. A number, or "
        "keyframes over time like 0s:0,2s:1.5.",
        metavar="A",
        show_default="1",
    ),
]
EditTexts = Annotated[
    list[str],
    typer.Option("--edit", "-e", help="Short for both: Smiling=1.5.", metavar="NAME=A"),
]
PresetNames = Annotated[
    list[str],
    typer.Option(
        "--preset",
        help="Edits under a name: happier, younger ... (see `videdit attributes`), or of your own, "
        "FILE.toml or FILE.toml:NAME. Repeat for several.",
        metavar="NAME",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The file to write, or a folder.",
        show_default="beside the input, NAME-Smiling+1.5",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Start = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Edit from this time on: seconds or [h:]m:s.",
        metavar="TIME",
        show_default="the beginning",
    ),
]
Stop = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="Edit up to this time: seconds or [h:]m:s.",
        metavar="TIME",
        show_default="the end",
    ),
]
QualityName = Annotated[
    str,
    typer.Option(
        "--quality",
        help="balanced (what the encoder misses of a person is corrected once per person) or fast "
        "(the encoder alone).",
        metavar="LEVEL",
    ),
]
Landmarks = Annotated[
    str, typer.Option("--backend", help="Landmarks: mesh (built in) or fan (face-alignment).")
]
Codec = Annotated[
    str | None,
    typer.Option(
        help="Video codec: h264, hevc, vp9, prores or ffv1; h264_nvenc or hevc_nvenc by an NVIDIA "
        "GPU that has that encoder.",
        show_default="h264; hevc for more than 8 bits, vp9 for .webm",
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        help="Encoder quality, 0 (best) to 51 (vp9: 63; nvenc: from 1).",
        show_default="near the source's",
    ),
]
EditorName = Annotated[
    str | None,
    typer.Option(
        "--editor",
        help="transformer (best), interfacegan, ganspace, stylespace, styleflow, ganalyze, or "
        "what else the bundle has (styleclip); with --like activations or local; "
        "direction:FILE.npy, or a file of transformers or directions of your own (.safetensors). "
        "See docs/editors.md.",
        show_default="transformer",
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        help="A picture of another face, which --region is taken from: its activations, or with "
        "--editor local its style.",
        metavar="PICTURE",
        show_default="none",
    ),
]
Region = Annotated[
    str,
    typer.Option(
        help="Regions of the face, with commas: what is taken from --like; without it, where the "
        "edit is held.",
        metavar="REGIONS",
        show_default="all that the edit touches",
    ),
]
Strength = Annotated[
    str | None,
    typer.Option(
        help="How much of --like is shown, 0 to 1, or keyframes like --alpha.",
        metavar="A",
        show_default="1",
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        help="A picture of the same size, white where the region mask is: what is taken from "
        "--like, or where the edit is held.",
        metavar="PICTURE",
        show_default="none",
    ),
]
Scribble = Annotated[
    Path | None,
    typer.Option(
        help="The picture painted on: strokes become what a face could have there.",
        metavar="PICTURE",
        show_default="none",
    ),
]
Channels = Annotated[
    list[str],
    typer.Option(
        "--channel",
        help="A single style channel, in standard deviations: 9:409=5. Repeat for several.",
        metavar="LAYER:CHANNEL=A",
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        help="Attributes that interfacegan holds, with commas.",
        metavar="NAMES",
        show_default="none",
    ),
]

TouchText = Annotated[
    str,
    typer.Option(
        "--touch",
        help="Regions that may change as well, or must not: +hair,-beard. `videdit attributes` "
        "lists what each attribute touches.",
        metavar="REGIONS",
        show_default="those of the attributes",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done, how long it takes and what it needs."),
]
Preview = Annotated[
    int | None,
    typer.Option(
        help="Before a long run: edit so many frames, spread over the clip, each by itself, and "
        "lay them out beside what they were in a picture. 1 to 60.",
        metavar="N",
        show_default="none",
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        help="Write a second file that compares: side (source left, result right), split (half "
        "and half), or difference (4 times, around grey). It is called like the output, with "
        "-side ... at the end.",
        metavar="KIND",
        show_default="none",
    ),
]
NoTag = Annotated[
    bool,
    typer.Option(
        "--no-tag",
        help="Don't say in the result's metadata that it was edited, with what, how and when.",
    ),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--sign",
        help="Sign the result (C2PA) with this certificate, a PEM file with those it is signed "
        "with. See docs/provenance.md.",
        metavar="CERT",
        show_default="not signed",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        help="The private key of --sign, a PEM file.", metavar="KEY", show_default="not signed"
    ),
]

Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Processes that share the work, a gigabyte of memory each: for films, where there are "
        "many processors.",
    ),
]


def run(
    ctx: typer.Context,
    source: Input,
    attr: Attributes = [],  # noqa: B006 - typer copies it
    alpha: Alphas = [],  # noqa: B006
    edit: EditTexts = [],  # noqa: B006
    preset: PresetNames = [],  # noqa: B006
    output: Output = None,
    overwrite: Overwrite = False,
    editor: EditorName = None,
    like: Like = None,
    region: Region = "",
    strength: Strength = None,
    channel: Channels = [],  # noqa: B006
    keep: Keep = "",
    touch: TouchText = "",
    face: Faces = [],  # noqa: B006
    start: Start = None,
    stop: Stop = None,
    quality: QualityName = "balanced",
    backend: Landmarks = "mesh",
    codec: Codec = None,
    crf: Crf = None,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    bundle: BundleName = "mobile",
    jobs: Jobs = 1,
    cache: Cache = None,
    dry_run: DryRun = False,
    preview: Preview = None,
    compare: Compare = None,
    log_json: LogJson = False,
    no_tag: NoTag = False,
    sign: Certificate = None,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Edit a video: videdit run input.mp4 --attr Smiling --alpha 1.5

    Sound, times and size stay the source's. If it is stopped, the same command goes on.
    """
    with event_log(log_json) as log:
        from videdit.settings import method_of, parse_time

        local = local_edits(editor, like, region, strength, channel)
        whose, edits = asked_edits(ctx, face, attr, alpha, edit, preset, local)
        settings = {
            "editor": local.editor,
            "like": like,
            "within": local.within,
            "keep": tuple(name.strip() for name in keep.split(",") if name.strip()),
            "touch": touch,
            "face": whose,
            "start_s": parse_time(start),
            "stop_s": parse_time(stop),
            "method": method_of(quality),
            "backend": backend,
            "codec": codec,
            "crf": crf,
            "device": device,
            "precision": precision,
            "bundle": bundle,
            "cache_dir": cache,
            "compare": compare,
            "tag": not no_tag,
            "sign": sign,
            "key": key,
        }
        from videdit.api import edit_video, forecast_edit
        from videdit.batch.film import local_hands
        from videdit.pipeline.events import EventProgress
        from videdit.pipeline.progress import make_progress

        if dry_run:
            forecast = forecast_edit(source, output, edits, overwrite=overwrite, settings=settings)
            if log is not None:
                write_forecast(log, str(source), forecast, edits)
            else:
                say(outlook(source, forecast, edits))
            return
        progress = make_progress(quiet=quiet) if log is None else EventProgress(log)
        if preview is not None:
            from videdit.trial import preview_sheet

            named = output or source.with_name(f"{source.stem}-preview.jpg")
            sheet = preview_sheet(
                source,
                named,
                edits,
                preview,
                overwrite=overwrite,
                settings=settings,
                progress=progress,
            )
            if log is not None:
                log.write("preview", input=str(source), output=str(sheet))
            elif not quiet:
                say(f"preview: {sheet}")
            return
        with local_hands(jobs, cache, progress.note) as hands:
            result = edit_video(
                source,
                output,
                edits,
                overwrite=overwrite,
                settings=settings,
                progress=progress,
                hands=hands,
            )
        if log is not None:
            write_result(log, str(source), result, edits)
        elif not quiet:
            say(summary(result, edits))


def image(
    ctx: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(help="The pictures to edit.", metavar="INPUT...")
    ],
    attr: Attributes = [],  # noqa: B006
    alpha: Alphas = [],  # noqa: B006
    edit: EditTexts = [],  # noqa: B006
    preset: PresetNames = [],  # noqa: B006
    output: Output = None,
    overwrite: Overwrite = False,
    editor: EditorName = None,
    like: Like = None,
    region: Region = "",
    strength: Strength = None,
    mask: Mask = None,
    scribble: Scribble = None,
    channel: Channels = [],  # noqa: B006
    keep: Keep = "",
    touch: TouchText = "",
    face: Faces = [],  # noqa: B006
    quality: QualityName = "balanced",
    backend: Landmarks = "mesh",
    device: DeviceName = "auto",
    precision: Precision = "auto",
    bundle: BundleName = "mobile",
    cache: Cache = None,
    compare: Compare = None,
    log_json: LogJson = False,
    no_tag: NoTag = False,
    sign: Certificate = None,
    key: Key = None,
    quiet: Quiet = False,
) -> int:
    """Edit pictures: videdit image portrait.jpg --attr Smiling

    A picture that cannot be edited does not stop the others; the exit code is that of the one that
    went worst.
    """
    with event_log(log_json) as log:
        if output is not None and len(sources) > 1 and not output.is_dir():
            raise UsageError(
                "one output for several pictures", "Name a folder that is there, or leave -o out."
            )
        from videdit.settings import method_of

        if len(sources) > 1 and (mask or scribble):
            raise UsageError("a mask or a scribble is of one picture", "Edit one at a time.")
        local = local_edits(editor, like, region, strength, channel, mask, scribble)
        whose, edits = asked_edits(ctx, face, attr, alpha, edit, preset, local)
        settings = {
            "editor": local.editor,
            "like": scribble or like,
            "mask": mask,
            "within": local.within,
            "keep": tuple(name.strip() for name in keep.split(",") if name.strip()),
            "touch": touch,
            "face": whose,
            "method": method_of(quality),
            "backend": backend,
            "device": device,
            "precision": precision,
            "bundle": bundle,
            "cache_dir": cache,
            "compare": compare,
            "tag": not no_tag,
            "sign": sign,
            "key": key,
        }
        from videdit.api import edit_images
        from videdit.cli.main import say_error
        from videdit.pipeline.events import EventProgress
        from videdit.pipeline.progress import make_progress

        progress = make_progress(quiet=quiet) if log is None else EventProgress(log)
        failed: list[tuple[Path, VideditError]] = []
        for source, result in edit_images(
            sources, output, edits, overwrite=overwrite, settings=settings, progress=progress
        ):
            if isinstance(result, VideditError):
                if len(sources) == 1:
                    raise result
                failed.append((source, result))
                if log is not None:
                    write_error(log, result, input=str(source))
                else:
                    say_error(result)
            elif log is not None:
                write_result(log, str(source), result, edits)
            elif not quiet:
                say(summary(result, edits))
        if failed and log is None:
            names = ", ".join(str(source) for source, _ in failed)
            print(
                f"videdit: {len(failed)} of {len(sources)} pictures were not edited: {names}",
                file=sys.stderr,
            )
        return max((error.exit_code for _, error in failed), default=0)


@dataclass(frozen=True)
class LocalEdits:
    """What a command line says of regions and channels.

    Attributes:
        editor: to edit with.
        texts: edits, as ``--edit`` has them.
        within: regions that edits are held in.
    """

    editor: str
    texts: list[str]
    within: tuple[str, ...]


def local_edits(
    editor: str | None,
    like: Path | None,
    region: str,
    strength: str | None,
    channels: list[str],
    mask: Path | None = None,
    scribble: Path | None = None,
) -> LocalEdits:
    """Which editor is meant, and the edits that are not attributes.

    Raises:
        UsageError: options that don't go together.
    """
    regions = tuple(name.strip() for name in region.split(",") if name.strip())
    if mask is not None and MASK not in regions:
        regions = (*regions, MASK)
    if strength is not None:
        _check_strength(strength, like or scribble)
    if scribble is not None:
        if like or regions or channels or editor not in (None, "scribble"):
            raise UsageError("--scribble says by itself what is edited", "Leave the others out.")
        return LocalEdits("scribble", [f"{MASK}={strength or 1}"], ())
    own = editor is not None and Path(editor).suffix == ".safetensors"
    if channels and editor not in (None, "stylespace") and not own:
        raise UsageError(
            f"the editor {editor!r} moves no single channels", "Use --editor stylespace."
        )
    if like is not None and not regions:
        raise UsageError(
            "--like takes regions from a picture",
            "Name them: --region nose, or mouth,eyes; or mark one with --mask.",
        )
    usual = "activations" if like else "stylespace" if channels else "transformer"
    check_editor(editor or usual, like=like)
    texts = list(channels)
    if like is not None:
        texts += [f"{name}={strength or 1}" for name in regions]
        regions = ()
    return LocalEdits(editor or usual, texts, regions)


def asked_edits(
    ctx: typer.Context,
    faces: list[str],
    attributes: list[str],
    alphas: list[str],
    texts: list[str],
    presets: list[str],
    local: LocalEdits,
) -> tuple[str, list[Edit]]:
    """The face that a run is about, and what is edited.

    Raises:
        UsageError: as ``edits_of_faces``; nothing to edit; or several faces with edits of regions
            or channels.
    """
    if len(faces) > 1 and local.texts:
        raise UsageError(
            "--like, --scribble and --channel are for one --face", "Edit one face after the other."
        )
    words = options_in_order(ctx)
    face, edits = edits_of_faces(words, faces, attributes, alphas, texts + local.texts, presets)
    if not edits:
        raise UsageError(
            "nothing to edit", "Name an attribute, e.g. --attr Smiling (see `videdit attributes`)."
        )
    return face, edits


def _check_strength(text: str, like: Path | None) -> None:
    from videdit.editing.schedule import AlphaSchedule

    if like is None:
        raise UsageError("--strength says how much of --like is shown", "Name a picture.")
    strengths = [alpha for _, alpha in AlphaSchedule.parse(text).keyframes]
    if not all(0 <= alpha <= 1 for alpha in strengths):
        raise UsageError(f"--strength is {text}", "Give numbers from 0 to 1.")


def frame_ranges(frames: list[int]) -> str:
    """Frames as text: ``0-12, 30``."""
    parts = []
    for _, group in groupby(enumerate(frames), lambda pair: pair[1] - pair[0]):
        run_ = [frame for _, frame in group]
        parts.append(f"{run_[0]}-{run_[-1]}" if len(run_) > 1 else str(run_[0]))
    return ", ".join(parts)


def say(text: str) -> None:
    """Print what is done. Where nobody reads it that is no failure: the result is there."""
    try:
        print(text, flush=True)
    except (OSError, ValueError, AttributeError):
        # What is still buffered must not fail at the end either.
        sys.stdout = None


def summary(result: Result, edits: list[Edit]) -> str:
    """What is printed at the end of a run."""
    changed = set(result.edited)
    untouched = [i for i in range(result.frames) if i not in changed]
    made = sum(s.seconds for s in result.report.stages.values())
    lines = [
        f"edited {', '.join(str(edit) for edit in edits)} in {len(changed)} of {result.frames}"
        f" frames, {result.seconds:.0f} s (stages {made:.0f} s)"
    ]
    if untouched:
        shown = frame_ranges(untouched)
        shown = shown if len(shown) < 200 else shown[:200] + " ..."
        lines.append(f"passed through unchanged: frames {shown}")
    lines += result.notes
    lines.append(f"result: {result.output}")
    if result.comparison is not None:
        lines.append(f"compared: {result.comparison}")
    return "\n".join(lines)


def outlook(source: Path, forecast: Forecast, edits: list[Edit]) -> str:
    """What is printed of a run that is not done."""
    from videdit.pipeline.tally import duration_text

    start, stop = forecast.stretch
    lines = [
        f"{source.name}: {forecast.frames} frames; {', '.join(map(str, edits))} in frames"
        f" {start}-{stop - 1}",
        f"{'STAGE':<12} {'TO DO':>14} {'KEPT':>7} {'TIME':>8} {'CACHE':>9}",
    ]
    for stage in forecast.stages:
        if stage.reused:
            lines.append(f"{stage.name:<12} {'reused':>14}")
            continue
        work = "?" if stage.work is None else f"{stage.work} {stage.unit}" if stage.work else "-"
        time = "?" if stage.seconds is None else duration_text(stage.seconds)
        room = "?" if stage.bytes is None else f"{stage.bytes / 1e6:.1f} MB"
        lines.append(f"{stage.name:<12} {work:>14} {stage.kept or '':>7} {time:>8} {room:>9}")
    seconds = sum(stage.seconds or 0 for stage in forecast.stages)
    size = sum(stage.bytes or 0 for stage in forecast.stages)
    lines += [
        f"about {duration_text(seconds)} on two cores without a GPU, if every frame shows one face",
        f"about {size / 1e6:.0f} MB in {forecast.cache}, where {forecast.free / 1e9:.1f} GB are"
        " free",
        f"result: {forecast.output} (nothing was done)",
    ]
    if forecast.comparison is not None:
        lines.append(f"compared: {forecast.comparison}")
    if size > forecast.free:
        lines.append("this is more than is free: choose another folder with --cache")
    return "\n".join(lines)
