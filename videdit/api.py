"""The library: edit a video or a picture with one call.

Example::

    from videdit import edit_video
    result = edit_video("input.mp4", "output.mp4", {"Smiling": 1.5})
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from .artifacts.codes import CodeReader
from .artifacts.faces import FaceTable
from .bundles import load_bundle
from .device import choose_device
from .editing.schedule import Edit
from .errors import Interrupted, UsageError, VideditError, WeightsError, explained
from .faces.choice import photo_in
from .media.compare import check_comparison, comparison_path
from .media.known import known_content_id, known_timeline
from .media.output import (
    CONTAINERS,
    PICTURE_SUFFIXES,
    check_folder,
    check_place,
    check_suffix,
)
from .media.signing import Signer, check_signed
from .media.source import check_source, unchanged
from .media.streams import StreamPlan
from .media.tag import tag_time
from .media.timeline import Timeline
from .models.networks import Networks, open_networks
from .pipeline.forecast import StageForecast, forecast
from .pipeline.hands import Hands
from .pipeline.progress import Progress, as_progress
from .pipeline.runner import RunReport, run
from .pipeline.stage import Stage
from .pipeline.store import Store, compiled_dir
from .settings import RunSettings, method_of
from .stages.assemble import assemble_output, check_encoders, planned_streams
from .stages.chain import make_chain
from .stages.resources import OtherFace, Resources

Edits = Mapping[str, float | str] | Sequence[Edit]

_TIMELINES = ".timelines"


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
        comparison: the file that shows the result beside the source, if one was asked for.
    """

    output: Path
    frames: int
    edited: list[int]
    notes: tuple[str, ...]
    seconds: float
    report: RunReport
    comparison: Path | None = None


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


def default_output(asked: RunSettings, folder: Path, *, picture: bool) -> Path:
    """Where the result goes if no name is said: ``clip-Smiling+1.5.mp4`` for an edit of
    ``clip.mp4``. What suffixes there are not to write becomes MP4 or PNG.

    Args:
        asked: the edits are part of the name, so that each has its own, and so are the regions that
            they are held in and the picture that they are taken from.
        folder: that it goes to.
        picture: whether the source is one.
    """
    suffix = asked.source.suffix.lower()
    if suffix not in (PICTURE_SUFFIXES if picture else CONTAINERS):
        suffix = ".png" if picture else ".mp4"
    where = "-".join((*asked.within, *([asked.like.stem] if asked.like else [])))
    done = "".join(f"-{_file_name(edit)}" for edit in asked.edits)
    done += re.sub(r"[^\w.-]", "_", f"-{where}") if where else ""
    # Room for the hidden names under which files are written first.
    longest = 200 - len(os.fsencode(done[:120] + suffix))
    stem = os.fsdecode(os.fsencode(asked.source.stem)[:longest])
    return folder / f"{stem}{done[:120]}{suffix}"


def comparison_of(asked: RunSettings, output: Path) -> Path | None:
    """The comparison's file that goes with an output; None if none is asked for."""
    return None if asked.compare is None else comparison_path(output, asked.compare)


def _file_name(edit: Edit) -> str:
    """``Smiling+1.5``; ``Smiling+0to1.5`` where the strength changes, ``Smiling+1@photo`` where it
    says whose."""
    name = re.sub(r"[^\w.-]", "_", Path(edit.attribute).name)
    strengths = [alpha for _, alpha in edit.schedule.keyframes]
    name += f"{strengths[0]:+g}"
    if not edit.schedule.is_constant:
        name += "".join(f"to{alpha:g}" for alpha in strengths[1:])
    if edit.face:
        photo = photo_in(edit.face)
        name += "@" + re.sub(r"[^\w.-]", "_", edit.face if photo is None else photo.stem)
    return name


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
        kept_in=compiled_dir(),
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
    other = None
    if settings.photo is not None:
        with progress.doing(f"looking at the face in {settings.photo.name}"):
            other = _other_face(settings, settings.photo, store, networks)
    resources = Resources(settings, timeline, networks, other)
    try:
        _refuse(resources)  # before any work is done
    except BaseException:
        resources.close()
        raise
    return resources, make_chain(resources)


def prepare_last(
    source: Path, source_id: str, store: Store, progress: Progress
) -> tuple[Resources, list[Stage]]:
    """Set the chain up as the last run of a source had it.

    Args:
        source: where it is now.
        source_id: its content id.
        store: of the artifacts.
        progress: told what is fetched.

    Returns:
        As :func:`prepare`.

    Raises:
        UsageError: nothing is known of the last run.
        VideditError: as :func:`prepare`.
    """
    plain = store.last_run(source_id)
    if plain is None:
        raise UsageError("nothing is known of the last run", "Run `videdit run` again.")
    return prepare(replace(RunSettings.from_json(plain), source=source), store, progress)


def _refuse(resources: Resources) -> None:
    """Refuse what cannot be.

    Raises:
        VideditError: the settings don't suit the source, or the editor.
    """
    settings = resources.run
    if settings.editor != "scribble":  # which knows the mask alone
        for edit in settings.edits:
            resources.editor.name(edit.attribute)
    if not len(resources.frames):
        raise UsageError(
            "there is no frame between --from and --to",
            f"The video is {float(resources.timeline.times()[-1]):.2f} s long.",
        )
    _ = resources.marked, resources.touch
    if settings.compare is not None:
        check_comparison(settings.compare, resources.timeline.width)


def _other_face(settings: RunSettings, like: Path, store: Store, networks: Networks) -> OtherFace:
    """The face in another picture, as the chain itself finds it; looked up where it was found
    before.

    Raises:
        UsageError: it is a video, or has several faces.
        NoFaceError: it has none.
        InputError: it cannot be read.
    """
    check_source(like)
    same = ("backend", "method", "device", "precision", "bundle", "parameters")
    values = {name: getattr(settings, name) for name in same}
    asked = RunSettings(like, like, face="all", **values)
    resources, chain = prepare(asked, store, as_progress(None), networks)
    with resources:
        timeline = resources.timeline
        if not timeline.is_image:
            raise UsageError(f"{like.name} is a video", "Give a picture of one person's face.")
        names = [stage.name for stage in chain]
        aligned = chain[: names.index("align") + 1]
        faces = run(aligned, store, timeline.content_id, like, targets=("align",))
        table = FaceTable(faces.artifacts["align"])
        if len(table.tracks) != 1:
            raise UsageError(
                f"{len(table.tracks)} faces are to be seen in {like.name}",
                "Give a picture of one person's face, from the front.",
            )
        coded = chain[: names.index("refine") + 1]
        read = ("align", "encode", "refine")
        found = run(coded, store, timeline.content_id, like, targets=read).artifacts
        smoothing = settings.parameters.inversion.smoothing
        reader = CodeReader(
            found["encode"], found["refine"], table, resources.times, networks.space, smoothing
        )
        code = reader.read(table.first_frame, table.stop_frame)[0]
        keys = (timeline.content_id, found["encode"].key, found["refine"].key)
        return OtherFace(code, " ".join(keys))


def edit_video(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    overwrite: bool = False,
    settings: Mapping[str, object] | None = None,
    progress: Progress | Callable[[str, int, int], object] | None = None,
    networks: Networks | None = None,
    stop: threading.Event | None = None,
    hands: Callable[[RunSettings], Hands] | None = None,
) -> Result:
    """Edit the face in a video; resumes by itself where an earlier run stopped.

    Args:
        source: a video, or a picture.
        output: the file to write, its suffix names the container; or a folder. Default: beside the
            source, named after it and the edits.
        edits: attribute and strength, e.g. ``{"Smiling": 1.5, "Young": "0s:0,2s:-1"}``.
        overwrite: whether a file that is there may be replaced.
        settings: other fields of :class:`RunSettings` by name (``face``, ``start_s``, ``crf``,
            ...); ``quality`` as the command line has it does for ``method``.
        progress: told how it goes: a :class:`Progress`, or a function that is called with a stage's
            name, what of it is done, and what there is to do.
        networks: those of an earlier call (:func:`networks_for`), so that they are loaded once.
        stop: set it in another thread to stop after the chunk in flight.
        hands: gives, for the settings of the run, who makes its chunks; the result is the same.

    Returns:
        What was done.

    Raises:
        VideditError: see ``videdit.errors``; nothing that was computed is lost.
    """
    how = _How(overwrite, settings, progress, networks, stop, hands)
    return _edit(source, output, edits, how, picture=False)


def edit_image(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    overwrite: bool = False,
    settings: Mapping[str, object] | None = None,
    progress: Progress | Callable[[str, int, int], object] | None = None,
    networks: Networks | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Edit the face in a picture; as ``edit_video``, for a source of one frame.

    Raises:
        UsageError: the source is a video, besides what ``edit_video`` raises.
    """
    how = _How(overwrite, settings, progress, networks, stop)
    return _edit(source, output, edits, how, picture=True)


def edit_images(
    sources: Sequence[Path | str],
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    overwrite: bool = False,
    settings: Mapping[str, object] | None = None,
    progress: Progress | Callable[[str, int, int], object] | None = None,
) -> Iterator[tuple[Path, Result | VideditError]]:
    """Edit the face in each of some pictures, with the same networks; what goes wrong with one
    does not stop the others.

    Args:
        output: of a single picture, or a folder for all; without one each goes beside its source.
        sources, edits, overwrite, settings, progress: as in ``edit_video``.

    Yields:
        Each picture with its result, or with what went wrong.

    Raises:
        VideditError: what goes wrong for all of them: the request, the weights; or a stop.
    """
    if not sources:
        return
    if output is not None and len(sources) > 1 and not Path(output).is_dir():
        raise UsageError("one output for several pictures", "Name a folder that is there with -o.")
    progress = as_progress(progress)
    first = Path(sources[0])
    asked = run_settings(first, first, parse_edits(edits), settings)
    networks = networks_for(asked, progress)
    if asked.photo is not None:  # what is wrong with it is so for all
        with Store(asked.cache_dir) as store:
            _other_face(asked, asked.photo, store, networks)
    elif asked.like is None:  # a scribble knows the mask alone
        editor = networks.editor(asked.editor, asked.keep, within=asked.within)
        for edit in asked.edits:
            editor.name(edit.attribute)
    for source in map(Path, sources):
        result: Result | VideditError
        try:
            result = edit_image(
                source,
                output,
                edits,
                overwrite=overwrite,
                settings=settings,
                progress=progress,
                networks=networks,
            )
        except (Interrupted, WeightsError):
            raise
        except Exception as error:  # also the tool's own fault: the others go on
            result = explained(error, "Edit it alone with --debug.", source.name)
        yield source, result


@dataclass(frozen=True)
class _How:
    """What :func:`edit_video` is told besides source, output and edits."""

    overwrite: bool
    settings: Mapping[str, object] | None
    progress: Progress | Callable[[str, int, int], object] | None
    networks: Networks | None
    stop: threading.Event | None
    hands: Callable[[RunSettings], Hands] | None = None


def run_settings(
    source: Path, target: Path, edits: tuple[Edit, ...], settings: Mapping[str, object] | None
) -> RunSettings:
    """The settings of a run.

    Raises:
        UsageError: there is no such setting, or no such value of one.
    """
    values = dict(settings or {})
    if "quality" in values:
        values["method"] = method_of(str(values.pop("quality")))
    for name in ("keep", "within"):
        if isinstance(value := values.get(name), str):
            values[name] = tuple(part.strip() for part in value.split(",") if part.strip())
    known = {each.name for each in fields(RunSettings)} - {"source", "output", "edits"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UsageError(
            f"there is no setting {unknown[0]!r}",
            f"There are: quality, {', '.join(sorted(known))}.",
        )
    return RunSettings(source, target, edits, **values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Forecast:
    """What an edit would do.

    Attributes:
        output: the file that would be written.
        frames: frames of the source.
        stretch: indices of those to edit: from, and up to.
        stages: what each would have to do.
        cache: folder that keeps what they leave.
        free: bytes that are free there.
        comparison: the file that would show the result beside the source, if one is asked for.
    """

    output: Path
    frames: int
    stretch: tuple[int, int]
    stages: list[StageForecast]
    cache: Path
    free: int
    comparison: Path | None = None


def forecast_edit(
    source: Path | str,
    output: Path | str | None = None,
    edits: Edits = (),
    *,
    overwrite: bool = False,
    settings: Mapping[str, object] | None = None,
) -> Forecast:
    """What ``edit_video`` with these arguments would do. The source is looked at, and the face in
    another picture found; nothing else is done, and no weights are fetched.

    Raises:
        VideditError: as ``edit_video``, as far as it can be told before.
    """
    how = _How(overwrite, settings, None, None, None)
    with _opened(source, output, edits, how, picture=False, fetching=False) as job:
        timeline, frames = job.resources.timeline, job.resources.frames
        targets = _targets(job.resources)
        stages = forecast(job.stages, job.store, timeline.content_id, targets)
        root = job.store.root
        there = next(folder for folder in (root, *root.parents) if folder.is_dir())
        free = shutil.disk_usage(there).free
        stretch = frames.start, frames.stop
        return Forecast(job.named, len(timeline), stretch, stages, root, free, job.comparison)


def _targets(resources: Resources) -> tuple[str, ...]:
    """The stages whose artifacts the output is made of."""
    compared = resources.run.compare is not None and not resources.timeline.is_image
    return ("blend", "compare") if compared else ("blend",)


@dataclass(frozen=True)
class _Opened:
    """An edit that can begin.

    Attributes:
        named: the file to write, as it was named.
        comparison: the file to write that shows it beside the source.
        check: raises if the source was changed since.
    """

    named: Path
    comparison: Path | None
    store: Store
    shown: Progress
    resources: Resources
    stages: list[Stage]
    signer: Signer | None
    plan: StreamPlan | None
    check: Callable[[], None]


@contextmanager
def _opened(
    source: Path | str,
    output: Path | str | None,
    edits: Edits,
    how: _How,
    *,
    picture: bool,
    fetching: bool = True,
) -> Iterator[_Opened]:
    source = Path(source)
    named = None if output is None else Path(output)
    folder = source.parent if named is None else named
    asked = run_settings(source, folder, parse_edits(edits), how.settings)
    if asked.tag or asked.sign:
        tag_time(0)  # what is wrong with it is said before the work
    for path in (source, asked.like, asked.mask, *asked.people):
        if path is not None:
            check_source(path)
    if named is None or os.path.isdir(named):
        check_folder(folder)
        named = None
    else:
        _check_places(source, asked, named, how)
    check = unchanged(source)
    with Store(asked.cache_dir) as store, as_progress(how.progress) as shown:
        with shown.doing(f"looking at {source.name}"):
            timeline = timeline_of(source, store)
        if picture and not timeline.is_image:
            raise UsageError(f"{source.name} is a video", "Use `videdit run`, or edit_video.")
        if named is None:
            named = default_output(asked, folder, picture=timeline.is_image)
            _check_places(source, asked, named, how)
        signer = None
        if asked.sign is not None and asked.key is not None:
            check_signed(named.suffix)
            signer = Signer(asked.sign, asked.key)
        # A link goes on leading where it does.
        target = named.resolve() if named.is_symlink() else named
        asked = replace(asked, output=target)
        networks = how.networks
        if networks is None and not (fetching or asked.photo):
            device = choose_device(asked.device, asked.precision)
            networks = Networks(load_bundle(asked.bundle), device, asked.backend)
        resources, stages = prepare(asked, store, shown, networks)
        with resources:
            check_suffix(target, None if timeline.is_image else resources.encode_spec.codec)
            check_encoders(resources)
            plan = planned_streams(resources)
            comparison = comparison_of(asked, named)
            yield _Opened(named, comparison, store, shown, resources, stages, signer, plan, check)


def _check_places(source: Path, asked: RunSettings, named: Path, how: _How) -> None:
    """Refuse files that cannot be written."""
    for place in (named, comparison_of(asked, named)):
        if place is not None:
            check_place(source, place, overwrite=how.overwrite)


def _edit(
    source: Path | str, output: Path | str | None, edits: Edits, how: _How, *, picture: bool
) -> Result:
    started = time.monotonic()
    source = Path(source)
    with _opened(source, output, edits, how, picture=picture) as job:
        resources, store = job.resources, job.store
        content_id = resources.timeline.content_id
        store.note_source(content_id, source)
        store.note_run(content_id, resources.run.to_json())
        report = run(
            job.stages,
            store,
            content_id,
            source,
            targets=_targets(resources),
            progress=job.shown,
            stop=how.stop,
            hands=how.hands(resources.run) if how.hands else None,
            check=job.check,
        )
        with job.shown.doing(f"assembling {resources.run.output.name}"):
            done = assemble_output(
                resources, report.artifacts, job.plan, job.signer, job.comparison
            )
        frames = len(resources.timeline)
    seconds = time.monotonic() - started
    return Result(job.named, frames, done.edited, done.notes, seconds, report, job.comparison)
