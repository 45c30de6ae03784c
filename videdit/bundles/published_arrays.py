"""NumPy arrays out of published files, without running anything that they hold.

A plain ``.npy`` or ``.npz`` holds numbers alone. What NumPy cannot write as numbers (lists,
dictionaries, arrays of different lengths) it pickles, into ``.npy`` files and files of their own:
here an unpickler that knows arrays, numbers and plain containers takes the arrays out, and refuses
every other name before anything of it is called. Not even NumPy's own functions are: an array is
made of its bytes, its shape and its type's name.
"""

from __future__ import annotations

import math
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, WeightsError
from .published import LARGEST, RestrictedUnpickler, read_checkpoint

_MAGIC = b"\x93NUMPY"
_ASK = "Ask whoever published it for plain arrays (.npy, .npz)."
_DEEPEST = 16  # containers within each other
_MOST = 100_000  # values in all containers together


def from_numpy(path: Path) -> bool:
    """Whether it is a file that NumPy wrote, by its first bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(300)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "Check the path.") from error
    # StyleCLIP's have no suffix.
    pickled = path.suffix in ("", ".pkl", ".pickle") and b"numpy" in head
    return head.startswith(_MAGIC) or path.suffix in (".npy", ".npz") or pickled


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file, by the names of what holds them, joined by dots; a list's are called by
    their numbers, and an array that nothing holds has an empty name.

    Args:
        path: ``.npy``, ``.npz``, a pickle of arrays, or what `published.read_checkpoint` takes.

    Returns:
        Arrays of numbers, each in the type in which it was written.

    Raises:
        InputError: it cannot be read.
        WeightsError: it is damaged, holds other things than numbers, or none.
    """
    if not from_numpy(path):
        # bfloat16 is unknown to NumPy.
        return {name: value.float().numpy() for name, value in read_checkpoint(path).items()}
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise WeightsError(f"{path.name} has {size} bytes", "Give a file of up to 4 GB.")
    try:
        if path.suffix == ".npz":
            held: Any = _archive(path)
        else:
            with path.open("rb") as file:
                plain = path.suffix == ".npy" or file.read(len(_MAGIC)) == _MAGIC
                file.seek(0)
                held = _array(file, size) if plain else _unpickled(file)
        found: dict[str, NDArray[Any]] = {}
        _flatten(held, "", found, _DEEPEST, [_MOST])
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error.message}", error.remedy) from error
    except RecursionError as error:
        raise WeightsError(f"{path.name} holds itself", _ASK) from error
    except Exception as error:  # whatever a damaged file makes of a reader
        lines = str(error).splitlines() or [type(error).__name__]
        raise WeightsError(f"{path.name} is damaged ({lines[0]})", "Fetch it again.") from error
    if not found:
        raise WeightsError(f"{path.name} holds no numbers", "Give a file of an editor's arrays.")
    return found


def _array(file: IO[bytes], room: int) -> Any:
    """What one ``.npy`` holds, of at most ``room`` bytes."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"version {version[0]}.{version[1]} of NumPy's format")
    shape, columns_first, dtype = read[version](file)
    if dtype.hasobject:
        return _unpickled(file)
    # Before room is made for what a header declares.
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > room:
        raise ValueError("it is shorter than it says")
    return _made(dtype, shape, file.read(wanted), columns_first)


def _archive(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        if sum(info.file_size for info in infos) > LARGEST:
            raise WeightsError("it unpacks to more than 4 GB", _ASK)
        found = {}
        for info in infos:
            with archive.open(info) as file:
                found[info.filename.removesuffix(".npy")] = _array(file, info.file_size)
        return found


def _made(dtype: np.dtype[Any], shape: Any, data: Any, columns_first: Any) -> NDArray[Any]:
    """An array of numbers, of its bytes."""
    if dtype.kind not in "biuf":
        raise WeightsError(f"it holds values of the type {dtype}, not numbers", _ASK)
    if isinstance(data, str):  # of Python 2
        data = data.encode("latin1")
    found = np.frombuffer(data, dtype).reshape(shape, order="F" if columns_first else "C")
    return found.astype(dtype.newbyteorder("="))


class _Type:
    """What a pickle says of an array's type."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        self.dtype = np.dtype(name) if isinstance(name, str) else np.dtype("O")

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """What a pickle says of an array."""

    def __init__(self, *_: Any) -> None:
        self.held: Any = None

    def __setstate__(self, state: Any) -> None:
        *_, shape, kind, columns_first, data = state
        if not isinstance(kind, _Type):
            raise ValueError("an array without a type")
        if kind.dtype.hasobject:
            self.held = data if shape != () else data[0]  # a list of what it holds
        else:
            self.held = _made(kind.dtype, shape, data, columns_first)


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """NumPy's way since Python's fifth pickle format."""
    found = _Array()
    found.__setstate__((shape, kind, order == "F", data))
    return found


def _scalar(kind: Any, data: Any = b"") -> _Array:
    found = _Array()
    found.__setstate__(((), kind, False, data))
    return found


def _encoded(text: Any, *_: Any) -> bytes:
    """How bytes stand in a pickle that Python 2 can read."""
    return str(text).encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encoded,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}
for _core in ("numpy.core", "numpy._core"):
    _KNOWN |= {
        (f"{_core}.multiarray", "_reconstruct"): _Array,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _from_buffer,
    }
"""The names that a pickle may call, and what is called in their place. Each makes arrays of numbers
or plain containers, whatever it is given."""


def _unpickled(file: IO[bytes]) -> Any:
    return RestrictedUnpickler(file, _KNOWN, _ASK, encoding="latin1").load()


def _flatten(
    held: Any, prefix: str, found: dict[str, NDArray[Any]], depth: int, left: list[int]
) -> None:
    left[0] -= 1
    if depth == 0 or left[0] < 0:
        raise WeightsError("it holds too much in too many containers", _ASK)
    if isinstance(held, _Array):
        _flatten(held.held, prefix, found, depth - 1, left)
    elif isinstance(held, np.ndarray):
        if held.size:
            found[prefix] = held
    elif isinstance(held, Mapping):
        for key, value in held.items():
            _flatten(value, f"{prefix}.{key}" if prefix else str(key), found, depth - 1, left)
    elif isinstance(held, (list, tuple)):
        for number, value in enumerate(held):
            _flatten(value, f"{prefix}.{number}" if prefix else str(number), found, depth - 1, left)
