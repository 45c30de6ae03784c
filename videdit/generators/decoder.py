"""Decoding W+ codes into pictures on whatever the machine has.

``Decoder`` hides where the network runs: OpenVINO on the CPU (two to eight times as fast as eager
PyTorch there), PyTorch on a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import nn

from ..device import compile_for_cpu
from ..errors import WeightsError
from .mobile import RESOLUTION, ROWS, STYLE_DIM, load_synthesis

if TYPE_CHECKING:
    import openvino as ov


class Decoder(Protocol):
    """Turns codes into pictures."""

    resolution: int

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(n, 16, 512) float32 codes to (n, size, size, 3) float32 RGB pictures in [0, 1]."""


class OpenVinoDecoder:
    """The generator through OpenVINO on the CPU, with explicit inference precision.

    The wheel's own graph is used, rewired: it takes one code for all layers, here every layer's
    style reads its own row. OpenVINO's default precision is bf16 where the processor has it, which
    moves single pixels by up to half the range; fp32 costs little more.
    """

    resolution = RESOLUTION

    def __init__(self, xml: Path, binary: Path, precision: str = "fp32") -> None:
        import openvino as ov

        try:
            model = _rewired(ov.Core().read_model(xml, binary))
            self._compiled = compile_for_cpu(model, precision)
        except (RuntimeError, ValueError) as error:  # ValueError: layers of another network
            raise WeightsError(
                f"the generator {xml.name} cannot be loaded ({str(error).splitlines()[0]})",
                "Run `videdit weights fetch` again.",
            ) from error

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """See ``Decoder.decode``. One picture at a time: memory stays flat, batches gain none."""
        codes = np.ascontiguousarray(codes, np.float32)
        pictures = [np.zeros((0, RESOLUTION, RESOLUTION, 3), np.float32)]
        pictures += [self._compiled(codes[i : i + 1])[0].copy() for i in range(len(codes))]
        return np.concatenate(pictures)


def _row_of(weight_name: str) -> int:
    """Which row of the code a style's affine reads, from the name of its weights in the IR."""
    if weight_name.startswith("m.conv1."):
        return 0
    layer, part = weight_name.removeprefix("m.layers.").split(".")[:2]
    return {"up": 2 * int(layer) + 1, "conv1": 2 * int(layer) + 1, "conv2": 2 * int(layer) + 2}.get(
        part, ROWS - 1
    )


def _rewired(model: ov.Model) -> ov.Model:
    """The IR with a (1, 16, 512) input and a (1, 1024, 1024, 3) output in [0, 1]."""
    import openvino as ov
    import openvino.opset13 as ops

    style = model.inputs[0].get_node()
    codes = ops.parameter([1, ROWS, STYLE_DIM], np.float32, name="codes")
    rows: dict[int, ov.Node] = {}
    for target in style.output(0).get_target_inputs():
        node = target.get_node()
        sources = [node.input_value(i).get_node() for i in range(node.get_input_size())]
        weight = next((s for s in sources if s.get_type_name() == "Constant"), None)
        if weight is None:  # a look at the input's shape: any (1, 512) row serves
            target.replace_source_output(ops.gather(codes, np.int32(0), np.int32(1)).output(0))
            continue
        row = _row_of(weight.get_friendly_name())
        if row not in rows:
            rows[row] = ops.gather(codes, np.int32(row), np.int32(1))
        target.replace_source_output(rows[row].output(0))
    if sorted(rows) != list(range(ROWS)):
        raise RuntimeError("its styles are not those of MobileStyleGAN")
    picture = model.outputs[0].get_node().input_value(0)
    shown = ops.clamp(ops.add(ops.multiply(picture, np.float32(0.5)), np.float32(0.5)), 0.0, 1.0)
    return ov.Model([ops.transpose(shown, np.array([0, 2, 3, 1]))], [codes], "mobile")


class TorchDecoder:
    """The generator through PyTorch: half precision and channels_last on a GPU."""

    resolution = RESOLUTION

    def __init__(self, network: nn.Module, device: str, precision: str = "fp32") -> None:
        self.device = device
        self.dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        self._network = network.to(device).eval()
        if device != "cpu":
            self._network = self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batch = 1 if device == "cpu" else 8

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """See ``Decoder.decode``."""
        pictures = [np.zeros((0, RESOLUTION, RESOLUTION, 3), np.float32)]
        for start in range(0, len(codes), self._batch):
            batch = np.ascontiguousarray(codes[start : start + self._batch], np.float32)
            kind = self.device.split(":")[0]
            with torch.autocast(kind, self.dtype, enabled=self.dtype is not None):
                out = self._network(torch.from_numpy(batch).to(self.device))
            shown = (out.float() * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
            pictures.append(shown.cpu().numpy())
        return np.concatenate(pictures)


def load_decoder(
    xml: Path, binary: Path, *, device: str = "cpu", precision: str = "fp32"
) -> Decoder:
    """The embedded generator, ready to decode on ``device``.

    Args:
        xml: the IR's structure.
        binary: the IR's weights.
        device: "cpu" or a CUDA device.
        precision: "fp32", "bf16" or (CUDA) "fp16".

    Raises:
        WeightsError: the files are damaged or not that generator.
    """
    if device == "cpu":
        return OpenVinoDecoder(xml, binary, precision)
    return TorchDecoder(load_synthesis(xml, binary), device, precision)
