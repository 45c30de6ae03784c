"""What the page offers to edit: the sliders and presets of one bundle's editor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..bundles import Bundle, load_bundle
from ..bundles.manifest import DEFAULT_BUNDLE
from ..device import Device
from ..editing.attributes import GROUPS, NAMES, canonical, resolve
from ..editing.editor import Editor
from ..editing.linear import GANSpaceEditor
from ..editing.presets import PRESETS, Preset
from ..editing.quality import Quality, load_quality
from ..editing.styleclip import StyleClipEditor
from ..errors import UsageError
from ..evaluation.browse import list_edits, reach, sheet_names
from ..models.choices import BY_PHOTO, DIRECTION, check_editor
from ..models.networks import Networks
from .state import LIMIT, USUAL, reliability

MORE = "more"
"""The group of what CelebA has no name for."""

_FAR = 5.0  # of a slider whose 1 is a deviation or a distance, and not an edit that is seen
_MEASURED = (
    "Percentages: in so many results on pictures of real people who lacked it, a judge that had no"
    " part in the training saw the change, at a strength of +1 and of −1."
)


@dataclass(frozen=True)
class Offered:
    """One slider.

    Attributes:
        name: of the edit.
        limit: how far it goes in either direction.
        info: what is said below it, lines; may be empty.
        doubt: whether it is not to be relied on.
    """

    name: str
    limit: float
    info: str
    doubt: bool = False


@dataclass(frozen=True)
class Offer:
    """What there is to edit.

    Attributes:
        bundle, editor: as ``videdit run`` takes them.
        groups: sliders by the name of their group, none of them empty.
        presets: those whose edits the editor all has.
        legend: what is to be said of all.
    """

    bundle: str
    editor: str
    groups: Mapping[str, tuple[Offered, ...]]
    presets: tuple[Preset, ...]
    legend: str

    @property
    def settings(self) -> dict[str, object]:
        """Of a run."""
        return {"bundle": self.bundle, "editor": self.editor}

    @property
    def sliders(self) -> list[Offered]:
        """All, in their order."""
        return [one for group in self.groups.values() for one in group]

    @property
    def first(self) -> str:
        """The name of the first slider."""
        return self.sliders[0].name


def make_offer(bundle: str = DEFAULT_BUNDLE, editor: str = USUAL) -> Offer:
    """What a bundle's editor has to offer.

    Raises:
        UsageError: there is no such bundle or editor, or the editor takes another picture, or has
            no edits.
        WeightsError: the bundle lacks the editor, the generator or the encoder.
    """
    found = load_bundle(bundle)
    if editor in BY_PHOTO:
        raise UsageError(
            f"the editor {editor!r} takes another picture, which the page has no place for",
            f"Use it by `videdit run --editor {editor}`.",
        )
    check_editor(editor)
    for role in ("generator", "encoder"):
        found.manifest.role(role)
    measured = editor == USUAL and "quality" in found.manifest.roles
    table = load_quality(found.file("quality")) if measured else {}
    if table and not found.of_user:
        # Figures of all that it edits: its networks need not be loaded to say it.
        offered = [_figured(name, quality) for name, quality in table.items()]
        return _grouped(bundle, editor, offered, _MEASURED)
    networks = Networks(found, Device("cpu", "fp32"), "mesh")
    made = networks.editor(editor)
    named = tuple(made.named) if isinstance(made, GANSpaceEditor) else ()
    names = [*named, *sheet_names(networks, made)]
    if not names:
        raise UsageError(f"the editor {editor!r} has no edits", "Use another: --editor NAME.")
    about = {one.name: one.about for one in list_edits(networks, editor, names).edits}
    offered = [
        _figured(name, table[name])
        if name in table
        else Offered(name, _limit(made, name, found, editor), _words(name, about[name]))
        for name in names
    ]
    legend = f"The editor {editor} of the bundle {bundle}: how well it edits was not measured."
    return _grouped(bundle, editor, offered, _MEASURED if table else legend)


def _figured(name: str, quality: Quality) -> Offered:
    info = reliability(name, quality.sides["+"], quality.sides["-"])
    return Offered(name, LIMIT, info, bool(quality.doubt))


def _grouped(bundle: str, editor: str, offered: Iterable[Offered], legend: str) -> Offer:
    by_name = {one.name: one for one in offered}
    groups = {
        group: tuple(by_name[name] for name in names if name in by_name)
        for group, names in GROUPS.items()
    }
    groups[MORE] = tuple(one for one in by_name.values() if one.name not in NAMES)
    presets = tuple(
        preset for preset in PRESETS if all(edit.attribute in by_name for edit in preset.edits)
    )
    groups = {group: sliders for group, sliders in groups.items() if sliders}
    return Offer(bundle, editor, groups, presets, legend)


def _limit(editor: Editor, name: str, bundle: Bundle, choice: str) -> float:
    """How far a slider goes: 1 is an edit that is seen of what the project trained, but a deviation
    or a distance of components, channels and most of what others published."""
    by_unit = choice.startswith(DIRECTION) or isinstance(editor, StyleClipEditor)
    by_unit = by_unit or (choice == "interfacegan" and bundle.of_user)
    return _FAR if by_unit or reach(editor, name) > LIMIT else LIMIT


def _words(name: str, about: str) -> str:
    if canonical(name) not in NAMES:
        return about
    attribute = resolve(name)
    return f"+ {attribute.plus}\n− {attribute.minus}"
