"""In which precision training runs."""

from __future__ import annotations

from functools import cache

import torch

from ..compiled import core


@cache
def _cpu_has_bf16() -> bool:
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def half(device: str, *, enabled: bool = True) -> torch.autocast:
    """bfloat16 where the hardware has it; on other CPUs it would be emulated, four times slower
    than float32.

    Args:
        device: "cpu" or "cuda", maybe with a number.
        enabled: whether to take it at all.
    """
    kind = device.partition(":")[0]
    there = kind == "cuda" or (enabled and _cpu_has_bf16())
    return torch.autocast(kind, torch.bfloat16, enabled=enabled and there)
