"""Advisory file locks between processes (POSIX ``flock``), with a name for who holds them.

The kernel frees such a lock when its holder dies, however it dies, so a killed run never leaves one
behind. Where ``$VIDEDIT_LOCKS`` is ``lease`` they are files with a heartbeat instead, see
:mod:`videdit.pipeline.leases`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from videdit.errors import Interrupted, StorageError, UsageError
from videdit.pipeline import leases

try:
    import fcntl
except ImportError as error:
    raise ImportError(
        "videdit needs the file locks of a POSIX system (Linux, macOS); use WSL or Docker"
    ) from error

_POLL_S = 0.1
KIND = "VIDEDIT_LOCKS"
"""Environment variable: ``flock`` (if not said) or ``lease``."""


class Held(Protocol):
    """A lock that this process has."""

    def release(self) -> None:
        """Frees the lock; harmless when done twice."""


class FileLock:
    """One held lock; make it with :func:`acquire`, end it with :meth:`release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Frees the lock; harmless when done twice."""
        _held.discard(self)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_held: set[FileLock] = set()


def _let_go() -> None:
    """A forked child has copies of the descriptors, which would hold the locks after its parent's
    death; closing a copy frees nothing while the parent lives."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()


os.register_at_fork(after_in_child=_let_go)


class SharedLock:
    """A file lock that the threads of a process take in turns; the thread that has it may take it
    again."""

    def __init__(self) -> None:
        self._thread_lock = threading.RLock()
        self._depth = 0

    @contextlib.contextmanager
    def hold(
        self, take: Callable[[], Held], stopping: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Holds it for the block.

        Args:
            take: takes the file lock; called unless this thread has it already.
            stopping: asked while waiting for another thread; True ends the wait.

        Raises:
            Interrupted: ``stopping`` said so.
        """
        while not self._thread_lock.acquire(timeout=_POLL_S):
            if stopping is not None and stopping():
                raise _stopped("another thread")
        try:
            held = take() if self._depth == 0 else None
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if held is not None:
                    held.release()
        finally:
            self._thread_lock.release()


def _by_lease() -> bool:
    kind = os.environ.get(KIND) or "flock"
    if kind not in ("flock", "lease"):
        raise UsageError(f"{KIND} is {kind!r}", "Set it to flock or lease.")
    return kind == "lease"


def try_acquire(path: Path, *, shared: bool = False) -> Held | None:
    """Takes the lock on the file ``path`` (made when absent; its folder must exist).

    Returns:
        The lock, or None when another holder is in the way.

    Raises:
        OSError: the file cannot be made or opened.
        StorageError: the file system cannot lock.
        UsageError: ``$VIDEDIT_LOCKS`` is no kind of lock.
    """
    if _by_lease():
        return leases.try_acquire(path, shared=shared)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        lock = FileLock(path, descriptor)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            lock.release()
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                return None
            if error.errno == errno.EINTR:
                continue
            raise StorageError(
                f"the file system of {path.parent} cannot lock files ({error.strerror})",
                "Choose a cache folder on a local disk with VIDEDIT_CACHE.",
            ) from error
        except BaseException:
            lock.release()
            raise
        # `cache prune` removes lock files together with their folder: a lock on a file that is no
        # longer at its path guards nothing, so take the one that is there now.
        if _still_at(path, descriptor):
            break
        lock.release()
    if not shared:
        _sign(descriptor)
    return lock


def acquire(
    path: Path,
    *,
    shared: bool = False,
    waiting: Callable[[str], None] | None = None,
    stopping: Callable[[], bool] | None = None,
) -> Held:
    """Like :func:`try_acquire`, but waits for the other holder.

    Args:
        waiting: told once, in words, who is waited for.
        stopping: asked while waiting; True ends the wait.

    Raises:
        Interrupted: ``stopping`` said so.
    """
    told = False
    while True:
        lock = try_acquire(path, shared=shared)
        if lock is not None:
            return lock
        if stopping is not None and stopping():
            raise _stopped(holder(path))
        if not told and waiting is not None:
            waiting(f"waiting for {holder(path)}, which works on the same step")
        told = True
        time.sleep(_POLL_S)


def holder(path: Path) -> str:
    """Who signed the lock last, in words ("process 41 on studio3, since 12:01:17")."""
    try:
        signed = json.loads((leases.lease_of(path) if _by_lease() else path).read_text())
        return f"process {signed['pid']} on {signed['host']}, since {signed['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _stopped(waiting_for: str) -> Interrupted:
    return Interrupted(
        f"stopped while waiting for {waiting_for}", "Run the same command again to go on."
    )


def _still_at(path: Path, descriptor: int) -> bool:
    mine = os.fstat(descriptor)
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _sign(descriptor: int) -> None:
    text = json.dumps(leases.signature())
    # Only a help for people: a full disk must not stop a run that has nothing left to write.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
