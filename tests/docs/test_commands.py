"""Commands and programs in the texts are those that there are."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.texts import ROOT, TEXTS, blocks, name_of, without_blocks
from videdit.cli.main import VERBS, typer_app

_IMAGE = re.compile(r"videdit(:\w+)?$")
_COMMAND = re.compile(r"(?<!`)`videdit ([^`\n]+)`(?!`)")
_PLACEHOLDER = re.compile(r"[A-Z]+$|\.\.\.$")


def commands(script: str) -> Iterator[list[str]]:
    """The words after `videdit` of each call in a shell script."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in (*lexer, ";"):
            if not re.fullmatch(r"[;&|()<>]+", word):
                words.append(word)
                continue
            yield from _called(words)
            words = []


def _called(words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if words[:2] == ["docker", "run"]:
        start = next((k for k, word in enumerate(words) if _IMAGE.fullmatch(word)), None)
        if start is not None:
            yield words[start + 1 :]
    elif words and (words[0] == "videdit" or words[0].endswith("/videdit")):
        yield words[1:]


def parse(words: list[str]) -> None:
    """Parse a command as the command line does, and don't run it.

    Raises:
        typer's usage errors.
    """
    verb, *rest = words
    if verb in ("--version", "--help"):
        return
    command: Any = typer.main.get_command(typer_app(VERBS[verb]))
    while getattr(command, "commands", None):
        name, *rest = rest
        command = command.commands[name]
    command.make_context(verb, [word for word in rest if word != "--debug"])


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_shell_commands_parse(text: Path) -> None:
    for block in blocks(text):
        if block.language == "sh":
            for words in commands(block.text):
                try:
                    parse(words)
                except Exception as error:
                    pytest.fail(f"{block.where}: videdit {' '.join(words)}: {error!r}")


def test_commands_are_seen_and_wrong_ones_fail() -> None:
    docker = "docker run --rm -v x:/y \\\n  videdit:cuda run a.mp4 --attr Smiling && videdit doctor"
    assert list(commands(docker)) == [["run", "a.mp4", "--attr", "Smiling"], ["doctor"]]
    assert list(commands("docker build -t videdit .  # videdit run")) == []
    assert list(commands("VIDEDIT_THREADS=2 .venv/bin/videdit doctor")) == [["doctor"]]
    found = [w for b in blocks(ROOT / "README.md") if b.language == "sh" for w in commands(b.text)]
    assert len(found) > 15
    parse(["cache", "prune", "--max-size", "5GB"])
    for wrong in (["run", "a.mp4", "--atr", "Smiling"], ["run"], ["image", "a", "--crf", "x"]):
        with pytest.raises(Exception, match=r"(?i)no such option|missing|got unexpected"):
            parse(wrong)
    with pytest.raises(KeyError):
        parse(["cache", "shrink"])


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_commands_in_sentences_name_verbs_and_options(text: Path) -> None:
    for said in _COMMAND.findall(without_blocks(text)):
        verb, *rest = said.replace("\\|", "|").split()
        if _PLACEHOLDER.match(verb) or verb.startswith("-"):
            continue
        assert verb in VERBS, said
        command: Any = typer.main.get_command(typer_app(VERBS[verb]))
        below = getattr(command, "commands", {})
        known = {name for one in (command, *below.values()) for p in one.params for name in p.opts}
        known |= {"-h", "--help", "--debug"}
        if below and rest and not rest[0].startswith("-"):
            for name in rest[0].split("|"):
                assert name in below or _PLACEHOLDER.match(name), said
        for word in rest:
            if re.match(r"--?[a-z]", word):
                assert word.split("|")[0].split("=")[0] in known, said


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_programs_compile_and_import_what_there_is(text: Path) -> None:
    for block in blocks(text):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text, block.where)):
            if isinstance(node, ast.Import):
                for name in node.names:
                    importlib.import_module(name.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                for name in node.names:
                    assert hasattr(module, name.name), f"{block.where}: {name.name}"


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=name_of)
def test_example_scripts_can_be_loaded(script: Path) -> None:
    assert "main" in runpy.run_path(str(script), run_name="loaded")
