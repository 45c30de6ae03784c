"""What a run would do, and what that takes; nothing is done and nothing written."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from videdit.pipeline.records import read_record
from videdit.pipeline.runner import last_of, needed, open_contexts
from videdit.pipeline.stage import Stage
from videdit.pipeline.store import Store
from videdit.pipeline.stored import StoredArtifact


@dataclass(frozen=True)
class StageForecast:
    """What a run would do for one stage.

    Attributes:
        unit: what its work is counted in.
        work: units to do; None where that is not known before the stages in front of it are done.
        kept: units that are there from an earlier run that was stopped.
        reused: whether there is nothing to do.
        seconds: that the work takes on a laptop of two cores.
        bytes: that it leaves in the cache, about.
    """

    name: str
    unit: str
    work: int | None
    kept: int
    reused: bool
    seconds: float | None
    bytes: int | None


def forecast(
    stages: Sequence[Stage], store: Store, source_id: str, targets: Collection[str] = ()
) -> list[StageForecast]:
    """What a run (:func:`videdit.pipeline.runner.run`) would do, stage by stage.

    A stage's chunks are known when those before it are done. Until then its work is what it
    expects, and what is kept of it what its folder holds.

    Args:
        targets: as of a run.

    Raises:
        ValueError: see :func:`open_contexts`.
    """
    contexts = open_contexts(stages, store, source_id)
    artifacts = {name: context.own for name, context in contexts.items()}
    missing = needed(stages, artifacts, targets or last_of(stages))
    found = []
    for stage in stages:
        if stage.name not in missing:
            found.append(StageForecast(stage.name, stage.unit, 0, 0, True, 0.0, 0))
            continue
        expected = stage.expected()
        if expected is None:
            found.append(StageForecast(stage.name, stage.unit, None, 0, False, None, None))
            continue
        kept = min(expected, _frames(artifacts[stage.name])) if stage.unit == "frames" else 0
        work = expected - kept
        seconds, size = work * stage.cost, work * stage.size
        found.append(StageForecast(stage.name, stage.unit, work, kept, False, seconds, size))
    return found


def _frames(artifact: StoredArtifact) -> int:
    """How many frames the chunks cover that are there."""
    try:
        names = [entry.name for entry in os.scandir(artifact.folder) if entry.is_dir()]
    except OSError:
        return 0
    records = [read_record(artifact.folder / name) for name in names if not name.startswith(".")]
    pieces = {
        (record.chunk.start, record.chunk.stop)
        for record in records
        if record is not None and record.chunk.name != artifact.whole
    }
    return sum(stop - start for start, stop in pieces)
