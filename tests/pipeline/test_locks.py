"""One writer at a time, whoever dies."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.pipeline.helpers import again, fill
from videdit.errors import Interrupted
from videdit.pipeline import locks
from videdit.pipeline.stage import Chunk
from videdit.pipeline.store import Store


def test_one_writer_at_a_time(store: Store) -> None:
    artifact = fill(store)
    other = again(store, artifact)
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with other.lock(said.append):
            order.append("second")

    with artifact.lock():
        thread = threading.Thread(target=second)
        thread.start()
        limit = time.monotonic() + 10
        while not said and time.monotonic() < limit:
            time.sleep(0.01)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert len(said) == 1
    assert f"process {os.getpid()} on " in said[0]


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_the_wait_for_a_lock_can_be_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(locks.KIND, kind)
    artifact = fill(store)
    with (
        artifact.lock(),
        pytest.raises(Interrupted),
        again(store, artifact).lock(stopping=lambda: True),
    ):
        pass


def test_two_threads_share_one_artifact(store: Store) -> None:
    artifact = store.open("s1", "codes", "k1")
    chunks = [Chunk(f"c{i}", i, i + 1) for i in range(12)]

    def work(mine: list[Chunk]) -> None:
        for chunk in mine:
            with artifact.commit(chunk) as folder:
                (folder / "x").write_text(chunk.name)

    threads = [threading.Thread(target=work, args=(chunks[i::3],)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(again(store, artifact).done(chunk.name) for chunk in chunks)


def test_a_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    """A library may fork while a lock is held, and a child's copy would hold it as well."""
    code = """
        import os, sys, time
        from pathlib import Path
        from videdit.pipeline import locks
        held = [locks.acquire(Path(sys.argv[1])), locks.acquire(Path(sys.argv[2]), shared=True)]
        if os.fork() == 0:
            print("forked", flush=True)
            sys.stdin.read()  # until the test lets it go
        else:
            time.sleep(60)
    """
    paths = [tmp_path / "a.lock", tmp_path / "b.lock"]
    words = [sys.executable, "-c", textwrap.dedent(code), *map(str, paths)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "forked\n"
        assert [locks.try_acquire(path) for path in paths] == [None, None]
        parent.kill()
        parent.wait()
        taken = [locks.try_acquire(path) for path in paths]
        assert None not in taken
        for lock in taken:
            lock.release()
