"""The one place that decides where networks run and in which precision."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import UsageError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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
