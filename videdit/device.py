"""The one place that decides where networks run and in which precision."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageError, VideditError

if TYPE_CHECKING:
    from torch import nn

DEVICES = ("auto", "cpu", "cuda")
# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_ARENAS = 2
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

LARGEST_BATCH = 8
"""Faces that a GPU is given at a time, at most."""
_FACE_BYTES = 512 << 20
"""GPU memory for each face of a batch: the decoder's widest layers at 512 x 512 and the pictures
of the blend, generously. The largest batch stays within 4 GB."""


THREADS = "VIDEDIT_THREADS"
"""Environment variable: how many CPU threads networks and filters may use."""


def threads() -> int:
    """CPU threads to use: ``$VIDEDIT_THREADS``, else the processors that this process may run on,
    within a container's share of time (cgroup v2).

    Raises:
        UsageError: the variable is no number above 0.
    """
    said = os.environ.get(THREADS, "").strip()
    if said:
        if not said.isdecimal() or int(said) < 1:
            raise UsageError(f"{THREADS} is {said!r}", "Set it to a number from 1.")
        return int(said)
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        found = min(found, max(1, round(int(quota) / int(period))))
    return found


_FEW = 4
"""Processors up to which OpenCV spreads each call over them."""

_MOST_WORKERS = 12
"""More threads than this keep each other from Python, and hold a frame's maps each."""


def workers() -> int:
    """How many frames, or faces, are worked on at the same time by code that leaves Python alone
    while it computes: two at least, so that one waits for the other's networks no longer than it
    must."""
    return max(2, min(threads(), _MOST_WORKERS))


def calm() -> None:
    """Settle how the threads of this process's libraries work and wait. Called before any of them
    is loaded; what the user's environment says stays.

    Threads that spin while they wait for others take the time that these, or another run beside
    this one, need to get there.
    """
    count = str(threads())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's OpenMP
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel's, in builds with MKL
    if threads() > _FEW:
        # Each of many threads (`workers`) would wake all of OpenCV's own: a fifth of the speed of
        # blending on 16 processors.
        os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    # Of every thread there ever was, glibc keeps what it freed for those to come: 20 MB each, for
    # eight of them per processor.
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if libc is not None and hasattr(libc, "mallopt") and "MALLOC_ARENA_MAX" not in os.environ:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


_LEAST_MEMORY = 3 << 29
"""Bytes of address space, below which libraries end the process while they are loaded."""

NETWORKS_MEMORY = 3 << 30
"""Bytes of address space, below which networks don't load; some end the process then, others take
their files for damaged."""


def check_memory(least: int = _LEAST_MEMORY) -> None:
    """Refuse to begin where the limit of this process (``ulimit -v``) is lower than what is needed.

    Raises:
        VideditError: it is too low.
    """
    try:
        import resource
    except ImportError:  # not POSIX
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < least:
        raise VideditError(
            f"this process may use {limit / 2**30:.1f} GiB of memory, too little for any network",
            "Raise the limit (ulimit -v) to 4 GiB or more.",
        )


@contextmanager
def kept_memory() -> Iterator[None]:
    """While inside, freed memory stays with the process (on Linux's C library; elsewhere nothing).

    Optimising through a network takes and frees the same large tensors at every step. Given back to
    the system each time, their page faults took three quarters of a refinement's time.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, 65536)
        # What glibc's own adjustment arrives at in a process with large arrays.
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        libc.malloc_trim(0)


@dataclass(frozen=True)
class Device:
    """Where networks run.

    Attributes:
        name: "cpu" or "cuda".
        precision: "fp32", "bf16" or "fp16".
    """

    name: str
    precision: str


def check_device(device: str, precision: str) -> None:
    """Refuse names that no machine knows; asks the machine nothing.

    Raises:
        UsageError: unknown name, or fp16 on the CPU.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", f"Choose one of {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision {precision!r}", f"Choose one of {', '.join(PRECISIONS)}."
        )
    if device == "cpu" and precision == "fp16":
        raise UsageError("fp16 does not run on the CPU", "Use --precision fp32 or bf16.")


def choose_device(device: str = "auto", precision: str = "auto") -> Device:
    """Settle the user's wish against what the machine has.

    ``auto`` takes a GPU where PyTorch sees one. Its precision is fp16 there, fp32 on the CPU.

    Raises:
        UsageError: unknown name, or a GPU is asked for where there is none, or fp16 on the CPU.
    """
    check_device(device, precision)
    if device != "cpu":
        found = _cuda_works()
        if device == "cuda" and not found:
            raise UsageError("there is no CUDA GPU that PyTorch can use", "Use --device cpu.")
        device = "cuda" if found else "cpu"
    if precision == "auto":
        precision = "fp32" if device == "cpu" else "fp16"
    check_device(device, precision)
    return Device(device, precision)


def _cuda_works() -> bool:
    """Whether PyTorch can use a GPU. It takes a second or more to load, so that NVIDIA's driver is
    asked first whether there is one at all."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int()
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return False
    except (OSError, AttributeError):
        return False
    import torch

    return torch.cuda.is_available()


def channels_last(network: nn.Module) -> None:
    """Let a PyTorch network work with each pixel's channels side by side in memory, which its
    convolutions are quicker at. Unlike ``Module.to``, it leaves weights of five dimensions as they
    are, instead of failing."""
    import torch

    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def batch_size(device: Device) -> int:
    """How many faces are handed to networks and filters at a time.

    One on the CPU, where more would cost memory and gain nothing; on a GPU as many as its free
    memory holds, at most 8, at least one. Results depend on it by no more than rounding.
    """
    if not device.name.startswith("cuda"):
        return 1
    import torch

    # What PyTorch keeps for later is free to this process and not to the driver.
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    free, _ = torch.cuda.mem_get_info()
    return max(1, min(LARGEST_BATCH, (free + kept) // _FACE_BYTES))
