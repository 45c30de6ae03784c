"""What `videdit batch` shows while it works, and what it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from videdit.batch.jobs import Job
from videdit.batch.work import DONE, Outcome, failure
from videdit.cli import batch as module
from videdit.cli.batch import Board, EventBoard, LiveBoard, standing_text
from videdit.cli.main import main
from videdit.editing.schedule import Edit
from videdit.errors import InputError
from videdit.pipeline.events import EventLog
from videdit.pipeline.tally import Standing

JOBS = [
    Job(Path(f"/clips/{name}.mp4"), (Edit.parse("Smiling=1.5"),), Path("out")) for name in "abc"
]
BLENDING = Standing("blend", 10, 10, 24, 48, rate=2.0, left=12.3)


@pytest.mark.parametrize(
    ("standing", "text"),
    [
        (BLENDING, "[10/10] blend, 24/48 frames, 2 frames/s, 0:12 left"),
        (
            Standing("encode", 5, 10, doing="loading the encoder"),
            "[5/10] encode, loading the encoder",
        ),
        (Standing(doing="looking at a.mp4"), "looking at a.mp4"),
        (Standing(), "begins"),
    ],
)
def test_where_a_job_stands(standing: Standing, text: str) -> None:
    assert standing_text(standing) == text


def test_lines_of_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    board = Board(JOBS)
    kept: list[int] = []
    board.after_each = lambda: kept.append(1)
    board.began(0, 0)
    for _ in range(25):  # a line every ten seconds, however often it moves
        clock[0] += 1
        board.moved(0, BLENDING)
    board.noted(0, "a note")
    board.ended(0, Outcome(DONE, "out/a.mp4"))
    board.ended(1, failure(Path("out"), InputError("b.mp4 is empty")))
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    head = "[1/3] a.mp4 Smiling=1.5: "
    assert lines == [
        head + "begins",
        *[head + standing_text(BLENDING)] * 2,
        head + "a note",
        head + "done, out/a.mp4",
        "[2/3] b.mp4 Smiling=1.5: failed, b.mp4 is empty",
    ]
    assert len(kept) == 2


def test_a_table_on_a_terminal() -> None:
    board = LiveBoard(JOBS)
    board.began(0, 0)
    board.moved(0, BLENDING)
    board.began(2, 1)
    board.ended(1, Outcome(DONE, "out/b.mp4"))
    stream = io.StringIO()
    Console(file=stream, width=120).print(board.table())
    rows = [row.split() for row in stream.getvalue().splitlines()]
    assert rows[0][:2] == ["a.mp4", "Smiling=1.5"]
    assert "24/48" in rows[0]
    assert rows[1][0] == "c.mp4"
    assert rows[1][-1] == "begins"
    assert rows[2][0] == "all"
    assert rows[2][-2:] == ["1/3", "jobs"]


def test_events_name_the_job() -> None:
    stream = io.StringIO()
    board = EventBoard(JOBS, EventLog(stream))
    board.began(1, 0)
    board.moved(1, BLENDING)
    board.moved(1, BLENDING)  # too soon
    board.noted(1, "a note")
    board.ended(1, Outcome(DONE, "out/b.mp4"))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        *("job_begin", "job_progress", "job_note", "job_end")
    ]
    assert {event["job"] for event in events} == {1}
    assert events[0]["input"] == "/clips/b.mp4"
    assert events[1]["left"] == 12.3
    assert events[3]["state"] == "done"


def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.toml").write_text('[[job]]\ninput = "a.mp4"\nedit = "Smiling"\nface = "x"')
    for words, said in (
        (["batch", "nowhere.toml"], "there is no nowhere.toml"),
        (["batch", "jobs.toml"], "jobs.toml, job 1: "),
        (["batch", "jobs.toml", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["batch", ".", "--attr", "Smiling"], "holds no pictures or videos"),
    ):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert main(["batch", "nowhere.toml", "--log-json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["exit_code"]) == ("error", 2)
