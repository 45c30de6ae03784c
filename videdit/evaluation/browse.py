"""Looking at what an editor can edit: a list of its edits, and a sheet of them on generated faces.

A sheet says more than a list where edits have no names: what a principal component or a style
channel does is found by looking. It needs no footage; its faces are the generator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..editing.editor import Editor, Floats
from ..editing.linear import GANSpaceEditor
from ..editing.styleclip import BETA, StyleClipEditor
from ..editing.stylespace import StyleSpaceEditor
from ..editing.touch import EDITABLE, check_region
from ..errors import UsageError
from ..generators.latents import Latents
from ..models.choices import BY_PHOTO, check_editor
from ..models.networks import Networks
from ..sheet import GAP, tile

TRUNCATION = 0.7
"""How far from W's mean the faces of a sheet are: typical ones."""

HEIGHT = 160
"""Of the pictures in a sheet, pixels."""

_FACES = 2
_SEED = 2  # of a man with glasses who smiles, and a woman who has none and does not
_COMPONENTS = 12  # of GANSpace that a sheet shows where none is named
_CAPTION = 240  # its width, pixels


@dataclass(frozen=True)
class Listed:
    """One edit of an editor.

    Attributes:
        name: as one types it.
        about: what it moves, in words; empty where nothing is to be said.
        facts: the same, plain JSON.
    """

    name: str
    about: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """What an editor can edit.

    Attributes:
        edits: those that it has a name for, or that were asked for.
        note: a sentence on those that are not in the list; may be empty.
    """

    edits: tuple[Listed, ...]
    note: str = ""

    def text(self) -> str:
        """A line for each, and the note."""
        width = max((len(one.name) for one in self.edits), default=0)
        lines = [f"{one.name:<{width}}  {one.about}".rstrip() for one in self.edits]
        parts = ["\n".join(lines), self.note]
        return "\n\n".join(part for part in parts if part)

    def plain(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"edits": [{"name": one.name} | one.facts for one in self.edits], "note": self.note}


def list_edits(networks: Networks, choice: str, names: Sequence[str] = ()) -> Listing:
    """What an editor can edit.

    Args:
        networks: of a bundle.
        choice: see ``Networks.editor``; those that take regions from a photo need none here.
        names: the edits to tell about; all that have a name, if none is given.

    Raises:
        UsageError: unknown editor or edit.
        WeightsError: the bundle has no such editor, or its file is missing or damaged.
    """
    if choice in BY_PHOTO:
        if choice == "scribble":
            return Listing((), "It edits what is painted on a picture: --scribble painted.png.")
        if choice == "local":
            _ = networks.channels  # a bundle without them has no such editor
        regions = tuple(check_region(name) for name in names) or EDITABLE
        note = "Regions of the face, out of another picture: --like photo.jpg --region nose."
        return Listing(tuple(Listed(name) for name in regions), note)
    editor = networks.editor(choice)
    chosen = [editor.name(name) for name in names]
    if isinstance(editor, GANSpaceEditor):
        numbered = [f"pc{number}" for number in range(editor.listed)]
        listed = chosen or [*editor.named, *numbered]
        seeing = "classifier" in networks
        words = seen_along(networks, editor, listed) if seeing else [{} for _ in listed]
        found = [
            _of_component(editor, name, said)
            for name, said in zip(listed, words, strict=True)
            if chosen or name in editor.named or said or "classifier" not in networks
        ]
        note = (
            f"There are pc0 to {numbered[-1]}, one sigma each; pcN:FIRST-LAST moves these rows"
            f" only, of 0 to {editor.rows - 1}."
        )
        if "classifier" in networks:
            note += " In brackets: what the classifier sees most of, in deviations over all faces."
        return Listing(tuple(found), note)
    if isinstance(editor, StyleClipEditor):
        note = f"NAME:BETA moves channels from another relevance on than {BETA:g}, fewer or more."
        return Listing(tuple(Listed(name) for name in chosen or editor.names), note)
    if isinstance(editor, StyleSpaceEditor):
        found = [_of_channels(editor, name) for name in chosen or editor.names]
        last = str(len(editor.channels.layers) - 1)
        note = f"Single channels: LAYER:CHANNEL, layers 0 to {last}, one standard deviation each."
        return Listing(tuple(found), note)
    return Listing(tuple(Listed(name) for name in chosen or editor.names))


def seen_along(
    networks: Networks, editor: Editor, names: Sequence[str], most: int = 3
) -> list[dict[str, float]]:
    """What edits change most, as the latent classifier sees it: by attribute, how many deviations
    (of its logit, over W) lie between W's mean moved by an alpha of 1 and by -1. Those of at least
    half a deviation, the largest first. Without a classifier nothing is seen.
    """
    if "classifier" not in networks:
        return [{} for _ in names]
    stats, classifier = networks.statistics, networks.classifier
    rows = networks.space.rows
    mean = np.repeat(stats.mean.cpu().numpy()[None, None], rows, 1).astype(np.float32)
    drawn = np.random.default_rng(_SEED).standard_normal((500, 1, len(stats.scale)))
    codes = stats.color(torch.from_numpy(drawn.astype(np.float32))).numpy()
    spread = classifier.logits(np.repeat(codes, rows, 1)).std(0) + 1e-9
    one = np.ones(1, np.float32)
    ends = [editor.move(mean, name, sign * one) for name in names for sign in (-1, 1)]
    logits = classifier.logits(np.concatenate(ends)).reshape(len(names), 2, -1)
    changes = (logits[:, 1] - logits[:, 0]) / spread
    found = []
    for change in changes:
        foremost = np.argsort(-np.abs(change))[:most]
        found.append(
            {classifier.names[i]: float(change[i]) for i in foremost if abs(change[i]) >= 0.5}
        )
    return found


def _of_component(editor: GANSpaceEditor, name: str, seen: dict[str, float]) -> Listed:
    what = editor.component(name)
    rows = f"row {what.first}" if what.first == what.last else f"rows {what.first}-{what.last}"
    about = f"pc{what.number} {rows}, {what.sigma:+.1f} sigma"
    if seen:
        about += f" ({', '.join(f'{name} {by:+.1f}' for name, by in seen.items())})"
    facts = {
        "component": what.number,
        "rows": [what.first, what.last],
        "sigma": what.sigma,
        "seen": {name: round(by, 2) for name, by in seen.items()},
    }
    return Listed(name, about, facts)


def _of_channels(editor: StyleSpaceEditor, name: str) -> Listed:
    """The channels that move, and by how many standard deviations, for an alpha of 1 and of -1."""
    channels = editor.channels
    place = channels.place(name)
    if place is not None:
        sides = [[(name, -1.0)], [(name, 1.0)]]
    else:
        sides = [
            [(channels.called(int(c)), float(s)) for c, s in zip(which, sizes, strict=True)]
            for which, sizes in channels.steps[name]
        ]
    minus, plus = (" ".join(f"{called}*{size:.2f}" for called, size in side) for side in sides)
    facts = {
        sign: [{"channel": called, "size": round(size, 4)} for called, size in side]
        for sign, side in zip(("minus", "plus"), sides, strict=True)
    }
    return Listed(name, f"+ {plus}  - {minus}", facts)


def check_drawn(choice: str) -> None:
    """Refuse to draw a sheet of an editor that needs a photo, or that there is not.

    Raises:
        UsageError: either.
    """
    if choice in BY_PHOTO:
        raise UsageError(
            f"the editor {choice!r} needs a photo, which a sheet of generated faces has not",
            f"See how it is used: videdit attributes --editor {choice}.",
        )
    check_editor(choice)


def sheet_names(networks: Networks, editor: Editor, names: Sequence[str] = ()) -> list[str]:
    """The edits that a sheet shows.

    Args:
        networks: of a bundle.
        editor: its own, or one's own.
        names: of the edits; all that the editor has a name for, if none is given; of GANSpace the
            first components, each on all rows and on those of each band.

    Raises:
        UsageError: an edit that the editor does not know.
    """
    if names or not isinstance(editor, GANSpaceEditor):
        return [editor.name(name) for name in names] or list(editor.names)
    bands = sorted(networks.space.bands.values())
    spans = ["", *(f":{first}-{stop - 1}" for first, stop in bands)]
    return [
        editor.name(f"pc{number}{span}")
        for number in range(min(_COMPONENTS, editor.listed))
        for span in spans
    ]


def draw_edits(
    networks: Networks,
    editor: Editor,
    names: Sequence[str],
    report: Callable[[str], None] = lambda _: None,
) -> NDArray[np.uint8]:
    """A sheet: for each edit its name, and two generated faces at a negative alpha, 0 and a
    positive one.

    Args:
        networks: of a bundle.
        editor: of its codes; not one that needs to be told where regions are.
        names: of the edits, see `sheet_names`; at least one.
        report: gets a line for each that is drawn.
    """
    codes = generated_faces(networks)
    plain = networks.generator.decode(codes)
    rows = []
    for number, name in enumerate(names, 1):
        far = reach(editor, name)
        strengths = np.tile(np.array([-far, far], np.float32), len(codes))
        edited = editor.edited(Latents(np.repeat(codes, 2, 0)), name, strengths)
        shown = networks.generator.decode(edited)
        row = [_caption(name, f"alpha {-far:g}, 0, {far:g}")]
        for face, own in enumerate(plain):
            row += [_bytes(each) for each in (shown[2 * face], own, shown[2 * face + 1])]
        # At once in the sheet's size: forty rows of the generator's would be a quarter gigabyte.
        rows.append(tile([row], HEIGHT, GAP))
        report(f"{number}/{len(names)} {name}")
    return np.concatenate(rows)


def reach(editor: Editor, name: str) -> float:
    """The alpha that a sheet shows: 2, a strong edit, of what has a name; 3 of what is measured in
    standard deviations, a component or a channel."""
    if isinstance(editor, GANSpaceEditor):
        return 2.0 if name in editor.named else 3.0
    if isinstance(editor, StyleSpaceEditor):
        return 2.0 if name in editor.names else 3.0
    return 2.0


def generated_faces(networks: Networks, count: int = _FACES, seed: int = _SEED) -> Floats:
    """(count, rows, width) codes of typical faces, the same every time."""
    import torch

    rows, width = networks.space.shape
    noise = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    mean = networks.statistics.mean
    with torch.no_grad():
        w = mean + TRUNCATION * (networks.mapping(noise) - mean)
    return np.repeat(w.numpy()[:, None], rows, 1)


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(picture.clip(0, 1) * 255), np.uint8)


def _caption(*lines: str) -> NDArray[np.uint8]:
    """Lines of text, black on white, one below the other; long ones smaller."""
    picture = np.full((HEIGHT, _CAPTION, 3), 255, np.uint8)
    font, room = cv2.FONT_HERSHEY_SIMPLEX, _CAPTION - 16
    y = HEIGHT // 2
    for number, line in enumerate(lines):
        # The font has no letters but ASCII's.
        text = line.encode("ascii", "replace").decode()
        scale = 0.45 if number else 0.6
        width = cv2.getTextSize(text, font, scale, 1)[0][0]
        scale *= min(1.0, room / max(width, 1))
        cv2.putText(picture, text, (8, y), font, scale, (0, 0, 0), 1, cv2.LINE_AA)
        y += 24
    return picture
