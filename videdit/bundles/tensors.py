"""Reading a network's trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import nn

from videdit.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)


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
