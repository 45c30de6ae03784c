"""Compiled networks are kept, found again, and never a reason to fail or to call anybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
import torch
from torch import nn

from videdit.compiled import compiled, traced


def plus(number: float) -> ov.Model:
    """A model that adds a number."""
    x = ops.parameter([1, 3], np.float32)
    return ov.Model([ops.add(x, np.float32(number))], [x], "plus")


class Maker:
    """Counts how often it is asked."""

    def __init__(self, number: float) -> None:
        self.number = number
        self.calls = 0

    def __call__(self) -> ov.Model:
        self.calls += 1
        return plus(self.number)


def result(model: Any) -> float:
    return float(model(np.zeros((1, 3), np.float32))[0][0, 0])


def test_a_model_is_made_once(tmp_path: Path) -> None:
    first, second = Maker(1), Maker(2)
    folder = tmp_path / "compiled"
    assert result(compiled("net", {"a": "1"}, "fp32", first, folder)) == 1
    # Found by what it is made of, not made: else this one would add 2.
    assert result(compiled("net", {"a": "1"}, "fp32", second, folder)) == 1
    assert (first.calls, second.calls) == (1, 0)
    assert result(compiled("net", {"a": "2"}, "fp32", second, folder)) == 2
    assert result(compiled("net", {"a": "1"}, "bf16", second, folder)) == 2
    assert second.calls == 2


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "note"])
def test_a_damaged_file_is_made_anew(damage: str, tmp_path: Path) -> None:
    compiled("net", {}, "fp32", Maker(1), tmp_path)
    (blob,) = tmp_path.glob("*.blob")
    (note,) = tmp_path.glob("*.json")
    if damage == "cut":
        os.truncate(blob, blob.stat().st_size // 2)
    elif damage == "other":
        blob.write_bytes(bytes(blob.stat().st_size))
    elif damage == "empty":
        blob.write_bytes(b"")
        note.write_text(json.dumps({"bytes": 0, "sha256": "x"}))
    else:
        note.write_text("{")
    again = Maker(1)
    assert result(compiled("net", {}, "fp32", again, tmp_path)) == 1
    assert again.calls == 1
    assert result(compiled("net", {}, "fp32", again, tmp_path)) == 1
    assert again.calls == 1


def test_a_file_that_openvino_refuses_is_made_anew(tmp_path: Path) -> None:
    """Right by its checksum, and still no model: written by some other program."""
    compiled("net", {}, "fp32", Maker(1), tmp_path)
    (blob,) = tmp_path.glob("*.blob")
    (note,) = tmp_path.glob("*.json")
    import hashlib

    content = b"no model" * 100
    blob.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    note.write_text(json.dumps({"bytes": len(content), "sha256": digest}))
    again = Maker(1)
    assert result(compiled("net", {}, "fp32", again, tmp_path)) == 1
    assert again.calls == 1


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    made = Maker(3)
    assert result(compiled("net", {}, "fp32", made, tmp_path / "file" / "compiled")) == 3
    assert result(compiled("net", {}, "fp32", made, None)) == 3
    assert made.calls == 2


def test_what_nobody_reads_is_removed(tmp_path: Path) -> None:
    compiled("net", {"a": "1"}, "fp32", Maker(1), tmp_path)
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    compiled("net", {"a": "2"}, "fp32", Maker(2), tmp_path)
    assert len(list(tmp_path.glob("*.blob"))) == len(list(tmp_path.glob("*.json"))) == 1


def test_a_network_from_pytorch_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the converter sends telemetry")

    monkeypatch.setattr(ov, "convert_model", refuse)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    network = network.eval().requires_grad_(False)
    model = compiled("net", {}, "fp32", lambda: traced(network, torch.zeros(1, 3, 8, 8)), None)
    x = torch.rand(1, 3, 8, 8)
    np.testing.assert_allclose(model(x.numpy())[0], network(x).numpy(), atol=1e-5)
    assert sys.modules["openvino_telemetry"] is None


_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-7)
import numpy as np, openvino as ov, openvino.opset13 as ops
from videdit.compiled import compile_for_cpu
x = ops.parameter([1, 4], np.float32)
made = compile_for_cpu(ov.Model([ops.relu(x)], [x]), "fp32")
requests = [made.create_infer_request() for _ in range(8)]
together = threading.Barrier(len(requests))
def infer(request):
    together.wait()
    request.infer([np.zeros((1, 4), np.float32)])
threads = [threading.Thread(target=infer, args=(request,)) for request in requests]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_threads_may_be_the_first_to_infer_at_once() -> None:
    """Without ``core`` about every second such process waits for itself for ever."""
    started = [subprocess.Popen([sys.executable, "-c", _AT_ONCE]) for _ in range(5)]
    try:
        assert [process.wait(100) for process in started] == [0] * 5
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_model_is_compiled_from_a_file_that_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file takes the constants' place in memory; without it nothing else changes."""
    read = []

    def seen(core: ov.Core, model: Path, *more: object) -> ov.Model:
        read.append(Path(model))
        assert read[-1].parent == tmp_path
        return real(core, model, *more)

    real = ov.Core.read_model
    monkeypatch.setattr(ov.Core, "read_model", seen)
    assert result(compiled("net", {}, "fp32", Maker(4), tmp_path)) == 4
    assert len(read) == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".blob", ".json"]

    def refused(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(ov, "serialize", refused)
    assert result(compiled("net", {"a": "1"}, "fp32", Maker(5), tmp_path)) == 5
    assert len(read) == 1


def test_a_kept_model_outlives_its_file(tmp_path: Path) -> None:
    compiled("net", {}, "fp32", Maker(1), tmp_path)
    model = compiled("net", {}, "fp32", Maker(2), tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert result(model) == 1


def test_what_a_killed_process_was_writing_is_removed_a_day_later(tmp_path: Path) -> None:
    left = tmp_path / "model-0.bin"
    left.write_bytes(b"half")
    now = time.time()
    os.utime(left, (now, now - 3600))
    compiled("net", {"a": "1"}, "fp32", Maker(1), tmp_path)
    assert left.exists()
    os.utime(left, (now, now - 2 * 86400))
    compiled("net", {"a": "2"}, "fp32", Maker(1), tmp_path)
    assert not left.exists()
