"""Locks by heartbeat: one holder, whoever dies, whatever the clocks say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from videdit.errors import UsageError
from videdit.pipeline import leases, locks


@pytest.fixture(autouse=True)
def by_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locks.KIND, "lease")
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    monkeypatch.setattr(leases, "STALE_S", 2.0)  # a busy machine is late


def test_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = locks.try_acquire(path)
    assert first is not None
    assert locks.try_acquire(path) is None
    assert locks.try_acquire(path, shared=True) is None
    time.sleep(2.6)  # longer than a lease lasts: it is renewed
    assert locks.try_acquire(path) is None
    assert locks.holder(path).startswith(f"process {os.getpid()} on ")
    first.release()
    first.release()
    again_ = locks.try_acquire(path)
    assert again_ is not None
    again_.release()
    assert list(tmp_path.iterdir()) == []


def test_readers_share_and_keep_a_writer_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    readers = [locks.try_acquire(path, shared=True) for _ in range(2)]
    assert None not in readers
    assert locks.try_acquire(path) is None
    for reader in readers:
        assert reader is not None
        reader.release()
    writer = locks.try_acquire(path)
    assert writer is not None
    writer.release()


def hold_elsewhere(path: Path, shared: bool = False) -> subprocess.Popen[str]:
    """Another process that takes the lock and keeps it until it is killed."""
    code = f"""
        import time
        from pathlib import Path
        from videdit.pipeline import leases, locks
        leases.BEAT_S = 0.05
        assert locks.try_acquire(Path({str(path)!r}), shared={shared}) is not None
        print("held", flush=True)
        time.sleep(600)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("shared", [False, True])
def test_a_dead_holders_lease_is_taken_over(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "lock"
    process = hold_elsewhere(path, shared)
    try:
        assert locks.try_acquire(path) is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    held = locks.acquire(path, stopping=deadline(10))
    held.release()
    assert list(tmp_path.iterdir()) == []


def deadline(seconds: float):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_a_dead_one_is_taken_over_by_one_of_many(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = hold_elsewhere(path)
    process.kill()
    process.communicate()
    time.sleep(2.3)
    taken: list[locks.Held] = []

    def try_once() -> None:
        held = locks.try_acquire(path)
        if held is not None:
            taken.append(held)

    threads = [threading.Thread(target=try_once) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    taken[0].release()


def test_many_threads_never_hold_it_together(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    inside, worst, turns = 0, 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, worst, turns
        for _ in range(5):
            held = locks.acquire(path, stopping=deadline(30))
            with count:
                inside += 1
                worst = max(worst, inside)
                turns += 1
            time.sleep(0.002)
            with count:
                inside -= 1
            held.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (worst, turns) == (1, 20)


def test_one_that_was_taken_over_is_not_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = locks.try_acquire(path)
    assert held is not None
    lease = leases.lease_of(path)
    lease.write_text('{"owner": "another"}')
    held.release()
    assert lease.exists()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_lease_ends_as_others_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    leases.lease_of(path).write_text(text)
    assert locks.try_acquire(path) is None
    old = time.time() - 60
    os.utime(leases.lease_of(path), (old, old))
    held = locks.try_acquire(path)
    assert held is not None
    held.release()


def test_a_mark_whose_maker_died_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lease = leases.lease_of(path)
    lease.write_text('{"owner": "dead"}')
    mark = lease.with_name(f"{lease.name}.after-dead")
    mark.write_text("{}")
    old = time.time() - 60
    for each in (lease, mark):
        os.utime(each, (old, old))
    held = locks.acquire(path, stopping=deadline(10))
    held.release()


def test_an_unknown_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locks.KIND, "nfs")
    with pytest.raises(UsageError, match="VIDEDIT_LOCKS is 'nfs'"):
        locks.try_acquire(tmp_path / "lock")
