"""What became of a batch, as a table and as `summary.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .. import __version__
from ..files import write_atomically
from ..pipeline.records import Json
from .jobs import Job
from .work import Outcome

SCHEMA = 1


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many jobs there are of each state."""
    return dict(Counter(outcome.state for outcome in outcomes))


def to_json(jobs: Sequence[Job], outcomes: Sequence[Outcome], seconds: float) -> dict[str, Json]:
    """``{"schema", "videdit", "seconds", "counts": {state: n}, "jobs": [{"input", "edits",
    "output", "state", ...}]}``, each job with the fields of :class:`Outcome`.

    Args:
        seconds: that the batch took.
    """
    listed: list[Json] = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        edits: list[Json] = [str(edit) for edit in job.edits]
        plain = asdict(outcome) | {"notes": list(outcome.notes)}
        listed.append({"input": str(job.source), "edits": edits, **plain})
    return {
        "schema": SCHEMA,
        "videdit": __version__,
        "seconds": round(seconds, 3),
        "counts": counts(outcomes),
        "jobs": listed,
    }


def write_summary(
    path: Path, jobs: Sequence[Job], outcomes: Sequence[Outcome], seconds: float
) -> None:
    """Write `summary.json`.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps(to_json(jobs, outcomes, seconds), indent=1, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode(errors="surrogateescape"))


def table(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
    """A line per job: state, seconds, frames, source, edits, and the result or what went wrong."""
    rows = [("STATE", "TIME", "FRAMES", "INPUT", "EDITS", "RESULT")]
    for job, outcome in zip(jobs, outcomes, strict=True):
        edits = ", ".join(map(str, job.edits))
        said = " ".join(f"{outcome.message}. {outcome.remedy}".split()).removesuffix(".")
        result = said if outcome.message else outcome.output
        rows.append(
            (
                outcome.state,
                f"{outcome.seconds:.1f} s" if outcome.seconds else "",
                f"{outcome.edited}/{outcome.frames}" if outcome.frames else "",
                job.source.name,
                edits,
                result,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for row in rows:
        cells = [
            f"{row[i]:>{widths[i]}}" if i in (1, 2) else f"{row[i]:<{widths[i]}}" for i in range(5)
        ]
        lines.append("  ".join((*cells, row[5])).rstrip())
    return "\n".join(lines)
