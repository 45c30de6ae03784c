"""The library: edit a video or a picture with one call.

Example::

    from videdit import edit_video
    result = edit_video("input.mp4", "output.mp4", {"Smiling": 1.5})
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .bundles.ensure import ensure_bundle
from .device import choose_device
from .editing.schedule import Edit
from .errors import StorageError, UsageError
from .media.mux import CONTAINERS, check_output
from .media.timeline import Timeline, probe
from .media.writer import PICTURE_SUFFIXES
from .pipeline.progress import Progress
from .pipeline.runner import RunReport, run
from .pipeline.settings import RunSettings, save_last_run
from .pipeline.stage import Stage
from .pipeline.store import Store
from .stages.assemble import assemble_output
from .stages.blend import BlendStage
from .stages.chain import make_chain
from .stages.resources import Networks, Resources

Edits = Mapping[str, float | str] | Sequence[Edit]


@dataclass(frozen=True)
class Result:
    """What an edit did.

    Attributes:
        output: the file that was written.
        frames: frames of the source.
        edited: indices of the frames that were changed; the others are the source's.
        notes: what of the source the output does not have, or has in another form.
        seconds: the whole time, from probing to the written file.
        report: time and chunks of each stage.
    """

    output: Path
    frames: int
    edited: list[int]
    notes: tuple[str, ...]
    seconds: float
    report: RunReport


def parse_edits(edits: Edits) -> tuple[Edit, ...]:
    """Edits from a mapping of attribute to strength (a number or a schedule's text).

    Raises:
        UsageError: a strength that is none.
    """
    if isinstance(edits, Mapping):
        return tuple(Edit.parse(f"{name}={alpha}") for name, alpha in edits.items())
    return tuple(edits)


def default_output(source: Path) -> Path:
    """Where the result goes if nothing is said: beside the source, ``NAME-edited``."""
    suffix = source.suffix.lower()
    known = (*CONTAINERS, *PICTURE_SUFFIXES)
    return source.with_name(f"{source.stem}-edited{suffix if suffix in known else '.mp4'}")


def prepare(
    settings: RunSettings, progress: Progress, networks: Networks | None = None
) -> tuple[Timeline, Resources, list[Stage]]:
    """Probe the source, fetch missing weights, and set the chain up.

    Args:
        settings: what to do.
        progress: told what is fetched.
        networks: those of an earlier run with the same bundle, device and backend.

    Raises:
        VideditError: the source, the weights or the settings are no good.
    """
    timeline = probe(settings.source)
    if networks is None:
        device = choose_device(settings.device, settings.precision)
        bundle = ensure_bundle(settings.bundle, progress.note)
        networks = Networks(bundle, device, settings.backend)
    resources = Resources(settings, timeline, networks)
    if not len(resources.frames):
        raise UsageError(
            "there is no frame between --from and --to",
            f"The video is {float(timeline.times()[-1]):.2f} s long.",
        )
    for edit in settings.edits:
        resources.editor.name(edit.attribute)  # an unknown one is refused before any work is done
    return timeline, resources, make_chain(resources)


def edit_video(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Edit the face in a video; resumes by itself where an earlier run stopped.

    Args:
        source: a video, or a picture.
        output: the file to write; its suffix names the container. Default: beside the source.
        edits: attribute and strength, e.g. ``{"Smiling": 1.5, "Young": "0s:0,2s:-1"}``.
        settings: other fields of ``RunSettings`` by name (``face``, ``start_s``, ``crf``, ...).
        progress: told how it goes.

    Returns:
        What was done.

    Raises:
        VideditError: see ``videdit.errors``; nothing that was computed is lost.
    """
    started = time.monotonic()
    source = Path(source)
    target = Path(output) if output is not None else default_output(source)
    run_settings = RunSettings(source, target, parse_edits(edits), **(settings or {}))  # type: ignore[arg-type]
    if not run_settings.edits:
        raise UsageError(
            "nothing to edit", "Name an attribute, e.g. --attr Smiling (see `videdit attributes`)."
        )
    check_folder(source, target)
    progress = progress or Progress()
    timeline, resources, stages = prepare(run_settings, progress)
    blend = stages[-1]
    assert isinstance(blend, BlendStage)
    if timeline.is_image:
        check_picture_suffix(target)
    else:
        check_output(target, timeline, blend.spec(run_settings))
    with Store(run_settings.cache_dir) as store, progress:
        save_last_run(store, timeline.content_id, run_settings)
        report = run(stages, run_settings, store, timeline.content_id, progress=progress)
        done = assemble_output(blend, resources, run_settings, report.artifacts["blend"])
    return Result(
        target, len(timeline), done.edited, done.notes, time.monotonic() - started, report
    )


def edit_image(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Edit the face in a picture; as ``edit_video``, for a source of one frame.

    Raises:
        UsageError: the source is a video, besides what ``edit_video`` raises.
    """
    if not probe(source).is_image:
        raise UsageError(f"{Path(source).name} is a video", "Use `videdit run`, or edit_video.")
    return edit_video(source, output, edits, settings=settings, progress=progress)


def check_folder(source: Path, output: Path) -> None:
    """Refuse an output that cannot be written before the source is even read.

    Raises:
        UsageError: it is the source itself, or a folder.
        StorageError: its folder is missing or cannot be written.
    """
    folder = output.absolute().parent
    if output.is_dir():
        raise UsageError(f"the output {output} is a folder", "Name a file, e.g. -o result.mp4.")
    if not folder.is_dir():
        raise StorageError(f"the output's folder {folder} does not exist", "Create it first.")
    if output.exists() and source.exists() and os.path.samefile(source, output):
        raise UsageError("the output is the source itself", "Choose another name with -o.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"the output's folder {folder} cannot be written ({error.strerror})",
            "Choose another with -o.",
        ) from error


def check_picture_suffix(output: Path) -> None:
    """Refuse a suffix that is no picture's.

    Raises:
        UsageError: it is none.
    """
    if output.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(
            f"a picture cannot be written as {output.suffix or 'a file without suffix'}",
            f"Use one of {', '.join(PICTURE_SUFFIXES)}.",
        )
