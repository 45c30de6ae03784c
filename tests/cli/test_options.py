"""Options of one name mean the same in all verbs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import click
import pytest
import typer.main

from videdit.cli import options
from videdit.cli.main import VERBS, typer_app


def all_commands() -> dict[str, click.Command]:
    """Every command by what is typed for it."""
    found = {}
    for name, verb in VERBS.items():
        command = typer.main.get_command(typer_app(verb))
        found[f"videdit {name}"] = command
        for below, one in getattr(command, "commands", {}).items():
            found[f"videdit {name} {below}"] = one
    return found


@pytest.mark.parametrize("path", sorted(all_commands()))
def test_help_says_what_for_and_gives_an_example(path: str) -> None:
    command = all_commands()[path]
    summary, *rest = (command.help or "").strip().split("\n\n")
    assert 10 < len(summary) < 110
    assert "\n" not in summary
    told = " ".join([summary, *rest]).replace("\n", " ")
    assert re.search(rf"(: |or |example: ){re.escape(path)}( |$)", told)
    for parameter in command.params:
        if parameter.name == "help":
            continue
        names = ", ".join(parameter.opts)
        said = getattr(parameter, "help", None) or ""
        assert len(said) > 8, names
        assert said[0].isupper() or not said[0].isalpha() or said.startswith(CHOICES), names
        flag, several = (
            getattr(parameter, "is_flag", False),
            parameter.multiple or parameter.nargs < 0,
        )
        if parameter.required or flag or several:
            continue
        shown = getattr(parameter, "show_default", None)
        # The default is printed, or what holds without the option.
        assert isinstance(shown, str) or parameter.default not in (None, ""), names


CHOICES = ("auto", "bash", "balanced", "transformer")
"""Words of the command line that a help text begins with."""

SHARED = ("--bundle", "--cache", "--data", "--device", "--precision", "--quiet")


def commands(command: click.Command) -> Iterator[click.Command]:
    """A command and those below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from commands(below)


@pytest.fixture(scope="module")
def helps() -> dict[str, set[str | None]]:
    """The help texts of each option's name, over all verbs."""
    found = defaultdict(set)
    for verb in VERBS.values():
        for command in commands(typer.main.get_command(typer_app(verb))):
            for parameter in command.params:
                for name in parameter.opts:
                    found[name].add(getattr(parameter, "help", None))
    return found


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_is_the_same_everywhere(
    helps: dict[str, set[str | None]], name: str
) -> None:
    assert len(helps[name]) == 1


def test_the_cache_is_called_cache(helps: dict[str, set[str | None]]) -> None:
    assert [name for name in helps if "cache" in name] == ["--cache"]
    assert options.Cache.__metadata__[0].help in helps["--cache"]
