"""From a source to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..artifacts.faces import Faces
from ..errors import UsageError
from ..files import write_atomically
from ..media.output import check_place
from ..pipeline.progress import Progress
from ..pipeline.store import Store
from .kept import Kept, open_kept
from .measures import Measured, groups_of, measure
from .page import page
from .pictures import Shown, read_shown

USUAL = 8
"""Frames that are shown, where nobody says which."""

SUFFIX = ".html"


def check_output(source: Path, output: Path, *, overwrite: bool) -> None:
    """Refuse a file that the report cannot be written to.

    Raises:
        UsageError: another suffix; or as ``check_place``.
        StorageError: as ``check_place``.
    """
    if output.suffix.lower() != SUFFIX:
        raise UsageError(
            f"a report cannot be written as {output.suffix or 'a file without suffix'}",
            f"Use {SUFFIX}.",
        )
    check_place(source, output, overwrite=overwrite)


def write_report(
    source: Path,
    output: Path,
    store: Store,
    *,
    frames: Sequence[int] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[int]:
    """Write the report of a source's last run. Of the run nothing is made anew: what is not kept
    is not in the report.

    Args:
        source: a video or picture that was edited.
        output: the page, ``.html``.
        store: of the run.
        frames: those to show; by default some that are spread over what was edited.
        overwrite: whether a file that is there may be replaced.
        progress: told how it goes.

    Returns:
        The frames that are shown.

    Raises:
        UsageError: nothing is kept of a run; or a bad output.
        VideditError: the source, the weights or what is kept cannot be read, or the page not be
            written.
    """
    check_output(source, output, overwrite=overwrite)
    shown = progress or Progress()
    with open_kept(source, store, shown) as kept:
        wanted = list(frames) if frames is not None else spread(kept)
        with shown.doing("reading the frames to show"):
            pictures = _pictures(kept, wanted)
        with shown.doing("measuring source and result"):
            measured = _measured(kept, shown)
        text = page(kept, pictures, measured)
    # Names of files need not be Unicode.
    write_atomically(output, text.encode("utf-8", "replace"), "choose another name with -o")
    return wanted


def spread(kept: Kept, count: int = USUAL) -> list[int]:
    """Frames that are evenly spread over the stretch to edit, or over what there is of it."""
    frames = np.array(kept.resources.frames)
    there = frames[kept.results.there()[frames]]
    made = there if len(there) else frames
    at = np.unique(np.linspace(0, len(made) - 1, min(count, len(made))).round().astype(int))
    return [int(index) for index in made[at]]


def _pictures(kept: Kept, frames: Sequence[int]) -> list[Shown]:
    def faces(index: int) -> Faces | None:
        return None if kept.table is None else kept.faces(index, index + 1)

    timeline = kept.resources.timeline
    size = timeline.width, timeline.height
    return read_shown(kept.resources.reader, kept.results, faces, frames, size)


def _measured(kept: Kept, progress: Progress) -> Measured | None:
    """Measured where there are faces and a result of theirs; else None."""
    table, frames = kept.table, kept.resources.frames
    if table is None:
        return None
    first, last = max(table.first_frame, frames.start), min(table.stop_frame, frames.stop)
    there = first + np.flatnonzero(kept.results.there()[first:last])
    if not len(there):
        return None
    groups = groups_of(range(int(there[0]), int(there[-1]) + 1))
    resources = kept.resources
    return measure(
        resources.reader, kept.results, kept.faces, kept.codes(), resources.networks, groups
    )
