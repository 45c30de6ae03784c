from __future__ import annotations

import json
from pathlib import Path

from videdit.batch.jobs import Job
from videdit.batch.summary import table, write_summary
from videdit.batch.work import DONE, Outcome, failure
from videdit.editing.schedule import Edit
from videdit.errors import InputError

JOBS = [
    Job(Path("clips/a.mp4"), (Edit.parse("Smiling=1.5"), Edit.parse("Young=-1")), Path("out")),
    Job(Path("clips/longer name.mp4"), (Edit.parse("Bald"),), Path("b.mp4")),
]
OUTCOMES = [
    Outcome(DONE, "out/a.mp4", 12.34, 100, 98, ("a note",)),
    failure(Path("b.mp4"), InputError("b.mp4 is\nempty", "Copy it again.")),
]


def test_json(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", JOBS, OUTCOMES, 20.0)
    said = json.loads((tmp_path / "summary.json").read_text())
    assert said["schema"] == 1
    assert said["counts"] == {"done": 1, "failed": 1}
    first, second = said["jobs"]
    assert first["edits"] == ["Smiling=1.5", "Young=-1.0"]
    assert (first["frames"], first["edited"], first["notes"]) == (100, 98, ["a note"])
    assert second["exit_code"] == 3
    assert second["message"] == "b.mp4 is empty"


def test_table() -> None:
    head, *rows = table(JOBS, OUTCOMES).splitlines()
    assert len(rows) == 2
    assert rows[0].split() == [
        *["done", "12.3", "s", "98/100", "a.mp4", "Smiling=1.5,", "Young=-1.0", "out/a.mp4"]
    ]
    assert rows[1].endswith("b.mp4 is empty. Copy it again")
    column = head.index("INPUT")
    assert rows[0][column:].startswith("a.mp4")
    assert rows[1][column:].startswith("longer name.mp4")
