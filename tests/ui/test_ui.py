"""`videdit ui` as a command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import videdit.ui
from tests.clips import write_small
from videdit.bundles import Bundle
from videdit.cli.main import main


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(videdit.ui, "find_spec", lambda _: None)
    assert main(["ui"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "pip install 'videdit[ui]'" in told


def test_what_is_no_video_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.setenv("VIDEDIT_CACHE", str(tmp_path / "cache"))
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    assert main(["ui", str(text)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


class Started:
    """`videdit ui` in a process of its own, and one tab of it without a browser."""

    def __init__(self, clip: Path, output: Path) -> None:
        command = [sys.executable, "-m", "videdit", "ui", str(clip), "-o", str(output)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().removeprefix("open ").strip()
        self.config = json.loads(self.get("config"))

    def get(self, path: str, data: object = None) -> bytes:
        body = None if data is None else json.dumps(data).encode()
        asked = urllib.request.Request(self.address + path, body)
        asked.add_header("content-type", "application/json")
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return bytes(answer.read())

    def touch(self, event: str, element: str | None = None, value: object = None) -> list[Any]:
        """What the page answers to an event."""
        ids = {each["props"].get("elem_id"): each["id"] for each in self.config["components"]}
        for number, each in enumerate(self.config["dependencies"]):
            for target, name in each["targets"]:
                if name == event and (element is None or target == ids[element]):
                    asked = {"fn_index": each.get("id", number), "session_hash": "tab"}
                    asked["data"] = [value] if each["inputs"] else []
                    found = json.loads(self.get("gradio_api/run/predict", asked))
                    return list(found["data"])
        raise AssertionError((event, element))

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.weights
def test_ctrl_c_is_told_by_the_exit_code(
    example: Path, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    # With nothing compiled yet, so that the page is at work when it ends.
    monkeypatch.setenv("VIDEDIT_CACHE", str(tmp_path / "cache"))
    clip = write_small(tmp_path / "clip.mp4", example, 2)
    with Started(clip, tmp_path) as page:
        page.touch("load")
        assert page.end() == 0
    with Started(clip, tmp_path) as page:
        page.touch("load")
        page.touch("input", "slider-Smiling", 1)
        page.touch("click", "run")
        end = time.monotonic() + 100
        while "working" not in str(page.touch("tick")):
            assert time.monotonic() < end
            time.sleep(0.3)
        assert page.end() == 7
    assert not list(tmp_path.glob("*Smiling*"))
    # What the page kept is of use to a command; refining the person takes long, and is not needed.
    words = ["run", str(clip), "--attr", "Smiling", "--quality", "fast"]
    assert main([*words, "-o", str(tmp_path / "done.mp4")]) == 0
