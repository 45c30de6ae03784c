"""`videdit completion`: what a shell completes, as a script of plain words: nothing is run while
somebody types."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from videdit.cli.main import available, typer_app
from videdit.editing.attributes import NAMES
from videdit.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print what makes a shell complete verbs, options and their values: videdit completion bash

    bash: eval "$(videdit completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc, after compinit;
    fish: videdit completion fish > ~/.config/fish/completions/videdit.fish
    """
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", f"Use {', '.join(SHELLS)}.")
    print(fish() if shell == "fish" else bash(shell))


STAGES = (
    *("frames", "landmarks", "track", "align", "encode", "refine", "reconstruct", "edit"),
    *("decode", "blend"),
)
"""What `videdit inspect` draws; the stages themselves are heavy to load."""


def words() -> dict[str, list[str]]:
    """What may follow each command ("run", "cache", "cache prune"): the verbs below it, then its
    options."""
    found = {}
    for name, verb in available().items():
        command: Any = typer.main.get_command(typer_app(verb))
        below: dict[str, Any] = getattr(command, "commands", {})
        found[name] = [*sorted(below), *_options(command)]
        found |= {f"{name} {word}": _options(one) for word, one in below.items()}
    return found


def _options(command: Any) -> list[str]:
    named = {name for p in command.params for name in p.opts if name.startswith("-")}
    return sorted({*named, "--help"})


def values() -> dict[str, list[str]]:
    """What may follow an option, by its name; where others may as well, they are files."""
    from videdit.device import PRECISIONS
    from videdit.editing.presets import PRESETS
    from videdit.faces.backend import BACKENDS
    from videdit.media.compare import COMPARISONS
    from videdit.media.encoding import CODECS
    from videdit.models.choices import BY_PHOTO, EDITORS
    from videdit.settings import METHODS, QUALITIES

    attributes = list(NAMES)
    return {
        "--attr": attributes,
        "-a": attributes,
        "--edit": attributes,
        "-e": attributes,
        "--keep": attributes,
        "--preset": [preset.name for preset in PRESETS],
        "--editor": [*EDITORS, *(name for name in BY_PHOTO if name != "scribble"), "direction:"],
        "--quality": list(QUALITIES),
        "--backend": list(BACKENDS),
        "--codec": list(CODECS),
        "--compare": list(COMPARISONS),
        "--device": ["auto", "cpu", "cuda"],
        "--precision": list(PRECISIONS),
        "--face": ["largest", "all", "track:", "like:"],
        "--method": list(METHODS),
        "--ray": ["auto", "local"],
    }


_OR_FILES = ("--preset", "--editor")


def bash(shell: str = "bash") -> str:
    """The script for bash, and for zsh by its bashcompinit."""
    table = words()
    groups = sorted({path.split()[0] for path in table if " " in path})

    def case(what: str, then: str) -> str:
        return f"        {what}) {then} ;;"

    after = "\n".join(
        case(shlex.quote(path), f"words={shlex.quote(' '.join(ways))}")
        for path, ways in table.items()
    )
    chosen = "\n".join(
        case(option, f"words={shlex.quote(' '.join(ways))}{' files=1' * (option in _OR_FILES)}")
        for option, ways in values().items()
    )
    first = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    verbs = shlex.quote(" ".join((*(path for path in table if " " not in path), *_ALONE)))
    return f"""{first}_videdit() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words= files=
    local verb=${{COMP_WORDS[1]}}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {verbs} -- "$current"))
        return
    fi
    if [ "$current" = "=" ]; then
        current=
    elif [ "$before" = "=" ]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    case $before in
{chosen}
    esac
    if [ -z "$words" ]; then
        files=1
        case $verb in
            {"|".join(groups)})
                if [ "$COMP_CWORD" -gt 2 ]; then verb="$verb ${{COMP_WORDS[2]}}"; fi ;;
            completion) words={shlex.quote(" ".join(SHELLS))} files= ;;
            inspect) if [ "$COMP_CWORD" -gt 2 ]; then words={shlex.quote(" ".join(STAGES))}; fi ;;
        esac
        local given=$words
        case $verb in
{after}
        esac
        words="$given $words"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [ -n "$files" ]; then
        COMPREPLY=("${{COMPREPLY[@]}}" $(compgen -f -- "$current"))
    fi
}}
complete -o filenames -F _videdit videdit"""


_ALONE = ("--help", "--version")


def fish() -> str:
    """The script for fish."""
    table, chosen = words(), values()
    verbs = [path for path in table if " " not in path]
    lines = [
        f"complete -c videdit -n __fish_use_subcommand -f -a {shlex.quote(' '.join(verbs))}",
        *(f"complete -c videdit -n __fish_use_subcommand -f -l {name[2:]}" for name in _ALONE),
    ]
    for path, after in table.items():
        verb, _, below = path.partition(" ")
        seen = f"__fish_seen_subcommand_from {verb}"
        if below:
            seen += f"; and __fish_seen_subcommand_from {below}"
        here = f"complete -c videdit -n {shlex.quote(seen)}"
        plain = [word for word in after if not word.startswith("-")]
        if plain:
            none = f"{seen}; and not __fish_seen_subcommand_from {' '.join(plain)}"
            lines.append(
                f"complete -c videdit -n {shlex.quote(none)} -f -a {shlex.quote(' '.join(plain))}"
            )
        arguments = {"inspect": STAGES, "completion": SHELLS}.get(path)
        if arguments:
            lines.append(f"{here} -a {shlex.quote(' '.join(arguments))}")
        for option in after:
            kind, name = ("-l", option[2:]) if option.startswith("--") else ("-s", option[1:])
            if not option.startswith("-"):
                continue
            line = f"{here} {kind} {name}"
            if option in chosen:
                only = "-r" if option in _OR_FILES else "-x"
                line += f" {only} -a {shlex.quote(' '.join(chosen[option]))}"
            lines.append(line)
    return "\n".join(lines)
