"""Writes the pages that say what the code says: of the command line, the Python API, the weights.

    python docs/pages.py

`tests/docs/test_pages.py` fails where a page is not what this writes.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))  # the package beside this file, installed or not

from videdit.bundles import read_manifest  # noqa: E402
from videdit.cli.main import EXIT_CODES, available, typer_app  # noqa: E402

_MADE = "<!-- Made by docs/pages.py from the code: `make docs-pages`. -->"

# --- the command line ----------------------------------------------------------------------------


def cli_page() -> str:
    """The page of all verbs."""
    verbs = available()
    lines = [
        "# Every verb",
        _MADE,
        "What `videdit VERB --help` says, in one page. `videdit --version` prints the version;"
        " `--debug` anywhere shows the traceback of an error.",
        _table(("verb", ""), [(f"[`{name}`](#{name})", verb.help) for name, verb in verbs.items()]),
    ]
    for name, verb in verbs.items():
        command = typer.main.get_command(typer_app(verb))
        below = getattr(command, "commands", {})
        lines.append(f"## {name}")
        if below:
            lines.append(verb.help)
            for one, sub in below.items():
                lines += [f"### {name} {one}", *_command(sub, f"videdit {name} {one}")]
        else:
            lines += _command(command, f"videdit {name}")
    lines += [
        "## Exit codes",
        _table(("code", "meaning"), [(str(code), text) for code, text in EXIT_CODES.items()]),
        "[Troubleshooting](troubleshooting.md) goes through them.",
    ]
    return "\n\n".join(lines) + "\n"


def _command(command: Any, path: str) -> Iterator[str]:
    """Usage, help, arguments and options of one command."""
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    words = [path, *map(_argument_name, arguments), *(["[OPTIONS]"] if options else [])]
    yield f"```text\n{' '.join(words)}\n```"
    yield _prose(_EXAMPLE.sub(r"`\1`", inspect.cleandoc(command.help or "")))
    if arguments:
        rows = [(f"`{_argument_name(one)}`", _help(one)) for one in arguments]
        yield _table(("argument", ""), rows)
    if options:
        rows = [(_option_names(one), _help(one)) for one in options]
        yield f'<div class="options" markdown>\n\n{_table(("option", ""), rows)}\n\n</div>'


def _argument_name(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper().removesuffix("...")
    name += "..." if argument.nargs != 1 else ""
    return name if argument.required else f"[{name}]"


def _option_names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=lambda name: -len(name)))
    if option.is_flag:
        return names
    return f"{names} `{option.metavar or _kind(option)}`"


def _kind(option: Any) -> str:
    """What an option takes, in a word."""
    kind = option.type_descriptor.annotation
    taken = get_args(kind)[0] if get_args(kind) else kind
    if issubclass(taken, Enum):
        return "|".join(str(one.value) for one in taken)
    return {int: "N", float: "X", Path: "PATH"}.get(taken, "TEXT")


def _help(parameter: Any) -> str:
    """Its help, and its default unless that says nothing."""
    text = _prose(" ".join((parameter.help or "").split()))
    default = parameter.default
    nothing = default is None or isinstance(default, bool) or default in ("", [], ())
    if isinstance(parameter.show_default, str):
        said = parameter.show_default
    elif nothing or not parameter.show_default:
        said = ""
    else:
        said = _plain(getattr(default, "value", default))
    return f"{text} Default: {_escaped(said)}." if said else text


def _plain(value: object) -> str:
    """A default as text; a path of this checkout as one below it."""
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        return value.relative_to(ROOT).as_posix()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return str(value)


# --- the Python API ------------------------------------------------------------------------------

_API = (
    ("edit_video", "videdit"),
    ("edit_image", "videdit"),
    ("Result", "videdit.api"),
    ("RunSettings", "videdit"),
    ("Progress", "videdit"),
    ("load_bundle", "videdit"),
    ("Bundle", "videdit.bundles"),
)
_TO_USE = {
    "Progress": ("note", "tick", "standing"),
    "Bundle": ("file", "files", "path", "state", "missing"),
}
"""Methods that a user calls or overrides, of classes that have others as well."""


def python_page() -> str:
    """The page of the library: what was written by hand above the mark, and all that it offers."""
    written = (DOCS / "python.md").read_text(encoding="utf-8").split(_MADE)[0]
    lines = [written.rstrip(), _MADE]
    for name, module in _API:
        lines += _entry(getattr(importlib.import_module(module), name), name, module)
    base = importlib.import_module("videdit.errors").VideditError
    lines += [
        "## Errors",
        "Each is a `VideditError` of `videdit.errors`, with `message` (what is wrong), `remedy`"
        " (what to do) and `exit_code`.",
    ]
    rows = [
        (f"`{kind.__name__}`", str(kind.exit_code), _prose(_first(kind)))
        for kind in base.__subclasses__()
        if kind.__module__ == "videdit.errors"
    ]
    lines.append(_table(("error", "exit code", ""), rows))
    return "\n\n".join(lines) + "\n"


def _entry(thing: Any, name: str, module: str) -> Iterator[str]:
    """A function or class with what its docstring says."""
    yield f"## {name}"
    if not inspect.isclass(thing):
        yield f"```python\nfrom {module} import {name}\n\n\n{_signature(thing)}\n```"
        yield from _docstring(thing, {})
        return
    yield f"```python\nfrom {module} import {name}\n```"
    known = {one.name: _field(one) for one in fields(thing)} if is_dataclass(thing) else {}
    yield from _docstring(thing, known)
    for method in _TO_USE.get(name, ()):
        yield f"### {name}.{method}"
        yield f"```python\n{_signature(getattr(thing, method))}\n```"
        yield from _docstring(getattr(thing, method), {})


def _signature(function: Callable[..., Any]) -> str:
    """A function's head as ruff formats it (pages, too), a parameter a line where it is long."""
    found = inspect.signature(function)
    parts = []
    for one in found.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        typed = f"{one.name}: {one.annotation}" if one.annotation is not one.empty else one.name
        quoted = json.dumps(one.default) if isinstance(one.default, str) else repr(one.default)
        parts.append(typed if one.default is one.empty else f"{typed} = {quoted}")
    inner = ", ".join(parts)
    if len(inner) > 70:
        inner = "".join(f"\n    {part}," for part in parts) + "\n"
    return f"def {function.__name__}({inner}) -> {found.return_annotation}: ..."


def _field(one: Any) -> str:
    """A field's type, and its default."""
    text = f"`{one.type}`"
    if one.default is not MISSING and one.default not in ("", ()):
        text += f", `{one.default!r}` if not said"
    return text


# --- weights -------------------------------------------------------------------------------------


def bundles_page() -> str:
    """The page of the weights: the written part above the mark, and all parts."""
    written = (DOCS / "bundles.md").read_text(encoding="utf-8").split(_MADE)[0]
    manifest = read_manifest()
    roles = {file: role.name for role in manifest.roles.values() for file in role.files}
    rows = [
        (
            f"`{part.name}`",
            roles.get(part.name, ""),
            f"{part.size / 1e6:.1f} MB" if part.size >= 1e5 else f"{part.size / 1e3:.0f} kB",
            part.licence,
            _prose(part.provenance),
        )
        for part in manifest.parts.values()
    ]
    table = _table(("file", "role", "size", "licence", "from"), rows)
    return "\n\n".join((written.rstrip(), _MADE, table)) + "\n"


# --- docstrings and Markdown ---------------------------------------------------------------------

_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")
_EXAMPLE = re.compile(r"(?<=: )(videdit .+)$", re.MULTILINE)
_HEADS = {"Args": "argument", "Attributes": "attribute"}
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$")


def _docstring(thing: Any, known: dict[str, str]) -> Iterator[str]:
    """A docstring as Markdown.

    Args:
        known: types and defaults of the attributes that it describes, by name.
    """
    parts: list[tuple[str, list[str]]] = [("", [])]
    for line in (inspect.getdoc(thing) or "").splitlines():
        section = _SECTION.match(line)
        if section:
            parts.append((section[1], []))
        else:
            parts[-1][1].append(line)
    for section, lines in parts:
        text = inspect.cleandoc("\n".join(["", *lines]))
        if not section:
            yield _prose(text)
        elif section in ("Returns", "Yields"):
            yield f"**{section}** {_prose(text)}"
        else:
            rows = list(_items(text))
            if section == "Attributes" and known:
                typed = [(f"`{name}`", _typed(name, known), said) for name, said in rows]
                yield _table(("attribute", "type", ""), typed)
            else:
                heads = (_HEADS.get(section, section.lower()), "")
                yield _table(heads, [(f"`{name}`", said) for name, said in rows])


def _items(text: str) -> Iterator[tuple[str, str]]:
    """Names and what is said of each, of a section."""
    for item in re.split(r"\n(?=\S)", text):
        name, _, said = item.partition(":")
        yield name, _prose(" ".join(said.split()))


def _typed(names: str, known: dict[str, str]) -> str:
    return "; ".join(dict.fromkeys(known[name] for name in names.split(", ") if name in known))


def _first(thing: Any) -> str:
    """The first sentence of a docstring."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _prose(text: str) -> str:
    """Help or a docstring's text as Markdown: code stays code, pages are linked."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    pieces = re.split(r"(`[^`]*`)", text)
    escaped = "".join(
        one if one.startswith("`") else _OPTION.sub(r"`\1`", _escaped(one)) for one in pieces
    )
    return re.sub(r"\bdocs/(\w+)\.md", _link, escaped)


def _link(found: re.Match[str]) -> str:
    page = DOCS / f"{found[1]}.md"
    title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"[{title}]({page.name})"


def _escaped(text: str) -> str:
    return re.sub(r"([*<\[\]])", r"\\\1", text)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(heads), line(("---",) * len(heads)), *map(line, rows)])


PAGES = {"cli.md": cli_page, "python.md": python_page, "bundles.md": bundles_page}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (DOCS / file).write_text(page(), encoding="utf-8")
        print(f"docs/{file}")
