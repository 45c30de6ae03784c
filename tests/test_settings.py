"""What one run can be asked to do, and what is refused before any work."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from videdit.editing.schedule import Edit
from videdit.errors import UsageError
from videdit.settings import Parameters, RunSettings

SOURCE, OUTPUT = Path("a.mp4"), Path("b.mp4")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "refine"}, "no inversion method 'refine'"),
        ({"face": "bogus"}, "largest, all, track:N, or like:photo.jpg"),
        ({"face": "track:x"}, "track:N"),
        ({"backend": "cascade"}, "mesh, fan"),
        ({"editor": "magic"}, "no editor 'magic'"),
        ({"editor": "assessor.pt"}, "no editor 'assessor.pt'"),  # code: of training alone
        ({"keep": ("Male",)}, "takes no attributes to keep"),
        ({"device": "tpu"}, "unknown device"),
        ({"precision": "int8"}, "unknown precision"),
        ({"device": "cpu", "precision": "fp16"}, "fp16 does not run on the CPU"),
        ({"codec": "mpeg1"}, "no codec 'mpeg1'"),
        ({"crf": -1}, "--crf is -1"),
        ({"crf": 64}, "--crf is 64"),
        ({"start_s": float("nan")}, "not a time"),
        ({"stop_s": -1.0}, "not a time"),
        ({"start_s": 2.0, "stop_s": 2.0}, "is empty"),
        ({"chunk_frames": 0}, "at least one frame"),
        ({"editor": "local"}, "another picture"),
        ({"like": Path("a.jpg")}, "no use for another picture"),
        ({"within": ("moustache",)}, "no region 'moustache'"),
        ({"within": ("background",)}, "no region 'background'"),
        ({"within": ("nose",), "editor": "stylespace"}, "held in no region"),
        ({"within": ("mask",)}, "a mask and the region"),
        ({"mask": Path("m.png")}, "a mask and the region"),
        ({"sign": Path("cert.pem")}, "a certificate and its key"),
        ({"key": Path("key.pem")}, "a certificate and its key"),
        ({"editor": "scribble", "like": Path("a.png"), "mask": Path("m.png")}, "by itself"),
        (
            {
                "editor": "local",
                "like": Path("a.jpg"),
                "mask": Path("m.png"),
                "edits": (Edit.parse("mask=1"),),
            },
            "not a mask",
        ),
        (
            {"editor": "local", "like": Path("a.jpg"), "edits": (Edit.parse("Smiling=1"),)},
            "regions are edited: there is no region 'Smiling'",
        ),
    ],
)
def test_what_no_run_can_have_is_refused_where_it_is_said(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RunSettings(SOURCE, OUTPUT, **wrong)
    with pytest.raises(UsageError, match=said):
        replace(RunSettings(SOURCE, OUTPUT), **wrong)


def test_settings_survive_being_written_down() -> None:
    asked = RunSettings(
        SOURCE,
        OUTPUT,
        (Edit.parse("Smiling=1.5"), Edit.parse("Young=0s:0,2s:-1")),
        editor="interfacegan",
        keep=("Male", "Young"),
        face="track:3",
        start_s=1.25,
        crf=18,
        cache_dir=Path("/somewhere"),
        sign=Path("/certificates/own.pem"),
        key=Path("/certificates/key.pem"),
        chunk_frames=7,
    )
    plain = json.loads(json.dumps(asked.to_json()))
    assert RunSettings.from_json(plain) == asked
    local = replace(
        asked, edits=(Edit.parse("nose=1"),), editor="local", keep=(), like=Path("b.jpg")
    )
    assert RunSettings.from_json(json.loads(json.dumps(local.to_json()))) == local
    assert RunSettings.from_json({**plain, "of a later version": 1}) == asked
    # Every field but the rooms' numbers is written down.
    assert set(plain) == {field.name for field in fields(RunSettings)} - {"parameters"}


@pytest.mark.parametrize("damage", [{"edits": None}, {"source": 3}, {"method": "refine"}])
def test_damaged_settings_are_told(damage: dict[str, Any]) -> None:
    plain = RunSettings(SOURCE, OUTPUT).to_json()
    with pytest.raises(UsageError):
        RunSettings.from_json({**plain, **damage})
    del plain["output"]
    with pytest.raises(UsageError, match="cannot be read"):
        RunSettings.from_json(plain)


def test_the_rooms_numbers_are_no_part_of_equality_by_accident() -> None:
    asked = RunSettings(SOURCE, OUTPUT)
    assert asked.parameters == Parameters()
    other = replace(
        asked.parameters.inversion,
        smoothing=replace(asked.parameters.inversion.smoothing, colour=1.0),
    )
    changed = replace(asked, parameters=replace(asked.parameters, inversion=other))
    assert changed != asked


def test_what_is_written_in_other_ways_is_the_same() -> None:
    said = RunSettings(SOURCE, OUTPUT, within=("Mouth", " lips"))
    assert said == RunSettings(SOURCE, OUTPUT, within=("mouth", "lips"))
    like = RunSettings(SOURCE, OUTPUT, editor="local", like="b.jpg")  # type: ignore[arg-type]
    assert like.like == Path("b.jpg").absolute()


def test_edits_of_several_people(tmp_path: Path) -> None:
    texts = ("Smiling=1@track:1", "Young=-1", "Bangs=1@like:a.jpg", "Male=1@track:1")
    edits = tuple(map(Edit.parse, texts))
    run = RunSettings(SOURCE, OUTPUT, edits)
    photo = Path("a.jpg").absolute()
    assert run.faces == ("largest", f"like:{photo}", "track:1")
    assert run.people == (photo,)
    attributes = [[edit.attribute for edit in run.edits_of(1 << k)] for k in range(3)]
    assert attributes == [["Young"], ["Bangs"], ["Smiling", "Male"]]
    # Who is two of them has the edits of both, in their order.
    assert [edit.attribute for edit in run.edits_of(0b101)] == ["Smiling", "Young", "Male"]
    assert RunSettings.from_json(json.loads(json.dumps(run.to_json()))) == run
    assert RunSettings(SOURCE, OUTPUT, edits[:1]).faces == ("track:1",)
    with pytest.raises(UsageError, match="does not know 'nobody'"):
        RunSettings(SOURCE, OUTPUT, (Edit.parse("Smiling=1@nobody"),))
    with pytest.raises(UsageError, match="different faces"):
        RunSettings(SOURCE, OUTPUT, tuple(Edit.parse(f"Young=1@track:{k}") for k in range(99)))
