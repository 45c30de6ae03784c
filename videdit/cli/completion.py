"""`videdit completion`: what a shell completes, as a script of plain words: nothing is run while
somebody types."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from videdit.cli.main import available, typer_app
from videdit.editing.attributes import NAMES
from videdit.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print what makes a shell complete the verbs, options and attributes.

    bash: eval "$(videdit completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit;
    fish: videdit completion fish > ~/.config/fish/completions/videdit.fish
    """
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", f"Use {', '.join(SHELLS)}.")
    print(fish() if shell == "fish" else bash(shell))


def words() -> dict[str, list[str]]:
    """What may follow each verb: its own verbs, then the options of all of them."""
    found = {}
    for name, verb in available().items():
        command = typer.main.get_command(typer_app(verb))
        options = {option for one in _commands(command) for option in _options(one)}
        found[name] = [*sorted(getattr(command, "commands", {})), *sorted(options), "--help"]
    return found


def _commands(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _commands(below)


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from (name for name in parameter.opts if name.startswith("-"))


def bash(shell: str = "bash") -> str:
    """The script for bash, and for zsh by its bashcompinit."""
    table = words()
    cases = "\n".join(
        f"        {name}) words={shlex.quote(' '.join(after))} ;;" for name, after in table.items()
    )
    first = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    verbs = shlex.quote(" ".join((*table, "--help", "--version")))
    names = shlex.quote(" ".join(NAMES))
    return f"""{first}_videdit() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {verbs} -- "$current"))
        return
    fi
    case $before in
        -a|--attr|-e|--edit)
            COMPREPLY=($(compgen -W {names} -- "$current"))
            return ;;
    esac
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"; compgen -f -- "$current"))
}}
complete -o filenames -F _videdit videdit"""


def fish() -> str:
    """The script for fish."""
    table = words()
    lines = [
        f"complete -c videdit -n __fish_use_subcommand -f -a {shlex.quote(' '.join(table))}",
    ]
    for name, after in table.items():
        here = shlex.quote(f"__fish_seen_subcommand_from {name}")
        plain = [word for word in after if not word.startswith("-")]
        if plain:
            lines.append(f"complete -c videdit -n {here} -a {shlex.quote(' '.join(plain))}")
        for option in after:
            if option in ("--attr", "--edit"):
                names = shlex.quote(" ".join(NAMES))
                lines.append(f"complete -c videdit -n {here} -l {option[2:]} -x -a {names}")
            elif option.startswith("--"):
                lines.append(f"complete -c videdit -n {here} -l {option[2:]}")
            elif option.startswith("-"):
                lines.append(f"complete -c videdit -n {here} -s {option[1:]}")
    return "\n".join(lines)
