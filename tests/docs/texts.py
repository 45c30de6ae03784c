"""The documentation's texts, and what of Markdown its tests look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TEXTS = (
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.glob("*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
    ROOT / "training_data" / "faces" / "README.md",
)

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code: its language, its lines without their indentation, and where it is."""

    language: str
    text: str
    where: str


def name_of(text: Path) -> str:
    """How a text is called in a test's id."""
    return text.relative_to(ROOT).as_posix()


def blocks(text: Path) -> Iterator[Block]:
    """The blocks of code in a text."""
    content = text.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(content):
        line = content.count("\n", 0, found.start()) + 2
        indent = len(found[1])
        lines = "\n".join(one[indent:] for one in found[3].splitlines())
        yield Block(found[2], lines, f"{name_of(text)}:{line}")


def without_blocks(text: Path) -> str:
    """A text without its blocks of code."""
    return _BLOCK.sub("", text.read_text(encoding="utf-8"))
