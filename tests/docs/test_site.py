"""The documentation builds without a warning, and neither it nor its reader needs the network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.texts import DOCS, ROOT

_FETCHING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
_RELATIONS = {"canonical", "alternate", "next", "prev", "author"}


class Fetched(HTMLParser):
    """What a browser fetches by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in _RELATIONS:
            self.found.append(given.get("href") or "")
        elif tag in _FETCHING and given.get(_FETCHING[tag]):
            self.found.append(given[_FETCHING[tag]] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # No proxy answers there: a build that fetches something fails.
    nowhere = dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://[::1]:9"
    )
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_can_be_reached(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        built = site / f"{page.stem}.html"
        assert built.is_file(), page.name
        assert f'href="{built.name}"' in home or page.stem == "index", page.name
    assert not list(site.rglob("*.py"))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert fetched.found
        for address in fetched.found:
            assert not re.match(r"(https?:)?//", address), (page.name, address)
            assert page.name == "404.html" or (page.parent / address.split("?")[0]).is_file()
    for style in site.rglob("*.css"):
        assert not re.search(
            r"(url\(|@import )[\"']?(https?:)?//", style.read_text(encoding="utf-8")
        ), style.name


def test_a_page_included_from_the_repository_is_whole(site: Path) -> None:
    assert "semantic versioning" in (site / "changes.html").read_text(encoding="utf-8")
    assert "What is trusted" in (site / "security.html").read_text(encoding="utf-8")


def test_no_markdown_is_left_in_the_pages(site: Path) -> None:
    """Lists and blocks that Markdown's dialects read differently come out as text."""
    for page in site.glob("*.html"):
        text = re.sub(
            r"(?s)<(pre|code|script|style)\b.*?</\1>", "", page.read_text(encoding="utf-8")
        )
        plain = re.sub(r"<[^>]+>", "", text)
        left = re.findall(r"(?m)```|^\s*(?:- |\| ---|#+ )|\]\(|--8<--| - \*\*|\*\*\w", plain)
        assert not left, page.name
