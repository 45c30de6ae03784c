"""Which editors and landmark backends there are, by name; loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..faces.backend import BACKENDS

EDITORS = ("transformer", "interfacegan", "ganspace")
"""Editors that a bundle may have, in the role ``editor-NAME``."""

DIRECTION = "direction:"
"""What the name of a file with a direction of one's own begins with."""


def check_backend(name: str) -> None:
    """Refuse an unknown landmark backend.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in BACKENDS:
        raise UsageError(
            f"no face backend is called {name!r}", f"Choose one of {', '.join(BACKENDS)}."
        )


def check_editor(choice: str, keep: Sequence[str] = ()) -> None:
    """Refuse a choice of editor that can be none; no file is looked at.

    Args:
        choice: ``transformer``, ``interfacegan``, ``ganspace``, ``direction:FILE.npy``, or the path
            of transformers of one's own (.safetensors).
        keep: attributes that an edit of ``interfacegan`` holds.

    Raises:
        UsageError: unknown editor, or one that cannot keep attributes.
    """
    own = choice.startswith(DIRECTION) or Path(choice).suffix == ".safetensors"
    if choice not in EDITORS and not own:
        raise UsageError(
            f"there is no editor {choice!r}",
            f"Choose {', '.join(EDITORS)}, direction:FILE.npy, or a file of transformers"
            " (.safetensors).",
        )
    if keep and choice != "interfacegan":
        raise UsageError(
            f"the editor {choice!r} takes no attributes to keep",
            "Leave --keep out (transformers are trained to keep the rest), or use "
            "--editor interfacegan.",
        )
