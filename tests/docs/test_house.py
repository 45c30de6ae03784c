"""The page of the house says what import-linter holds."""

from __future__ import annotations

import re
import sys

from tests.docs.texts import DOCS, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = (DOCS / "house.md").read_text(encoding="utf-8")


def layers() -> list[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    found: list[str] = next(one for one in contracts if one["id"] == "layers")["layers"]
    return found


def names(layer: str) -> list[str]:
    return re.findall(r"\w+", layer)


def test_every_room_is_told_of() -> None:
    rooms = PAGE.split("## Rooms")[1].split("## Arrows")[0]
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", rooms, re.MULTILINE))))
    assert told == {name for layer in layers() for name in names(layer)}


def test_the_arrows_are_those_of_the_linter() -> None:
    """`a | b` don't know each other, `a : b` may; the page writes a comma for the latter."""
    drawn = PAGE.split("```text\n")[1].split("```")[0].splitlines()
    held = [re.sub(r"[()]", "", layer).replace(" :", ",") for layer in layers()]
    assert drawn == held
