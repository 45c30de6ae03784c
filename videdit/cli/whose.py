"""Which edits a command line asks for, and whose they are.

Several people: ``--face like:a.jpg --attr Smiling --face track:2 --attr Young``. What comes after a
``--face`` is that face's, up to the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
import typer.core

from videdit.errors import UsageError

if TYPE_CHECKING:
    from videdit.editing.schedule import Edit

Faces = Annotated[
    list[str],
    typer.Option(
        "--face",
        help="Whose face: largest, all, track:N (see `videdit inspect`), or like:photo.jpg, the "
        "person's in a picture. Repeat for several people: edits belong to the --face before them.",
        show_default="largest",
        metavar="WHO",
    ),
]

USUAL = "largest"
"""Whose face is edited if nothing is said."""

_ORDER = "videdit.order"
_EXAMPLE = "Write e.g. --face like:a.jpg --attr Smiling --face like:b.jpg --attr Young."


class OrderedCommand(typer.core.TyperCommand):
    """A command that knows the order in which its options were given: values alone don't say what
    came between them."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def options_in_order(ctx: typer.Context) -> list[str]:
    """The names of the parameters that were given, one for each time."""
    return list(ctx.meta.get(_ORDER, ()))


def collect_edits(
    attributes: list[str], alphas: list[str], texts: list[str], presets: Sequence[str] = ()
) -> list[Edit]:
    """The edits of a command line, in order; those of presets come first, and of an attribute that
    is named again the one that is named counts.

    Raises:
        UsageError: no edit, an unknown attribute, or strengths that cannot be matched.
    """
    from videdit.editing.attributes import canonical
    from videdit.editing.presets import find_preset
    from videdit.editing.schedule import Edit

    # `--attr Smiling=1.5` is what people type.
    bare = [name for name in attributes if "=" not in name]
    if alphas and len(alphas) != len(bare):
        raise UsageError(
            f"{len(bare)} --attr but {len(alphas)} --alpha",
            "Give each --attr its --alpha, or write --edit Smiling=1.5.",
        )
    strengths = iter(alphas or ["1"] * len(bare))
    pairs = [name if "=" in name else f"{name}={next(strengths)}" for name in attributes]
    named = [Edit.parse(text) for text in pairs + texts]
    given = [edit for name in presets for edit in find_preset(name).edits]
    said = {canonical(edit.attribute) for edit in named}
    kept = {e.attribute: e for e in given if e.attribute not in said}  # the last one counts
    if not named and not kept:
        raise UsageError(
            "nothing to edit", "Name an attribute, e.g. --attr Smiling (see `videdit attributes`)."
        )
    return [*kept.values(), *named]


def edits_of_faces(
    order: Sequence[str],
    faces: Sequence[str],
    attributes: Sequence[str],
    alphas: Sequence[str],
    texts: Sequence[str],
    presets: Sequence[str],
) -> tuple[str, list[Edit]]:
    """The face that a run is about, and its edits; with several ``--face`` each edit says whose.

    Args:
        order: see :func:`options_in_order`.
        faces, attributes, alphas, texts, presets: the values of ``--face``, ``--attr``,
            ``--alpha``, ``--edit`` and ``--preset``.

    Returns:
        No edits if none is named.

    Raises:
        UsageError: a face without an edit, an edit before the first of several faces, or what
            ``collect_edits`` refuses.
    """
    given = {"attr": attributes, "alpha": alphas, "edit": texts, "preset": presets}
    if len(faces) < 2:
        face = faces[0] if faces else USUAL
        named = any(given.values())
        return face, collect_edits(*map(list, given.values())) if named else []
    values = {name: iter(said) for name, said in {**given, "face": faces}.items()}
    groups: list[tuple[str, dict[str, list[str]]]] = []
    for name in order:
        if name not in values:
            continue
        value = next(values[name])
        if name == "face":
            groups.append((value, {each: [] for each in given}))
        elif groups:
            groups[-1][1][name].append(value)
        else:
            raise UsageError(f"--{name} {value} comes before the first --face", _EXAMPLE)
    edits: list[Edit] = []
    for face, theirs in groups:
        if not any(theirs.values()):
            raise UsageError(f"--face {face} is followed by no edit", _EXAMPLE)
        edits += [replace(edit, face=face) for edit in collect_edits(*theirs.values())]
    return USUAL, edits
