from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from videdit.api import run_settings
from videdit.cli.main import main
from videdit.editing.schedule import Edit
from videdit.errors import VideditError
from videdit.report.command import command_of
from videdit.settings import RunSettings

OUTPUT = Path("/there/out put.mp4")


def of(*edits: str, **settings: Any) -> RunSettings:
    source = settings.pop("source", Path('/here/it\'s a "clip"; rm -rf $HOME.mp4'))
    return RunSettings(source, OUTPUT, tuple(map(Edit.parse, edits)), **settings)


def asked_by(words: list[str], monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    """The settings that a command line asks for."""
    caught: list[RunSettings] = []

    def edit(source: Any, output: Any, edits: Any, **how: Any) -> Any:
        if isinstance(source, list):
            (source,) = source
        caught.append(run_settings(source, output, tuple(edits), how["settings"]))
        raise VideditError("caught")

    def edit_all(*args: Any, **how: Any) -> Iterator[Any]:
        yield edit(*args, **how)

    monkeypatch.setattr("videdit.api.edit_video", edit)
    monkeypatch.setattr("videdit.api.edit_images", edit_all)
    assert main(words) == 1
    (found,) = caught
    return found


@pytest.mark.parametrize(
    "settings",
    [
        of("Smiling=1.5"),
        of("Smiling=-1", "Young=0s:0,2.5s:1.25,4s:-0.5", start_s=0.1, stop_s=12.0),
        of("Smiling=1", method="encoder", face="all", backend="fan", codec="hevc", crf=0),
        of("Male=-0.5", editor="interfacegan", keep=("Young", "Smiling"), touch="-beard,+hair"),
        of("9:409=5.0", editor="stylespace", device="cpu", precision="bf16", tag=False),
        of(
            "Smiling=1", within=("lips", "mouth"), cache_dir=Path("/tmp/a cache"), source=Path("/-")
        ),
        of("nose=0.5", "eyes=0.5", like=Path("/p h.jpg"), editor="activations"),
        of("nose=0.25", "eyes=0s:0,1s:1", "lips=0s:0,1s:1", like=Path("/p.jpg"), editor="local"),
        of("Smiling=1", sign=Path("/cert.pem"), key=Path("/key.pem"), face="track:3"),
    ],
)
def test_the_command_asks_for_the_same(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = command_of(settings, picture=False)
    assert command.unsaid == {}
    assert command.words[0] == "run"
    # What a shell makes of it.
    assert shlex.split(command.text.replace("\\\n", "")) == ["videdit", *command.words]
    assert asked_by(command.words, monkeypatch) == settings


@pytest.mark.parametrize(
    "settings",
    [
        of("Bangs=1", source=Path("/a.png")),
        of("mask=0.5", editor="scribble", like=Path("/painted.png")),
        of("Smiling=1", within=("mask",), mask=Path("/mask.png")),
        of("mask=1", like=Path("/p.jpg"), mask=Path("/mask.png"), editor="activations"),
    ],
)
def test_the_command_of_a_picture(settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    command = command_of(settings, picture=True)
    assert command.words[0] == "image"
    assert asked_by(command.words, monkeypatch) == settings


def test_what_has_no_option_is_told() -> None:
    settings = replace(of("Smiling=1"), method="projector", chunk_frames=5)
    assert command_of(settings, picture=False).unsaid == {"method": "projector", "chunk_frames": 5}
