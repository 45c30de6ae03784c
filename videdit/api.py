"""The library: edit a video or a picture with one call.

Example::

    from videdit import edit_video
    result = edit_video("input.mp4", "output.mp4", {"Smiling": 1.5})
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .editing.schedule import Edit
from .errors import Interrupted, UsageError, VideditError, WeightsError
from .media.known import known_content_id, known_timeline
from .media.output import CONTAINERS, PICTURE_SUFFIXES, check_place, check_suffix
from .media.timeline import Timeline
from .models.networks import Networks, open_networks
from .pipeline.progress import Progress
from .pipeline.runner import RunReport, run
from .pipeline.stage import Stage
from .pipeline.store import Store, default_cache_dir
from .settings import RunSettings
from .stages.assemble import assemble_output
from .stages.chain import make_chain
from .stages.resources import Resources

Edits = Mapping[str, float | str] | Sequence[Edit]

_TIMELINES = ".timelines"
_COMPILED = ".compiled"


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
        UsageError: a strength that is none, or no edit at all.
    """
    if isinstance(edits, Mapping):
        edits = [Edit.parse(f"{name}={alpha}") for name, alpha in edits.items()]
    if not edits:
        raise UsageError(
            "nothing to edit", "Name an attribute, e.g. --attr Smiling (see `videdit attributes`)."
        )
    return tuple(edits)


def default_output(source: Path) -> Path:
    """Where the result goes if nothing is said: beside the source, ``NAME-edited``."""
    suffix = source.suffix.lower()
    known = (*CONTAINERS, *PICTURE_SUFFIXES)
    return source.with_name(f"{source.stem}-edited{suffix if suffix in known else '.mp4'}")


def networks_for(settings: RunSettings, progress: Progress) -> Networks:
    """The networks that a run with these settings needs, its missing weights fetched. Runs that
    differ in nothing but source, output, edits and face can share them.

    Raises:
        UsageError: there is no such bundle, or no GPU where one is asked for.
        WeightsError: weights are absent and cannot be fetched.
        StorageError: they cannot be written.
    """
    return open_networks(
        settings.bundle,
        settings.device,
        settings.precision,
        settings.backend,
        kept_in=default_cache_dir() / _COMPILED,
        detecting=settings.parameters.faces.detecting,
        say=progress.note,
    )


def source_id_of(source: Path, store: Store) -> str:
    """The content id of a source, looked up where it was found before.

    Raises:
        InputError: it cannot be read.
    """
    return known_content_id(source, store.root / _TIMELINES)


def timeline_of(source: Path, store: Store) -> Timeline:
    """The timeline of a source, looked up where it was found before.

    Raises:
        InputError: it cannot be read.
    """
    return known_timeline(source, store.root / _TIMELINES)


def prepare(
    settings: RunSettings, store: Store, progress: Progress, networks: Networks | None = None
) -> tuple[Resources, list[Stage]]:
    """Set the chain up for a source; its timeline is looked up where it was found before.

    Args:
        settings: what to do.
        store: of the artifacts.
        progress: told what is fetched.
        networks: see :func:`networks_for`; made if not given.

    Returns:
        What the stages share (to be closed by the caller), and the stages.

    Raises:
        VideditError: the source, the weights or the settings are no good.
    """
    with progress.doing(f"looking at {settings.source.name}"):
        timeline = timeline_of(settings.source, store)
    networks = networks or networks_for(settings, progress)
    resources = Resources(settings, timeline, networks)
    for edit in settings.edits:
        resources.editor.name(edit.attribute)  # an unknown one is refused before any work is done
    if not len(resources.frames):
        raise UsageError(
            "there is no frame between --from and --to",
            f"The video is {float(timeline.times()[-1]):.2f} s long.",
        )
    return resources, make_chain(resources)


def edit_video(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    networks: Networks | None = None,
) -> Result:
    """Edit the face in a video; resumes by itself where an earlier run stopped.

    Args:
        source: a video, or a picture.
        output: the file to write; its suffix names the container. Default: beside the source.
        edits: attribute and strength, e.g. ``{"Smiling": 1.5, "Young": "0s:0,2s:-1"}``.
        settings: other fields of ``RunSettings`` by name (``face``, ``start_s``, ``crf``, ...).
        progress: told how it goes.
        networks: those of an earlier call (:func:`networks_for`), so that they are loaded once.

    Returns:
        What was done.

    Raises:
        VideditError: see ``videdit.errors``; nothing that was computed is lost.
    """
    return _edit(source, output, edits, settings, progress, networks, picture=False)


def edit_image(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    networks: Networks | None = None,
) -> Result:
    """Edit the face in a picture; as ``edit_video``, for a source of one frame.

    Raises:
        UsageError: the source is a video, besides what ``edit_video`` raises.
    """
    return _edit(source, output, edits, settings, progress, networks, picture=True)


def edit_images(
    sources: Sequence[Path | str],
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Path, Result | VideditError]]:
    """Edit the face in each of some pictures, with the same networks; what goes wrong with one
    does not stop the others.

    Args:
        output: of a single picture; several go beside their sources.
        sources, edits, settings, progress: as in ``edit_video``.

    Yields:
        Each picture with its result, or with what went wrong.

    Raises:
        VideditError: what goes wrong for all of them: the request, the weights; or a stop.
    """
    if not sources:
        return
    if output is not None and len(sources) > 1:
        raise UsageError("one output for several pictures", "Leave -o out, or edit one at a time.")
    progress = progress or Progress()
    first = Path(sources[0])
    asked = RunSettings(first, first, parse_edits(edits), **(settings or {}))  # type: ignore[arg-type]
    networks = networks_for(asked, progress)
    editor = networks.editor(asked.editor, asked.keep)
    for edit in asked.edits:
        editor.name(edit.attribute)
    for source in map(Path, sources):
        result: Result | VideditError
        try:
            result = edit_image(
                source, output, edits, settings=settings, progress=progress, networks=networks
            )
        except (Interrupted, WeightsError):
            raise
        except VideditError as error:
            result = error
        except Exception as error:  # the tool's own fault: no reason to leave the others out
            text = f"internal error: {type(error).__name__}: {error}".rstrip(": ")
            result = VideditError(f"{source.name}: {text}", "Edit it alone with --debug.")
        yield source, result


def _edit(
    source: Path | str,
    output: Path | str | None,
    edits: Edits,
    settings: Mapping[str, object] | None,
    progress: Progress | None,
    networks: Networks | None,
    *,
    picture: bool,
) -> Result:
    started = time.monotonic()
    source = Path(source)
    target = Path(output) if output is not None else default_output(source)
    asked = RunSettings(source, target, parse_edits(edits), **(settings or {}))  # type: ignore[arg-type]
    check_place(source, target)
    with Store(asked.cache_dir) as store, progress or Progress() as shown:
        if picture and not timeline_of(source, store).is_image:
            raise UsageError(f"{source.name} is a video", "Use `videdit run`, or edit_video.")
        resources, stages = prepare(asked, store, shown, networks)
        with resources:
            timeline = resources.timeline
            codec = None if timeline.is_image else resources.encode_spec.codec
            check_suffix(target, codec)
            store.note_source(timeline.content_id, source)
            store.note_run(timeline.content_id, asked.to_json())
            report = run(stages, store, timeline.content_id, source, progress=shown)
            with shown.doing(f"assembling {target.name}"):
                done = assemble_output(resources, report.artifacts["blend"])
    return Result(
        target, len(timeline), done.edited, done.notes, time.monotonic() - started, report
    )
