"""The command that repeats a run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields

from ..editing.schedule import Edit
from ..settings import QUALITIES, RunSettings

_DEFAULTS = {each.name: each.default for each in fields(RunSettings)}

_OPTIONS = {
    "face": "--face",
    "touch": "--touch",
    "backend": "--backend",
    "codec": "--codec",
    "crf": "--crf",
    "compare": "--compare",
    "device": "--device",
    "precision": "--precision",
    "bundle": "--bundle",
    "cache_dir": "--cache",
    "sign": "--sign",
    "key": "--key",
}
"""Settings that are an option each."""


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        parts: its words in groups: the verb with the source, then each option with its value.
        unsaid: settings that the command line has no option for, as Python has them.
    """

    parts: list[list[str]]
    unsaid: dict[str, object]

    @property
    def words(self) -> list[str]:
        """After ``videdit``."""
        return [word for part in self.parts for word in part][1:]

    @property
    def text(self) -> str:
        """For a shell, quoted, an option a line."""
        return " \\\n    ".join(shlex.join(part) for part in self.parts)


def command_of(settings: RunSettings, *, picture: bool) -> Command:
    """The command that asks for these settings, all that are not the defaults among them.

    Args:
        settings: of a run.
        picture: whether the source is one.
    """
    parts = [["videdit", "image" if picture else "run", str(settings.source.absolute())]]

    def option(name: str, value: object) -> None:
        text = str(value)
        # What begins with a dash would be taken for an option.
        parts.append([f"{name}={text}"] if text.startswith("-") else [name, text])

    usual = "transformer"
    if settings.editor == "scribble":
        usual = "scribble"
        option("--scribble", settings.like)
        option("--strength", settings.edits[0].schedule)
    elif settings.like is not None:
        usual = "activations"
        others, last = _split(settings.edits)
        for edit in others:
            option("--edit", edit)
        option("--like", settings.like)
        option("--region", ",".join(edit.attribute for edit in last))
        option("--strength", last[0].schedule)
    else:
        for edit in settings.edits:
            option("--edit", edit)
        if settings.within:
            option("--region", ",".join(settings.within))
    if settings.mask is not None:
        option("--mask", settings.mask)
    if settings.editor != usual:
        option("--editor", settings.editor)
    if settings.keep:
        option("--keep", ",".join(settings.keep))
    for name, value in (("--from", settings.start_s), ("--to", settings.stop_s)):
        if value is not None:
            option(name, repr(value).removesuffix(".0"))
    qualities = {method: quality for quality, method in QUALITIES.items()}
    unsaid: dict[str, object] = {}
    if settings.method not in qualities:
        unsaid["method"] = settings.method
    elif settings.method != _DEFAULTS["method"]:
        option("--quality", qualities[settings.method])
    for name, written in _OPTIONS.items():
        if getattr(settings, name) != _DEFAULTS[name]:
            option(written, getattr(settings, name))
    if not settings.tag:
        parts.append(["--no-tag"])
    if settings.chunk_frames != _DEFAULTS["chunk_frames"]:
        unsaid["chunk_frames"] = settings.chunk_frames
    option("-o", settings.output)
    return Command(parts, unsaid)


def _split(edits: tuple[Edit, ...]) -> tuple[list[Edit], list[Edit]]:
    """Regions at the end that share a strength, which one option says; and those before them. The
    mask's, which ``--mask`` names, stays where it is: the order of edits matters."""
    at = len(edits) - 1
    while at and edits[at - 1].schedule == edits[-1].schedule:
        at -= 1
    return list(edits[:at]), list(edits[at:])
