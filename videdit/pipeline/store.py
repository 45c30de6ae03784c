"""The artifact store: what every stage leaves, kept so that nothing is lost or half there.

Layout, all of it plain files that people can open::

    ROOT/<source id>/source.json                      name and path the source was last seen under
    ROOT/<source id>/last-run.json                    the settings of its last run
    ROOT/<source id>/<stage>/<key>/manifest.json      stage, version, settings, inputs, models, and,
                                                      for each plan that is complete, its chunks and
                                                      their checksums
    ROOT/<source id>/<stage>/<key>/<chunk>/chunk.json frames, files with sizes and sha256, seconds
    ROOT/<source id>/<stage>/<key>/<chunk>/<files>

A chunk counts once it has its name, see :mod:`videdit.pipeline.artifact`. Both kinds of JSON carry
a checksum of themselves. Two processes on one source don't harm each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from videdit.files import make_private, storage_errors
from videdit.pipeline import locks
from videdit.pipeline.artifact import USED, Artifact
from videdit.pipeline.records import ELSEWHERE, SAFE_NAME, Json, read_sealed, write_sealed

_SOURCE = "source.json"
_LAST_RUN = "last-run.json"
_PLAN = re.compile(r"[A-Za-z0-9-]*")


def default_cache_dir() -> Path:
    """The folder that holds the artifacts: ``$VIDEDIT_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("VIDEDIT_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_path("videdit", appauthor=False)) / "runs"


def compiled_dir() -> Path:
    """The folder that holds compiled networks: in the default cache, wherever artifacts are."""
    return default_cache_dir() / ".compiled"


class Store:
    """All artifacts below one folder. Looking at it makes nothing; opening an artifact for writing
    makes what it needs. Use it as a context manager, or :meth:`close` it.

    Args:
        root: the cache folder, :func:`default_cache_dir` when None.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path(root).expanduser().absolute() if root else default_cache_dir().absolute()
        self._artifacts: dict[tuple[str, str, str, str], Artifact] = {}
        self._held: dict[str, locks.Held] = {}

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
            if not SAFE_NAME.fullmatch(name):
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
        with storage_errors(self.root, ELSEWHERE):
            make_private(self.root)  # it holds people's faces
            while True:
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    self._held[source_id] = locks.acquire(folder / USED, shared=True)
                    return
                except FileNotFoundError:  # removed by a prune between the two lines
                    continue

    # --- notes about a source --------------------------------------------------------------------

    def note_source(self, source_id: str, path: Path) -> None:
        """Writes down under which name and path a source was last seen.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        name, place = path.name, str(path.absolute())
        if self.source_note(source_id) != (name, place):
            self._note(source_id, _SOURCE, {"name": name, "path": place})

    def source_note(self, source_id: str) -> tuple[str, str]:
        """Name and path that :meth:`note_source` wrote down; empty where nothing is known."""
        note = read_sealed(self.root / source_id / _SOURCE) or {}
        return str(note.get("name", "")), str(note.get("path", ""))

    def note_run(self, source_id: str, settings: Mapping[str, Json]) -> None:
        """Writes down what a source's last run was asked to do.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        self._note(source_id, _LAST_RUN, settings)

    def last_run(self, source_id: str) -> dict[str, Any] | None:
        """What :meth:`note_run` wrote down; None where nothing is, or it is damaged."""
        return read_sealed(self.root / source_id / _LAST_RUN)

    def _note(self, source_id: str, name: str, content: Mapping[str, Json]) -> None:
        self.hold(source_id)
        with storage_errors(self.root, ELSEWHERE):
            write_sealed(self.root / source_id / name, content)
