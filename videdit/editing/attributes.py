"""The 40 attributes of CelebA: names, and what a positive edit does.

The order is CelebA's; it is the order of the columns in the training labels.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from videdit.errors import UsageError


@dataclass(frozen=True)
class Attribute:
    """One editable attribute.

    Attributes:
        name: CelebA's name.
        plus: what alpha > 0 does to the face.
        minus: what alpha < 0 does to it.
    """

    name: str
    plus: str
    minus: str


ATTRIBUTES: tuple[Attribute, ...] = tuple(
    Attribute(*fields)
    for fields in (
        ("5_o_Clock_Shadow", "adds stubble", "shaves stubble off"),
        ("Arched_Eyebrows", "arches the eyebrows", "flattens the eyebrows"),
        ("Attractive", "makes the face more even, as CelebA's annotators judged it", "the reverse"),
        ("Bags_Under_Eyes", "adds bags under the eyes", "takes bags under the eyes away"),
        ("Bald", "makes bald", "adds hair"),
        ("Bangs", "lets hair fall over the forehead", "clears the forehead of hair"),
        ("Big_Lips", "makes the lips fuller", "makes the lips thinner"),
        ("Big_Nose", "makes the nose bigger", "makes the nose smaller"),
        ("Black_Hair", "turns the hair black", "makes the hair less black"),
        ("Blond_Hair", "turns the hair blond", "makes the hair less blond"),
        ("Blurry", "blurs the picture", "sharpens the picture"),
        ("Brown_Hair", "turns the hair brown", "makes the hair less brown"),
        ("Bushy_Eyebrows", "thickens the eyebrows", "thins the eyebrows"),
        ("Chubby", "makes the face fuller", "makes the face leaner"),
        ("Double_Chin", "adds a double chin", "takes a double chin away"),
        ("Eyeglasses", "puts glasses on", "takes glasses off"),
        ("Goatee", "adds a goatee", "takes the goatee away"),
        ("Gray_Hair", "turns the hair grey", "makes the hair less grey"),
        ("Heavy_Makeup", "adds make-up", "takes make-up off"),
        ("High_Cheekbones", "raises the cheekbones", "lowers the cheekbones"),
        ("Male", "makes the face more masculine", "makes the face more feminine"),
        ("Mouth_Slightly_Open", "opens the mouth", "closes the mouth"),
        ("Mustache", "adds a moustache", "takes the moustache away"),
        ("Narrow_Eyes", "narrows the eyes", "opens the eyes wider"),
        ("No_Beard", "takes the beard away", "adds a beard"),
        ("Oval_Face", "makes the face more oval", "makes the face less oval"),
        ("Pale_Skin", "makes the skin paler", "gives the skin more colour"),
        ("Pointy_Nose", "makes the nose more pointed", "makes the nose rounder"),
        ("Receding_Hairline", "moves the hairline back", "brings the hairline forward"),
        ("Rosy_Cheeks", "reddens the cheeks", "takes red from the cheeks"),
        ("Sideburns", "adds sideburns", "takes sideburns away"),
        ("Smiling", "adds a smile", "takes the smile away"),
        ("Straight_Hair", "straightens the hair", "makes the hair less straight"),
        ("Wavy_Hair", "makes the hair wavy", "makes the hair less wavy"),
        ("Wearing_Earrings", "adds earrings", "takes earrings off"),
        ("Wearing_Hat", "adds a hat", "takes the hat off"),
        ("Wearing_Lipstick", "adds lipstick", "takes lipstick off"),
        ("Wearing_Necklace", "adds a necklace", "takes the necklace off"),
        ("Wearing_Necktie", "adds a necktie", "takes the necktie off"),
        ("Young", "makes younger", "makes older"),
    )
)
"""All 40, in CelebA's order."""

NAMES: tuple[str, ...] = tuple(attribute.name for attribute in ATTRIBUTES)
"""CelebA's names, in CelebA's order."""


GROUPS: dict[str, tuple[str, ...]] = {
    "expression": ("Smiling", "Mouth_Slightly_Open", "High_Cheekbones", "Narrow_Eyes"),
    "age and sex": (
        *("Young", "Male", "Attractive", "Bags_Under_Eyes", "Double_Chin", "Chubby"),
        *("Receding_Hairline",),
    ),
    "hair": (
        *("Bangs", "Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
        *("Straight_Hair", "Wavy_Hair"),
    ),
    "beard": ("No_Beard", "5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns"),
    "features": (
        *("Arched_Eyebrows", "Bushy_Eyebrows", "Big_Lips", "Big_Nose", "Pointy_Nose"),
        *("Oval_Face",),
    ),
    "skin and make-up": ("Heavy_Makeup", "Wearing_Lipstick", "Rosy_Cheeks", "Pale_Skin"),
    "things worn": (
        *("Eyeglasses", "Wearing_Hat", "Wearing_Earrings", "Wearing_Necklace"),
        *("Wearing_Necktie",),
    ),
    "picture": ("Blurry",),
}
"""All 40, as people think of them."""


def plain(name: str) -> str:
    """A name without case and separators, so that ``big nose`` and ``Big-Nose`` meet."""
    return re.sub(r"[\W_]+", "", name).lower()


_EXPRESSIONS = frozenset(
    {"Smiling", "Mouth_Slightly_Open", "Narrow_Eyes", "High_Cheekbones", "Bags_Under_Eyes"}
)


def follows_expression(name: str) -> bool:
    """Whether an attribute comes and goes with the face's expression, from frame to frame. All
    others belong to the person, names that CelebA does not know included."""
    return canonical(name) in _EXPRESSIONS


_BY_PLAIN = {plain(attribute.name): attribute for attribute in ATTRIBUTES}


def unknown(name: str, known: Iterable[str] = NAMES) -> UsageError:
    """The error for an attribute that is not among ``known``, suggesting the nearest names."""
    forms = {plain(other): other for other in known}
    wanted = plain(name)
    near = difflib.get_close_matches(wanted, forms, n=3, cutoff=0.6)
    # A part of a name ("beard", "hair") is not close by edit distance, yet clearly meant.
    if len(wanted) >= 3:
        near += [other for other in forms if wanted in other and other not in near]
    names = ", ".join(forms[other] for other in near[:6])
    hint = f"Did you mean {names}? " if names else ""
    return UsageError(f"unknown attribute {name!r}", f"{hint}`videdit attributes` lists all names.")


def resolve(name: str) -> Attribute:
    """The attribute of that name; case, spaces, hyphens and underscores don't matter.

    Raises:
        UsageError: there is none; the nearest names are suggested.
    """
    attribute = _BY_PLAIN.get(plain(name))
    if attribute is None:
        raise unknown(name)
    return attribute


def canonical(name: str) -> str:
    """CelebA's form of a name if it is one of CelebA's, else the name as it is."""
    attribute = _BY_PLAIN.get(plain(name))
    return name if attribute is None else attribute.name
