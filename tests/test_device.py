from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from videdit import device as module
from videdit.device import Device, batch_size, choose_device
from videdit.errors import UsageError


class Driver:
    """NVIDIA's driver, as far as it is asked: how many GPUs there are."""

    def __init__(self, gpus: int, fault: int = 0) -> None:
        self.gpus, self.fault = gpus, fault

    def __call__(self, name: str) -> Driver:
        assert name == "libcuda.so.1"
        return self

    def cuInit(self, flags: int) -> int:
        return self.fault

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.gpus
        return 0


def no_driver(name: str) -> Any:
    raise OSError(f"{name}: cannot open shared object file")


def install(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    known = SimpleNamespace(CDLL=load, c_int=ctypes.c_int, byref=ctypes.byref)
    monkeypatch.setattr(module, "ctypes", known)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    install(monkeypatch, Driver(int(request.param)))


@pytest.mark.parametrize(
    ("gpu", "device", "precision", "expected"),
    [
        (False, "auto", "auto", Device("cpu", "fp32")),
        (True, "auto", "auto", Device("cuda", "fp16")),
        (True, "auto", "fp32", Device("cuda", "fp32")),
        (True, "cpu", "auto", Device("cpu", "fp32")),
        (True, "cuda", "bf16", Device("cuda", "bf16")),
        (False, "cpu", "bf16", Device("cpu", "bf16")),
    ],
    indirect=["gpu"],
)
def test_choice(gpu: None, device: str, precision: str, expected: Device) -> None:
    assert choose_device(device, precision) == expected


@pytest.mark.parametrize(
    ("gpu", "device", "precision", "message"),
    [
        (False, "cuda", "auto", "no CUDA GPU.*--device cpu"),
        (False, "auto", "fp16", "fp16 does not run on the CPU"),
        (True, "cpu", "fp16", "fp16 does not run on the CPU"),
        (True, "tpu", "auto", "unknown device 'tpu'.*auto, cpu, cuda"),
        (True, "cuda", "int4", "unknown precision 'int4'.*bf16"),
    ],
    indirect=["gpu"],
)
def test_refusals(gpu: None, device: str, precision: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose_device(device, precision)


def test_a_cpu_is_chosen_without_loading_torch() -> None:
    import subprocess
    import sys

    code = "import sys, videdit.device as d; d.choose_device('cpu'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("load", [no_driver, Driver(0), Driver(1, fault=100), lambda name: None])
def test_torch_is_not_asked_where_the_driver_has_no_gpu(
    monkeypatch: pytest.MonkeyPatch, load: Any
) -> None:
    def asked() -> bool:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "is_available", asked)
    install(monkeypatch, load)
    assert choose_device() == Device("cpu", "fp32")


def test_a_gpu_that_torch_cannot_use_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    install(monkeypatch, Driver(1))
    assert choose_device() == Device("cpu", "fp32")
    with pytest.raises(UsageError, match="no CUDA GPU"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("free", "kept", "faces"),
    [(80 << 30, 0, 8), (2 << 30, 0, 4), (1 << 30, 1 << 30, 4), (100 << 20, 0, 1)],
)
def test_batches_grow_with_the_gpus_free_memory(
    monkeypatch: pytest.MonkeyPatch, free: int, kept: int, faces: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: kept + (5 << 30))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 5 << 30)
    assert batch_size(Device("cuda", "fp16")) == faces


def test_one_face_at_a_time_on_the_cpu() -> None:
    assert batch_size(Device("cpu", "fp32")) == 1
