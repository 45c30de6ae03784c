"""The manifest of an artifact: what it was made from and, for each plan that is complete, its
chunks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from videdit.pipeline.records import MANIFEST, Chunk, Json, read_sealed, write_sealed

FORMAT = 2
"""Version of the layout; an artifact of another one is not looked at."""

_META = ("stage", "version", "settings", "inputs", "models", "repeatable")


def whole_name(plan: str) -> str:
    """Name of the chunk that a stage makes last, from all others of the plan."""
    return f"whole-{plan}" if plan else "whole"


class Plan:
    """The chunks that a complete plan consists of. Never changed, so its index is built once.

    Attributes:
        name: the plan's.
        sums: its chunks in the stage's order, with the checksums of their records.
        seconds: time spent on them.
    """

    def __init__(self, name: str, sums: Mapping[Chunk, str], seconds: float) -> None:
        self.name = name
        self.sums = dict(sums)
        self.seconds = seconds

    @cached_property
    def pieces(self) -> tuple[Chunk, ...]:
        """The chunks without the one made of all others."""
        whole = whole_name(self.name)
        return tuple(chunk for chunk in self.sums if chunk.name != whole)

    @cached_property
    def _index(self) -> tuple[list[tuple[int, Chunk]], list[int], list[int]]:
        """The numbered pieces by their first frame, these frames, and how far they reach so far."""
        ordered = sorted(enumerate(self.pieces), key=lambda pair: pair[1].start)
        starts = [chunk.start for _, chunk in ordered]
        return ordered, starts, list(accumulate((chunk.stop for _, chunk in ordered), max))

    def overlapping(self, start: int, stop: int) -> list[Chunk]:
        """The pieces with at least one frame of ``start <= i < stop``, in the stage's order."""
        ordered, starts, reach = self._index
        near = ordered[bisect_right(reach, start) : bisect_left(starts, stop)]
        return [chunk for _, chunk in sorted(pair for pair in near if pair[1].stop > start)]

    def with_chunks_of(self, other: Plan) -> Plan | None:
        """This plan after ``other`` was made: the chunks of equal name are now the other's.

        Returns:
            None where they hold other frames now, so that this plan is complete no more.
        """
        theirs = {chunk.name: chunk for chunk in other.sums}
        if any(theirs.get(chunk.name, chunk) != chunk for chunk in self.sums):
            return None
        sums = {chunk: other.sums.get(chunk, seal) for chunk, seal in self.sums.items()}
        return Plan(self.name, sums, self.seconds)


class Manifest:
    """What an artifact's ``manifest.json`` says.

    Attributes:
        head: format, source, key, stage, version, settings, inputs and models.
        plans: by name, those that are complete.
    """

    def __init__(self, head: Mapping[str, Json], plans: Mapping[str, Plan]) -> None:
        self.head = dict(head)
        self.plans = dict(plans)

    @property
    def meta(self) -> dict[str, Json]:
        """What it says of how the artifact was made: stage, version, settings, inputs, models."""
        return {name: self.head[name] for name in _META if name in self.head}

    def chunks(self) -> dict[Chunk, str]:
        """The chunks of all plans, with the checksums of their records."""
        found: dict[Chunk, str] = {}
        for plan in self.plans.values():
            found.update(plan.sums)
        return found

    def write(self, folder: Path, temporary_folder: Path) -> None:
        """Writes it into the artifact's folder, all at once.

        Raises:
            StorageError: it cannot be written.
        """
        plans = {
            name: {
                "seconds": plan.seconds,
                "chunks": {
                    chunk.name: {"start": chunk.start, "stop": chunk.stop, "sum": seal}
                    for chunk, seal in plan.sums.items()
                },
            }
            for name, plan in self.plans.items()
        }
        write_sealed(folder / MANIFEST, {**self.head, "plans": plans}, temporary_folder)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in an artifact's folder; None when it is missing, damaged or foreign."""
    content = read_sealed(folder / MANIFEST)
    if content is None or content.get("format") != FORMAT:
        return None
    try:
        return Manifest(
            {name: value for name, value in content.items() if name != "plans"},
            {name: _plan(name, entry) for name, entry in content["plans"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def is_foreign(folder: Path) -> bool:
    """Whether the artifact in ``folder`` was written by a version with another layout."""
    content = read_sealed(folder / MANIFEST)
    return content is not None and content.get("format") != FORMAT


def _plan(name: str, content: Any) -> Plan:
    sums = {
        Chunk(chunk, entry["start"], entry["stop"]): str(entry["sum"])
        for chunk, entry in content["chunks"].items()
    }
    return Plan(name, sums, float(content["seconds"]))
