"""Arrays that a long job keeps on its way, written so that a killed one leaves no half of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt
from numpy import savez


def keep_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write an npz file; it has its name only when it is complete."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        savez(stream, **arrays)  # type: ignore[arg-type]
    os.replace(temporary, path)
