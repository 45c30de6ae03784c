"""A table on a terminal, lines elsewhere; the reused does not count for the speed."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from videdit.pipeline.progress import (
    LINE_EVERY_S,
    LiveProgress,
    PlainProgress,
    Progress,
    duration_text,
    make_progress,
    rate_text,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _work(progress: Progress, clock: Clock) -> None:
    """A stage of 1000 frames, 900 reused, of which 20 are made in 10 seconds."""
    progress.plan(["landmarks", "edit"])
    progress.begin("landmarks", 1000, 900)
    progress.chunk("landmarks", 10)
    clock.now += 6
    progress.tick("landmarks", 10)
    progress.chunk_end("landmarks")
    clock.now += 4
    progress.chunk("landmarks", 50)
    progress.tick("landmarks", 10)


def test_time_left_comes_from_the_frames_made_now() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    _work(progress, clock)
    clock.now += LINE_EVERY_S
    progress.tick("landmarks", 10)
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "landmarks: 100 frames to do, 900 reused",
        "landmarks: 910/1000 frames, 1.67 frames/s, 0:54 left",
        "landmarks: 930/1000 frames, 2 frames/s, 0:35 left",
    ]


def test_lines_come_every_few_seconds_and_at_the_end() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.begin("edit", 1000, 0)
    for _ in range(100):
        progress.chunk("edit", 10)
        clock.now += 0.25
        progress.chunk_end("edit")
    progress.end("edit")
    progress.end("landmarks", reused=True)
    progress.note("a word")
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert len(lines) == 25 / LINE_EVERY_S + 4
    assert lines[-3:] == [
        "edit: done in 0:25, 1000 frames, 40 frames/s",
        "landmarks: reused",
        "a word",
    ]


def test_a_chunk_begun_again_does_not_count_twice() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.begin("edit", 20, 0)
    progress.chunk("edit", 10)
    progress.tick("edit", 7)
    progress.chunk("edit", 10)
    clock.now += 10
    progress.tick("edit", 30)
    last = stream.getvalue().splitlines()[-1]
    assert last.split(" ", 1)[1] == "edit: 10/20 frames, 1 frames/s, 0:10 left"


def test_a_log_that_went_away_does_not_stop_the_work() -> None:
    stream = io.StringIO()
    stream.close()
    PlainProgress(stream).note("nobody reads this")


def test_the_table() -> None:
    from rich.console import Console

    clock = Clock()
    progress = LiveProgress(clock)
    _work(progress, clock)
    text = io.StringIO()
    console = Console(file=text, width=100)
    console.print(progress.table())
    landmarks, edit = text.getvalue().splitlines()
    assert landmarks.split()[0] == "landmarks"
    assert landmarks.split()[-5:] == ["920/1000", "2", "frames/s", "0:40", "left"]
    assert edit.split() == ["edit", "waiting"]
    clock.now += 50
    progress.end("landmarks")
    progress.end("edit", reused=True)
    text.truncate(0)
    console.print(progress.table())
    assert text.getvalue().splitlines()[0].split()[-1] == "1:00"
    assert text.getvalue().splitlines()[1].split() == ["edit", "reused"]


def test_words() -> None:
    assert duration_text(59.6) == "1:00"
    assert duration_text(3725) == "1:02:05"
    assert duration_text(-1) == "0:00"
    assert rate_text(0.1234) == "0.123 frames/s"
    assert rate_text(1234.5) == "1234 frames/s"


def test_lines_where_standard_error_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(make_progress(), PlainProgress)
    assert type(make_progress(quiet=True)) is Progress
    sys.stderr.close()
    assert isinstance(make_progress(), PlainProgress)
    monkeypatch.setattr(sys, "stderr", None)
    make_progress().note("nobody reads this")


@pytest.mark.parametrize(("term", "live"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_on_a_terminal(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, term: str, live: bool
) -> None:
    ours, theirs = pty.openpty()
    process = start(
        tmp_path / "cache",
        tmp_path / "out",
        tmp_path / "log",
        stderr=theirs,
        env={**os.environ, "TERM": term, "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 4096):
            shown += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    assert (b"\x1b[" in shown) == live
    assert b"numbers" in shown
    if live:
        assert b"40/40" in shown
        assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1  # the cursor is back
    else:
        assert b"numbers: done in 0:00, 40 frames" in shown


def test_rich_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, videdit.pipeline.runner; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
