"""What a stage is, and what it gets to work with.

A stage turns the artifacts of earlier stages into one of its own, chunk by chunk. It knows nothing
of other stages but the files of their artifacts. Its key is a hash of everything its result depends
on, so that a run makes anew exactly what changed.

A stage should be deterministic: the same inputs and settings give the same bytes. One that is not
(it goes on from what other runs found) says so: :attr:`Stage.repeatable`.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from videdit.errors import Interrupted
from videdit.pipeline.artifact import Artifact
from videdit.pipeline.manifest import FORMAT
from videdit.pipeline.progress import Progress
from videdit.pipeline.records import Chunk, Json, canonical_json
from videdit.pipeline.stored import StoredArtifact

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# What a file with a stage in it needs.
__all__ = [
    "Artifact",
    "Chunk",
    "Context",
    "Json",
    "Stage",
    "StoredArtifact",
    "frame_chunks",
    "interrupted",
    "stage_key",
]

T = TypeVar("T")


class Context:
    """What a stage works with while it makes its chunks. One per stage and run.

    Attributes:
        source_id: the source's content id.
        own: the stage's own artifact, for reading chunks it committed before.
    """

    def __init__(
        self,
        own: Artifact,
        inputs: Mapping[str, Artifact],
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.source_id = own.source_id
        self.own = own
        self._inputs = dict(inputs)
        self._progress = progress or Progress()
        self._stop = stop or threading.Event()
        self._made: dict[str, object] = {}

    def input(self, stage: str) -> Artifact:
        """The artifact of a stage named in ``takes``; complete while chunks are made.

        Raises:
            KeyError: ``stage`` is not in ``takes``.
        """
        return self._inputs[stage]

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make()`` returned the first time for ``name``; kept while the stage works.

        For what is dear to make and used by every chunk: a network, a table.
        """
        if name not in self._made:
            self._made[name] = make()
        return cast(T, self._made[name])

    def forget(self) -> None:
        """Lets go of what :meth:`once` kept; the runner does so when the stage is through."""
        self._made.clear()

    def tick(self, units: int = 1) -> None:
        """Tells the progress that so many more frames (or other :attr:`Stage.unit`) of the chunk
        are done."""
        self._progress.tick(self.own.stage, units)

    @contextmanager
    def loading(self, what: str) -> Iterator[None]:
        """Tells the progress that ``what`` ("the encoder") is being loaded while the block runs:
        the user sees it when it lasts, and the time is not counted in the stage's rate."""
        with self._progress.doing(f"loading {what}", self.own.stage):
            yield

    def note(self, text: str) -> None:
        """Says something to the user, a line."""
        self._progress.note(text)

    def check_stop(self) -> None:
        """Ends the chunk in flight, uncommitted, when the user asked to stop.

        For work within a chunk that takes long: called between its steps. Without it the chunk in
        flight is awaited.

        Raises:
            Interrupted: the user asked to stop.
        """
        if self._stop.is_set():
            raise interrupted(self.own.stage)


class Stage(ABC):
    """One step of the chain.

    Class attributes:
        name: a short name, also its folder's (letters, digits, ``-``).
        version: raised whenever the result changes for the same settings.
        takes: names of the stages whose artifacts it reads; settings may ask for more of them.
        shows: names of others whose artifacts :meth:`preview` reads.
        repeatable: whether the same inputs and settings give the same bytes again. What is not is
            kept as long as anything that was made from it.
        unit: what its work is counted in, for the progress ("frames", "steps").
        apart: whether its chunks can be made in any order, each without those before it.
        cost: seconds that a unit of its work takes on a laptop of two cores, for the time left
            before it has begun.
        size: bytes that a unit of its work leaves, about.
        finishing: what :meth:`finish` does, for the user ("smoothing the tracks").
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    takes: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    repeatable: ClassVar[bool] = True
    apart: bool = False
    unit: ClassVar[str] = "frames"
    cost: ClassVar[float] = 0.01
    size: int = 0
    finishing: ClassVar[str] = "finishing"

    @abstractmethod
    def settings(self) -> dict[str, Json]:
        """The settings that its result depends on, as plain JSON, and no others."""

    def models(self) -> dict[str, str]:
        """The models that its result depends on: name and content id."""
        return {}

    def plan(self) -> str:
        """Which part of its artifact is asked for: letters, digits and ``-``, such as "75-100".

        What is made frame by frame does not depend on which stretch of the source was asked for:
        the stretch is no part of the settings and the key, only of what is demanded. Two plans of
        one artifact share the chunks of equal name and frames. Empty for everything.
        """
        return ""

    def expected(self) -> int | None:
        """Units of work that it will have, as far as can be known before it begins; None: unknown,
        and then nothing is said of the time that is left for all."""
        return None

    def work(self, ctx: Context, chunk: Chunk) -> int:
        """Units of work in a chunk: what its :meth:`Context.tick` add up to."""
        return chunk.frames

    @abstractmethod
    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        """The pieces of its work, in order; its inputs are complete."""

    @abstractmethod
    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        """Makes one chunk: writes its files into ``folder``, which is empty.

        Chunks are made in order, and earlier ones may be read through ``ctx.own``, unless they are
        made :attr:`apart`. What it raises
        ends the run, except :class:`ChunkDamaged`, which :meth:`Artifact.path` raises: that
        chunk is made anew and this one begun again.
        """

    def finish(self, ctx: Context, folder: Path) -> None:
        """Makes a last chunk called ``ctx.own.whole`` from all others (read through ``ctx.own``).

        A stage that does not define it has no such chunk.
        """
        raise NotImplementedError

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[npt.NDArray[np.uint8]]:
        """Pictures of what it left for these frames, (H, W, 3) RGB; none where it has none. Reads
        its own artifact and those of ``takes`` and ``shows``, complete, and writes nothing."""
        return []

    @property
    def has_whole(self) -> bool:
        """Whether it makes a last chunk of all others, that is, defines :meth:`finish`."""
        return type(self).finish is not Stage.finish


def interrupted(stage: str) -> Interrupted:
    """The error that says that the run was stopped at ``stage`` ("" before the first)."""
    at = f" at stage {stage}" if stage else ""
    return Interrupted(f"stopped{at}", "Run the same command again to go on from there.")


def stage_key(stage: Stage, inputs: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The key of a stage's artifact, and what went into it (for the manifest).

    Args:
        inputs: the keys of the stages that it takes, by name.

    Raises:
        TypeError, ValueError: its settings are not plain JSON.
    """
    meta: dict[str, Any] = {
        "stage": stage.name,
        "version": stage.version,
        "settings": stage.settings(),
        "inputs": {name: inputs[name] for name in stage.takes},
        "models": stage.models(),
    }
    if not stage.repeatable:
        meta["repeatable"] = False
    # The format as well: what another version of the store left is another artifact.
    text = canonical_json({"format": FORMAT, **meta})
    return hashlib.sha256(text.encode()).hexdigest()[:16], meta


def frame_chunks(start: int, stop: int, size: int, prefix: str = "") -> list[Chunk]:
    """The frames ``start <= index < stop`` cut into chunks of ``size``, the last one maybe shorter.

    Cuts are at multiples of ``size``. Names are ``prefix`` and the first frame's number.
    """
    if size < 1:
        raise ValueError(f"a chunk has at least one frame, not {size}")
    edges = [start, *range((start // size + 1) * size, stop, size), stop]
    return [
        Chunk(f"{prefix}{first:07d}", first, last)
        for first, last in pairwise(edges)
        if first < last
    ]
