"""What a worker does: one job after another, with the networks of the first.

A result is recorded in the cache when it is there, with what it was made from, so that the same
jobs given again do only what is not done.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .. import __version__
from ..api import default_output, edit_video, networks_for, source_id_of, timeline_of
from ..bundles import load_bundle
from ..bundles.manifest import MANIFEST_FILE
from ..errors import Interrupted, StorageError, VideditError, explained
from ..files import measure, write_atomically
from ..media.source import check_source
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.store import Store
from ..settings import RunSettings
from .jobs import Job

_RECORDS = ".results"
DONE, SKIPPED, FAILED, INTERRUPTED, WAITING = "done", "skipped", "failed", "interrupted", "waiting"


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        state: done; skipped, because it was done before; failed; interrupted; or waiting.
        output: the file that was written, or is to be.
        seconds: that it took.
        frames, edited: frames of the source, and how many of them were changed.
        notes: what of the source the result does not have, or has in another form.
        message, remedy, exit_code: what went wrong, if something did.
    """

    state: str
    output: str
    seconds: float = 0.0
    frames: int = 0
    edited: int = 0
    notes: tuple[str, ...] = ()
    message: str = ""
    remedy: str = ""
    exit_code: int = 0


def failure(output: Path, error: VideditError) -> Outcome:
    """The outcome of a job that ended with an error."""
    state = INTERRUPTED if isinstance(error, Interrupted) else FAILED
    return Outcome(
        state,
        str(output),
        message=" ".join(error.message.split()),
        remedy=error.remedy,
        exit_code=error.exit_code,
    )


@dataclass
class Worker:
    """Does jobs.

    Attributes:
        cache: folder of the kept work; the usual one, if not said.
        overwrite: whether files that are there and were not made by the same job are replaced.
    """

    cache: Path | None = None
    overwrite: bool = False
    _networks: dict[tuple[str, ...], Networks] = field(default_factory=dict)

    def do(self, job: Job, progress: Progress, stop: threading.Event | None = None) -> Outcome:
        """Do a job; whatever goes wrong with it is its outcome.

        Args:
            job: to do.
            progress: told how it goes; entered and left here.
            stop: set it to stop after the chunk in flight.
        """
        target = job.output
        try:
            check_source(job.source)
            with Store(self.cache) as store:
                if not job.names_file:
                    picture = timeline_of(job.source, store).is_image
                    target = default_output(job.asked(target), target, picture=picture)
                asked = job.asked(target)
                made_from = _made_from(asked, store)
                done = _done_before(target, made_from, store)
                if done is not None:
                    return done
                target.parent.mkdir(parents=True, exist_ok=True)
                settings = {**job.settings, "cache_dir": self.cache}
                result = edit_video(
                    job.source,
                    target,
                    job.edits,
                    overwrite=self.overwrite,
                    settings=settings,
                    progress=progress,
                    networks=self._shared(asked, progress),
                    stop=stop,
                )
                outcome = Outcome(
                    DONE,
                    str(target),
                    round(result.seconds, 3),
                    result.frames,
                    len(result.edited),
                    result.notes,
                )
                _record(target, made_from, store, outcome)
                return outcome
        except OSError as error:
            text = f"{target.parent} cannot be written ({error.strerror})"
            return failure(target, StorageError(text, "Choose another folder."))
        except Exception as error:  # also the tool's own fault: the others go on
            return failure(target, explained(error, "Edit it alone with --debug."))

    def _shared(self, asked: RunSettings, progress: Progress) -> Networks:
        key = (asked.bundle, asked.device, asked.precision, asked.backend)
        if key not in self._networks:
            self._networks[key] = networks_for(asked, progress)
        return self._networks[key]


def _done_before(target: Path, made_from: dict[str, Any], store: Store) -> Outcome | None:
    """The outcome of the same job, if its result is still there as it was written."""
    try:
        record = json.loads(_entry(store, target).read_bytes())
        if record["file"] != _stamp(target) or record["made_from"] != made_from:
            return None
        notes = tuple(record["outcome"].pop("notes"))
        return Outcome(**record["outcome"] | {"state": SKIPPED, "notes": notes})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(target: Path, made_from: dict[str, Any], store: Store, outcome: Outcome) -> None:
    # Without it the result is made again, from what is kept.
    with suppress(OSError, StorageError):
        kept = {"file": _stamp(target), "made_from": made_from, "outcome": asdict(outcome)}
        path = _entry(store, target)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(kept).encode())


def _stamp(path: Path) -> list[int]:
    """What tells that a file was written to."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _entry(store: Store, target: Path) -> Path:
    name = hashlib.sha256(os.fsencode(target.absolute())).hexdigest()[:32]
    return store.root / _RECORDS / f"{name}.json"


def _made_from(asked: RunSettings, store: Store) -> dict[str, Any]:
    """All that decides what a result is."""
    plain = asked.to_json()
    for name in ("source", "output", "cache_dir"):
        del plain[name]
    files = {}
    for each in fields(RunSettings):
        value = getattr(asked, each.name)
        path = Path(str(value).removeprefix("direction:"))
        if each.name in ("like", "mask", "editor") and value is not None and path.is_file():
            files[each.name] = measure(path)[1]
    return {
        "source": source_id_of(asked.source, store),
        "settings": plain,
        "files": files,
        "bundle": measure(load_bundle(asked.bundle).manifest.folder / MANIFEST_FILE)[1],
        "version": __version__,
    }
