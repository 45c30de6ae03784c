"""Arrays brought to a GPU and back, by way of pages that it reads and writes by itself: Python, and
the other threads' work on the GPU, don't wait for more than they must."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def uploaded(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """An array on a device, in its own type. On a GPU the copy may still be on its way: what is
    computed with it there waits by itself."""
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if torch.device(device).type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def downloaded(tensor: Tensor) -> NDArray[Any]:
    """A tensor's values in the host's memory, once what makes them is done."""
    if tensor.device.type != "cuda":
        return np.ascontiguousarray(tensor.numpy())
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    pinned.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()
    arrived.synchronize()
    return pinned.numpy()
