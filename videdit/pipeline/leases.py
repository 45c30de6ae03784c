"""Locks that are files with a heartbeat, for shared folders whose ``flock`` cannot be trusted.

The holder of a lock on ``path`` has a file ``path.lease`` with its name and host, and renews its
time every few seconds; those that share one have a file ``path.reader-ID`` each. One whose time has
not been renewed for long belongs to a dead process, and is taken over. Ages are told by the file
system's clock alone: that of a file that was just written.

A process that is halted for long (a suspended machine) may so lose a lock that it believes to hold.
Here that costs work done twice, nothing else: chunks are written under names of their own and
renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path

BEAT_S = 5.0
STALE_S = 30.0
"""Seconds between heartbeats, and after which a lease without one is its holder's no more."""


class Lease:
    """One held lock; made by :func:`try_acquire`, ended with :meth:`release`.

    Args:
        path: the lease's own file.
        owner: the id in it.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self._owner = path, owner
        self._over = threading.Event()
        self._process = os.getpid()
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._beating.start()

    def release(self) -> None:
        """Frees the lock; harmless when done twice, or in a forked child, whose it is not."""
        if self._process != os.getpid() or self._over.is_set():
            return
        self._over.set()
        self._beating.join()
        if _owner(self.path) == self._owner:
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            if _owner(self.path) != self._owner:
                return  # taken over, or removed with its folder
            with contextlib.suppress(OSError):
                os.utime(self.path)


def try_acquire(path: Path, *, shared: bool = False) -> Lease | None:
    """Takes the lock on ``path``, whose folder must exist.

    Returns:
        The lock, or None when another holder is in the way.

    Raises:
        OSError: its file cannot be made.
    """
    owner = uuid.uuid4().hex
    if shared:
        mine = path.with_name(f"{path.name}.reader-{owner}")
        _write(mine, owner)
        lease = lease_of(path)
        if _fresh(lease, mine.stat().st_mtime):
            mine.unlink(missing_ok=True)
            return None
        return Lease(mine, owner)
    lease = lease_of(path)
    try:
        _write(lease, owner)
    except FileExistsError:
        if not _take_over(lease, owner):
            return None
    now = lease.stat().st_mtime
    for reader in path.parent.glob(f"{path.name}.reader-*"):
        if _fresh(reader, now):
            lease.unlink(missing_ok=True)
            return None
        reader.unlink(missing_ok=True)
    return Lease(lease, owner)


def signature() -> dict[str, int | str]:
    """Who has a lock: this process, its host, and the time."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%H:%M:%S"),
    }


def lease_of(path: Path) -> Path:
    """The file that holds who has the lock on ``path``."""
    return path.with_name(f"{path.name}.lease")


def _take_over(lease: Path, owner: str) -> bool:
    """Whether a dead holder's lease could be taken over. Of several that try, the one does it whose
    mark, named after the dead one, is there first."""
    temporary = lease.with_name(f"{lease.name}.new-{owner}")
    _write(temporary, owner)
    try:
        now = temporary.stat().st_mtime
        dead = _owner(lease)
        if dead is None or _fresh(lease, now):
            return False
        mark = lease.with_name(f"{lease.name}.after-{dead or 'nobody'}")
        try:
            _write(mark, owner)
        except FileExistsError:
            if not _fresh(mark, now):  # whoever made it died over it
                mark.unlink(missing_ok=True)
            return False
        try:
            if _owner(lease) != dead or _fresh(lease, now):
                return False
            os.replace(temporary, lease)
            return True
        finally:
            mark.unlink(missing_ok=True)
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, owner: str) -> None:
    """Makes a file that must not be there."""
    signed = {"owner": owner, **signature()}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, json.dumps(signed).encode())
    finally:
        os.close(descriptor)


def _owner(path: Path) -> str | None:
    """Whose lease it is; empty where that is not (yet) written, None where there is none."""
    try:
        return str(json.loads(path.read_bytes())["owner"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _fresh(path: Path, now: float) -> bool:
    """Whether a lease is there and its holder has lately been alive."""
    try:
        return now - path.stat().st_mtime < STALE_S
    except OSError:
        return False
