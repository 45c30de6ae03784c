"""Links lead somewhere: files, and headings in them."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown.extensions.toc import slugify, unique

from tests.docs.texts import DOCS, ROOT, TEXTS, name_of, without_blocks

_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def links(text: Path) -> list[str]:
    code = re.compile(r"`[^`\n]*`")
    kept = re.sub(r"\[`([^`\n]*)`\]", r"[\1]", without_blocks(text))
    return _LINK.findall(code.sub("", kept))


def anchors(text: Path) -> set[str]:
    """The anchors of a text's headings, as the site and forges make them."""
    used: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_blocks(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        unique(slugify(plain, "-"), used)
    return used


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_links_lead_somewhere(text: Path) -> None:
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (text.parent / path).resolve() if path else text
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            included = _INCLUDED.search(target.read_text(encoding="utf-8"))
            assert anchor in anchors(ROOT / included[1] if included else target), link


def test_links_are_seen() -> None:
    assert "docs/limits.md#too-much" in links(ROOT / "README.md")
    assert len(links(DOCS / "troubleshooting.md")) > 10
    assert "regions.md#what-an-attribute-may-touch" in links(DOCS / "first_edit.md")
    assert "too-much" in anchors(DOCS / "limits.md")
    assert "2-the-command-line-is-wrong" in anchors(DOCS / "troubleshooting.md")
