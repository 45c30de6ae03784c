"""Options of one name mean the same in all verbs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import click
import pytest
import typer.main

from videdit.cli import options
from videdit.cli.main import VERBS, typer_app

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
