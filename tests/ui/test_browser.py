"""The page in a real browser: headless Chromium, where there is one."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clips import write_small
from videdit.bundles import Bundle
from videdit.media.probe import probe

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, example: Path) -> Path:
    return write_small(tmp_path_factory.mktemp("clips") / "a clip.mp4", example, 6)


@pytest.fixture(scope="module")
def address(clip: Path, bundle: Bundle, default_cache: Path) -> Iterator[str]:
    """The page, with a clip open."""
    from videdit.errors import Interrupted
    from videdit.ui.serve import serve

    said: Queue[str] = Queue()
    stop = threading.Event()
    ends: list[BaseException] = []

    def work() -> None:
        try:
            serve(clip, ready=said.put, stop=stop)
        except Interrupted as error:  # a test that failed left a run
            ends.append(error)
        except BaseException as error:
            ends.append(error)
            said.put("")

    thread = threading.Thread(target=work)
    thread.start()
    found = said.get(timeout=120)
    assert found, ends
    yield found
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        try:
            # Chromium's own sandbox does not work for root.
            made = playwright.chromium.launch(
                executable_path=CHROMIUM, chromium_sandbox=os.geteuid() != 0
            )
        except sync_api.Error as error:
            pytest.skip(f"Chromium does not start here: {str(error).splitlines()[0]}")
        yield made
        made.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens tabs, and holds that they ask no other host and that no script fails."""
    contexts: list[Any] = []
    hosts: set[str] = set()
    faults: list[str] = []

    def open_tab(**more: Any) -> Any:
        contexts.append(
            browser.new_context(**({"viewport": {"width": 1300, "height": 900}} | more))
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        contexts[-1].on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#preview img")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert hosts - {"", urlsplit(address).netloc} == set()
    assert faults == []


def pictures(page: Any) -> list[str]:
    return [image.get_attribute("src") for image in page.query_selector_all("#preview img")]


def changed(page: Any, before: list[str]) -> float:
    """Waits until the preview is another one; seconds."""
    began = time.monotonic()
    while pictures(page) == before or len(set(pictures(page))) < 2:
        assert time.monotonic() - began < PATIENCE_MS / 1000, "the picture stays as it is"
        page.wait_for_timeout(50)
    return time.monotonic() - began


def typed(page: Any, selector: str, value: str) -> None:
    box = page.locator(f"{selector} input[type=number]")
    box.fill(value)
    box.press("Enter")


def test_from_a_face_to_a_result(opened: Callable[..., Any], tmp_path: Path, clip: Path) -> None:
    page = opened()
    page.get_by_label("Face 0").check()
    before = pictures(page)
    typed(page, "#slider-Smiling", "1.5")
    changed(page, before)
    # A second edit of the same frame finds its code.
    before = pictures(page)
    typed(page, "#slider-Smiling", "1")
    print(f"after a slider moved: {changed(page, before):.2f} s")
    page.get_by_label("Fast", exact=True).check()
    command = page.locator("#command textarea")
    page.wait_for_function(
        "() => document.querySelector('#command textarea').value.includes('--quality fast')"
    )
    output = clip.with_name("a clip-Smiling+1.mp4")
    assert command.input_value() == (
        f"videdit run '{clip}' --attr Smiling --alpha 1 --face track:0 --quality fast -o '{output}'"
    )
    page.click("#run")
    page.wait_for_selector("#run-0 video")
    with page.expect_download() as download:
        page.click("#run-0 a.v-download")
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == output.name
    assert saved.read_bytes() == output.read_bytes()
    assert len(probe(saved)) == 6
    played = page.evaluate(
        "async () => { const v = document.querySelector('#run-0 video'); v.muted = true;"
        " await v.play(); return v.videoWidth }"
    )
    assert played == 320


def test_keyframes_and_presets(opened: Callable[..., Any]) -> None:
    page = opened()
    before = pictures(page)
    page.get_by_role("button", name="Laughing").click()
    changed(page, before)
    assert page.locator("#slider-Smiling input[type=number]").input_value() == "1.5"
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function(
        "() => document.querySelector('#slider-Smiling input[type=number]').value == '0'"
    )
    typed(page, "#slider-Smiling", "0.5")
    page.wait_for_selector("#summary .v-chip")
    page.click("#key")
    page.wait_for_selector("#timeline circle")
    typed(page, "#time", "0.16")
    page.wait_for_timeout(500)
    typed(page, "#slider-Smiling", "1.5")
    page.wait_for_function("() => document.querySelectorAll('#timeline circle').length == 2")
    said = page.locator("#command textarea").input_value()
    assert "--attr Smiling --alpha 0s:0.5,0.16s:1.5" in said


def test_by_the_keyboard_alone(opened: Callable[..., Any]) -> None:
    page = opened()
    before = pictures(page)
    names = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const e = document.activeElement; const s = e.closest('[id^=slider-]');"
            " return (s ? s.id : e.id || e.innerText || '') + ':' + (e.type || '') }"
        )
        names.append(focused)
        if focused == "slider-Smiling:range":
            break
    assert names[-1] == "slider-Smiling:range", names
    page.keyboard.press("End")
    changed(page, before)
    assert page.locator("#slider-Smiling input[type=number]").input_value() == "2"


def test_a_narrow_window_needs_no_sideways_scrolling(opened: Callable[..., Any]) -> None:
    page = opened(viewport={"width": 400, "height": 800})
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 400
    for selector in ("#preview", "#time", "#run", "#slider-Smiling"):
        box = page.locator(selector).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400


def test_two_tabs_don_t_mix_up(opened: Callable[..., Any]) -> None:
    one, two = opened(), opened()
    typed(one, "#slider-Smiling", "1")
    typed(two, "#slider-Mouth_Slightly_Open", "-1")
    one.wait_for_selector("#summary .v-chip")
    two.wait_for_selector("#summary .v-chip")
    assert one.inner_text("#summary .v-chosen") == "Smiling +1"
    assert two.inner_text("#summary .v-chosen") == "Mouth slightly open -1"


def test_what_is_no_clip_is_told_in_a_line(opened: Callable[..., Any], tmp_path: Path) -> None:
    page = opened()
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    page.set_input_files("input[data-testid='Open another-upload-button']", str(text))
    page.wait_for_selector("#message .v-error")
    told = page.inner_text("#message")
    assert re.search(r"notes\.mp4", told)
    assert "\n" not in told.strip()
    assert "Traceback" not in page.content()
