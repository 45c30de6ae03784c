"""Killed anywhere, a run goes on from its last commit and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from videdit.pipeline.runner import run
from videdit.pipeline.upkeep import verify

Start = Callable[..., "subprocess.Popen[str]"]


EXPECTED = 4 * 3 + 1
"""Chunks of a whole run of the script."""


def _begun(log: Path) -> list[tuple[str, str]]:
    if not log.exists():
        return []
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(stage, chunk) for what, stage, chunk, _ in lines if what == "begin"]


def _wait_for(stream: IO[str] | None, text: str) -> str:
    """Reads lines until one holds ``text``; that one."""
    assert stream is not None
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying {text!r}")


def _let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def clean(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a run that nobody kills makes."""
    folder = tmp_path_factory.mktemp("clean")
    source = folder / "clip.mp4"
    source.write_bytes(b"not really a video")
    with toy.Store(folder / "cache") as store:
        return bytes(toy.result(run(toy.chain(toy.Asked(toy.FRAMES)), store, "s1", source)))


PLACES = (
    "begin numbers 0000000",  # nothing is there yet
    "end numbers 0000004",  # a chunk's files are written, and not committed
    "committed walk 0000004",  # between two chunks
    "begin walk 0000008",  # in a chunk that reads the one before
    "committed walk 0000008",  # the last chunk is there, the stage not complete
    "begin joined whole",  # putting all together
    "end joined whole",
)
"""Where a run is killed, in the order of the work."""


def test_sigkill_at_any_place_loses_at_most_the_chunk_in_flight(
    start: Start, tmp_path: Path, clean: bytes
) -> None:
    output, log, cache = tmp_path / "out.bin", tmp_path / "log", tmp_path / "cache"
    for place in PLACES:
        process = start(cache, output, log, "--hold", place)
        _wait_for(process.stdout, place)
        process.kill()
        _, errors = process.communicate()
        assert "Traceback" not in errors
        assert not output.exists()
    process = start(cache, output, log)
    process.communicate()
    assert process.returncode == 0
    assert output.read_bytes() == clean
    # Each chunk once, and one more for each kill in a chunk.
    begun = Counter(_begun(log))
    assert len(begun) == EXPECTED
    assert sum(begun.values()) == EXPECTED + sum(
        not place.startswith("committed") for place in PLACES
    )
    assert not list(cache.glob("*/*/*/.tmp/*"))


def _fork_and_die(work: Callable[[], object], at: int) -> bool:
    """Runs ``work`` in a child that is killed before its ``at``-th call that changes the disk.

    Returns:
        Whether it was killed; False when it was through before.
    """
    child = os.fork()
    if child == 0:
        calls = 0

        def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        for name in ("write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
            setattr(os, name, deadly(getattr(os, name)))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_before_every_single_change_of_the_disk(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A kill loses nothing that was written, so the waiting for the disk is left out here.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    runs.cache = tmp_path / "clean"
    clean = runs(frames=6)
    total = sum(map(len, runs.made.values()))
    at = 0
    while True:
        at += 1
        runs.cache = tmp_path / f"killed{at}"
        if not _fork_and_die(lambda: runs(frames=6), at):
            break
        there = len(list(runs.cache.glob("*/*/*/*/chunk.json")))
        assert runs(frames=6) == clean
        again = sum(map(len, runs.made.values()))
        assert again == total - there
        with runs.toy.Store(runs.cache) as store:
            assert verify(store) == ()
    assert at > 50


@pytest.mark.parametrize("killed", ["", "holder", "waiting"])
def test_two_processes_on_one_source(
    start: Start, tmp_path: Path, clean: bytes, killed: str
) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    outputs = [tmp_path / "a.bin", tmp_path / "b.bin"]
    holder = start(cache, outputs[0], log, "--hold", "begin walk 0000004")
    _wait_for(holder.stdout, "begin walk 0000004")
    waiting = start(cache, outputs[1], log)
    said = _wait_for(waiting.stderr, "waiting for process")
    assert f"waiting for process {holder.pid} on " in said
    both = {"holder": holder, "waiting": waiting}
    if killed:
        both[killed].kill()
        both[killed].communicate()
        del outputs[list(both).index(killed)], both[killed]
    if holder in both.values():
        _let_go(holder)
    for process in both.values():
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert [output.read_bytes() for output in outputs] == [clean] * len(both)
    begun = Counter(_begun(log))
    assert len(begun) == EXPECTED
    assert sum(begun.values()) == EXPECTED + (killed == "holder")


def test_the_wait_for_another_process_can_be_stopped(start: Start, tmp_path: Path) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    holder = start(cache, tmp_path / "a.bin", log, "--hold", "begin walk 0000004")
    _wait_for(holder.stdout, "begin walk 0000004")
    waiting = start(cache, tmp_path / "b.bin", log)
    _wait_for(waiting.stderr, "waiting for process")
    waiting.send_signal(signal.SIGTERM)
    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 7
    assert f"videdit: stopped while waiting for process {holder.pid}" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_chunk_in_flight_finish(
    start: Start, tmp_path: Path, clean: bytes, number: signal.Signals
) -> None:
    cache, output, log = tmp_path / "cache", tmp_path / "out.bin", tmp_path / "log"
    process = start(cache, output, log, "--hold", "begin numbers 0000004")
    _wait_for(process.stdout, "begin numbers 0000004")
    process.send_signal(number)
    _wait_for(process.stderr, "stopping when the chunk in flight is done")
    _let_go(process)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 7
    assert errors.splitlines()[-1] == (
        "videdit: stopped at stage numbers. Run the same command again to go on from there."
    )
    assert _begun(log) == [("numbers", "0000000"), ("numbers", "0000004")]
    assert len(list(cache.glob("*/*/*/*/chunk.json"))) == 2
    process = start(cache, output, log)
    process.communicate()
    assert output.read_bytes() == clean
    assert len(_begun(log)) == len(set(_begun(log))) == EXPECTED


def test_a_second_signal_stops_at_once(start: Start, tmp_path: Path) -> None:
    cache, output, log = tmp_path / "cache", tmp_path / "out.bin", tmp_path / "log"
    process = start(cache, output, log, "--hold", "begin numbers 0000000")
    _wait_for(process.stdout, "begin numbers 0000000")
    process.send_signal(signal.SIGTERM)
    _wait_for(process.stderr, "stopping when the chunk in flight is done")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)  # and nobody lets the chunk go on
    _wait_for(process.stderr, "videdit: stopped at stage numbers")
    assert process.wait() == 7
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert not list(cache.glob("*/*/*/*/chunk.json"))
