"""The artifact store: what every stage leaves, kept so that nothing is lost or half there.

Layout, all of it plain files that people can open::

    ROOT/<source id>/source.json                      name and path the source was last seen under
    ROOT/<source id>/last-run.json                    the settings of its last run
    ROOT/<source id>/<stage>/<key>/manifest.json      stage, version, settings, inputs, models, and,
                                                      for each plan that is complete, its chunks and
                                                      their checksums
    ROOT/<source id>/<stage>/<key>/<chunk>/chunk.json frames, files with sizes and sha256, seconds
    ROOT/<source id>/<stage>/<key>/<chunk>/<files>

A chunk is written into a temporary folder, flushed to the disk together with its record
``chunk.json``, and then renamed into place as a whole: that one rename is the commit, so a chunk is
there completely or not at all, and committing costs the same for the first chunk as for the
thousandth. Both kinds of JSON carry a checksum of themselves. One process at a time writes to an
artifact (``flock``), any number read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from videdit.errors import Interrupted, StorageError, VideditError
from videdit.pipeline import locks

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What settings and manifests are made of."""

FORMAT = 2
"""Version of the layout; an artifact of another one is not looked at."""

_META = ("stage", "version", "settings", "inputs", "models")
_MANIFEST = "manifest.json"
_RECORD = "chunk.json"
_TEMPORARY = ".tmp"
_LOCK = ".lock"
_USED = ".used"
_SOURCE = "source.json"
_LAST_RUN = "last-run.json"
_TRASH = ".trash-"
_WHOLE = "whole"
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PLAN = re.compile(r"[A-Za-z0-9-]*")
_BLOCK = 1 << 20
_FULL_BYTES = 256 << 10  # a disk with less free than this counts as full

_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "Free some space, or run `videdit cache prune`"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or run `videdit cache prune`"),
    errno.EFBIG: ("a file grew over the allowed size", "Raise the limit on file sizes"),
    errno.EROFS: ("the file system is read-only", "Make it writable"),
    errno.EACCES: ("there is no permission to write", "Make it writable"),
    errno.EPERM: ("there is no permission to write", "Make it writable"),
    errno.EIO: ("the disk reports an error", "Check the disk"),
    errno.ENOTDIR: ("a file stands where a folder should be", "Move that file away"),
    errno.EEXIST: ("a file stands where a folder should be", "Move that file away"),
    errno.ENOENT: ("it cannot be made or has vanished", "Make the folder"),
    errno.ENAMETOOLONG: ("the path is too long", "Shorten it"),
    errno.EMFILE: ("too many files are open", "Raise the limit on open files"),
}


class ChunkDamaged(StorageError):
    """A chunk is missing or is not what was written. The runner makes it anew."""

    def __init__(self, artifact: Artifact, chunk: str, problem: str) -> None:
        super().__init__(
            f"{artifact.stage}/{artifact.key}, chunk {chunk}: {problem}",
            "Run the same command again to make it anew, or `videdit cache verify --repair`.",
        )
        self.artifact = artifact
        self.chunk = chunk
        self.problem = problem


@dataclass(frozen=True)
class Chunk:
    """A named piece of a stage's work: the frames ``start <= index < stop`` of the source."""

    name: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not _SAFE_NAME.fullmatch(self.name) or self.name in (_MANIFEST, _RECORD):
            raise ValueError(f"not a chunk name: {self.name!r}")
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a range of frames: {self.start}..{self.stop}")

    @property
    def frames(self) -> int:
        """How many frames it holds."""
        return self.stop - self.start


@dataclass(frozen=True)
class Damage:
    """Something wrong in the store; ``chunk`` is empty when it is the manifest itself."""

    source_id: str
    stage: str
    key: str
    chunk: str
    problem: str


@dataclass(frozen=True)
class ArtifactInfo:
    """What :meth:`Store.show` says of one artifact. Sizes in bytes, times in seconds (Unix)."""

    source_id: str
    stage: str
    key: str
    version: int
    complete: bool
    chunks: int
    bytes: int
    seconds: float
    last_used: float
    settings: Mapping[str, Json]
    models: Mapping[str, Json]
    folder: Path


@dataclass(frozen=True)
class SourceInfo:
    """What :meth:`Store.sources` says of one source."""

    source_id: str
    name: str
    path: str
    stages: tuple[str, ...]
    artifacts: int
    bytes: int
    last_used: float


@dataclass(frozen=True)
class Pruned:
    """What :meth:`Store.prune` removed (or would), and what it left because a run uses it."""

    removed: tuple[ArtifactInfo, ...]
    in_use: tuple[ArtifactInfo, ...]
    bytes_freed: int
    bytes_left: int


@dataclass(frozen=True)
class _File:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Record:
    """The content of a valid ``chunk.json``."""

    chunk: Chunk
    files: Mapping[str, _File]
    seconds: float
    sum: str


def default_cache_dir() -> Path:
    """The folder that holds the artifacts: ``$VIDEDIT_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("VIDEDIT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_path("videdit", appauthor=False)) / "runs"


def canonical_json(value: Json) -> str:
    """``value`` as JSON text that is the same for equal values: sorted keys, no blanks.

    Raises:
        TypeError, ValueError: not plain JSON (an array, a path, NaN).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def storage_error(error: BaseException, folder: Path) -> StorageError | None:
    """The :class:`StorageError` that ``error``, raised while writing below ``folder``, stands for.

    Returns:
        None where the error is about something else: a bug, or a file elsewhere.
    """
    if isinstance(error, VideditError):
        return error if isinstance(error, StorageError) else None
    number = error.errno if isinstance(error, OSError) else None
    # Libraries report a full disk in their own words (NumPy "4 requested and 2 written",
    # safetensors, libav), so the disk itself is asked.
    if number not in _REMEDIES and isinstance(error, Exception) and _is_full(folder):
        number = errno.ENOSPC
    if number is None or number not in _REMEDIES:
        return None
    if number not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        named = getattr(error, "filename", None)
        if not isinstance(named, (str, os.PathLike)) or not _is_related(Path(named), folder):
            return None
    what, remedy = _REMEDIES[number]
    return StorageError(
        f"cannot write to {folder}: {what}",
        f"{remedy}, or choose another cache folder with VIDEDIT_CACHE.",
    )


class Artifact:
    """What one stage with one key leaves for one source. Made by :meth:`Store.open`.

    Looking is free of side effects; the folder is made by the first :meth:`lock`.

    An artifact may be asked for in parts, called plans: of a film's frames a run may want only a
    stretch. :attr:`complete`, :attr:`chunks`, :attr:`count`, :meth:`overlapping`, :meth:`check` and
    :meth:`finish` speak of the chunks of :attr:`plan`; plans share the chunks of equal name.

    Attributes:
        folder: where it is.
        plan: the part asked for; empty for everything.
        whole: name of the chunk that the stage makes last, from all others of the plan.
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
        self.store = store
        self.source_id = source_id
        self.stage = stage
        self.key = key
        self.plan = plan
        self.whole = f"{_WHOLE}-{plan}" if plan else _WHOLE
        self.meta = dict(meta)
        self.folder = store.root / source_id / stage / key
        self._thread_lock = threading.RLock()
        self._depth = 0
        self._file_lock: locks.FileLock | None = None
        self._manifest: dict[str, Any] | None = None
        self._manifest_read = False
        self._records: dict[str, _Record] = {}
        self._verified: set[tuple[str, str, str]] = set()

    def __repr__(self) -> str:
        return f"Artifact({self.source_id}/{self.stage}/{self.key})"

    # --- reading -------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether it was finished and every chunk is still the one that was finished: its record
        the same, its files there and of the right size (their content is read by :meth:`path`)."""
        return self._finished and self._intact(self._planned())

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """The chunks of a finished plan in the stage's order, without the last one, :attr:`whole`.

        Raises:
            StorageError: it is not finished.
        """
        if not self._finished:
            raise StorageError(f"{self.folder} is not complete", "Run the same command again.")
        return tuple(
            Chunk(name, entry["start"], entry["stop"])
            for name, entry in self._planned().items()
            if name != self.whole
        )

    @property
    def count(self) -> int:
        """How many chunks it was finished with, the last one included; 0 if it is not finished."""
        return len(self._planned())

    def overlapping(self, start: int, stop: int) -> tuple[Chunk, ...]:
        """The chunks of :attr:`chunks` that hold at least one frame of ``start <= i < stop``."""
        return tuple(c for c in self.chunks if c.start < stop and start < c.stop)

    def done(self, chunk: str) -> bool:
        """Whether the chunk was committed and its files are there in the right size."""
        record = self._load_record(chunk)
        if record is None:
            return False
        for name, file in record.files.items():
            try:
                if os.stat(self.folder / chunk / name).st_size != file.bytes:
                    return False
            except OSError:
                return False
        return True

    def holds(self, chunk: Chunk) -> bool:
        """Whether this very chunk is :meth:`done`: of this name, and with these frames."""
        record = self._load_record(chunk.name)
        return record is not None and record.chunk == chunk and self.done(chunk.name)

    def files(self, chunk: str) -> tuple[str, ...]:
        """The names of the chunk's files, sorted, with ``/`` for files in subfolders.

        Raises:
            ChunkDamaged: the chunk is not there.
        """
        return tuple(self._need_record(chunk).files)

    def path(self, chunk: str, filename: str) -> Path:
        """Where a file of a chunk is, its checksum verified on the first access in this process.

        Raises:
            ChunkDamaged: the chunk, or this file of it, is missing or not what was written.
        """
        record = self._need_record(chunk)
        file = record.files.get(filename)
        if file is None:
            raise ChunkDamaged(self, chunk, f"it has no file {filename}")
        path = self.folder / chunk / filename
        seen = (chunk, filename, file.sha256)
        problem = _file_problem(path, file, content=seen not in self._verified)
        if problem:
            raise ChunkDamaged(self, chunk, f"{filename} {problem}")
        self._verified.add(seen)
        return path

    def check(self) -> None:
        """Verifies every file of a finished plan that was not yet read in this process.

        Raises:
            ChunkDamaged: one is missing or not what was written.
            StorageError: it is not finished.
        """
        whole = (self.whole,) if self.count > len(self.chunks) else ()
        for chunk in (*(c.name for c in self.chunks), *whole):
            for name in self.files(chunk):
                self.path(chunk, name)

    def problem(self, chunk: str) -> str | None:
        """What is wrong with a chunk, every file of it read anew; None when it is whole."""
        self._records.pop(chunk, None)
        record = self._load_record(chunk)
        if record is None:
            absent = not (self.folder / chunk).is_dir()
            return "is missing" if absent else "its record is missing or damaged"
        for name, file in record.files.items():
            problem = _file_problem(self.folder / chunk / name, file)
            if problem:
                return f"{name} {problem}"
        return None

    def reload(self) -> None:
        """Forgets the manifest and the records read, so that another process's work is seen."""
        self._manifest = None
        self._manifest_read = False
        self._records.clear()

    # --- writing -------------------------------------------------------------------------------

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
        while not self._thread_lock.acquire(timeout=0.1):
            if stopping is not None and stopping():
                raise Interrupted(
                    f"stopped while waiting for another thread at {self.stage}",
                    "Run the same command again to go on.",
                )
        try:
            if self._depth == 0:
                with _storage_errors(self.folder):
                    self._take_lock(waiting, stopping)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._file_lock is not None:
                    self._file_lock.release()
                    self._file_lock = None
        finally:
            self._thread_lock.release()

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
                with _storage_errors(self.folder):
                    temporary.mkdir(parents=True)
                    yield temporary
                    record = _seal(temporary, chunk, time.monotonic() - began)
                    self._put_aside(chunk.name)
                    os.rename(temporary, self.folder / chunk.name)
                    _sync_folder(self.folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            self._records[chunk.name] = record
            self._verified |= {(chunk.name, name, f.sha256) for name, f in record.files.items()}

    def drop(self, chunk: str) -> None:
        """Takes a chunk out (a damaged one, to be made anew); harmless when it is not there.

        Raises:
            StorageError: the folder cannot be written.
        """
        with self.lock(), _storage_errors(self.folder):
            self._put_aside(chunk)

    def finish(self, chunks: Sequence[Chunk]) -> None:
        """Marks the plan complete: it consists of ``chunks``, in this order, each committed before.

        Where no part but everything was ever asked for, folders of other chunks (left by a run with
        another chunk size) are removed. Else they may be another part's, and stay.

        Raises:
            StorageError: the manifest cannot be written.
            ChunkDamaged: one of the chunks is not there.
        """
        with self.lock(), _storage_errors(self.folder):
            records = [self._need_record(chunk.name) for chunk in chunks]
            chunks_now = {
                r.chunk.name: {"start": r.chunk.start, "stop": r.chunk.stop, "sum": r.sum}
                for r in records
            }
            seconds = round(sum(r.seconds for r in records), 3)
            plans = {self.plan: {"chunks": chunks_now, "seconds": seconds}}
            for name, other in (self._load_manifest() or {"plans": {}})["plans"].items():
                kept = _with_chunks_of(other, chunks_now) if name != self.plan else None
                if kept is not None:
                    plans[name] = kept
            if plans.keys() == {""}:
                names = {chunk.name for chunk in chunks}
                for entry in list(os.scandir(self.folder)):
                    stray = entry.is_dir(follow_symlinks=False) and entry.name not in names
                    if stray and not entry.name.startswith("."):
                        self._put_aside(entry.name)
            self._write_manifest({**self._head(), "plans": plans})
            self.touch()

    def _take_lock(
        self, waiting: Callable[[str], None] | None, stopping: Callable[[], bool] | None
    ) -> None:
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
            manifest = self._load_manifest()
            fresh = {**self._head(), "plans": {}}
            if manifest is None or not (manifest["plans"] or manifest == fresh):
                self._write_manifest(fresh)
                for parent in (self.folder.parent, self.folder.parent.parent, self.store.root):
                    _sync_folder(parent)
        except BaseException:
            held.release()
            raise
        self._file_lock = held

    def stored_meta(self) -> dict[str, Json]:
        """What the manifest on the disk says of its making; empty when there is none."""
        manifest = self._load_manifest() or {}
        return {name: manifest[name] for name in _META if name in manifest}

    def _head(self) -> dict[str, Json]:
        return {"format": FORMAT, "source": self.source_id, "key": self.key, **self.meta}

    def touch(self) -> None:
        """Notes that it was used now, for `cache prune`; where it cannot be noted, it is not."""
        with contextlib.suppress(OSError):
            (self.folder / _USED).touch()

    def _put_aside(self, chunk: str) -> None:
        self._records.pop(chunk, None)
        self._verified -= {entry for entry in self._verified if entry[0] == chunk}
        aside = self.folder / _TEMPORARY / f"old-{uuid.uuid4().hex[:8]}"
        aside.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.folder / chunk, aside)
            if aside.is_dir() and not aside.is_symlink():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink()

    @property
    def _finished(self) -> bool:
        return self.plan in (self._load_manifest() or {"plans": ()})["plans"]

    def _intact(self, entries: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the chunks of these entries of the manifest are there as it says."""
        for name, entry in entries.items():
            record = self._load_record(name)
            if record is None or record.sum != entry["sum"] or not self.done(name):
                return False
        return True

    def _planned(self) -> dict[str, dict[str, Any]]:
        """The manifest's entries of the plan's chunks; none while it is not finished."""
        plans: dict[str, Any] = (self._load_manifest() or {"plans": {}})["plans"]
        chunks: dict[str, dict[str, Any]] = plans.get(self.plan, {"chunks": {}})["chunks"]
        return chunks

    def _load_manifest(self) -> dict[str, Any] | None:
        if not self._manifest_read:
            manifest = read_sealed(self.folder / _MANIFEST)
            if manifest is not None and not _is_manifest(manifest):
                manifest = None
            self._manifest = manifest
            self._manifest_read = True
        return self._manifest

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        (self.folder / _TEMPORARY).mkdir(exist_ok=True)
        write_sealed(self.folder / _MANIFEST, manifest, self.folder / _TEMPORARY)
        self._manifest = manifest
        self._manifest_read = True

    def _load_record(self, chunk: str) -> _Record | None:
        record = self._records.get(chunk)
        if record is None:
            record = _read_record(self.folder / chunk, chunk)
            if record is not None:
                self._records[chunk] = record
        return record

    def _need_record(self, chunk: str) -> _Record:
        record = self._load_record(chunk)
        if record is None:
            raise ChunkDamaged(self, chunk, "is missing or its record is damaged")
        return record


class Store:
    """All artifacts below one folder. Looking at it makes nothing; opening an artifact for writing
    makes what it needs. Use it as a context manager, or :meth:`close` it.

    Args:
        root: the cache folder, :func:`default_cache_dir` when None.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(root).expanduser().absolute() if root else default_cache_dir().absolute()
        self._artifacts: dict[tuple[str, str, str, str], Artifact] = {}
        self._held: dict[str, locks.FileLock] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the sources that were held against pruning."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()

    def open(
        self,
        source_id: str,
        stage: str,
        key: str,
        meta: Mapping[str, Json] | None = None,
        plan: str = "",
    ) -> Artifact:
        """The artifact of ``stage`` with ``key`` for a source; the same object each time.

        Args:
            meta: version, settings, inputs and models, for the manifest.
            plan: which part of it (letters, digits, ``-``); empty for everything.
        """
        for name in (source_id, stage, key):
            if not _SAFE_NAME.fullmatch(name):
                raise ValueError(f"not a name for a folder of the store: {name!r}")
        if not _PLAN.fullmatch(plan):
            raise ValueError(f"not a name for a part of an artifact: {plan!r}")
        place = (source_id, stage, key, plan)
        artifact = self._artifacts.get(place)
        if artifact is None:
            artifact = Artifact(self, source_id, stage, key, {"stage": stage, **(meta or {})}, plan)
            self._artifacts[place] = artifact
        return artifact

    def hold(self, source_id: str) -> None:
        """Keeps `cache prune` of other processes away from a source until :meth:`close`.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        if source_id in self._held:
            return
        folder = self.root / source_id
        with _storage_errors(self.root):
            while True:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    self._held[source_id] = locks.acquire(folder / _USED, shared=True)
                    return
                except FileNotFoundError:  # removed by a prune between the two lines
                    continue

    def note_source(self, source_id: str, path: Path) -> None:
        """Writes down under which name and path a source was last seen.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        self.hold(source_id)
        note = {"name": path.name, "path": str(path.absolute())}
        target = self.root / source_id / _SOURCE
        with _storage_errors(self.root):
            if self._source_note(source_id) != (note["name"], note["path"]):
                write_sealed(target, note, target.parent)

    def note_run(self, source_id: str, settings: Mapping[str, Json]) -> None:
        """Writes down what a source's last run was asked to do.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        self.hold(source_id)
        target = self.root / source_id / _LAST_RUN
        with _storage_errors(self.root):
            write_sealed(target, settings, target.parent)

    def last_run(self, source_id: str) -> dict[str, Any] | None:
        """What :meth:`note_run` wrote down; None where nothing is, or it is damaged."""
        return read_sealed(self.root / source_id / _LAST_RUN)

    # --- looking and cleaning --------------------------------------------------------------------

    def sources(self) -> tuple[SourceInfo, ...]:
        """Every source, the one used last first."""
        found = []
        for source_id in self._names(self.root):
            infos = self.show(source_id)
            name, path = self._source_note(source_id)
            found.append(
                SourceInfo(
                    source_id,
                    name,
                    path,
                    tuple(dict.fromkeys(info.stage for info in infos)),
                    len(infos),
                    sum(info.bytes for info in infos),
                    max((info.last_used for info in infos), default=0.0),
                )
            )
        return tuple(sorted(found, key=lambda s: (-s.last_used, s.source_id)))

    def show(self, source_id: str) -> tuple[ArtifactInfo, ...]:
        """Every artifact of a source, in the order in which they were last used."""
        infos = [self._info(artifact) for artifact in self._stored(source_id)]
        return tuple(sorted(infos, key=lambda i: (i.last_used, i.stage, i.key)))

    def verify(
        self,
        source_id: str | None = None,
        *,
        repair: bool = False,
        waiting: Callable[[str], None] | None = None,
    ) -> tuple[Damage, ...]:
        """Reads everything (of one source) and compares it with its checksums.

        Args:
            repair: takes damaged chunks and manifests out, so that the next run makes them anew.
            waiting: told when a repair has to wait for a run.

        Raises:
            StorageError: something damaged cannot be removed.
        """
        found: list[Damage] = []
        for source in [source_id] if source_id else self._names(self.root):
            for artifact in self._stored(source):
                damage = _artifact_damage(artifact)
                if damage and repair:
                    with artifact.lock(waiting):  # writes a new manifest if that was damaged
                        manifests = [each for each in damage if not each.chunk]
                        # Looked at again: a run may have been at work on it just now.
                        damage = manifests + _artifact_damage(artifact)
                        for each in damage:
                            if each.chunk:
                                artifact.drop(each.chunk)
                found += damage
        return tuple(found)

    def prune(
        self,
        max_bytes: int | None = None,
        older_than_s: float | None = None,
        *,
        dry_run: bool = False,
    ) -> Pruned:
        """Removes artifacts: those not used for ``older_than_s`` seconds, then those used longest
        ago until the rest fits into ``max_bytes``. Sources that a run is using stay.

        Raises:
            StorageError: something cannot be removed.
        """
        with contextlib.ExitStack() as stack:
            infos: list[ArtifactInfo] = []
            in_use: list[ArtifactInfo] = []
            for source_id in self._names(self.root):
                shown = self.show(source_id)
                with _storage_errors(self.root):
                    lock = locks.try_acquire(self.root / source_id / _USED)
                if lock is None:
                    in_use += shown
                else:
                    stack.callback(lock.release)
                    infos += shown
            infos.sort(key=lambda i: (i.last_used, i.stage, i.key))
            total = sum(i.bytes for i in infos) + sum(i.bytes for i in in_use)
            removed: list[ArtifactInfo] = []
            now = time.time()
            for info in infos:
                old = older_than_s is not None and now - info.last_used > older_than_s
                if old or (max_bytes is not None and total > max_bytes):
                    removed.append(info)
                    total -= info.bytes
            if not dry_run:
                with _storage_errors(self.root):
                    for info in removed:
                        self._remove(info)
                    for left in self._trash():
                        shutil.rmtree(left, ignore_errors=True)
        return Pruned(tuple(removed), tuple(in_use), sum(i.bytes for i in removed), total)

    def _remove(self, info: ArtifactInfo) -> None:
        trash = self.root / f"{_TRASH}{uuid.uuid4().hex[:8]}"
        os.rename(info.folder, trash)
        shutil.rmtree(trash)
        for place in list(self._artifacts):
            if place[:3] == (info.source_id, info.stage, info.key):
                del self._artifacts[place]
        with contextlib.suppress(OSError):  # not empty: other artifacts are left
            os.rmdir(info.folder.parent)
        source = self.root / info.source_id
        if not self._names(source):  # only notes about the source
            shutil.rmtree(source)

    def _trash(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return [Path(e.path) for e in os.scandir(self.root) if e.name.startswith(_TRASH)]
        return []

    def _stored(self, source_id: str) -> Iterator[Artifact]:
        for stage in self._names(self.root / source_id):
            for key in self._names(self.root / source_id / stage):
                artifact = Artifact(self, source_id, stage, key, {"stage": stage})
                artifact.meta.update(artifact.stored_meta())
                yield artifact

    def _names(self, folder: Path) -> list[str]:
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(
                f"cannot read {folder}: {error.strerror}", "Make it readable."
            ) from error
        return sorted(
            e.name
            for e in entries
            if e.is_dir(follow_symlinks=False) and _SAFE_NAME.fullmatch(e.name)
        )

    def _source_note(self, source_id: str) -> tuple[str, str]:
        note = read_sealed(self.root / source_id / _SOURCE) or {}
        return str(note.get("name", "")), str(note.get("path", ""))

    def _info(self, artifact: Artifact) -> ArtifactInfo:
        manifest = artifact._load_manifest() or {"plans": {}}
        planned: dict[str, Any] = {}
        for plan in manifest["plans"].values():
            planned |= plan["chunks"]
        size = chunks = 0
        seconds = 0.0
        for folder, _, names in os.walk(artifact.folder):
            if _RECORD in names and Path(folder).parent == artifact.folder:
                chunks += 1
                record = artifact._load_record(Path(folder).name)
                seconds += record.seconds if record else 0.0
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_size
        try:
            last_used = os.stat(artifact.folder / _USED).st_mtime
        except OSError:
            last_used = 0.0
        return ArtifactInfo(
            artifact.source_id,
            artifact.stage,
            artifact.key,
            int(manifest.get("version", 0)),
            bool(manifest["plans"]) and artifact._intact(planned),
            chunks,
            size,
            round(seconds, 3),
            last_used,
            manifest.get("settings", {}),
            manifest.get("models", {}),
            artifact.folder,
        )


# --- files ---------------------------------------------------------------------------------------


def read_sealed(path: Path) -> dict[str, Any] | None:
    """The JSON object that :func:`write_sealed` wrote, or None when it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
        seal = content.pop("sum")
        return content if seal == _sum(content) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


def write_sealed(path: Path, content: Mapping[str, Any], temporary_folder: Path) -> None:
    """Writes a JSON object with a checksum of itself (``sum``), durably and all at once.

    Raises:
        OSError: it cannot be written; what was at ``path`` is still there.
    """
    text = json.dumps({**content, "sum": _sum(content)}, indent=1, allow_nan=False) + "\n"
    temporary = temporary_folder / f".{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        _write_synced(temporary, text.encode())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _sum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)


def _seal(folder: Path, chunk: Chunk, seconds: float) -> _Record:
    """Flushes and measures what a stage wrote into ``folder`` and adds the chunk's record."""
    files: dict[str, _File] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"a chunk holds files, not links: {path}")
        if path.is_dir():
            _sync_folder(path)
        else:
            files[path.relative_to(folder).as_posix()] = _measure(path, sync=True)
    if _RECORD in files:
        raise ValueError(f"a chunk's file cannot be called {_RECORD}")
    content = {
        "chunk": chunk.name,
        "start": chunk.start,
        "stop": chunk.stop,
        "seconds": round(seconds, 3),
        "files": {name: {"bytes": f.bytes, "sha256": f.sha256} for name, f in files.items()},
    }
    text = json.dumps({**content, "sum": _sum(content)}, indent=1) + "\n"
    _write_synced(folder / _RECORD, text.encode())
    _sync_folder(folder)
    return _Record(chunk, files, round(seconds, 3), _sum(content))


def _read_record(folder: Path, name: str) -> _Record | None:
    content = read_sealed(folder / _RECORD)
    if content is None:
        return None
    try:
        chunk = Chunk(content["chunk"], content["start"], content["stop"])
        files = {
            str(file): _File(int(entry["bytes"]), str(entry["sha256"]))
            for file, entry in content["files"].items()
        }
        seconds = float(content["seconds"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if chunk.name != name:  # somebody renamed the folder
        return None
    return _Record(chunk, files, seconds, _sum(content))


def _is_manifest(content: Mapping[str, Any]) -> bool:
    plans = content.get("plans")
    return (
        content.get("format") == FORMAT
        and isinstance(plans, dict)
        and all(
            isinstance(plan, dict)
            and isinstance(plan.get("chunks"), dict)
            and all(
                isinstance(entry, dict) and {"start", "stop", "sum"} <= entry.keys()
                for entry in plan["chunks"].values()
            )
            for plan in plans.values()
        )
    )


def _with_chunks_of(plan: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any] | None:
    """A plan of a manifest after some of its chunks were made anew; None where they now hold other
    frames, so that it is not complete any more."""
    chunks = dict(plan["chunks"])
    for name in chunks.keys() & now.keys():
        if (chunks[name]["start"], chunks[name]["stop"]) != (now[name]["start"], now[name]["stop"]):
            return None
        chunks[name] = now[name]
    return {**plan, "chunks": chunks}


def _measure(path: Path, *, sync: bool = False) -> _File:
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
        if sync:
            os.fsync(stream.fileno())
    return _File(size, digest.hexdigest())


def _file_problem(path: Path, expected: _File, *, content: bool = True) -> str | None:
    try:
        size = os.stat(path).st_size
        if size != expected.bytes:
            return f"has {size} bytes instead of {expected.bytes}"
        if content and _measure(path).sha256 != expected.sha256:
            return "does not have its checksum"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def _artifact_damage(artifact: Artifact) -> list[Damage]:
    place = (artifact.source_id, artifact.stage, artifact.key)
    found: list[Damage] = []
    manifest = artifact._load_manifest()
    if manifest is None and (artifact.folder / _MANIFEST).exists():
        found.append(Damage(*place, "", "the manifest is damaged"))
    plans = manifest["plans"].values() if manifest else ()
    present = artifact.store._names(artifact.folder)
    for name in dict.fromkeys([*itertools.chain(*(plan["chunks"] for plan in plans)), *present]):
        problem = artifact.problem(name)
        if problem:
            found.append(Damage(*place, name, problem))
    return found


def _is_related(path: Path, folder: Path) -> bool:
    """Whether an error about ``path`` is about the store at ``folder``: below or above it."""
    path, folder = path.absolute(), folder.absolute()
    return path == folder or folder in path.parents or path in folder.parents


def _is_full(folder: Path) -> bool:
    for place in (folder, *folder.parents):
        try:
            state = os.statvfs(place)
        except OSError:
            continue
        return state.f_blocks > 0 and state.f_bavail * state.f_frsize < _FULL_BYTES
    return False


@contextlib.contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        translated = storage_error(error, folder)
        if translated is None or translated is error:
            raise
        raise translated from error
