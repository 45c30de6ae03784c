"""Workers that are actors of a Ray cluster (the extra ``ray``)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from .. import __version__
from ..device import THREADS
from ..errors import InputError, UsageError
from ..pipeline.progress import Progress
from ..pipeline.tally import Standing
from .crew import Seat, WorkerDied
from .jobs import Job
from .work import FilmPiece, Made, Outcome, Worker

_EVERY_S = 1.0
_START_S = 300.0
"""Seconds that an actor may take to be there: nodes may have to be started."""


class BatchActor:
    """What runs on the cluster: a worker, and where its job stands.

    Args:
        worker: as it begins.
        version: of who asks.
    """

    def __init__(self, worker: Worker, version: str) -> None:
        if version != __version__:
            raise UsageError(
                f"a node has videdit {__version__}, this is {version}", "Install the same."
            )
        self._worker = worker
        self._progress = _Noting()
        self._stop = threading.Event()

    def ready(self) -> bool:
        """Whether it is there."""
        return True

    def do(self, job: Job) -> Outcome:
        """Do a job."""
        self._worker.leave_film()
        self._progress = _Noting()
        return self._worker.do(job, self._progress, self._stop)

    def make(self, piece: FilmPiece) -> Made:
        """Make a chunk of a run."""
        return self._worker.make(piece, self._progress, self._stop)

    def standing(self) -> tuple[Standing, list[str]]:
        """Where the job stands, and what was noted since the last call."""
        return self._progress.standing(), self._progress.taken()

    def stop(self) -> None:
        """Let the chunk in flight be finished."""
        self._stop.set()


class _Noting(Progress):
    """Keeps notes until they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        with self._lock:
            self._notes.append(text)

    def taken(self) -> list[str]:
        with self._lock:
            notes, self._notes = self._notes, []
        return notes


class RaySeat:
    """A seat (:class:`videdit.batch.crew.Seat`) whose worker is an actor.

    Args:
        ray: the library.
        worker: as it begins.
        needs: of Ray's ``options``: what the actor needs of a node.
    """

    def __init__(self, ray: Any, worker: Worker, needs: dict[str, Any]) -> None:
        self._ray, self._worker, self._needs = ray, worker, needs
        self._actor: Any = None
        self._stopped = False

    def do(
        self, job: Job, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Outcome:
        outcome = self._ask("do", job, moved, noted)
        assert isinstance(outcome, Outcome)
        return outcome

    def make(
        self, piece: FilmPiece, moved: Callable[[Standing], None], noted: Callable[[str], None]
    ) -> Made:
        made = self._ask("make", piece, moved, noted)
        assert isinstance(made, Made)
        return made

    def _ask(
        self,
        what: str,
        asked: Job | FilmPiece,
        moved: Callable[[Standing], None],
        noted: Callable[[str], None],
    ) -> object:
        ray = self._ray
        try:
            if self._actor is None:
                self._begin()
            waiting = getattr(self._actor, what).remote(asked)
            while True:
                done, _ = ray.wait([waiting], timeout=_EVERY_S)
                standing, notes = ray.get(self._actor.standing.remote())
                for note in notes:
                    noted(note)
                if done:
                    return ray.get(waiting)
                moved(standing)
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError) as error:
            self.close()
            lines = str(error).strip().splitlines()
            raise WorkerDied(lines[0] if lines else type(error).__name__) from None

    def stop(self) -> None:
        actor = self._actor
        if actor is None:
            return
        if self._stopped:
            self.close()
        self._stopped = True
        with suppress(self._ray.exceptions.RayError):
            actor.stop.remote()

    def close(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.kill(actor)

    def _begin(self) -> None:
        # Two calls at once: a job, and where it stands.
        made = self._ray.remote(BatchActor).options(max_concurrency=3, **self._needs)
        actor = made.remote(self._worker, __version__)
        self._actor = actor
        try:
            self._ray.get(actor.ready.remote(), timeout=_START_S)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UsageError):
                raise error.cause from None
            raise


@contextmanager
def ray_seats(
    address: str, worker: Worker, workers: int | None
) -> Iterator[list[Callable[[], Seat]]]:
    """Seats on a cluster, which is left when the block ends.

    Args:
        address: Ray's (``auto``, ``host:port``, ``ray://host:port``), or ``local`` for a cluster of
            this machine that ends with the block.
        worker: as each begins. Its cache has to be a folder that every node reaches under the same
            name, or one of each node's own.
        workers: how many; if not said, one for every GPU of a node, or one for a node without.

    Raises:
        UsageError: Ray isn't installed.
        InputError: there is no such cluster.
    """
    try:
        ray: Any = import_module("ray")  # whose types say nothing
    except ImportError as error:
        raise UsageError(
            "Ray is not installed", "Install videdit with the extra ray: pip install '.[ray]'."
        ) from error
    options = {"include_dashboard": False} if address == "local" else {"address": address}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"there is no Ray cluster at {address}: {' '.join(str(error).split())[:200]}",
            "Start one with `ray start --head`, or check the address.",
        ) from error
    try:
        yield [_seat(ray, worker, needs) for needs in _needs(ray.nodes(), workers)]
    finally:
        ray.shutdown()


def _seat(ray: Any, worker: Worker, needs: dict[str, Any]) -> Callable[[], Seat]:
    return lambda: RaySeat(ray, worker, needs)


def _needs(nodes: list[dict[str, Any]], workers: int | None) -> list[dict[str, Any]]:
    """What each worker needs: shares of what the nodes have.

    Args:
        nodes: as ``ray.nodes()`` tells.
        workers: how many in all, or None for one per GPU or node.
    """
    there = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    found: list[dict[str, Any]] = []
    for has in there:
        gpus = int(has.get("GPU", 0))
        share = max(1, int(has["CPU"]) // max(1, gpus))
        one = _need(share) | ({"num_gpus": 1} if gpus else {})
        found += [one] * max(1, gpus)
    if workers is None or workers == len(found):
        return found
    total = sum(int(has["CPU"]) for has in there)
    return [_need(max(1, total // workers))] * workers


def _need(cpus: int) -> dict[str, Any]:
    variables = {
        THREADS: str(cpus),
        "OMP_NUM_THREADS": str(cpus),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return {"num_cpus": cpus, "runtime_env": {"env_vars": variables}}
