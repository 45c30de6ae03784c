"""An artifact as it is on the disk: looking at it changes nothing there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from videdit.errors import StorageError
from videdit.pipeline.manifest import Manifest, Plan, read_manifest, whole_name
from videdit.pipeline.recent import Recent
from videdit.pipeline.records import Chunk, Record, read_record

RECENT = 256
"""Chunks whose records are kept in memory: more than a window over time reaches, few megabytes."""


class ChunkDamaged(StorageError):
    """A chunk is missing or is not what was written. The runner makes it anew."""

    def __init__(self, artifact: StoredArtifact, chunk: str, problem: str) -> None:
        super().__init__(
            f"{artifact.stage}/{artifact.key}, chunk {chunk}: {problem}",
            "Run the same command again to make it anew, or `videdit cache verify --repair`.",
        )
        self.artifact = artifact
        self.chunk = chunk
        self.problem = problem


class StoredArtifact:
    """What one stage with one key has left for one source.

    An artifact may be asked for in parts, called plans: of a film's frames a run may want only a
    stretch. :attr:`complete`, :attr:`chunks`, :attr:`count`, :meth:`overlapping` and :meth:`check`
    speak of the chunks of :attr:`plan`; plans share the chunks of equal name.

    Attributes:
        folder: where it is.
        plan: the part asked for; empty for everything.
        whole: name of the chunk that the stage makes last, from all others of the plan.
    """

    def __init__(self, root: Path, source_id: str, stage: str, key: str, plan: str = "") -> None:
        self.source_id = source_id
        self.stage = stage
        self.key = key
        self.plan = plan
        self.whole = whole_name(plan)
        self.folder = root / source_id / stage / key
        self._manifest: Manifest | None = None
        self._manifest_read = False
        self._records: Recent[Record] = Recent(RECENT)
        self._verified: Recent[frozenset[tuple[str, str]]] = Recent(RECENT)

    def __repr__(self) -> str:
        plan = f", {self.plan}" if self.plan else ""
        return f"{type(self).__name__}({self.source_id}/{self.stage}/{self.key}{plan})"

    @property
    def complete(self) -> bool:
        """Whether it was finished and every chunk is still the one that was finished: its record
        the same, its files there and of the right size (their content is read by :meth:`path`)."""
        plan = self._finished()
        return plan is not None and self.intact(plan.sums)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The chunks of a finished plan in the stage's order, without the last one, :attr:`whole`.

        Raises:
            StorageError: it is not finished.
        """
        return self._need_plan().pieces

    @property
    def count(self) -> int:
        """How many chunks it was finished with, the last one included; 0 if it is not finished."""
        plan = self._finished()
        return len(plan.sums) if plan else 0

    def overlapping(self, start: int, stop: int) -> tuple[Chunk, ...]:
        """The chunks of :attr:`chunks` that hold at least one frame of ``start <= i < stop``.

        Raises:
            StorageError: it is not finished.
        """
        return tuple(self._need_plan().overlapping(start, stop))

    def done(self, chunk: str) -> bool:
        """Whether the chunk was committed and its files are there in the right size."""
        record = self._record(chunk)
        return record is not None and record.intact(self.folder / chunk)

    def holds(self, chunk: Chunk) -> bool:
        """Whether this very chunk is :meth:`done`: of this name, and with these frames."""
        record = self._record(chunk.name)
        return record is not None and record.chunk == chunk and self.done(chunk.name)

    def intact(self, sums: Mapping[Chunk, str]) -> bool:
        """Whether these chunks are there, with records of these checksums and files in the right
        size. Their records are not kept."""
        for chunk, seal in sums.items():
            record = read_record(self.folder / chunk.name)
            if record is None or record.sum != seal or not record.intact(self.folder / chunk.name):
                return False
        return True

    def files(self, chunk: str) -> tuple[str, ...]:
        """The names of the chunk's files, sorted, with ``/`` for files in subfolders.

        Raises:
            ChunkDamaged: the chunk is not there.
        """
        return tuple(self._need_record(chunk).files)

    def path(self, chunk: str, filename: str) -> Path:
        """Where a file of a chunk is, its checksum verified on the first access in this process
        (and again when many other chunks were looked at since).

        Raises:
            ChunkDamaged: the chunk, or this file of it, is missing or not what was written.
        """
        record = self._need_record(chunk)
        file = record.files.get(filename)
        if file is None:
            raise ChunkDamaged(self, chunk, f"it has no file {filename}")
        path = self.folder / chunk / filename
        verified = self._verified.get(chunk) or frozenset()
        this = (filename, file.sha256)
        problem = file.problem(path, content=this not in verified)
        if problem:
            raise ChunkDamaged(self, chunk, f"{filename} {problem}")
        if this not in verified:
            self._verified.put(chunk, verified | {this})
        return path

    def check(self) -> None:
        """Verifies every file of a finished plan that was not read lately in this process.

        Raises:
            ChunkDamaged: one is missing or not what was written.
            StorageError: it is not finished.
        """
        for chunk in self._need_plan().sums:
            for name in self.files(chunk.name):
                self.path(chunk.name, name)

    def problem(self, chunk: str) -> str | None:
        """What is wrong with a chunk, every file of it read anew; None when it is whole."""
        record = read_record(self.folder / chunk)
        if record is None:
            absent = not (self.folder / chunk).is_dir()
            return "is missing" if absent else "its record is missing or damaged"
        for name, file in record.files.items():
            problem = file.problem(self.folder / chunk / name)
            if problem:
                return f"{name} {problem}"
        return None

    def manifest(self) -> Manifest | None:
        """What its manifest says; None when there is none that can be read."""
        if not self._manifest_read:
            self._manifest = read_manifest(self.folder)
            self._manifest_read = True
        return self._manifest

    def reload(self) -> None:
        """Forgets the manifest and the records read, so that another process's work is seen."""
        self._manifest = None
        self._manifest_read = False
        self._records.clear()

    def _finished(self) -> Plan | None:
        manifest = self.manifest()
        return manifest.plans.get(self.plan) if manifest else None

    def _need_plan(self) -> Plan:
        plan = self._finished()
        if plan is None:
            raise StorageError(f"{self.folder} is not complete", "Run the same command again.")
        return plan

    def _record(self, chunk: str) -> Record | None:
        record = self._records.get(chunk)
        if record is None:
            record = read_record(self.folder / chunk)
            if record is not None:
                self._records.put(chunk, record)
        return record

    def _need_record(self, chunk: str) -> Record:
        record = self._record(chunk)
        if record is None:
            raise ChunkDamaged(self, chunk, "is missing or its record is damaged")
        return record
