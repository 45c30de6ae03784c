"""Runs a chain of stages so that nothing done is lost or done twice.

The runner begins at the last stages and works only on what is missing: a complete artifact needs
none of its inputs, so those may have been pruned. A chunk counts once the store has committed it;
a run killed anywhere goes on after its last commit.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from videdit.errors import Interrupted, StorageError
from videdit.pipeline.hands import DamageMet, HandLost, Hands, Piece
from videdit.pipeline.progress import Progress, note_from_handler
from videdit.pipeline.records import Chunk
from videdit.pipeline.stage import Artifact, Context, Stage, interrupted, stage_key
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged
from videdit.pipeline.tally import Expected

REMAKES = 3
"""How often one chunk is made anew in one run before the disk is given up."""

T = TypeVar("T")


@dataclass
class StageReport:
    """What a run did for one stage.

    Attributes:
        seconds: time spent on it in this run.
        chunks_done: chunks made in this run, ``whole`` included.
        chunks_reused: chunks that were there already.
        chunks_remade: of ``chunks_done``, those made because what was there was damaged.
    """

    seconds: float = 0.0
    chunks_done: int = 0
    chunks_reused: int = 0
    chunks_remade: int = 0


@dataclass
class RunReport:
    """What a run did, and where its artifacts are, by stage name in the order of the chain."""

    stages: dict[str, StageReport] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    seconds: float = 0.0


def open_contexts(
    stages: Sequence[Stage],
    store: Store,
    source_id: str,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> dict[str, Context]:
    """The context of each stage, its key resolved; runs nothing and writes nothing.

    Args:
        stages: in an order in which each stage comes after those it takes.

    Raises:
        ValueError: they are not in such an order, or two have one name.
    """
    contexts: dict[str, Context] = {}
    keys: dict[str, str] = {}
    for stage in stages:
        missing = [name for name in stage.takes if name not in contexts]
        if missing or stage.name in contexts:
            raise ValueError(f"stage {stage.name} is there twice or comes before {missing}")
        keys[stage.name], meta = stage_key(stage, keys)
        own = store.open(source_id, stage.name, keys[stage.name], meta, stage.plan())
        inputs = {name: contexts[name].own for name in stage.takes}
        contexts[stage.name] = Context(own, inputs, progress, stop)
    return contexts


def run(
    stages: Sequence[Stage],
    store: Store,
    source_id: str,
    source: Path,
    *,
    targets: Sequence[str] = (),
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    hands: Hands | None = None,
    check: Callable[[], None] = lambda: None,
) -> RunReport:
    """Brings stages to completion, with all that this needs.

    The artifacts of these stages are complete and verified when it returns; others, that they were
    made from, may have been pruned.

    SIGINT and SIGTERM (in the main thread) and ``stop`` let the chunk in flight finish; a second
    signal ends at once. Either way the same call goes on from there.

    Args:
        stages: in an order in which each stage comes after those it takes.
        source_id: the source's content id.
        source: where the source is, for `videdit cache ls`.
        targets: names of the stages whose artifacts the caller reads; by default those that no
            other takes.
        progress: told how it goes; entered and left by the caller.
        stop: set it to stop the run from another thread.
        hands: make the chunks, several at a time where a stage's can be made apart; the result is
            the same.
        check: called before a chunk is committed; raises where it must not be: the source is not
            what it was.

    Raises:
        Interrupted: stopped by a signal or by ``stop``.
        StorageError: the cache cannot be written, or damages what is written.
        VideditError: whatever a stage raises.
    """
    wanted = set(targets) or last_of(stages)
    shown = progress or Progress()
    return _Runner(stages, store, source_id, source, wanted, shown, stop, hands, check).run()


def last_of(stages: Sequence[Stage]) -> set[str]:
    """The names of those that no other takes."""
    taken = {name for stage in stages for name in stage.takes}
    return {stage.name for stage in stages} - taken


def needed(
    stages: Sequence[Stage], artifacts: Mapping[str, Artifact], targets: Collection[str]
) -> set[str]:
    """The stages with work to do: targets that are not complete on the disk now, and what those
    need.

    Args:
        artifacts: by stage.
        targets: names of stages.
    """
    found: set[str] = set()
    wanted = set(targets)
    for stage in reversed(stages):
        if stage.name in wanted and not _complete(artifacts[stage.name]):
            found.add(stage.name)
            wanted.update(stage.takes)
    return found


def _complete(artifact: Artifact) -> bool:
    """Whether an artifact is complete on the disk now."""
    artifact.reload()
    return artifact.complete


class _StopNow(BaseException):
    """A second signal. Not an Exception, so that no library swallows it."""


class _Runner:
    def __init__(
        self,
        stages: Sequence[Stage],
        store: Store,
        source_id: str,
        source: Path,
        targets: set[str],
        progress: Progress,
        stop: threading.Event | None,
        hands: Hands | None,
        check: Callable[[], None],
    ) -> None:
        self.targets = targets
        self.store = store
        self.source_id = source_id
        self.source = source
        self.progress = progress
        self.hands = hands
        self.check = check
        self.stop = stop or threading.Event()
        self.stages = {stage.name: stage for stage in stages}
        self.contexts = open_contexts(stages, store, source_id, progress=progress, stop=self.stop)
        self.artifacts = {name: context.own for name, context in self.contexts.items()}
        self.report = RunReport({name: StageReport() for name in self.stages}, self.artifacts)
        self.remakes: Counter[tuple[str, str]] = Counter()
        self.in_hand: dict[str, list[Chunk]] = {}  # chunks of the stages being made, innermost last
        self.reused: list[str] = []  # stages that the user was told are reused
        self.where = ""

    def run(self) -> RunReport:
        began = time.monotonic()
        try:
            with self._signals():
                self.store.note_source(self.source_id, self.source)
                with self.progress.doing("looking at what is kept"):
                    missing = needed(list(self.stages.values()), self.artifacts, self.targets)
                self.reused = [name for name in self.stages if name not in missing]
                self.progress.plan([_expected(s) for s in self.stages.values()], self.reused)
                for name in self.reused:
                    self._reuse(name)
                for name in self.stages:
                    if name in missing:
                        self._ensure(name)
                # What the targets left is read after the run, where nobody could make a damaged
                # chunk anew.
                for name in self.stages:
                    if name in self.targets:
                        with self.progress.doing(f"checking what {name} left"):
                            self._retrying(self.contexts[name].own.check)
        except _StopNow:
            raise interrupted(self.where) from None
        self.report.seconds = time.monotonic() - began
        return self.report

    # --- stages ----------------------------------------------------------------------------------

    def _ensure(self, name: str) -> None:
        """Makes the artifact of a stage complete."""
        stage, context = self.stages[name], self.contexts[name]
        if _complete(self.artifacts[name]):
            self._reuse(name)
            return
        for taken in stage.takes:
            self._ensure(taken)
        self._check_stop()
        self.where = name
        with context.own.lock(self.progress.note, self.stop.is_set):
            if _complete(self.artifacts[name]):  # another process made it while this one waited
                self._reuse(name)
            else:
                self._make(stage, context)

    def _reuse(self, name: str) -> None:
        artifact, report = self.contexts[name].own, self.report.stages[name]
        artifact.touch()
        if not report.chunks_done:
            report.chunks_reused = artifact.count
            if name not in self.reused:
                self.reused.append(name)
                self.progress.end(name, reused=True)

    def _make(self, stage: Stage, context: Context) -> None:
        name, artifact, report = stage.name, context.own, self.report.stages[stage.name]
        began = time.monotonic()
        chunks = list(self._retrying(lambda: stage.chunks(context)))
        names = [chunk.name for chunk in chunks]
        if len(set(names)) != len(names) or artifact.whole in names:
            raise ValueError(
                f"stage {name} has chunks of the same name, or one called {artifact.whole}"
            )
        plan = [*chunks, _whole(artifact.whole, chunks)] if stage.has_whole else chunks
        missing = [chunk for chunk in plan if not artifact.holds(chunk)]
        work = self._retrying(lambda: {chunk.name: stage.work(context, chunk) for chunk in chunks})
        total = sum(work.values())
        to_make = sum(work.get(chunk.name, 0) for chunk in missing)
        report.chunks_reused = len(plan) - len(missing)
        self.progress.begin(name, total, total - to_make)
        self.in_hand[name] = chunks
        try:
            if self.hands is not None and stage.apart:
                self._make_apart(stage, context, [c for c in missing if c.name != artifact.whole])
                missing = [chunk for chunk in missing if chunk.name == artifact.whole]
            for chunk in missing:
                self._check_stop()
                self.where = name
                self._make_chunk(stage, context, chunk)
            artifact.finish(plan)
        finally:
            del self.in_hand[name]
            context.forget()
            report.seconds += time.monotonic() - began
        self.progress.end(name)

    def _make_chunk(self, stage: Stage, context: Context, chunk: Chunk) -> None:
        last = chunk.name == context.own.whole

        def attempt() -> None:
            if last:
                self.progress.finishing(stage.name)
            else:
                self.progress.chunk(stage.name, stage.work(context, chunk))
            with context.own.commit(chunk) as folder:
                if self.hands is not None:
                    self._hand_over(context, chunk, folder)
                elif last:
                    stage.finish(context, folder)
                else:
                    stage.run_chunk(context, chunk, folder)
                self.check()

        self._retrying(attempt)
        self.report.stages[stage.name].chunks_done += 1
        if not last:
            self.progress.chunk_end(stage.name)

    # --- hands -----------------------------------------------------------------------------------

    def _hand_over(self, context: Context, chunk: Chunk, folder: Path) -> None:
        """Has a hand make a chunk, and waits for it."""
        assert self.hands is not None
        counted = 0

        def made(units: int) -> None:
            nonlocal counted
            context.tick(units - counted)
            counted = units

        self.hands.make(Piece(context.own.stage, context.own.key, chunk, folder), made)

    def _make_apart(self, stage: Stage, context: Context, chunks: Sequence[Chunk]) -> None:
        """Has the hands make chunks, as many at a time as there are hands. What goes wrong with one
        is raised when those in flight are committed."""
        assert self.hands is not None
        hands, artifact = self.hands, context.own
        left = deque(chunks)
        flying: dict[Future[None], tuple[Chunk, ExitStack]] = {}
        failed: Exception | None = None
        with ThreadPoolExecutor(hands.count, "hand") as pool:
            while flying or (left and failed is None):
                while left and failed is None and len(flying) < hands.count:
                    if self.stop.is_set():
                        failed = interrupted(self.where)
                        break
                    chunk, commit = left.popleft(), ExitStack()
                    try:
                        folder = commit.enter_context(artifact.commit(chunk))
                    except StorageError as error:
                        failed = error
                        break
                    piece = Piece(artifact.stage, artifact.key, chunk, folder)
                    flying[pool.submit(hands.make, piece, lambda _: None)] = chunk, commit
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    chunk, commit = flying.pop(future)
                    try:
                        with commit:  # what the hand met is what its commit ends with
                            future.result()
                            self.check()
                    except HandLost:
                        left.appendleft(chunk)
                    except DamageMet as damage:
                        left.appendleft(chunk)
                        try:
                            self._remake(self._found(damage))
                        except Exception as error:
                            failed = failed or error
                    except Exception as error:
                        failed = failed or error
                    else:
                        self.progress.chunk(stage.name, stage.work(context, chunk))
                        self.progress.chunk_end(stage.name)
                        self.report.stages[stage.name].chunks_done += 1
        if failed is not None:
            raise failed

    def _found(self, damage: DamageMet) -> ChunkDamaged:
        """What a hand met, as if it had been met here."""
        return ChunkDamaged(self.contexts[damage.stage].own, damage.chunk, damage.problem)

    # --- damage ----------------------------------------------------------------------------------

    def _retrying(self, work: Callable[[], T]) -> T:
        """``work()``, begun again after each damaged chunk that it met was made anew."""
        while True:
            try:
                return work()
            except ChunkDamaged as damage:
                self._remake(damage)
            except DamageMet as met:
                self._remake(self._found(met))
            except HandLost:
                self._check_stop()
            except Exception as error:
                # Ctrl-C reaches child processes (ffmpeg) as well: what failed after it most likely
                # failed because of it.
                if self.stop.is_set() and not isinstance(error, Interrupted):
                    raise interrupted(self.where) from error
                self.check()  # what failed most likely failed because of that
                raise

    def _remake(self, damage: ChunkDamaged) -> None:
        """Makes a damaged chunk anew, with the stage that owns it and, if need be, its inputs."""
        name = damage.artifact.stage
        artifact = self.report.artifacts.get(name)
        if artifact is None or artifact is not damage.artifact:
            raise damage
        own = {chunk.name: chunk for chunk in self.in_hand.get(name, ())}
        if name in self.in_hand and damage.chunk not in own:
            raise damage  # a stage asks itself for what it does not make
        self.remakes[name, damage.chunk] += 1
        if self.remakes[name, damage.chunk] > REMAKES:
            raise StorageError(
                f"{name}: chunk {damage.chunk} was made anew {REMAKES} times and is damaged again: "
                f"{damage.problem}",
                "Check the disk, or choose another cache folder with VIDEDIT_CACHE.",
            ) from damage
        self._check_stop()
        with artifact.lock(self.progress.note, self.stop.is_set):
            if artifact.problem(damage.chunk) is None:
                return  # another process was faster
            self.progress.note(
                f"{name}: chunk {damage.chunk} is damaged ({damage.problem}), it is made anew"
            )
            artifact.drop(damage.chunk)
            self.report.stages[name].chunks_remade += 1
            if name in self.in_hand:
                self._make_chunk(self.stages[name], self.contexts[name], own[damage.chunk])
            else:
                self._ensure(name)

    # --- stopping --------------------------------------------------------------------------------

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise interrupted(self.where)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM asks to stop, the second stops; before and after as found."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            found = signal.getsignal(number)
            if found is not signal.SIG_IGN:  # nohup and the like: left as the user wants it
                before[number] = signal.SIG_DFL if found is None else found

        def handle(number: int, _: FrameType | None) -> None:
            if self.stop.is_set():
                for each in before:
                    signal.signal(each, signal.SIG_DFL)  # a third one kills
                raise _StopNow
            self.stop.set()
            note_from_handler(
                self.progress.note,
                "stopping when the chunk in flight is done; the same again stops at once",
            )

        try:
            for number in before:
                signal.signal(number, handle)
            yield
        finally:
            for number, found in before.items():
                signal.signal(number, found)


def _expected(stage: Stage) -> Expected:
    return Expected(stage.name, stage.unit, stage.cost, stage.expected(), stage.finishing)


def _whole(name: str, chunks: Sequence[Chunk]) -> Chunk:
    start = min((chunk.start for chunk in chunks), default=0)
    return Chunk(name, start, max((chunk.stop for chunk in chunks), default=start))
