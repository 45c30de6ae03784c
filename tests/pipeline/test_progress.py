"""A table on a terminal, lines elsewhere; the reused does not count for the speed."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.helpers import Clock
from videdit.pipeline.progress import (
    LINE_EVERY_S,
    LiveProgress,
    PlainProgress,
    Progress,
    make_progress,
)
from videdit.pipeline.tally import Expected

PLAN = [Expected("landmarks", cost=0.1, work=1000), Expected("edit", "steps", 0.02, 500)]


def _work(progress: Progress, clock: Clock) -> None:
    """A stage of 1000 frames, 900 reused, of which 20 are made in 10 seconds."""
    progress.plan(PLAN)
    progress.begin("landmarks", 1000, 900)
    progress.chunk("landmarks", 10)
    clock.now += 6
    progress.tick("landmarks", 10)
    progress.chunk_end("landmarks")
    clock.now += 4
    progress.chunk("landmarks", 50)
    progress.tick("landmarks", 10)


def _lines(stream: io.StringIO) -> list[str]:
    """The lines without their time, and the stream emptied."""
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    stream.seek(0)
    stream.truncate()
    return lines


def test_time_left_comes_from_the_frames_made_now() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    _work(progress, clock)
    clock.now += LINE_EVERY_S
    progress.tick("landmarks", 10)
    # A frame usually takes 0.1 s and takes 0.6, then 0.5: the 500 steps take six and five times
    # their usual 0.02 s.
    assert _lines(stream) == [
        "[1/2] landmarks: 100 frames to do, 900 reused, 0:20 for all",
        "[1/2] landmarks: 910/1000 frames, 1.67 frames/s, 0:54 left, 1:54 for all",
        "[1/2] landmarks: 930/1000 frames, 2 frames/s, 0:35 left, 1:25 for all",
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
    lines = _lines(stream)
    assert len(lines) == 25 / LINE_EVERY_S + 4
    assert lines[-5:] == [
        "edit: 800/1000 frames, 40 frames/s, 0:05 left, 0:05 for all",
        "edit: 1000/1000 frames, 40 frames/s",
        "edit: done in 0:25, 1000 frames, 40 frames/s",
        "landmarks: reused",
        "a word",
    ]


def test_what_is_reused_is_said_once() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock())
    progress.plan([*PLAN, Expected("blend")], ["landmarks", "edit"])
    assert _lines(stream) == ["reused: landmarks, edit"]
    progress.plan(PLAN)
    assert _lines(stream) == []


def test_a_chunk_begun_again_does_not_count_twice() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.begin("edit", 20, 0)
    progress.chunk("edit", 10)
    progress.tick("edit", 7)
    progress.chunk("edit", 10)
    clock.now += 10
    progress.tick("edit", 30)
    assert _lines(stream)[-1] == "edit: 10/20 frames, 1 frames/s, 0:10 left, 0:10 for all"


def test_work_that_is_not_frames() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.plan(PLAN)
    progress.begin("edit", 50, 0)
    progress.chunk("edit", 50)
    clock.now += 5
    progress.tick("edit", 10)
    progress.chunk_end("edit")
    progress.end("edit")
    lines = _lines(stream)
    assert lines[0].startswith("[2/2] edit: 50 steps to do")
    assert lines[1].startswith("[2/2] edit: 10/50 steps, 2 steps/s, 0:20 left")
    assert lines[2] == "[2/2] edit: done in 0:05, 50 steps, 10 steps/s"


# --- waits ---------------------------------------------------------------------------------------


def _beats(progress: PlainProgress, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        progress.beat()


def test_a_wait_is_named_when_it_lasts() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.plan(PLAN)
    progress.begin("edit", 100, 0)
    _lines(stream)
    with progress.doing("loading the editor", "edit"):
        clock.now += 0.5
        progress.beat()
    assert _lines(stream) == []
    with progress.doing("loading the encoder", "edit"):
        _beats(progress, clock, 9)
    assert _lines(stream) == [
        "[2/2] edit: loading the encoder, 0:02",
        "[2/2] edit: loading the encoder, 0:07",
    ]
    with progress.doing("fetching the weights"):  # in no stage
        _beats(progress, clock, 3)
    assert "fetching the weights, 0:02" in _lines(stream)


def test_loading_is_not_counted_in_the_rate() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.plan([Expected("edit")])
    progress.begin("edit", 100, 0)
    progress.chunk("edit", 100)
    with progress.doing("loading the encoder", "edit"):
        clock.now += 20
        with progress.doing("loading the face network", "edit"):  # counted once
            clock.now += 10
    clock.now += 5
    _lines(stream)
    progress.tick("edit", 10)
    assert _lines(stream) == ["[1/1] edit: 10/100 frames, 2 frames/s, 0:45 left, 0:45 for all"]
    clock.now += 45
    progress.chunk_end("edit")
    progress.end("edit")
    assert _lines(stream)[-1] == ("[1/1] edit: done in 1:20, 100 frames, 2 frames/s, loading 0:30")


def test_silence_is_broken_where_a_stage_does_not_tick() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.plan(PLAN)
    progress.begin("landmarks", 100, 0)
    progress.chunk("landmarks", 100)
    _lines(stream)
    _beats(progress, clock, 11)
    assert _lines(stream) == [
        "[1/2] landmarks: 0/100 frames, 0:15 for all",
        # 100 frames usually take ten seconds: now nobody knows.
        "[1/2] landmarks: 0/100 frames",
    ]


def test_a_stage_that_only_puts_together() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.plan([Expected("align", finishing="smoothing the quads")])
    progress.begin("align", 0, 0)
    progress.finishing("align")
    progress.end("align")
    assert _lines(stream) == ["[1/1] align: done in 0:00"]
    progress.begin("align", 0, 0)
    progress.finishing("align")
    _beats(progress, clock, 3)
    progress.end("align")
    assert _lines(stream) == [
        "[1/1] align: smoothing the quads, 0:02",
        "[1/1] align: done in 0:03",
    ]


def test_the_clock_is_looked_at_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()
    monkeypatch.setattr("videdit.pipeline.progress._BEAT_S", 0.001)
    monkeypatch.setattr(PlainProgress, "beat", lambda progress: beaten.set())
    with PlainProgress(io.StringIO()):
        assert beaten.wait(10)
    assert not [each for each in threading.enumerate() if each.name == "progress"]


@pytest.mark.parametrize("kind", ["frames", "finishing", "one frame"])
def test_nothing_is_said_to_be_over_while_work_remains(kind: str) -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.plan([Expected("edit", cost=0.001, work=1000)])
    frames = 1 if kind == "one frame" else 1000
    progress.begin("edit", frames, 0)
    progress.chunk("edit", frames)
    live = LiveProgress(clock)
    live._tally = progress._tally
    clock.now += 6
    progress.tick("edit", 999 if kind == "frames" else frames)
    if kind == "finishing":
        progress.chunk_end("edit")
        progress.finishing("edit")
    shown = []
    for _ in range(60):
        _beats(progress, clock, 1)
        shown.append(_drawn(live))
    text = stream.getvalue() + "".join(shown)
    assert "0:00" not in text
    assert ("0:01 left" in text) == (kind == "frames")


def test_a_log_that_went_away_does_not_stop_the_work() -> None:
    stream = io.StringIO()
    stream.close()
    PlainProgress(stream).note("nobody reads this")


def _drawn(progress: LiveProgress) -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=110).print(progress.table())
    return text.getvalue()


def test_the_table() -> None:
    clock = Clock()
    progress = LiveProgress(clock)
    _work(progress, clock)
    landmarks, edit, all_of_it = _drawn(progress).splitlines()
    assert landmarks.split()[0] == "landmarks"
    assert landmarks.split()[-5:] == ["920/1000", "2", "frames/s", "0:40", "left"]
    assert edit.split() == ["edit", "waiting"]
    assert all_of_it.split() == ["stage", "1", "of", "2", "1:30", "for", "all"]
    clock.now += 50
    progress.end("landmarks")
    progress.end("edit", reused=True)
    landmarks, edit = _drawn(progress).splitlines()
    assert landmarks.split()[-1] == "1:00"
    assert edit.split() == ["edit", "reused"]


def test_the_table_names_waits() -> None:
    clock = Clock()
    progress = LiveProgress(clock)
    _work(progress, clock)
    with progress.doing("loading the encoder", "landmarks"):
        clock.now += 12
        assert _drawn(progress).splitlines()[0].endswith("loading the encoder, 0:12")
    assert _drawn(progress).splitlines()[0].endswith("0:40 left")
    progress.finishing("landmarks")
    assert _drawn(progress).splitlines()[0].split()[-1] == "finishing"
    with progress.doing("joining the output"):
        assert _drawn(progress).splitlines()[2].strip() == "joining the output"


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
        assert b"12/12" in shown
        assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1  # the cursor is back
    else:
        assert b"numbers: done in 0:00, 12 frames" in shown


def test_rich_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, videdit.pipeline.runner; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
