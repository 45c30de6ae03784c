"""Pieces of HTML: what people and files are called is text in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from videdit.batch.jobs import Job
from videdit.batch.work import Outcome
from videdit.editing.schedule import Edit
from videdit.pipeline.tally import Standing
from videdit.ui.drawing import keyframe_table, message, run_card, timeline
from videdit.ui.jobs import Run
from videdit.ui.state import Strengths

EVIL = "<script>alert('x')</script>\n<b>"
RUN = Run(0, "tab", Job(Path("in.mp4"), (Edit.parse("Smiling"),), Path(f"{EVIL}.mp4")), EVIL)


def test_names_are_text() -> None:
    done = Outcome("done", "", 62.0, 10, 8, (EVIL,))
    failed = Outcome("failed", "", message=EVIL, remedy=EVIL)
    drawn = [
        message(EVIL),
        run_card(RUN, None, picture=False),
        run_card(replace(RUN, state="working", note=EVIL), None, picture=False),
        run_card(replace(RUN, state="done", outcome=done), f'"{EVIL}', picture=True),
        run_card(replace(RUN, state="failed", outcome=failed), None, picture=False),
    ]
    for html in drawn:
        assert "<script" not in html
        assert "<b>" not in html
    assert "8 of 10 frames edited, 1:02" in drawn[3]
    assert "\n" not in drawn[0]


def test_a_run_says_how_far_it_is() -> None:
    at = Standing("encode", 4, 10, 30, 60, "frames", 2.0, 75.0)
    told = run_card(replace(RUN, state="working", standing=at), None, picture=False)
    assert 'value="0.350"' in told
    assert "stage 4 of 10: encode, 30 of 60 frames · 1:15 left" in told


def test_keyframes_over_time() -> None:
    strengths = Strengths().keyed("Smiling", 0).moved("Smiling", 2, 2.0)
    drawn = timeline(strengths, 4.0, 1.0, [3.0])
    assert drawn.count("<circle") == 2
    assert 'cx="500.0" cy="10.0"' in drawn  # in the middle, at the top
    assert drawn.count("v-cut") == 1
    assert timeline(Strengths().moved("Smiling", 1, 0), 4.0, 0, []) == ""
    assert "<td>Smiling</td><td>0:02.00</td><td>+2.00</td>" in keyframe_table(strengths)
