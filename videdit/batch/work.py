"""What a worker does: one job after another, with the networks of the first.

A result is recorded in the cache when it is there, with what it was made from, so that the same
jobs given again do only what is not done.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .. import __version__
from ..api import (
    comparison_of,
    default_output,
    edit_video,
    networks_for,
    prepare,
    source_id_of,
    timeline_of,
)
from ..bundles import load_bundle
from ..bundles.manifest import MANIFEST_FILE
from ..errors import Interrupted, StorageError, VideditError, explained
from ..files import measure, write_atomically
from ..media.source import check_source
from ..models.networks import Networks
from ..pipeline.hands import Hands, Piece
from ..pipeline.progress import Progress
from ..pipeline.runner import open_contexts
from ..pipeline.stage import Context, Stage
from ..pipeline.store import Store
from ..pipeline.stored import ChunkDamaged
from ..pipeline.tally import Expected
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
        comparison: the file that shows the result beside the source, if one was asked for.
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
    comparison: str = ""


@dataclass(frozen=True)
class FilmPiece:
    """A chunk of a run to make, for a worker that has not got the run.

    Attributes:
        run: the settings of the run.
        piece: the chunk.
    """

    run: RunSettings
    piece: Piece


@dataclass(frozen=True)
class Made:
    """What became of a :class:`FilmPiece`: it was made, if nothing is said.

    Attributes:
        damaged: stage, chunk and problem of an input that is not what was written.
        message, remedy, exit_code: what went wrong.
    """

    damaged: tuple[str, str, str] | None = None
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
        hands: gives, for the settings of a run, who makes its chunks; by itself, if not said.
    """

    cache: Path | None = None
    overwrite: bool = False
    hands: Callable[[RunSettings], Hands] | None = None
    _networks: dict[tuple[str, ...], Networks] = field(default_factory=dict)
    _film: _Film | None = None

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
                compared = comparison_of(asked, target)
                written = [target] if compared is None else [target, compared]
                done = _done_before(written, made_from, store)
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
                    hands=self.hands,
                )
                outcome = Outcome(
                    DONE,
                    str(target),
                    round(result.seconds, 3),
                    result.frames,
                    len(result.edited),
                    result.notes,
                    comparison=str(compared or ""),
                )
                _record(written, made_from, store, outcome)
                return outcome
        except OSError as error:
            text = f"{target.parent} cannot be written ({error.strerror})"
            return failure(target, StorageError(text, "Choose another folder."))
        except Exception as error:  # also the tool's own fault: the others go on
            return failure(target, explained(error, "Edit it alone with --debug."))

    def make(self, asked: FilmPiece, progress: Progress, stop: threading.Event) -> Made:
        """Make a chunk of a run that somebody else has in hand and commits.

        Args:
            progress: told how it goes. The same object, and the same ``stop``, for all chunks of
                a run.
            stop: set it to stop where the stage allows it.
        """
        piece = asked.piece
        try:
            if not piece.folder.is_dir():
                raise StorageError(
                    f"a worker does not see {piece.folder}",
                    "Give a --cache that is on a path shared by all nodes.",
                )
            if self._film is None or self._film.run != asked.run:
                self.leave_film()
                networks = self._shared(asked.run, progress)
                self._film = _Film(asked.run, self.cache, networks, progress, stop)
            with progress:
                self._film.make(piece, progress)
            return Made()
        except ChunkDamaged as damage:
            assert self._film is not None
            self._film.look_again()
            return Made((damage.artifact.stage, damage.chunk, damage.problem))
        except Exception as error:
            said = explained(error, "Edit it alone with --debug.")
            return Made(message=said.message, remedy=said.remedy, exit_code=said.exit_code)

    def leave_film(self) -> None:
        """Let go of the run whose chunks were made."""
        if self._film is not None:
            self._film.close()
        self._film = None

    def _shared(self, asked: RunSettings, progress: Progress) -> Networks:
        key = (asked.bundle, asked.device, asked.precision, asked.backend)
        if key not in self._networks:
            self._networks[key] = networks_for(asked, progress)
        return self._networks[key]


class _Film:
    """A run of somebody else's: its chain, set up as it is there."""

    def __init__(
        self,
        run: RunSettings,
        cache: Path | None,
        networks: Networks,
        progress: Progress,
        stop: threading.Event,
    ) -> None:
        self.run = run
        with ExitStack() as stack:
            store = stack.enter_context(Store(cache))
            resources, stages = prepare(run, store, progress, networks)
            stack.enter_context(resources)
            source = resources.timeline.content_id
            self._contexts = open_contexts(stages, store, source, progress=progress, stop=stop)
            self._stages: dict[str, Stage] = {stage.name: stage for stage in stages}
            self._at: Context | None = None
            self._kept = stack.pop_all()

    def make(self, piece: Piece, progress: Progress) -> None:
        """Make a chunk.

        Raises:
            ChunkDamaged: an input is not what was written.
            VideditError: whatever the stage raises, or it is another run here.
        """
        stage, context = self._stages[piece.stage], self._contexts[piece.stage]
        if context.own.key != piece.key:
            raise VideditError(
                f"a worker would make {piece.stage} in another way: it has other weights, another "
                "version, or another device",
                "Install the same everywhere, and say --device and --precision.",
            )
        if context is not self._at:
            self.look_again()
            self._at = context
        units = stage.work(context, piece.chunk)
        progress.plan([Expected(stage.name, stage.unit, stage.cost)])
        progress.begin(stage.name, units, 0)
        if piece.chunk.name == context.own.whole:
            progress.finishing(stage.name)
            stage.finish(context, piece.folder)
        else:
            progress.chunk(stage.name, units)
            stage.run_chunk(context, piece.chunk, piece.folder)
        progress.end(stage.name)

    def look_again(self) -> None:
        """See what others did in the store since."""
        if self._at is not None:
            self._at.forget()
        for context in self._contexts.values():
            context.own.reload()

    def close(self) -> None:
        """Let go of it."""
        self.look_again()
        self._kept.close()


def _done_before(written: list[Path], made_from: dict[str, Any], store: Store) -> Outcome | None:
    """The outcome of the same job, if its files, the result first, are still there as they were
    written."""
    try:
        record = json.loads(_entry(store, written[0]).read_bytes())
        if (
            record["files"] != [_stamp(path) for path in written]
            or record["made_from"] != made_from
        ):
            return None
        notes = tuple(record["outcome"].pop("notes"))
        return Outcome(**record["outcome"] | {"state": SKIPPED, "notes": notes})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(written: list[Path], made_from: dict[str, Any], store: Store, outcome: Outcome) -> None:
    # Without it the result is made again, from what is kept.
    with suppress(OSError, StorageError):
        stamps = [_stamp(path) for path in written]
        kept = {"files": stamps, "made_from": made_from, "outcome": asdict(outcome)}
        path = _entry(store, written[0])
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
    for person in asked.people:
        if person.is_file():
            files[f"face {person}"] = measure(person)[1]
    return {
        "source": source_id_of(asked.source, store),
        "settings": plain,
        "files": files,
        "bundle": measure(load_bundle(asked.bundle).manifest.folder / MANIFEST_FILE)[1],
        "version": __version__,
    }
