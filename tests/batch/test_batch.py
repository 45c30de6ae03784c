"""`videdit batch` as its users meet it: processes, kills, the same again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import pytest

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("default_cache")]


@pytest.fixture(scope="module")
def portraits(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two portraits, and a file that is none."""
    folder = tmp_path_factory.mktemp("portraits")
    with av.open(str(example)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number in (0, 50):
                shown = frame.to_ndarray(format="bgr24")
                cv2.imwrite(str(folder / f"{number:02d}.png"), shown)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


def command(folder: Path, *words: str | Path) -> list[str]:
    where = ("--cache", folder / "cache", "-o", folder / "out", "--quality", "fast")
    return [sys.executable, "-m", "videdit", "batch", *map(str, (*words, *where))]


def batch(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=600)


def states(folder: Path) -> list[str]:
    said = json.loads((folder / "out" / "summary.json").read_text())
    return [job["state"] for job in said["jobs"]]


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").glob("*.png")}


@pytest.fixture(scope="module")
def undisturbed(
    portraits: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a batch of the portraits, and how it ended."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, batch(folder, portraits, "--attr", "Smiling", "--log-json")


def test_a_folder_and_the_same_again(
    portraits: Path, undisturbed: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, run = undisturbed
    assert run.returncode == 3  # the broken one's
    assert run.stdout == ""
    assert states(folder) == ["done", "done", "failed"]
    first = results(folder)
    assert set(first) == {"00-Smiling+1.png", "50-Smiling+1.png"}
    assert all(b"compositeWithTrainedAlgorithmicMedia" in data for data in first.values())
    events = [json.loads(line) for line in run.stderr.splitlines()]
    assert {event["schema"] for event in events} == {1}
    ended = [event for event in events if event["event"] == "job_end"]
    assert [event["state"] for event in ended] == ["done", "done", "failed"]
    assert events[-1]["event"] == "summary"
    assert events[-1]["counts"] == {"done": 2, "failed": 1}

    os.remove(folder / "out" / "50-Smiling+1.png")
    again = batch(folder, portraits, "--attr", "Smiling")
    assert again.returncode == 3
    assert states(folder) == ["skipped", "done", "failed"]
    assert results(folder) == first

    # The same name, made otherwise: not ours to replace.
    other = batch(folder, portraits, "--attr", "Smiling", "--face", "all")
    assert other.returncode == 3
    assert states(folder) == ["failed", "failed", "failed"]
    assert "exists" in other.stdout
    assert results(folder) == first


def wait_for(text: str, process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")


def worker_of(process: subprocess.Popen[str]) -> int:
    """The process that edits: of the batch's children the one with the most memory."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,rss=", "--ppid", str(process.pid)], capture_output=True, text=True
    ).stdout.split("\n")
    found = [tuple(map(int, line.split())) for line in listed if line.strip()]
    return max(found, key=lambda each: each[1])[0]


def test_a_killed_worker_is_replaced_and_loses_nothing(
    portraits: Path,
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        command(tmp_path, portraits, "--attr", "Smiling", "--log-json"),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for('"job": 0, "state": "done"', process)
        wait_for('"job_progress", "job": 1', process)
        os.kill(worker_of(process), signal.SIGKILL)
        wait_for("the worker died (SIGKILL)", process)
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait(300) == 3
    assert states(tmp_path) == ["done", "done", "failed"]
    assert len(results(tmp_path)) == 2
    assert results(tmp_path) == results(undisturbed[0])


def test_a_signal_stops_and_the_same_goes_on(portraits: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path, portraits, "--attr", "Young", "--log-json"),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for('"job": 0, "state": "done"', process)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        process.stderr.read()
        assert process.wait(60) == 7
        assert time.monotonic() - began < 60
    assert states(tmp_path)[0] == "done"
    assert states(tmp_path)[1] in ("interrupted", "waiting", "done")
    assert batch(tmp_path, portraits, "--attr", "Young").returncode == 3
    assert states(tmp_path) == ["skipped", "done", "failed"] or states(tmp_path)[:2] == [
        "skipped",
        "skipped",
    ]
