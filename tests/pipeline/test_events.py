"""A run's log as JSON, one object a line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from videdit.pipeline import events
from videdit.pipeline.events import SCHEMA, EventLog, EventProgress, standing_fields
from videdit.pipeline.tally import Expected, Standing


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        assert line.pop("schema") == SCHEMA
        assert line.pop("time").endswith("+00:00")
    return lines


def test_a_run_is_told_stage_by_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVERY_S", 0.01)
    stream = io.StringIO()
    with EventProgress(EventLog(stream)) as progress:
        progress.plan([Expected("frames"), Expected("edit", "codes")], ["frames"])
        progress.end("frames", reused=True)
        progress.begin("edit", 10, 4)
        progress.chunk("edit", 6)
        progress.tick("edit", 2)
        limit = threading.Event()
        while '"progress"' not in stream.getvalue() and not limit.wait(0.01):
            pass
        progress.note("two\nlines")
        progress.chunk_end("edit")
        progress.end("edit")
    lines = told(stream)
    others = [line for line in lines if line["event"] != "progress"]
    assert others[0] == {"event": "plan", "stages": ["frames", "edit"], "reused": ["frames"]}
    assert others[1] == {
        "event": "stage_begin",
        "stage": "edit",
        "number": 2,
        "planned": 2,
        "total": 10,
        "reused": 4,
        "unit": "codes",
    }
    assert others[2] == {"event": "note", "text": "two\nlines"}
    assert (others[3]["event"], others[3]["made"]) == ("stage_end", 6)
    moved = next(line for line in lines if line["event"] == "progress")
    assert (moved["stage"], moved["done"], moved["total"]) == ("edit", 6, 10)


def test_threads_do_not_mix_their_lines() -> None:
    stream = io.StringIO()
    log = EventLog(stream)

    def work(number: int) -> None:
        for step in range(50):
            log.write("note", text=f"{number} {step} " + "x" * 200)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told(stream)) == 400


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    EventLog(stream).write("note", text="heard by no one")


def test_standing() -> None:
    fields = standing_fields(Standing("edit", 1, 2, 3, 4, rate=1.23456))
    assert fields["rate"] == 1.235
    assert fields["left"] is None
    assert list(fields) == list(Standing._fields)


def test_a_signal_while_a_line_is_written_stops_nothing() -> None:
    """The handler's own line waits for that line, not that line for the handler."""
    code = """
        import os, signal, sys, threading
        from videdit.pipeline.events import EventLog
        from videdit.pipeline.progress import note_from_handler

        class Slow:
            hit = False

            def write(self, text):
                if not self.hit:  # in the middle of the first line, its lock held
                    self.hit = True
                    os.kill(os.getpid(), signal.SIGTERM)
                    for _ in range(1000):
                        pass
                sys.stderr.write(text)

            def flush(self):
                sys.stderr.flush()

        log = EventLog(Slow())
        said = threading.Event()

        def note(text):
            log.write("note", text=text)
            said.set()

        signal.signal(signal.SIGTERM, lambda *_: note_from_handler(note, "stopping"))
        log.write("first")
        assert said.wait(30)
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ["first", "note"]
