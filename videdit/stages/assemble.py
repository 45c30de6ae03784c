"""``assemble``: the segments become the output file, with the source's other streams; and those of
the comparison another.

It is no stage of the cache, since what it leaves is the output itself; it takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .. import __version__
from ..artifacts.blended import made_at, read_blended_picture, read_edited, read_segments
from ..artifacts.notes import read_notes
from ..files import finish_file, replaced, storage_errors, temporary_file
from ..media.compare import compared_pictures, compared_spec, compared_timeline
from ..media.mux import assemble
from ..media.pictures import write_picture
from ..media.segments import check_encoder
from ..media.signing import Signer
from ..media.streams import StreamPlan, plan_streams
from ..media.tag import Tag, tag_time
from ..pipeline.stage import Artifact
from .resources import Resources


@dataclass(frozen=True)
class Assembled:
    """What was written.

    Attributes:
        output: the file.
        edited: indices of the frames that were changed.
        notes: what of the source the output does not have, or has in another form.
    """

    output: Path
    edited: list[int]
    notes: tuple[str, ...]


def planned_streams(resources: Resources) -> StreamPlan | None:
    """What becomes of the source's other streams in the output; None for a picture, which has none.

    Raises:
        InputError: the source cannot be opened.
    """
    if resources.timeline.is_image:
        return None
    return plan_streams(resources.timeline, resources.run.output.suffix.lower())


def check_encoders(resources: Resources) -> None:
    """Refuse, before the work, an encoder that only some machines have and this one does not.

    Raises:
        UsageError: see ``media.segments.check_encoder``.
    """
    timeline, compare = resources.timeline, resources.run.compare
    if timeline.is_image:
        return
    spec = resources.encode_spec
    check_encoder(timeline, spec)
    if compare is not None:
        check_encoder(compared_timeline(timeline, spec, compare), compared_spec(timeline, spec))


def assemble_output(
    resources: Resources,
    artifacts: Mapping[str, Artifact],
    plan: StreamPlan | None = None,
    signer: Signer | None = None,
    comparison: Path | None = None,
) -> Assembled:
    """Write the output from a complete ``blend`` artifact, and what compares it with the source.

    Args:
        artifacts: of the run, by stage.
        plan: :func:`planned_streams`, if it was made already.
        signer: puts a signed manifest into files with an edited frame.
        comparison: the file for the comparison that the run asks for; it and the output appear
            together.

    Raises:
        VideditError: it cannot be signed.
        StorageError: a file cannot be written.
        UsageError: ``SOURCE_DATE_EPOCH`` is no time.
    """
    run, blended = resources.run, artifacts["blend"]
    edited = read_edited(blended)
    # A result without an edited frame is the source's pictures.
    said = bool(edited) and (run.tag or signer is not None)
    tag = _tag(resources, made_at(blended)) if said else None

    def write(file: Path, compared: bool) -> list[str]:
        in_metadata = tag if run.tag else None

        def plain(path: Path) -> list[str]:
            if resources.timeline.is_image:
                return _write_picture(path, resources, blended, in_metadata, compared)
            return _write_video(path, resources, artifacts, plan, in_metadata, compared)

        if tag is None or signer is None:
            return plain(file)
        with storage_errors(file), temporary_file(file, file.suffix) as unsigned:
            notes = plain(unsigned)
            with replaced(file) as signed:
                signer.sign(resources.timeline.path, unsigned, signed, tag)
        return notes

    if comparison is None:
        notes = write(run.output, False)
    else:
        with storage_errors(comparison), temporary_file(comparison, comparison.suffix) as part:
            write(part, True)
            notes = write(run.output, False)
            finish_file(part, comparison)
    # What was made from the edited codes may be there though they were pruned.
    done = read_notes(artifacts["edit"]) if artifacts["edit"].complete else []
    return Assembled(run.output, edited, (*done, *notes))


def _write_picture(
    file: Path, resources: Resources, blended: Artifact, tag: Tag | None, compared: bool
) -> list[str]:
    """Write the picture, or its comparison; what it does not have of the source."""
    timeline, kind = resources.timeline, resources.run.compare
    picture = read_blended_picture(blended)
    if compared and kind is not None:
        (frame,) = resources.reader.read(0, 1)
        write_picture(
            file,
            compared_pictures(kind, frame.rgb, picture),
            replace(timeline, has_alpha=False),
            tag,
        )
        return []
    lost = write_picture(file, picture, timeline, tag)
    return [f"not in the result: {text}" for text in (*timeline.unkept, *lost)]


def _write_video(
    file: Path,
    resources: Resources,
    artifacts: Mapping[str, Artifact],
    plan: StreamPlan | None,
    tag: Tag | None,
    compared: bool,
) -> list[str]:
    """Write the video, or its comparison; what it does not have of the source."""
    timeline, spec, kind = resources.timeline, resources.encode_spec, resources.run.compare
    if compared and kind is not None:
        wide = compared_timeline(timeline, spec, kind)
        segments = read_segments(artifacts["compare"])
        assemble(file, wide, compared_spec(timeline, spec), segments, plan, tag)
        return []
    report = assemble(file, timeline, spec, read_segments(artifacts["blend"]), plan, tag)
    notes = [f"not in the result: {text}" for text in report.dropped]
    return [*notes, *(f"converted: {text}" for text in report.changed)]


def _tag(resources: Resources, made: float) -> Tag:
    run = resources.run
    of = " of another face" if run.photo is not None else ""
    edits = tuple(f"{edit.what}{of}" for edit in run.edits)
    return Tag("videdit", __version__, edits, tag_time(made))
