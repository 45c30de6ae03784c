"""What each attribute may touch: the regions of a face, and in which way.

Three ways, from the mildest. *Shape*: the source's own pixels are moved and shaded as the edit
moves and shades the generator's. *Colour*: they take on another colour and keep their strands,
light and shadow. *Matter*: the generator's pixels are shown, for what the source does not have
(teeth, glasses, a new beard) or is to lose. Where an edit takes the person's own texture away, like
wrinkles, the generator's is shown over it in part (*renewed*). Background and clothes are touched
by nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from videdit.editing.attributes import plain
from videdit.editing.schedule import Edit
from videdit.errors import UsageError
from videdit.faces.regions import NEVER, REGIONS, Touch

EDITABLE = tuple(name for name in REGIONS if name not in NEVER)
"""Regions that can be edited."""

MASK = "mask"
"""The region that a picture of one's own marks."""

_FACE = "skin brows eyes nose lips mouth"


def _touch(
    shape: str = "",
    colour: str = "",
    matter: str = "",
    *,
    closes: bool = False,
    motion: float = 1.0,
    tone: bool = True,
    growth: float = 1.0,
) -> Touch:
    ways = [frozenset(names.split()) for names in (shape, colour, matter)]
    return Touch(
        shape=ways[0],
        colour=ways[1],
        matter=ways[2],
        closes=closes,
        motion=motion,
        tone=tone,
        growth=growth,
    )


_BEARD = _touch("skin lips", matter="beard", motion=0.3)
_HAIR_COLOUR = _touch(colour="hair")

TOUCHES: dict[str, Touch] = {
    "5_o_Clock_Shadow": _touch("skin lips beard", matter="beard", motion=0.2),
    "Arched_Eyebrows": _touch("skin brows eyes", matter="brows"),
    "Attractive": _touch(_FACE),
    "Bags_Under_Eyes": _touch("skin eyes", matter="skin"),
    "Bald": _touch(matter="hair"),
    "Bangs": _touch("skin", matter="hair"),
    "Big_Lips": _touch("skin lips mouth", matter="lips mouth"),
    "Big_Nose": _touch("skin nose"),
    "Black_Hair": _HAIR_COLOUR,
    "Blond_Hair": _HAIR_COLOUR,
    "Blurry": _touch(_FACE + " neck ears hair beard"),
    "Brown_Hair": _HAIR_COLOUR,
    "Bushy_Eyebrows": _touch("skin brows eyes", matter="brows"),
    "Chubby": _touch(_FACE + " neck ears beard", growth=4.0),
    "Double_Chin": _touch("skin neck beard", growth=4.0),
    "Eyeglasses": _touch("skin brows eyes nose glasses", matter="glasses"),
    "Goatee": _BEARD,
    "Gray_Hair": _touch(colour="hair beard"),
    "Heavy_Makeup": _touch(_FACE, matter="lips eyes brows"),
    "High_Cheekbones": _touch(_FACE),
    "Male": _touch(_FACE + " neck beard", matter="beard brows eyes", tone=False),
    "Mouth_Slightly_Open": _touch("skin nose lips mouth beard", matter="lips mouth", closes=True),
    "Mustache": _BEARD,
    "Narrow_Eyes": _touch("skin brows eyes", matter="eyes"),
    "No_Beard": _BEARD,
    "Oval_Face": _touch(_FACE + " neck ears beard"),
    "Pale_Skin": _touch("skin nose lips neck ears"),
    "Pointy_Nose": _touch("skin nose"),
    "Receding_Hairline": _touch("skin", matter="hair"),
    "Rosy_Cheeks": _touch("skin nose"),
    "Sideburns": _touch("skin", matter="beard hair"),
    "Smiling": _touch(_FACE + " beard", matter="mouth"),
    "Straight_Hair": _touch(matter="hair"),
    "Wavy_Hair": _touch(matter="hair"),
    "Wearing_Earrings": _touch("ears", matter="ears"),
    "Wearing_Hat": _touch("skin", matter="hat hair"),
    "Wearing_Lipstick": _touch(colour="lips"),
    "Wearing_Necklace": _touch("neck", matter="neck"),
    "Wearing_Necktie": _touch("neck", matter="neck"),
    "Young": _touch(_FACE + " neck beard", colour="hair"),
}
"""By CelebA's names."""

_THRESHOLD = re.compile(r":[\d.]+$")
_CHANNEL = re.compile(r"\d+:\d+|pc\W?\d+(:\d+(-\d+)?)?", re.IGNORECASE)
"""The name of a style channel, or of a component."""

_LESS_MOTION = {"Young": 0.5}
"""By name: how much of the motion a negative alpha follows, where it is another share."""

_SKIN = frozenset({"skin", "nose"})
_RENEWED = {("Young", 1): _SKIN, ("Attractive", 1): _SKIN, ("Male", -1): _SKIN}
"""By name and sign: where the person's own texture is what the edit takes away. The generator's
change alone takes away the wrinkles of its reconstruction, which has fewer."""

_TAKES_AWAY = {
    ("Eyeglasses", -1): "glasses",
    ("No_Beard", 1): "beard",
    ("Mustache", -1): "beard",
    ("Goatee", -1): "beard",
}
"""What is to be there for an edit to take away, by attribute and sign."""

DEFAULT = _touch(_FACE + " neck beard", matter="mouth lips")
"""What an edit with a name of its own may touch."""

_ANY = _touch(" ".join(EDITABLE), matter="hair beard mouth lips eyes brows glasses hat ears")
"""What a single style channel or component may touch, which can be anything."""


def touch_of(name: str, least: float = 1.0) -> Touch:
    """What the attribute of that name may touch; case and separators don't matter.

    Args:
        name: of an attribute; a threshold behind it (``Smiling:0.2``) does not count.
        least: smallest strength. Where an open smile is taken away, the mouth closes; and age shows
            in folds: half of the motion is as old, and nearer to the person.
    """
    by_plain = {plain(known): known for known in TOUCHES}
    known = by_plain.get(plain(_THRESHOLD.sub("", name)), "")
    touch = TOUCHES.get(known, _ANY if _CHANNEL.fullmatch("".join(name.split())) else DEFAULT)
    touch = replace(touch, renewed=_RENEWED.get((known, -1 if least < 0 else 1), frozenset()))
    if least < 0:
        closes = touch.closes or "mouth" in touch.matter
        touch = replace(touch, closes=closes, motion=_LESS_MOTION.get(known, touch.motion))
    return touch


def taken_away(edit: Edit) -> str | None:
    """The region that an edit does nothing but take away; None where it does anything else."""
    signs = {1 if alpha > 0 else -1 for _, alpha in edit.schedule.keyframes if alpha}
    return _TAKES_AWAY.get((edit.attribute, signs.pop())) if len(signs) == 1 else None


def touch_of_region(name: str) -> Touch:
    """What may be touched where a region is given another form or another face's: itself; where a
    mask says it, all that can be edited."""
    regions = frozenset(EDITABLE if name == MASK else {name})
    return Touch(shape=regions, matter=regions)


def held_in(touch: Touch, regions: Collection[str]) -> Touch:
    """A touch without all other regions."""
    kept = frozenset(EDITABLE if MASK in regions else regions)
    return replace(
        touch,
        shape=touch.shape & kept,
        colour=touch.colour & kept,
        matter=touch.matter & kept,
        renewed=touch.renewed & kept,
    )


def check_region(name: str) -> str:
    """The region of that name, `MASK` among them; case does not matter.

    Raises:
        UsageError: there is none, or it is one that nothing edits.
    """
    region = name.strip().lower()
    if region not in (*EDITABLE, MASK):
        raise UsageError(
            f"there is no region {name.strip()!r} to edit", f"Choose among {', '.join(EDITABLE)}."
        )
    return region


def changed(touch: Touch, text: str) -> Touch:
    """A touch widened and narrowed by ``+hair,-beard``: what is added may change in shape and
    matter, what is taken away in no way.

    Raises:
        UsageError: not of this form, or a region that is never touched or not known.
    """
    for part in filter(None, (word.strip() for word in text.split(","))):
        sign, name = part[0], part[1:].strip().lower()
        if sign not in "+-":
            raise UsageError(f"--touch does not know {part!r}", "Write e.g. +hair,-beard.")
        if name not in REGIONS or name in NEVER:
            known = ", ".join(region for region in REGIONS if region not in NEVER)
            raise UsageError(f"--touch knows no region {name!r}", f"Choose among {known}.")
        one = frozenset({name})
        if sign == "+":
            touch = replace(touch, shape=touch.shape | one, matter=touch.matter | one)
        else:
            touch = replace(
                touch,
                shape=touch.shape - one,
                colour=touch.colour - one,
                matter=touch.matter - one,
                renewed=touch.renewed - one,
            )
    return touch
