"""What is kept of the last run of a source, read and put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..api import prepare_last, source_id_of
from ..artifacts.blended import ResultReader
from ..artifacts.codes import CodeReader, read_latents
from ..artifacts.faces import Faces, FaceTable
from ..artifacts.landmarks import read_tracks
from ..artifacts.notes import read_notes
from ..artifacts.rows import read_rows
from ..artifacts.shots import read_shots
from ..errors import UsageError
from ..faces.tracking import Tracks
from ..pipeline.progress import Progress
from ..pipeline.runner import open_contexts
from ..pipeline.stage import Artifact, Context, Stage
from ..pipeline.store import Store
from ..pipeline.upkeep import ArtifactInfo, show
from ..plot import stretches
from ..settings import RunSettings
from ..stages.assemble import planned_streams
from ..stages.resources import Resources

_WINDOW = 256  # frames that are looked at at a time

EDITED, UNKNOWN = "edited", "not made yet"
OUTSIDE = "outside --from and --to"
NO_FACE = "no face was found"
OTHERS = "faces other than the one to edit"
STILL = "strength 0, or the edit was left out"
UNTOUCHED = "nothing there that the edit changes"
UNTOLD = "why is not kept any more"

FATES = (UNKNOWN, EDITED, OUTSIDE, NO_FACE, OTHERS, STILL, UNTOUCHED, UNTOLD)
"""What became of a frame: edited, or why not."""


@dataclass(frozen=True)
class StageFacts:
    """What is kept of a stage.

    Attributes:
        name: of the stage.
        state: ``complete``, ``unfinished``, or ``not there``: not made yet, or removed since.
        frames: those that it covers.
        seconds: spent on it, in whatever runs.
        bytes: kept.
        models: file and content id.
        key: of its artifact.
    """

    name: str
    state: str
    frames: int
    seconds: float
    bytes: int
    models: Mapping[str, str]
    key: str


class Kept:
    """The last run of a source, as far as it came.

    Args:
        settings: of the run.
        resources: what its stages share.
        stages: its chain.
        contexts: of the stages.
        infos: what the store says of their artifacts, by stage.
    """

    def __init__(
        self,
        settings: RunSettings,
        resources: Resources,
        stages: Sequence[Stage],
        contexts: Mapping[str, Context],
        infos: Mapping[str, ArtifactInfo],
    ) -> None:
        self.settings, self.resources = settings, resources
        self._stages, self._contexts, self._infos = stages, contexts, infos
        self._there = {name: context.own.complete for name, context in contexts.items()}

    def artifact(self, stage: str) -> Artifact:
        """Of a stage, complete or not."""
        return self._contexts[stage].own

    def there(self, *stages: str) -> bool:
        """Whether all of these are complete."""
        return all(self._there[stage] for stage in stages)

    @property
    def finished(self) -> bool:
        """Whether the result is."""
        return self.there("blend")

    @cached_property
    def results(self) -> ResultReader:
        """The result, as far as it is there."""
        stage = self._stages[-1]
        chunks = stage.chunks(self._contexts[stage.name])
        timeline = self.resources.timeline
        spec = None if timeline.is_image else self.resources.encode_spec
        return ResultReader(self.artifact("blend"), chunks, timeline, spec)

    @cached_property
    def facts(self) -> list[StageFacts]:
        """The stages in their order."""
        return [self._facts(stage) for stage in self._stages]

    def _facts(self, stage: Stage) -> StageFacts:
        info, own = self._infos.get(stage.name), self.artifact(stage.name)
        models = {name: str(content) for name, content in stage.models().items()}
        if info is None or not (info.chunks or self._there[stage.name]):
            return StageFacts(stage.name, "not there", 0, 0.0, 0, models, own.key)
        state = "complete" if self._there[stage.name] else "unfinished"
        return StageFacts(stage.name, state, info.frames, info.seconds, info.bytes, models, own.key)

    # --- time ------------------------------------------------------------------------------------

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """(n + 1,) when each frame begins, seconds from the first, and when the last one ends."""
        timeline = self.resources.timeline
        last = float(timeline.durations[-1] * timeline.time_base)
        times = self.resources.times
        return np.append(times, times[-1] + max(last, 1e-3))

    @cached_property
    def shots(self) -> list[int]:
        """First frame of each shot of the stretch; none where they are not there."""
        return read_shots(self.artifact("frames")) if self.there("frames") else []

    @cached_property
    def tracks(self) -> Tracks | None:
        """All tracks; None where they are not there."""
        return read_tracks(self.artifact("track")) if self.there("track") else None

    def lost(self) -> dict[int, list[tuple[int, int]]]:
        """Of each track, by its id, the stretches of frames in which its face was lost."""
        tracks = self.tracks
        if tracks is None:
            return {}
        return {
            track.id: [
                (track.first + a, track.first + b) for a, b in stretches(tracks.index_of(track) < 0)
            ]
            for track in tracks.summaries
        }

    # --- faces -----------------------------------------------------------------------------------

    @cached_property
    def table(self) -> FaceTable | None:
        """The faces to edit; None where they are not there."""
        return FaceTable(self.artifact("align")) if self.there("align") else None

    def faces(self, start: int, stop: int) -> Faces:
        """The faces to edit in the frames ``start <= index < stop``. The table is there."""
        assert self.table is not None
        frames = self.resources.frames
        first = min(max(start, frames.start), frames.stop)
        return self.table.window(first, max(first, min(stop, frames.stop)))

    def codes(self) -> Callable[[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]] | None:
        """What gives the codes of the faces in ``start <= frame < stop``, (k, rows, width) before
        and after the edits; None where they are not there."""
        table = self.table
        if table is None or not self.there("encode", "refine", "edit"):
            return None
        resources, edited = self.resources, self.artifact("edit")
        reader = CodeReader(
            self.artifact("encode"),
            self.artifact("refine"),
            table,
            resources.times,
            resources.networks.space,
            resources.parameters.inversion.smoothing,
        )

        def read(start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            return reader.read(start, stop), read_latents(edited, table, start, stop).codes

        return read

    # --- what became of the frames ---------------------------------------------------------------

    @cached_property
    def fates(self) -> NDArray[np.int64]:
        """(n,) what became of each frame: positions in ``FATES``."""
        count, frames = len(self.resources.timeline), self.resources.frames
        fate = np.full(count, FATES.index(UNTOUCHED if self.there("edit") else UNTOLD))
        inside = np.zeros(count, bool)
        inside[frames.start : frames.stop] = True
        if self.tracks is not None and self.table is not None:
            seen, chosen, active = (np.zeros(count, bool) for _ in range(3))
            for track in self.tracks.summaries:
                seen[track.first : track.last + 1] = True
            for face in self.table.tracks:
                chosen[face.first : face.last + 1] = True
            if self.there("edit"):
                first = max(self.table.first_frame, frames.start)
                last = min(self.table.stop_frame, frames.stop)
                for start in range(first, last, _WINDOW):
                    stop = min(start + _WINDOW, last)
                    edit = self.artifact("edit")
                    strong = read_rows(edit, "active.npy", self.table, start, stop)
                    active[self.faces(start, stop).frame[strong]] = True
                fate[chosen & ~active] = FATES.index(STILL)
            fate[seen & ~chosen] = FATES.index(OTHERS)
            fate[~seen] = FATES.index(NO_FACE)
        fate[~inside] = FATES.index(OUTSIDE)
        fate[self.results.edited()] = FATES.index(EDITED)
        fate[~self.results.there()] = FATES.index(UNKNOWN)
        return fate

    def frames_that(self, *fates: str) -> list[tuple[int, int]]:
        """Stretches of frames with one of these fates: first, and one past the last."""
        return stretches(np.isin(self.fates, [FATES.index(fate) for fate in fates]))

    def count(self, *fates: str) -> int:
        """How many frames have one of these fates."""
        return sum(stop - start for start, stop in self.frames_that(*fates))

    @cached_property
    def notes(self) -> list[str]:
        """What was left out and why, and what of the source the result does not have."""
        said = read_notes(self.artifact("edit")) if self.there("edit") else []
        timeline = self.resources.timeline
        lost, changed = list(timeline.unkept), list[str]()
        if not timeline.is_image:
            plan = planned_streams(self.resources)
            lost += self.resources.encode_spec.notes
            if plan is not None:
                lost, changed = [*lost, *plan.dropped], list(plan.changed)
        return [
            *said,
            *(f"not in the result: {text}" for text in lost),
            *(f"converted: {text}" for text in changed),
        ]


@contextmanager
def open_kept(source: Path, store: Store, progress: Progress) -> Iterator[Kept]:
    """What is kept of the last run of a source.

    Raises:
        UsageError: nothing is, or nothing is known of the last run.
        VideditError: the source or the weights cannot be read.
    """
    source_id = source_id_of(source, store)
    infos = show(store, source_id)
    if not infos:
        raise UsageError(f"nothing is kept for {source.name}", "Run `videdit run` first.")
    resources, stages = prepare_last(source, source_id, store, progress)
    with resources:
        contexts = open_contexts(stages, store, source_id)
        by_place = {(info.stage, info.key): info for info in infos}
        found = {
            name: by_place[name, context.own.key]
            for name, context in contexts.items()
            if (name, context.own.key) in by_place
        }
        yield Kept(resources.run, resources, stages, contexts, found)
