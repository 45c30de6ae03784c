"""Edits under a name: those that come with the tool, and a user's own.

A file of one's own is TOML with a table for each::

    [premiere]
    about = "Friendlier, and a little younger"
    edit = { Smiling = 0.7, Young = "0s:0,2s:0.5" }
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videdit.editing.schedule import Edit
from videdit.errors import UsageError
from videdit.files import read_toml

_SUFFIX = ".toml"
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Preset:
    """Some edits under a name.

    Attributes:
        about: what they do, in a line; maybe empty.
    """

    name: str
    edits: tuple[Edit, ...]
    about: str = ""


def _preset(name: str, about: str, **alphas: float) -> Preset:
    edits = tuple(Edit.parse(f"{attribute}={alpha}") for attribute, alpha in alphas.items())
    return Preset(name, edits, about)


PRESETS: tuple[Preset, ...] = (
    _preset("happier", "a clear smile", Smiling=1),
    _preset("laughing", "a broad smile with the mouth open", Smiling=1.5, Mouth_Slightly_Open=1),
    _preset("serious", "the smile gone, the mouth closed", Smiling=-1, Mouth_Slightly_Open=-1),
    _preset("younger", "smoother skin and softer features", Young=1),
    _preset("older", "the marks of age, and grey hair", Young=-1, Gray_Hair=1),
    _preset("glasses", "glasses put on", Eyeglasses=1),
    _preset("shaved", "the beard taken away", No_Beard=1),
    _preset("bearded", "a beard", No_Beard=-1),
    _preset("fringe", "hair over the forehead", Bangs=1),
    _preset("blond", "blond hair", Blond_Hair=1),
    _preset("dark-haired", "black hair", Black_Hair=1),
    _preset("grey-haired", "grey hair", Gray_Hair=1),
)
"""Those that come with the tool, from attributes whose edits arrive on real people's pictures."""


def find_preset(text: str) -> Preset:
    """The preset of that name, or in that file.

    Args:
        text: a name of :data:`PRESETS`; ``FILE.toml``, if it holds one; or ``FILE.toml:NAME``.

    Raises:
        UsageError: there is no such preset, or it is none.
        InputError: the file cannot be read.
    """
    file, colon, name = text.rpartition(":")
    if colon and file.endswith(_SUFFIX):
        return _choose(read_presets(Path(file)), name, file)
    if text.endswith(_SUFFIX):
        found = read_presets(Path(text))
        if len(found) > 1:
            names = ", ".join(preset.name for preset in found)
            raise UsageError(f"{text} holds {names}", f"Name one: {text}:{found[0].name}.")
        return found[0]
    return _choose(PRESETS, text, "videdit")


def read_presets(path: Path) -> tuple[Preset, ...]:
    """The presets of a file, at least one.

    Raises:
        UsageError: it says what no preset can be.
        InputError: it cannot be read.
    """
    tables = read_toml(path, _LARGEST_FILE)
    if not tables:
        raise UsageError(f"{path} holds no preset", "Write a table: [name], edit = {{Smiling = 1}}")
    return tuple(_read(name, table, path) for name, table in tables.items())


def _read(name: str, table: Any, path: Path) -> Preset:
    what = f"{path}, [{name}]"
    if not isinstance(table, Mapping):
        raise UsageError(f"{what} is no table", "Write [name], and below it edit = {Smiling = 1}.")
    unknown = sorted(set(table) - {"about", "edit"})
    if unknown:
        raise UsageError(f"{what}: there is no {unknown[0]!r}", "There are about and edit.")
    edit, about = table.get("edit"), table.get("about", "")
    if not isinstance(edit, Mapping) or not edit or not isinstance(about, str):
        raise UsageError(f"{what} names no edits", "Say edit = { Smiling = 1, Young = 0.5 }.")
    try:
        edits = tuple(Edit.parse(f"{attribute}={alpha}") for attribute, alpha in edit.items())
    except UsageError as error:
        raise UsageError(f"{what}: {error.message}", error.remedy) from error
    return Preset(name, edits, about)


def _choose(presets: tuple[Preset, ...], name: str, where: str) -> Preset:
    for preset in presets:
        if preset.name == name:
            return preset
    names = [preset.name for preset in presets]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(f"{where} knows no preset {name!r}", f"{hint}There are: {', '.join(names)}.")
