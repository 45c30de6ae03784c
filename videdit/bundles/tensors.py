"""Reading a network's trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import Tensor, nn

from videdit.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)


def entry(state: Mapping[str, Tensor], name: str, remedy: str) -> Tensor:
    """A tensor of a state dict.

    Raises:
        WeightsError: it is missing.
    """
    value = state.get(name)
    if not isinstance(value, Tensor):
        raise WeightsError(f"{name} is missing", remedy)
    return value


def misfit(name: str, value: Tensor, wanted: str, remedy: str) -> WeightsError:
    """What is said of a tensor of another shape than ``wanted``."""
    return WeightsError(f"{name} is {tuple(value.shape)}, not {wanted}", remedy)


def check_layout(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str, remedy: str
) -> None:
    """Refuse a state dict that is not of a layout.

    Args:
        state: names and values.
        wanted: the layout's; the values' shapes count.
        what: whose layout it is, for the error.
        remedy: what helps.

    Raises:
        WeightsError: a key is missing, of another shape, or unknown: the first such one is named.
    """
    for name, value in wanted.items():
        found = entry(state, name, remedy)
        if found.shape != value.shape:
            raise misfit(name, found, str(tuple(value.shape)), remedy)
    unknown = next((name for name in state if name not in wanted), None)
    if unknown is not None:
        raise WeightsError(f"{unknown} is no part of {what}", remedy)


def read_state(path: Path, name: str) -> dict[str, Tensor]:
    """All tensors of a safetensors file; half precision becomes single.

    Args:
        path: the file.
        name: what they are the weights of, for the error.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        held = load_file(str(path))
    # safetensors has an exception class of its own, derived from Exception alone.
    except Exception as error:
        raise WeightsError(
            f"the {name} {path.name} cannot be read ({str(error).splitlines()[0]})",
            "Run `videdit weights verify`.",
        ) from error
    return {k: v.float() if v.is_floating_point() else v for k, v in held.items()}


def load_weights(network: Network, path: Path, name: str) -> Network:
    """``network`` with the weights of a safetensors file, frozen, in evaluation mode.

    Args:
        network: takes all tensors of the file, no more and no fewer.
        path: the file; half precision becomes single.
        name: what the network is called, for the error.

    Raises:
        WeightsError: the file is missing, damaged or belongs to another network.
    """
    try:
        network.load_state_dict({k: v.float() for k, v in load_file(str(path)).items()})
    # safetensors has an exception class of its own, derived from Exception alone.
    except Exception as error:
        raise WeightsError(
            f"the {name} {path.name} cannot be read ({str(error).splitlines()[0]})",
            "Run `videdit weights verify`.",
        ) from error
    return network.eval().requires_grad_(False)
