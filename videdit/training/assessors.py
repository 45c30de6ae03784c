"""The assessors that a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..editing.assessors import (
    ATTRACTIVE,
    CLOSED,
    Assessor,
    attribute_assessor,
    load_assessor,
)
from ..editing.picture_classifier import load_picture_classifier
from ..errors import UsageError

if TYPE_CHECKING:
    from ..models.networks import Networks


def chosen_assessors(asked: Sequence[str], networks: Networks) -> dict[str, Assessor]:
    """Assessors by the name of the direction that is learned from them.

    Args:
        asked: names of those that ship, and files, which give directions their names; empty for all
            that ship.
        networks: the bundle's, for the judge.

    Raises:
        UsageError: a name or a file that is none; two of one name.
    """
    found: dict[str, Assessor] = {}
    for text in asked or (*CLOSED, ATTRACTIVE):
        if text in CLOSED:
            name, assessor = text, CLOSED[text]
        elif text == ATTRACTIVE:
            judge, _ = load_picture_classifier(networks.bundle.file("judge"))
            face = networks.recognition.to(networks.device.name)
            name, assessor = text, attribute_assessor(judge.to(networks.device.name).eval(), face)
        elif Path(text).suffix:
            name, assessor = Path(text).stem, load_assessor(Path(text))
        else:
            raise UsageError(
                f"there is no assessor {text!r}",
                f"Choose {', '.join((*CLOSED, ATTRACTIVE))}, or name a file (.pt, .onnx).",
            )
        if name in found:
            raise UsageError(f"two assessors are called {name!r}", "Rename one of the files.")
        found[name] = assessor
    return found
