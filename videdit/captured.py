"""Networks on a GPU whose kernels are launched all at once: CUDA graphs.

A network of a hundred small layers keeps a fast GPU waiting for Python. Recorded once for each size
of batch and played again, its kernels follow each other without it (Nguyen et al., *Accelerating
PyTorch with CUDA Graphs*, 2021). On a CPU the network is simply called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .device import LARGEST_BATCH

_WARM_UPS = 3
"""Libraries choose their kernels in the first calls, which cannot be recorded."""


@dataclass(frozen=True)
class _Recording:
    graph: Any
    inputs: tuple[Tensor, ...]
    output: Tensor


class Captured:
    """A network, run without gradients in one precision. Several threads may call it.

    Args:
        network: takes tensors of one batch, gives one; in evaluation mode, on ``device``.
        device: "cpu" or a CUDA device.
        precision: "fp32", "bf16" or (CUDA) "fp16".
    """

    def __init__(
        self, network: Callable[..., Tensor], device: str, precision: str = "fp32"
    ) -> None:
        self._network = network
        self._kind = device.split(":")[0]
        self._dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._busy = threading.Lock()
        self._recordings: dict[tuple[tuple[int, ...], ...], dict[int, _Recording | None]] = {}
        self._pool: Any = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The network's answer, float32.

        Args:
            inputs: (n, ...) float32 on the device; all of the same n, at least 1.
        """
        count = len(inputs[0])
        with torch.inference_mode():
            if self._kind != "cuda" or count > LARGEST_BATCH:  # memory is held for each size
                return self._run(*inputs)
            with self._busy:
                # Recording takes seconds: a batch is filled up to a size that was.
                of_one = tuple(tuple(each.shape[1:]) for each in inputs)
                sizes = self._recordings.setdefault(of_one, {})
                size = min((size for size in sizes if size >= count), default=count)
                full = tuple(_filled(each, size) for each in inputs)
                if size not in sizes:
                    sizes[size] = self._record(full)
                recording = sizes[size]
                if recording is None:
                    return self._run(*inputs)
                for place, each in zip(recording.inputs, full, strict=True):
                    place.copy_(each)
                recording.graph.replay()
                return recording.output[:count].clone()

    def _run(self, *inputs: Tensor) -> Tensor:
        enabled = self._dtype is not None
        with torch.autocast(self._kind, self._dtype, enabled=enabled, cache_enabled=False):
            return self._network(*inputs).float()

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording | None:
        """None where the network does what cannot be recorded."""
        inputs = tuple(each.clone() for each in inputs)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                self._run(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            # Other threads go on using the GPU meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=aside, capture_error_mode="thread_local"
            ):
                output = self._run(*inputs)
        except RuntimeError:
            torch.cuda.synchronize()
            return None
        return _Recording(graph, inputs, output)


def _filled(batch: Tensor, size: int) -> Tensor:
    """A batch, its last one repeated up to a size."""
    missing = size - len(batch)
    return torch.cat((batch, batch[-1:].expand(missing, *batch.shape[1:]))) if missing else batch
