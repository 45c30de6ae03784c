"""``assemble``: the segments become the output file, with the source's other streams.

It is no stage of the cache, since what it leaves is the output itself; it takes seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..media.mux import assemble
from ..media.writer import write_picture
from ..pipeline.stage import Artifact
from ..settings import RunSettings
from .blend import PICTURE, SEGMENT, BlendStage
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


def assemble_output(
    stage: BlendStage, resources: Resources, run: RunSettings, blended: Artifact
) -> Assembled:
    """Write the output from a complete ``blend`` artifact.

    Raises:
        StorageError: the output cannot be written.
    """
    chunks = blended.chunks
    edited: list[int] = []
    for chunk in chunks:
        edited += json.loads(blended.path(chunk.name, "edited.json").read_text())
    if resources.timeline.is_image:
        rgb = np.load(blended.path(chunks[0].name, PICTURE))
        write_picture(run.output, rgb, resources.timeline)
        return Assembled(run.output, edited, ())
    spec = stage.spec(run)
    segments = [blended.path(chunk.name, SEGMENT) for chunk in chunks]
    report = assemble(run.output, resources.timeline, spec, segments)
    notes = [f"not in the result: {text}" for text in report.dropped]
    notes += [f"converted: {text}" for text in (*spec.notes, *report.changed)]
    return Assembled(run.output, edited, tuple(notes))
