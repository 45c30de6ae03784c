"""``assemble``: the segments become the output file, with the source's other streams.

It is no stage of the cache, since what it leaves is the output itself; it takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..artifacts.blended import made_at, read_blended_picture, read_edited, read_segments
from ..artifacts.notes import read_notes
from ..files import replaced, storage_errors, temporary_file
from ..media.mux import assemble
from ..media.pictures import write_picture
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


def assemble_output(
    resources: Resources,
    artifacts: Mapping[str, Artifact],
    plan: StreamPlan | None = None,
    signer: Signer | None = None,
) -> Assembled:
    """Write the output from a complete ``blend`` artifact.

    Args:
        artifacts: of the run, by stage.
        plan: :func:`planned_streams`, if it was made already.
        signer: puts a signed manifest into an output with an edited frame.

    Raises:
        VideditError: it cannot be signed.
        StorageError: the output cannot be written.
        UsageError: ``SOURCE_DATE_EPOCH`` is no time.
    """
    output, blended = resources.run.output, artifacts["blend"]
    edited = read_edited(blended)
    # A result without an edited frame is the source's pictures.
    said = bool(edited) and (resources.run.tag or signer is not None)
    tag = _tag(resources, made_at(blended)) if said else None
    if tag is None or signer is None:
        return Assembled(output, edited, _write(resources, artifacts, output, tag, plan))
    with storage_errors(output), temporary_file(output, output.suffix) as unsigned:
        notes = _write(resources, artifacts, unsigned, tag, plan)
        with replaced(output) as signed:
            signer.sign(resources.timeline.path, unsigned, signed, tag)
    return Assembled(output, edited, notes)


def _write(
    resources: Resources,
    artifacts: Mapping[str, Artifact],
    output: Path,
    tag: Tag | None,
    plan: StreamPlan | None,
) -> tuple[str, ...]:
    """Write the output; what it does not have of the source."""
    timeline, blended = resources.timeline, artifacts["blend"]
    tag = tag if resources.run.tag else None
    # What was made from the edited codes may be there though they were pruned.
    said = read_notes(artifacts["edit"]) if artifacts["edit"].complete else []
    if timeline.is_image:
        lost = write_picture(output, read_blended_picture(blended), timeline, tag)
        notes = [*said, *(f"not in the result: {text}" for text in (*timeline.unkept, *lost))]
        return tuple(notes)
    spec = resources.encode_spec
    report = assemble(output, timeline, spec, read_segments(blended), plan, tag)
    notes = [*said, *(f"not in the result: {text}" for text in report.dropped)]
    notes += [f"converted: {text}" for text in report.changed]
    return tuple(notes)


def _tag(resources: Resources, made: float) -> Tag:
    run = resources.run
    of = " of another face" if run.photo is not None else ""
    edits = tuple(f"{edit.what}{of}" for edit in run.edits)
    return Tag("videdit", __version__, edits, tag_time(made))
