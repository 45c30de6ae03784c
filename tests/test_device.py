from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from videdit import device as module
from videdit.device import Device, batch_size, calm, channels_last, choose_device, threads
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


def test_threads_are_those_that_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEDIT_THREADS", "3")
    assert threads() == 3
    for wrong in ("0", "-1", "many", "1.5"):
        monkeypatch.setenv("VIDEDIT_THREADS", wrong)
        with pytest.raises(UsageError, match="VIDEDIT_THREADS"):
            threads()


def test_threads_are_those_that_the_process_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEDIT_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert threads() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= threads() <= len(before)


def test_waiting_threads_are_calm_unless_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "KMP_BLOCKTIME")
    for name in (*names, "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "x")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIDEDIT_THREADS", "5")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    calm()
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert os.environ["MKL_NUM_THREADS"] == "2"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(("gigabytes", "refused"), [(1, True), (4, False), (None, False)])
def test_a_limit_that_is_too_low_is_told(gigabytes: int | None, refused: bool) -> None:
    limit = "resource.RLIM_INFINITY" if gigabytes is None else str(gigabytes << 30)
    code = (
        "import resource; from videdit.device import check_memory;"
        f" resource.setrlimit(resource.RLIMIT_AS, ({limit}, resource.RLIM_INFINITY));"
        " check_memory()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ("may use 1.0 GiB" in done.stderr) == refused


def test_channels_last_takes_any_network() -> None:
    network = torch.nn.Conv2d(4, 6, 3)
    network.deep = torch.nn.Parameter(torch.zeros(1, 6, 4, 3, 3))  # as StyleGAN2's are
    network.register_buffer("noise", torch.zeros(1, 4, 3, 5))
    picture = torch.randn(1, 4, 8, 9, generator=torch.Generator().manual_seed(0))
    before = network(picture)
    channels_last(network)
    for tensor in (network.weight, network.noise):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert network.deep.is_contiguous()
    torch.testing.assert_close(network(picture), before)
