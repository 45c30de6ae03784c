"""Looking at what a store holds, verifying it, and making room."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from videdit.errors import StorageError
from videdit.files import storage_errors
from videdit.pipeline import locks
from videdit.pipeline.artifact import USED, Artifact
from videdit.pipeline.manifest import is_foreign
from videdit.pipeline.records import ELSEWHERE, MANIFEST, RECORD, SAFE_NAME, Json, read_record
from videdit.pipeline.store import Store
from videdit.pipeline.stored import StoredArtifact

_TRASH = ".trash-"


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
    """What :func:`show` says of one artifact. Sizes in bytes, times in seconds (Unix).

    Attributes:
        complete: some plan of it is, and all that once were still are.
        chunks: those that are there, whatever plan they belong to.
        frames: how many of the source's they cover.
        seconds: time spent on them.
        plans: those that are complete; empty for everything, see ``Stage.plan``.
        inputs: keys of the artifacts that it was made from, by stage.
        repeatable: see ``Stage.repeatable``.
    """

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
    plans: tuple[str, ...] = ("",)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    repeatable: bool = True
    frames: int = 0


@dataclass(frozen=True)
class SourceInfo:
    """What :func:`sources` says of one source."""

    source_id: str
    name: str
    path: str
    stages: tuple[str, ...]
    artifacts: int
    bytes: int
    last_used: float


@dataclass(frozen=True)
class Pruned:
    """What :func:`prune` removed (or would), and what it left because a run uses it."""

    removed: tuple[ArtifactInfo, ...]
    in_use: tuple[ArtifactInfo, ...]
    bytes_freed: int
    bytes_left: int


def sources(store: Store) -> tuple[SourceInfo, ...]:
    """Every source, the one used last first.

    Raises:
        StorageError: a folder of the store cannot be read.
    """
    found = []
    for source_id in _names(store.root):
        infos = show(store, source_id)
        name, path = store.source_note(source_id)
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


def show(store: Store, source_id: str) -> tuple[ArtifactInfo, ...]:
    """Every artifact of a source, in the order in which they were last used.

    Raises:
        StorageError: a folder of the store cannot be read.
    """
    infos = [_info(artifact) for artifact in _stored(store, source_id)]
    return tuple(sorted(infos, key=lambda i: (i.last_used, i.stage, i.key)))


def verify(
    store: Store,
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
    for source in [source_id] if source_id else _names(store.root):
        for stored in _stored(store, source):
            damage = _damage(stored)
            if damage and repair:
                manifest = stored.manifest()
                meta = manifest.meta if manifest else {"stage": stored.stage}
                artifact = Artifact(store, source, stored.stage, stored.key, meta)
                with artifact.lock(waiting):  # writes a new manifest if that was damaged
                    manifests = [each for each in damage if not each.chunk]
                    # Looked at again: a run may have been at work on it just now.
                    damage = manifests + _damage(artifact)
                    for each in damage:
                        if each.chunk:
                            artifact.drop(each.chunk)
            found += damage
    return tuple(found)


def prune(
    store: Store,
    max_bytes: int | None = None,
    older_than_s: float | None = None,
    *,
    dry_run: bool = False,
) -> Pruned:
    """Removes artifacts: those not used for ``older_than_s`` seconds, then those used longest ago
    until the rest fits into ``max_bytes``. Sources that a run is using stay; so does what cannot be
    made again the same, as long as anything made from it stays.

    Raises:
        StorageError: something cannot be removed.
    """
    with contextlib.ExitStack() as stack:
        infos: list[ArtifactInfo] = []
        in_use: list[ArtifactInfo] = []
        for source_id in _names(store.root):
            shown = show(store, source_id)
            with storage_errors(store.root, ELSEWHERE):
                lock = locks.try_acquire(store.root / source_id / USED)
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
        needed = _made_from([i for i in (*infos, *in_use) if i not in removed], infos)
        held = [i for i in removed if not i.repeatable and i in needed]
        removed = [i for i in removed if i not in held]
        total += sum(i.bytes for i in held)
        if not dry_run:
            with storage_errors(store.root, ELSEWHERE):
                for info in removed:
                    _remove(store.root, info)
                for left in _trash(store.root):
                    shutil.rmtree(left, ignore_errors=True)
    return Pruned(tuple(removed), tuple(in_use), sum(i.bytes for i in removed), total)


def _made_from(infos: Sequence[ArtifactInfo], known: Sequence[ArtifactInfo]) -> list[ArtifactInfo]:
    """What of ``known`` these were made from, directly or not."""
    places = {(i.source_id, i.stage, i.key): i for i in known}
    found: dict[tuple[str, str, str], ArtifactInfo] = {}
    ahead = list(infos)
    while ahead:
        info = ahead.pop()
        for stage, key in info.inputs.items():
            place = (info.source_id, stage, str(key))
            if place in places and place not in found:
                found[place] = places[place]
                ahead.append(places[place])
    return list(found.values())


def _remove(root: Path, info: ArtifactInfo) -> None:
    trash = root / f"{_TRASH}{uuid.uuid4().hex[:8]}"
    os.rename(info.folder, trash)
    shutil.rmtree(trash)
    with contextlib.suppress(OSError):  # not empty: other artifacts are left
        os.rmdir(info.folder.parent)
    source = root / info.source_id
    if not _names(source):  # only notes about the source
        shutil.rmtree(source)


def _trash(root: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [Path(e.path) for e in os.scandir(root) if e.name.startswith(_TRASH)]
    return []


def _stored(store: Store, source_id: str) -> Iterator[StoredArtifact]:
    for stage in _names(store.root / source_id):
        for key in _names(store.root / source_id / stage):
            yield StoredArtifact(store.root, source_id, stage, key)


def _names(folder: Path) -> list[str]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(
            f"cannot read {folder}: {error.strerror}", "Make it readable."
        ) from error
    return sorted(
        e.name for e in entries if e.is_dir(follow_symlinks=False) and SAFE_NAME.fullmatch(e.name)
    )


def _info(artifact: StoredArtifact) -> ArtifactInfo:
    manifest = artifact.manifest()
    head = manifest.head if manifest else {}
    size = chunks = 0
    seconds = 0.0
    spans: list[tuple[int, int]] = []
    for folder, _, names in os.walk(artifact.folder):
        if RECORD in names and Path(folder).parent == artifact.folder:
            chunks += 1
            record = read_record(Path(folder))
            if record:
                seconds += record.seconds
                spans.append((record.chunk.start, record.chunk.stop))
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_size
    try:
        last_used = os.stat(artifact.folder / USED).st_mtime
    except OSError:
        last_used = 0.0
    plans = manifest.plans if manifest else {}
    version, settings, models, inputs = (
        head.get(name) for name in ("version", "settings", "models", "inputs")
    )
    return ArtifactInfo(
        artifact.source_id,
        artifact.stage,
        artifact.key,
        version if isinstance(version, int) else 0,
        manifest is not None and bool(plans) and artifact.intact(manifest.chunks()),
        chunks,
        size,
        round(seconds, 3),
        last_used,
        settings if isinstance(settings, Mapping) else {},
        models if isinstance(models, Mapping) else {},
        artifact.folder,
        tuple(sorted(plans)),
        inputs if isinstance(inputs, Mapping) else {},
        head.get("repeatable") is not False,
        _covered(spans),
    )


def _covered(spans: Sequence[tuple[int, int]]) -> int:
    """How many frames lie in any of these stretches."""
    covered = reached = 0
    for start, stop in sorted(spans):
        covered += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return covered


def _damage(artifact: StoredArtifact) -> list[Damage]:
    if is_foreign(artifact.folder):
        return []
    place = (artifact.source_id, artifact.stage, artifact.key)
    found: list[Damage] = []
    manifest = artifact.manifest()
    if manifest is None and (artifact.folder / MANIFEST).exists():
        found.append(Damage(*place, "", "the manifest is damaged"))
    listed = [chunk.name for chunk in manifest.chunks()] if manifest else []
    for name in dict.fromkeys([*listed, *_names(artifact.folder)]):
        problem = artifact.problem(name)
        if problem:
            found.append(Damage(*place, name, problem))
    return found
