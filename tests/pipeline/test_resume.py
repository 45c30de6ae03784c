"""Killed anywhere, a run goes on from its last commit and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videdit.pipeline.upkeep import verify

Start = Callable[..., "subprocess.Popen[str]"]


def _begun(log: Path) -> list[tuple[str, str]]:
    if not log.exists():
        return []
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(stage, chunk) for what, stage, chunk, _ in lines if what == "begin"]


def _wait_for_lines(log: Path, count: int, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 30
    while process.poll() is None and len(_begun(log)) < count:
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_sigkill_at_random_moments_loses_at_most_the_chunk_in_flight(
    start: Start, tmp_path: Path
) -> None:
    clean, log = tmp_path / "clean.bin", tmp_path / "clean.log"
    frames = ("--frames", "80")
    assert start(tmp_path / "clean", clean, log, "--delay", "0", *frames).wait() == 0
    expected = len(_begun(log))
    assert expected == 4 * 20 + 1

    chance = random.Random(7)
    output, log, cache = tmp_path / "killed.bin", tmp_path / "killed.log", tmp_path / "killed"
    kills = 0
    while True:
        process = start(cache, output, log, "--delay", "0.004", *frames)
        # From the first chunk it makes on, 81 of them at 16 ms and more.
        _wait_for_lines(log, len(_begun(log)) + 1, process)
        time.sleep(chance.uniform(0, 0.08))
        if kills < 12:
            process.kill()
        killed = process.wait() == -signal.SIGKILL
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        if not killed:
            break
        kills += 1
        assert not output.exists()
    assert process.returncode == 0
    assert kills >= 10
    assert output.read_bytes() == clean.read_bytes()
    # Each chunk once, and one more for each kill at most.
    assert len(set(_begun(log))) == expected
    assert len(_begun(log)) <= expected + kills
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


@pytest.mark.parametrize("kill_one", [False, True])
def test_two_processes_on_one_source(start: Start, tmp_path: Path, kill_one: bool) -> None:
    cache, log = tmp_path / "cache", tmp_path / "log"
    outputs = [tmp_path / "a.bin", tmp_path / "b.bin"]
    both = [start(cache, output, log, "--delay", "0.005") for output in outputs]
    if kill_one:
        _wait_for_lines(log, 12, both[0])
        owner = log.read_text().splitlines()[-1].split()[-1]
        (first, second) = sorted(both, key=lambda p: str(p.pid) != owner)
        first.kill()
        first.wait()
        both, outputs = [second], [outputs[both.index(second)]]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0] * len(both), errors
    assert len({output.read_bytes() for output in outputs}) == 1
    begun = Counter(_begun(log))
    assert len(begun) == 41
    assert sum(begun.values()) <= 41 + kill_one
    if not kill_one:
        assert any("waiting for process" in error for error in errors)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_chunk_in_flight_finish(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    cache, output, log = tmp_path / "cache", tmp_path / "out.bin", tmp_path / "log"
    process = start(cache, output, log, "--delay", "0.02")
    _wait_for_lines(log, 3, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 7
    assert errors.splitlines()[-1] == (
        "videdit: stopped at stage numbers. Run the same command again to go on from there."
    )
    last = log.read_text().splitlines()[-1].split()
    assert last[0] == "end"
    assert len(list(cache.glob("*/*/*/*/chunk.json"))) == len(_begun(log))
    before = len(_begun(log))
    assert start(cache, output, log, "--delay", "0").wait() == 0
    assert len(_begun(log)) == 41
    assert len(set(_begun(log))) == 41
    assert before < 41


def test_a_second_signal_stops_at_once(start: Start, tmp_path: Path) -> None:
    cache, output, log = tmp_path / "cache", tmp_path / "out.bin", tmp_path / "log"
    process = start(cache, output, log, "--delay", "5")
    _wait_for_lines(log, 1, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - began < 3
    assert process.returncode == 7
    assert "Traceback" not in errors
    assert not list(cache.glob("*/*/*/*/chunk.json"))
