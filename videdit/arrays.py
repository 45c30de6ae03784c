"""Arrays that a long job keeps on its way, written so that a killed one leaves no half of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
from numpy import savez

from .files import replaced


def keep_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write an npz file; it has its name only when it is complete."""
    with replaced(path) as temporary, temporary.open("wb") as stream:
        savez(stream, **arrays)  # type: ignore[arg-type]
