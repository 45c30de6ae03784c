"""What a tab asks for, and the command that says the same."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pytest

from videdit.cli import run as verb
from videdit.cli.main import VERBS, typer_app
from videdit.editing.presets import find_preset
from videdit.editing.quality import Results
from videdit.editing.schedule import AlphaSchedule, Edit
from videdit.ui.state import Strengths, clock, command_line, reliability, title_of


def test_a_slider_is_an_edit_and_zero_is_none() -> None:
    moved = Strengths().moved("Smiling", 1.5, 3.0).moved("Young", -0.5, 0.0)
    assert [str(edit) for edit in moved.edits()] == ["Smiling=1.5", "Young=-0.5"]
    assert [str(edit) for edit in moved.moved("Smiling", 0, 1.0).edits()] == ["Young=-0.5"]
    assert Strengths().edits() == ()


def test_keyframes_are_set_by_moving_and_go_one_by_one() -> None:
    keyed = Strengths().moved("Smiling", 0.5, 0).keyed("Smiling", 0.0)
    two = keyed.moved("Smiling", 1.5, 2.0)
    assert str(*two.edits()) == "Smiling=0.0s:0.5,2.0s:1.5"
    assert two.at(1.0) == {"Smiling": 1.0}
    assert str(*two.edits_at(1.0)) == "Smiling=1.0"
    # The same time again replaces what was there.
    assert two.moved("Smiling", 1.0, 2.0).keyframes == [("Smiling", 0.0, 0.5), ("Smiling", 2.0, 1)]
    one = two.unkeyed("Smiling", 0.0)
    assert one.keyframes == [("Smiling", 2.0, 1.5)]
    none = one.unkeyed("Smiling", 2.0)
    assert none.keyframes == []
    assert str(*none.edits()) == "Smiling=1.5"
    assert none.unkeyed("Smiling", 2.0) == none


def test_what_was_not_moved_can_be_keyed_and_then_rise() -> None:
    risen = Strengths().keyed("Smiling", 0.0).moved("Smiling", 1.0, 2.0)
    assert str(*risen.edits()) == "Smiling=0.0s:0.0,2.0s:1.0"


def test_a_preset_takes_the_place_of_all() -> None:
    chosen = Strengths().moved("Young", 1, 0).preset(find_preset("older"))
    assert [str(edit) for edit in chosen.edits()] == ["Young=-1.0", "Gray_Hair=1.0"]


def test_a_clip_that_begins_later_has_the_strengths_of_its_times() -> None:
    source = AlphaSchedule.parse("0s:0,2s:1,4s:0")
    moved = Strengths(
        {"Smiling": source, "Young": AlphaSchedule.constant(1)}, frozenset(["Smiling"])
    )
    smiling, young = moved.edits_from(1.0)
    for time in (0, 0.5, 1, 2.5, 9):
        assert smiling.schedule.at([time]) == pytest.approx(source.at([time + 1]))
    assert str(young) == "Young=1.0"
    # After the last keyframe nothing is left of it.
    assert [edit.attribute for edit in moved.edits_from(4.0)] == ["Young"]


EDITS = (
    Edit.parse("Smiling=0s:0,2s:1.5"),
    Edit.parse("Young=-0.5"),
    Edit.parse("5_o_Clock_Shadow=0.333"),
)


class Told(Exception):
    """The verb has said all that it was asked."""


@pytest.mark.parametrize("name", ["in.mp4", "-e.mp4", "it's a $(clip) `x`;\n.mp4", "ü ö.mp4"])
def test_the_command_says_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quoted for a shell, and read by the verb itself."""
    told: dict[str, object] = {}

    def edit_video(source: Path, output: Path, edits: object, **more: object) -> None:
        told.update(source=source, output=output, edits=edits, **more)
        raise Told

    monkeypatch.setattr("videdit.api.edit_video", edit_video)
    line = command_line(
        name,
        EDITS,
        picture=False,
        face="track:3",
        quality="fast",
        start_s=1.0,
        stop_s=2.5,
        output=f"out {name}",
    )
    first, second, *words = shlex.split(line)
    assert (first, second) == ("videdit", "run")
    with pytest.raises(Told):
        typer_app(VERBS["run"])(args=words, standalone_mode=False)
    assert (Path(str(told["source"])), told["output"]) == (Path(name), Path(f"out {name}"))
    assert [str(edit) for edit in told["edits"]] == [str(edit) for edit in EDITS]  # type: ignore[attr-defined]
    settings = told["settings"]
    assert isinstance(settings, dict)
    wanted = {"face": "track:3", "method": "encoder", "start_s": 1.0, "stop_s": 2.5}
    assert {name: settings[name] for name in wanted} == wanted


def test_the_command_leaves_out_what_is_so_anyway() -> None:
    line = command_line("a.jpg", [Edit.parse("Bangs=1")], picture=True, start_s=0, output="b.png")
    assert line == "videdit image a.jpg --attr Bangs --alpha 1 -o b.png"
    assert "image" in VERBS
    assert verb.image is not None


def test_words() -> None:
    assert title_of("5_o_Clock_Shadow") == "5 o'clock shadow"
    assert title_of("Mouth_Slightly_Open") == "Mouth slightly open"
    assert clock(62.5) == "1:02.50"
    good, weak = Results(20, 0.92, 0.95, 0.4), Results(20, 0.41, 0.95, 0.4)
    told = reliability("Smiling", good, weak)
    assert (
        told.replace("\N{NO-BREAK SPACE}", " ")
        == "+ adds a smile, 92 %\n− takes the smile away, 41 % (often too weak)"
    )
    assert "not measured" in reliability("Smiling", good, Results(0, math.nan))
