"""Tensors out of published checkpoints, without running anything that they hold.

PyTorch's files (``.pt``, ``.pth``, ``.tar``) are read as weights alone. StyleGAN2-ADA's ``.pkl``
are pickles of whole objects, with their classes' source code: here an unpickler that knows tensors
and plain containers takes the tensors out, and refuses every name that is none of these before
anything of it is called.
"""

from __future__ import annotations

import argparse
import io
import pickle  # nosec B403
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from videdit.errors import InputError, WeightsError

LARGEST = 4 << 30
"""Most bytes of a checkpoint."""
_DEEPEST = 64  # containers within each other
_ASK = "Ask whoever published it for a state dict as .pt or .safetensors."


class Published(NamedTuple):
    """What a checkpoint holds, by the names of what holds it: ``g_ema.conv1.conv.weight``,
    ``state_dict.decoder.input.input``, ``latent_avg``, ``opts.encoder_type``."""

    tensors: dict[str, Tensor]
    values: dict[str, str | float]
    """Texts and numbers."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint; see :func:`read_published`."""
    return read_published(path).tensors


def read_published(path: Path) -> Published:
    """All that is in a checkpoint. Nothing of it is run.

    Args:
        path: ``.pt``, ``.pth``, ``.tar`` or ``.bin`` of PyTorch, ``.safetensors``, or a ``.pkl`` of
            StyleGAN2-ADA.

    Raises:
        InputError: it cannot be read.
        WeightsError: it is damaged, holds other things than tensors and plain values, or no tensor.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "Check the path.") from error
    if not 0 < size <= LARGEST:
        raise WeightsError(f"{path.name} has {size} bytes", "Give a checkpoint of up to 4 GB.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            held: Any = load_file(str(path))
        elif head[:1] == b"\x80" and path.suffix == ".pkl":
            with path.open("rb") as file:
                held = RestrictedUnpickler(file, _KNOWN, _ASK).load()
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):
                held = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError as error:
        raise WeightsError(f"{path.name}: {error.message}", error.remedy) from error
    except RecursionError as error:
        raise WeightsError(f"{path.name} holds itself", _ASK) from error
    except pickle.UnpicklingError as error:
        what = str(error).splitlines()[0]
        raise WeightsError(f"{path.name} is no file of weights alone ({what})", _ASK) from error
    except Exception as error:  # whatever a damaged file makes of a reader
        lines = str(error).splitlines() or [type(error).__name__]
        raise WeightsError(f"{path.name} is damaged ({lines[0]})", "Fetch it again.") from error
    found = Published({}, {})
    _flatten(held, "", found, _DEEPEST)
    if not found.tensors:
        raise WeightsError(f"{path.name} holds no tensor", "Give a checkpoint of a network.")
    return found


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands under a prefix, ``decoder.``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


class _Module:
    """What is left of a pickled network: the dictionary that it was."""

    def __init__(self, held: Any = None) -> None:
        self.held: dict[Any, Any] = held if isinstance(held, dict) else {}

    def __setstate__(self, held: Any) -> None:
        self.held = held if isinstance(held, dict) else {}

    def tensors(self) -> dict[Any, Any]:
        """Its parameters, buffers and parts, as PyTorch keeps them."""
        kept: dict[Any, Any] = {}
        for name in ("_parameters", "_buffers", "_modules"):
            part = self.held.get(name)
            if isinstance(part, dict):
                kept |= part
        return kept


class _Namespace(dict[Any, Any]):
    """A dictionary with attributes (``dnnlib.EasyDict``), as one without."""

    def __setstate__(self, held: Any) -> None:
        if isinstance(held, dict):
            self.update(held)


def _persistent(meta: Any = None, *_: Any) -> _Module:
    """An object that was pickled with its class's source: its state, and nothing of the source."""
    return _Module(meta.get("state") if isinstance(meta, dict) else None)


def _storage(data: Any) -> Any:
    """A storage within a pickle is a file of PyTorch's own."""
    if not isinstance(data, bytes):
        raise WeightsError("a storage in it is none", _ASK)
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _parameter(data: Any, *_: Any) -> Any:
    return data


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("dnnlib.util", "EasyDict"): _Namespace,
    ("dnnlib", "EasyDict"): _Namespace,
}
"""The names that a pickle may call, and what is called in their place. Each makes tensors or plain
containers, whatever it is given."""


class RestrictedUnpickler(pickle.Unpickler):
    """Reads what is made of known names alone; every other is refused before it is called.

    Args:
        file: the pickle.
        known: module and name, and what is called in its place.
        ask: the remedy of what is refused.
        more: of ``pickle.Unpickler``.
    """

    def __init__(
        self, file: IO[bytes], known: Mapping[tuple[str, str], Any], ask: str, **more: Any
    ) -> None:
        super().__init__(file, **more)
        self._known, self._ask = known, ask

    def find_class(self, module: str, name: str) -> Any:
        known = self._known.get((module, name))
        if known is None:
            raise WeightsError(f"it would run {module}.{name}", self._ask)
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise WeightsError("it names things outside of itself", self._ask)


def _flatten(held: Any, prefix: str, found: Published, depth: int) -> None:
    if depth == 0:
        raise WeightsError("its containers lie too deep", _ASK)
    if isinstance(held, Tensor):
        if held.layout == torch.strided and held.numel():
            found.tensors[prefix] = held.detach()
        return
    if isinstance(held, (str, int, float)):
        found.values[prefix] = held
        return
    if isinstance(held, _Module):
        held = held.tensors()
    elif isinstance(held, argparse.Namespace):
        held = vars(held)
    if isinstance(held, Mapping):
        items = [(str(key), value) for key, value in held.items()]
    elif isinstance(held, (list, tuple)) and len(held) < 1000:
        items = [(str(k), value) for k, value in enumerate(held)]
    else:
        return
    for name, value in items:
        _flatten(value, f"{prefix}.{name}" if prefix else name, found, depth - 1)
