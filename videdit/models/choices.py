"""Which editors and landmark backends there are, by name; loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..faces.backend import BACKENDS

EDITORS = (
    *("transformer", "interfacegan", "ganspace", "stylespace", "styleflow", "ganalyze"),
    "styleclip",
)
"""Editors that a bundle may have, in the role ``editor-NAME``."""

ALONE, CORRECTED = "trained-encoder", "corrected-encoder"
ENCODERS = {ALONE: "encoder trained here", CORRECTED: "encoder and corrector trained here"}
"""What a manifest calls the encoders that `videdit train` makes, and what people call them."""

TRAINED = {
    "transformer": "transformers.safetensors",
    "stylespace": "stylespace.safetensors",
    "styleflow": "styleflow.safetensors",
    "ganalyze": "ganalyze.safetensors",
}
"""Editors that `videdit train` makes as a file that ``--editor`` takes, and its name."""

BY_PHOTO = ("activations", "local", "scribble")
"""Editors that take regions out of the face of another picture; ``scribble`` out of the source
itself, painted on."""

DIRECTION = "direction:"
"""What the name of a file with a direction of one's own begins with."""


def by_region(choice: str, within: Sequence[str] = ()) -> bool:
    """Whether an editor must be told where the regions of each face are."""
    return choice in ("activations", "scribble") or bool(within)


def check_backend(name: str) -> None:
    """Refuse an unknown landmark backend.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in BACKENDS:
        raise UsageError(
            f"no face backend is called {name!r}", f"Choose one of {', '.join(BACKENDS)}."
        )


def check_editor(
    choice: str, keep: Sequence[str] = (), like: Path | None = None, within: Sequence[str] = ()
) -> None:
    """Refuse a choice of editor that can be none; no file is looked at.

    Args:
        choice: one of `EDITORS` or `BY_PHOTO`, ``direction:FILE.npy``, or the path of transformers
            or directions of one's own (.safetensors).
        keep: attributes that an edit of ``interfacegan`` holds.
        like: the picture that `BY_PHOTO` take regions from.
        within: regions that edits of codes are held in.

    Raises:
        UsageError: unknown editor, one that cannot keep attributes, a picture that is missing or
            that the editor has no use for, or regions where it cannot hold its edits.
    """
    own = choice.startswith(DIRECTION) or Path(choice).suffix == ".safetensors"
    if choice not in (*EDITORS, *BY_PHOTO) and not own:
        raise UsageError(
            f"there is no editor {choice!r}",
            f"Choose {', '.join((*EDITORS, *BY_PHOTO))}, direction:FILE.npy, or a file of"
            " transformers or directions (.safetensors).",
        )
    if keep and choice != "interfacegan":
        raise UsageError(
            f"the editor {choice!r} takes no attributes to keep",
            "Leave --keep out (transformers are trained to keep the rest), or use "
            "--editor interfacegan.",
        )
    if choice in BY_PHOTO and like is None:
        raise UsageError(
            f"the editor {choice!r} takes regions from another picture",
            "Paint on a copy and name it: --scribble painted.png."
            if choice == "scribble"
            else "Name it, and the regions: --like photo.jpg --region nose.",
        )
    if like is not None and choice not in BY_PHOTO:
        raise UsageError(
            f"the editor {choice!r} has no use for another picture",
            f"Leave --like out, or use --editor {' or '.join(BY_PHOTO)}.",
        )
    if within and choice in ("stylespace", "styleclip"):
        raise UsageError(
            f"the editor {choice!r} moves channels, not codes, and is held in no region",
            "Leave --region out; most channels are local by themselves.",
        )
