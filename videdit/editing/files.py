"""The safetensors files of editors and classifiers: tensors, and a description beside them.

The description is one JSON object in the metadata's entry ``videdit``. One entry, because
safetensors writes several in an order that changes from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from ..errors import WeightsError

_KEY = "videdit"


def described(about: dict[str, Any]) -> dict[str, str]:
    """The metadata that `read_described` reads back."""
    return {_KEY: json.dumps(about, sort_keys=True)}


def read_described(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """The description and the tensors, in single precision. Inside `readable`."""
    with safe_open(str(path), framework="np") as file:
        names = list(file.keys())
    return read_description(path), dict(zip(names, read_tensors(path, *names), strict=True))


def read_description(path: Path) -> dict[str, Any]:
    """The description alone. Inside `readable`."""
    with safe_open(str(path), framework="np") as file:
        about: dict[str, Any] = json.loads((file.metadata() or {}).get(_KEY, "{}"))
        return about


def read_tensors(path: Path, *names: str) -> list[npt.NDArray[np.float32]]:
    """Some of the tensors, in single precision. Inside `readable`."""
    with safe_open(str(path), framework="np") as file:
        return [np.asarray(file.get_tensor(name), np.float32) for name in names]


def shape_of(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a tensor, which is not read. Inside `readable`."""
    with safe_open(str(path), framework="np") as file:
        return tuple(file.get_slice(name).get_shape())


def format_of(path: Path) -> str:
    """The format that a file's description names; empty where there is none.

    Raises:
        WeightsError: missing or damaged.
    """
    with readable(path, "the editor", "Check the name, or train it anew."):
        return str(read_description(path).get("format", ""))


@contextmanager
def readable(
    path: Path, what: str, remedy: str = "Run `videdit weights verify`."
) -> Iterator[None]:
    """Whatever goes wrong inside is told as a file that cannot be read.

    Args:
        path: the file.
        what: it is called, like "the normals".
        remedy: what to do.

    Raises:
        WeightsError: anything went wrong.
    """
    try:
        yield
    # safetensors has an exception class of its own, derived from Exception alone.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{what} {path.name} cannot be read ({reason})", remedy) from error
