"""Writing an artifact: every chunk is there completely or not at all.

A chunk is written into a temporary folder, flushed to the disk together with its record
``chunk.json``, and then renamed into place as a whole: that one rename is the commit, and
committing costs the same for the first chunk as for the thousandth. One process at a time writes to
an artifact (``flock``), any number read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from videdit.files import storage_errors, sync_folder
from videdit.pipeline import locks
from videdit.pipeline.manifest import FORMAT, Manifest, Plan
from videdit.pipeline.records import ELSEWHERE, Chunk, Json, canonical_json, seal_chunk
from videdit.pipeline.stored import StoredArtifact

if TYPE_CHECKING:
    from videdit.pipeline.store import Store

USED = ".used"
"""The file whose time says when an artifact was used, and whose lock that a source is."""

_TEMPORARY = ".tmp"
_LOCK = ".lock"


class Artifact(StoredArtifact):
    """What one stage with one key leaves for one source. Made by :meth:`Store.open`.

    Looking is free of side effects; the folder is made by the first :meth:`lock`.

    Attributes:
        store: the store it is in.
        meta: what its manifest says of its making (stage, version, settings, inputs, models).
    """

    def __init__(
        self,
        store: Store,
        source_id: str,
        stage: str,
        key: str,
        meta: Mapping[str, Json],
        plan: str = "",
    ) -> None:
        super().__init__(store.root, source_id, stage, key, plan)
        self.store = store
        self.meta = dict(meta)
        self._lock = locks.SharedLock()

    def kin(self) -> Iterator[StoredArtifact]:
        """What this stage left for this source when it was made in the same way (version, settings,
        models) from other inputs: complete artifacts, by their keys."""
        try:
            keys = sorted(entry.name for entry in os.scandir(self.folder.parent))
        except OSError:
            return
        for key in keys:
            other = StoredArtifact(self.store.root, self.source_id, self.stage, key)
            manifest = None if key == self.key else other.manifest()
            if manifest is None or self._way(manifest.meta) != self._way(self.meta):
                continue
            for plan in manifest.plans:
                found = StoredArtifact(self.store.root, self.source_id, self.stage, key, plan)
                if found.complete:
                    yield found

    def _way(self, meta: Mapping[str, Json]) -> str:
        return canonical_json({k: v for k, v in meta.items() if k not in ("inputs", "plan")})

    @contextlib.contextmanager
    def lock(
        self,
        waiting: Callable[[str], None] | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> Iterator[None]:
        """Holds the right to write; may be nested. Waits for another process that has it.

        On entering it sees what others did and clears away what dead processes left behind.

        Args:
            waiting: told once who is waited for.
            stopping: asked while waiting; True ends the wait with ``Interrupted``.

        Raises:
            StorageError: the folder cannot be made or written.
            Interrupted: ``stopping`` said so.
        """

        def take() -> locks.Held:
            with self._storage_errors():
                return self._take_lock(waiting, stopping)

        with self._lock.hold(take, stopping):
            yield

    @contextlib.contextmanager
    def commit(self, chunk: Chunk) -> Iterator[Path]:
        """Gives an empty temporary folder; what the block leaves in it becomes the chunk.

        When the block ends well, each file is flushed to the disk, measured, and the whole folder
        renamed into place. When it raises, the temporary folder is removed and nothing changed.

        Raises:
            StorageError: disk full, no permission, and the like, also when the block's own writing
                met it.
        """
        with self.lock():
            temporary = self.folder / _TEMPORARY / f"{chunk.name}-{uuid.uuid4().hex[:8]}"
            began = time.monotonic()
            try:
                with self._storage_errors():
                    temporary.mkdir(parents=True)
                    yield temporary
                    record = seal_chunk(temporary, chunk, time.monotonic() - began)
                    self._put_aside(chunk.name)
                    os.rename(temporary, self.folder / chunk.name)
                    sync_folder(self.folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            self._records.put(chunk.name, record)
            verified = frozenset((name, file.sha256) for name, file in record.files.items())
            self._verified.put(chunk.name, verified)

    def drop(self, chunk: str) -> None:
        """Takes a chunk out (a damaged one, to be made anew); harmless when it is not there.

        Raises:
            StorageError: the folder cannot be written.
        """
        with self.lock(), self._storage_errors():
            self._put_aside(chunk)

    def finish(self, chunks: Sequence[Chunk]) -> None:
        """Marks the plan complete: it consists of ``chunks``, in this order, each committed before.

        Where no part but everything was ever asked for, folders of other chunks (left by a run with
        another chunk size) are removed. Else they may be another part's, and stay.

        Raises:
            StorageError: the manifest cannot be written.
            ChunkDamaged: one of the chunks is not there.
        """
        with self.lock(), self._storage_errors():
            sums: dict[Chunk, str] = {}
            seconds = 0.0
            for chunk in chunks:
                record = self._need_record(chunk.name)
                sums[record.chunk] = record.sum
                seconds += record.seconds
            made = Plan(self.plan, sums, round(seconds, 3))
            found = self.manifest()
            plans = {self.plan: made}
            for name, other in found.plans.items() if found else ():
                kept = other.with_chunks_of(made) if name != self.plan else None
                if kept is not None:
                    plans[name] = kept
            if plans.keys() == {""}:
                names = {chunk.name for chunk in chunks}
                for entry in list(os.scandir(self.folder)):
                    stray = entry.is_dir(follow_symlinks=False) and entry.name not in names
                    if stray and not entry.name.startswith("."):
                        self._put_aside(entry.name)
            self._write_manifest(Manifest(self._head(), plans))
            self.touch()

    def touch(self) -> None:
        """Notes that it was used now, for `cache prune`; where it cannot be noted, it is not."""
        with contextlib.suppress(OSError):
            (self.folder / USED).touch()

    def _take_lock(
        self, waiting: Callable[[str], None] | None, stopping: Callable[[], bool] | None
    ) -> locks.Held:
        self.store.hold(self.source_id)
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                held = locks.acquire(self.folder / _LOCK, waiting=waiting, stopping=stopping)
                break
            except FileNotFoundError:  # removed by a prune between the two lines
                continue
        try:
            self.reload()
            shutil.rmtree(self.folder / _TEMPORARY, ignore_errors=True)
            self.touch()
            found = self.manifest()
            if found is None or not (found.plans or found.head == self._head()):
                self._write_manifest(Manifest(self._head(), {}))
                for parent in (self.folder.parent, self.folder.parent.parent, self.store.root):
                    sync_folder(parent)
        except BaseException:
            held.release()
            raise
        return held

    def _head(self) -> dict[str, Json]:
        return {"format": FORMAT, "source": self.source_id, "key": self.key, **self.meta}

    def _put_aside(self, chunk: str) -> None:
        self._records.drop(chunk)
        self._verified.drop(chunk)
        aside = self.folder / _TEMPORARY / f"old-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.folder / chunk, aside)
            if aside.is_dir() and not aside.is_symlink():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink()

    def _write_manifest(self, manifest: Manifest) -> None:
        (self.folder / _TEMPORARY).mkdir(exist_ok=True)
        manifest.write(self.folder, self.folder / _TEMPORARY)
        self._manifest = manifest
        self._manifest_read = True

    def _storage_errors(self) -> contextlib.AbstractContextManager[None]:
        return storage_errors(self.folder, ELSEWHERE, mixed=True)
