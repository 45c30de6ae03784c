"""The one place that decides where networks run and in which precision."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Any

from .errors import UsageError

DEVICES = ("auto", "cpu", "cuda")
# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def compile_for_cpu(model: Any, precision: str) -> Any:
    """An OpenVINO model, compiled with its precision said: left alone, OpenVINO takes bf16 where
    the CPU has it.

    Args:
        model: ``openvino.Model``.
        precision: "fp32" or "bf16".
    """
    import openvino as ov

    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, on Linux's C library; elsewhere do nothing.

    Large tensors are otherwise given back to the system and taken anew at every step, which cost a
    sixth of a training's time in page faults. The process grows to its peak and stays there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(option, value)


@dataclass(frozen=True)
class Device:
    """Where networks run.

    Attributes:
        name: "cpu" or "cuda".
        precision: "fp32", "bf16" or "fp16".
    """

    name: str
    precision: str


def choose_device(device: str = "auto", precision: str = "auto") -> Device:
    """Settle the user's wish against what the machine has.

    ``auto`` takes a GPU where PyTorch sees one. Its precision is fp16 there, fp32 on the CPU.

    Raises:
        UsageError: unknown name, or a GPU is asked for where there is none, or fp16 on the CPU.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", f"Choose one of {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision {precision!r}", f"Choose one of {', '.join(PRECISIONS)}."
        )
    if device != "cpu":
        import torch

        found = torch.cuda.is_available()
        if device == "cuda" and not found:
            raise UsageError("there is no CUDA GPU that PyTorch can use", "Use --device cpu.")
        device = "cuda" if found else "cpu"
    if precision == "auto":
        precision = "fp32" if device == "cpu" else "fp16"
    if device == "cpu" and precision == "fp16":
        raise UsageError("fp16 does not run on the CPU", "Use --precision fp32 or bf16.")
    return Device(device, precision)
