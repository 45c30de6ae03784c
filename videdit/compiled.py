"""Networks compiled for the CPU by OpenVINO, kept so that a run never waits for it twice.

Turning a PyTorch network into an OpenVINO model and compiling it takes seconds; reading what was
compiled before takes a fraction of one, and needs no PyTorch. Models are made through OpenVINO's
front end itself: its converter (``openvino.convert_model``) sends telemetry from processes that it
forks, and nothing here may leave the machine or copy a process that holds locks.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import mmap
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .device import threads
from .errors import StorageError
from .files import finish_file, measure, temporary_file, write_atomically

if TYPE_CHECKING:
    import openvino as ov
    import torch
    from torch import nn

_FORMAT = 1
_UNUSED_S = 60 * 86400.0
"""What nobody has read for so long (another version, other weights) is removed."""
_LEFT_S = 86400.0
"""The same for what was being written."""


_starting = threading.Lock()


def core() -> ov.Core:
    """OpenVINO, ready for several threads.

    Its Python layer fills its table of element types when an array is first handed over. A thread
    that does so waits for Python's lock in between; another that comes along holds that lock and
    waits for the table: for ever. So it is filled here, by one thread, before anything is compiled.
    """
    import openvino as ov

    with _starting:
        _ = ov.Tensor(np.zeros(1, np.float32)).data
    return ov.Core()


def traced(network: nn.Module, example: torch.Tensor) -> ov.Model:
    """A PyTorch network as an OpenVINO model for inputs of one shape: with the batch left open,
    StyleGAN2 takes a quarter longer, for its layouts and what can be fused are chosen without it.

    Args:
        network: in evaluation mode; takes one tensor and gives one.
        example: an input.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with torch.no_grad():
        # Checking a trace traces and runs the network three times more.
        graph = TorchScriptPythonDecoder(
            network, example_input=example, trace_kwargs={"check_trace": False}
        )
        front = FrontEndManager().load_by_framework("pytorch")
        model = front.convert(front.load(graph))
    # The converter's own clean-up of the graph, without which the result differs in the last digit.
    with contextlib.suppress(ImportError):
        from openvino._offline_transformations import apply_moc_transformations

        apply_moc_transformations(model, cf=False, smart_reshape=True)
    model.reshape(list(example.shape))
    return model


def compile_for_cpu(model: ov.Model, precision: str) -> Any:
    """An OpenVINO model compiled with its precision said: left alone, OpenVINO takes bf16 where
    the CPU has it.

    Args:
        model: to be compiled.
        precision: "fp32" or "bf16".

    Returns:
        ``openvino.CompiledModel``.
    """
    return core().compile_model(model, "CPU", _config(precision))


def _config(precision: str) -> dict[str, str]:
    return {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": str(threads()),
        # Pinned to the same processors, two runs would wait for each other.
        "ENABLE_CPU_PINNING": "NO",
    }


def compiled(
    name: str,
    parts: Mapping[str, str],
    precision: str,
    make: Callable[[], ov.Model],
    folder: Path | None,
) -> Any:
    """An OpenVINO model compiled for this CPU, read from where it was kept if it can be.

    Args:
        name: a short name for the file.
        parts: everything that decides the model: names and content ids.
        precision: "fp32" or "bf16".
        make: gives the model where it was not compiled before.
        folder: where compiled models are kept; None keeps nothing. A folder that cannot be written,
            or a damaged file in it, costs time and nothing else.

    Returns:
        ``openvino.CompiledModel``.
    """
    import openvino as ov

    if folder is None:
        return compile_for_cpu(make(), precision)
    opened = core()
    # Compiled code is this version's and this processor's.
    identity = {
        "format": _FORMAT,
        "videdit": __version__,
        "parts": dict(parts),
        "precision": precision,
        "threads": threads(),
        "openvino": ov.get_version(),
        "cpu": opened.get_property("CPU", "FULL_DEVICE_NAME"),
        "can": sorted(opened.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{name}-{key}.blob"
    model = _read(opened, path, precision)
    if model is None:
        source = _on_disk(make(), folder)
        gc.collect()  # a traced network is a circle
        model = compile_for_cpu(source, precision)
        _keep(path, model)
    return model


def _read(opened: ov.Core, path: Path, precision: str) -> Any:
    """The compiled model in ``path``; None if it is not there, or not what was written.

    The file is mapped: its constants, which the model keeps beside those that it computes with,
    take memory only as long as there is some to spare.
    """
    import openvino as ov

    try:
        note = json.loads(path.with_suffix(".json").read_bytes())
        if tuple(measure(path)) != (note["bytes"], note["sha256"]):
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read
            path.with_suffix(".json").touch()
        with path.open("rb") as stream:
            pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        content = np.frombuffer(pages, np.uint8)
        model = opened.import_model(ov.Tensor(content, True), "CPU", _config(precision))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    if hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)  # read again if it must be
    model.content = content  # not to be given back before the model
    return model


def _on_disk(model: ov.Model, folder: Path) -> ov.Model:
    """The same model, its constants mapped from a file instead of a copy in memory: a large
    network is there twice while it is compiled. The model itself where that cannot be."""
    import openvino as ov

    file = folder / f"model-{secrets.token_hex(4)}.xml"
    weights = file.with_suffix(".bin")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ov.serialize(model, file, weights)
        return core().read_model(file, weights)
    except (OSError, RuntimeError):
        return model
    finally:
        # What is mapped stays until nobody reads it; where that can't be, `_forget_unused` comes.
        for part in (file, weights):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _keep(path: Path, model: Any) -> None:
    """Write a compiled model to ``path``, where that can be."""
    with contextlib.suppress(OSError, StorageError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as part:
            with part.open("wb") as stream:
                stream.write(_exported(model))
            size, digest = measure(part)
            note = json.dumps({"bytes": size, "sha256": digest}).encode()
            finish_file(part, path)
        write_atomically(path.with_suffix(".json"), note)
        _forget_unused(path.parent)


def _exported(model: Any) -> Any:
    exported = model.export_model()
    # Bytes or a stream, as the version has it.
    return exported.getbuffer() if hasattr(exported, "getbuffer") else exported


def _forget_unused(folder: Path) -> None:
    now = time.time()
    for path in folder.iterdir():
        note = path.with_suffix(".json")
        used = note if path.suffix == ".blob" and note.exists() else path
        unused = now - used.stat().st_mtime
        # What is neither was left by a process that was killed.
        if unused > (_UNUSED_S if path.suffix in (".blob", ".json") else _LEFT_S):
            path.unlink(missing_ok=True)
