"""Each message on the page of troubles is one that the code says, with the exit code it stands
under."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.docs.texts import DOCS, ROOT
from videdit import errors
from videdit.cli.main import EXIT_CODES

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
_KINDS = {kind.__name__: kind for kind in errors.VideditError.__subclasses__()}
_KINDS["VideditError"] = errors.VideditError
_GAP = "\0"


def section(code: int) -> str:
    """What stands under an exit code's heading."""
    return PAGE.split(f"\n## {code}: {EXIT_CODES[code]}\n")[1].split("\n## ")[0]


def messages(code: int) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", section(code), re.MULTILINE)


def template(node: ast.expr) -> str:
    """A message as it is written, each value in it a gap."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(template, node.values))
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return _GAP


@cache
def said() -> dict[int, set[str]]:
    """The messages in the sources, by the exit code of their error."""
    found: dict[int, set[str]] = {code: set() for code in EXIT_CODES}
    for path in (ROOT / "videdit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                kind = _KINDS.get(node.func.id)
                if kind is not None:
                    found[kind.exit_code].add(template(node.args[0]))
    return found


def test_every_exit_code_has_its_table() -> None:
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^\| \[?{code}[^|]* \| {re.escape(meaning)} \|", PAGE, re.MULTILINE)
        assert code == 0 or messages(code)


@pytest.mark.parametrize("code", [code for code in EXIT_CODES if code])
def test_each_message_is_one_of_the_code(code: int) -> None:
    known = {re.sub(_GAP + "+", "…", one) for one in said()[code]}
    # What is put together elsewhere: an error of the system, of no class of ours, of a signal.
    known |= {"internal error: …", "stopped at stage …"}
    missing = [one for one in messages(code) if re.sub("…+", "…", one) not in known]
    assert not missing, known


def test_messages_of_the_code_are_seen() -> None:
    assert f"unknown attribute {_GAP}" in said()[2]
    assert f"no face was found in {_GAP}" in said()[4]
    assert "unknown attribute …" in messages(2)
