"""Decoding W+ codes into pictures on whatever the machine has.

OpenVINO on the CPU (two to eight times as fast as eager PyTorch there), PyTorch on a GPU. PyTorch
itself is only loaded where it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundles.latent import LatentSpace
from ..compiled import compiled
from ..errors import WeightsError

if TYPE_CHECKING:
    import openvino as ov
    from torch import nn


_GRAPH = "2"
"""Version of what is made of the wheel's graph here; to be raised when that changes."""


_PICTURE_BANDS = 12  # three colours, four bands of a wavelet


class OpenVinoDecoder:
    """MobileStyleGAN through OpenVINO on the CPU, with explicit inference precision.

    The wheel's own graph is used, rewired: it takes one code for all layers, here every layer's
    style reads its own row. OpenVINO's default precision is bf16 where the processor has it, which
    moves single pixels by up to half the range; fp32 costs little more.
    """

    def __init__(
        self,
        xml: Path,
        binary: Path,
        space: LatentSpace,
        precision: str = "fp32",
        *,
        ids: Mapping[str, str] | None = None,
        kept_in: Path | None = None,
    ) -> None:
        """
        Args:
            xml, binary: the IR.
            space: of the codes.
            precision: "fp32" or "bf16".
            ids: the files' content ids, which the compiled model is kept under.
            kept_in: folder of compiled models, see ``compiled``.

        Raises:
            WeightsError: the files are damaged or not that generator.
        """
        import openvino as ov

        self._space = space
        self._busy = threading.Lock()  # a compiled model answers one caller at a time
        try:
            self._compiled = compiled(
                "generator",
                {**(ids or {}), "graph": _GRAPH},
                precision,
                lambda: _rewired(ov.Core().read_model(xml, binary), space),
                kept_in if ids else None,
            )
        except (RuntimeError, ValueError) as error:  # ValueError: layers of another network
            raise WeightsError(
                f"the generator {xml.name} cannot be loaded ({str(error).splitlines()[0]})",
                "Run `videdit weights fetch` again.",
            ) from error

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """As ``models.protocols.Generator``, one at a time: batches gain nothing on a CPU."""
        codes = np.ascontiguousarray(codes, np.float32)
        pictures = [_no_pictures(self._space)]
        for i in range(len(codes)):
            with self._busy:
                pictures.append(self._compiled(codes[i : i + 1])[0].copy())
        return np.concatenate(pictures)


def _no_pictures(space: LatentSpace) -> np.ndarray:
    return np.zeros((0, space.resolution, space.resolution, 3), np.float32)


def _row_of(weight_name: str, rows: int) -> int:
    """Which row of the code a style's affine reads, from the name of its weights in the IR."""
    if weight_name.startswith("m.conv1."):
        return 0
    layer, part = weight_name.removeprefix("m.layers.").split(".")[:2]
    return {"up": 2 * int(layer) + 1, "conv1": 2 * int(layer) + 1, "conv2": 2 * int(layer) + 2}.get(
        part, rows - 1
    )


def _rewired(model: ov.Model, space: LatentSpace) -> ov.Model:
    """The IR with an input (1, rows, width) and an output (1, size, size, 3) in [0, 1]."""
    import openvino as ov
    import openvino.opset13 as ops

    style = model.inputs[0].get_node()
    codes = ops.parameter([1, *space.shape], np.float32, name="codes")
    rows: dict[int, ov.Node] = {}
    for target in style.output(0).get_target_inputs():
        node = target.get_node()
        sources = [node.input_value(i).get_node() for i in range(node.get_input_size())]
        weight = next((s for s in sources if s.get_type_name() == "Constant"), None)
        if weight is None:  # a look at the input's shape: any (1, 512) row serves
            target.replace_source_output(ops.gather(codes, np.int32(0), np.int32(1)).output(0))
            continue
        row = _row_of(weight.get_friendly_name(), space.rows)
        if row not in rows:
            rows[row] = ops.gather(codes, np.int32(row), np.int32(1))
        target.replace_source_output(rows[row].output(0))
    if sorted(rows) != list(range(space.rows)):
        raise RuntimeError("its styles are not those of MobileStyleGAN")
    low = None
    for node in model.get_ops():
        if node.get_type_name() == "VariadicSplit" and node.get_output_size() == 2:
            if node.input_value(0).get_partial_shape()[1].get_length() == _PICTURE_BANDS:
                low = node.output(0)
            else:
                _lay_bands_side_by_side(node)
        elif node.get_type_name() == "Add":
            _keep_noise_and_bias_apart(node)
    if low is None:
        raise RuntimeError("it has no wavelet at its end")
    # The picture averaged to half its size is half the low band, from -1 to 1.
    shown = ops.clamp(ops.add(ops.multiply(low, np.float32(0.25)), np.float32(0.5)), 0.0, 1.0)
    return ov.Model([ops.transpose(shown, np.array([0, 2, 3, 1]))], [codes], "mobile")


def _keep_noise_and_bias_apart(addition: ov.Node) -> None:
    """Add a convolution's bias before its noise, with something between that does nothing.

    Left alone, OpenVINO adds the two constants beforehand, (1, channels, 1, 1) and (1, 1, h, w): a
    constant as large as the features, for every convolution a quarter of a gigabyte in all, which
    then has to be read for every picture.

    Args:
        addition: any; if it adds a bias to what a noise was added to, its readers get the new sum.
    """
    import openvino.opset13 as ops

    inner = addition.input_value(0).get_node()
    if inner.get_type_name() != "Add":
        return
    bias, noise = addition.input_value(1), inner.input_value(1)
    if any(c.get_node().get_type_name() != "Constant" for c in (bias, noise)):
        return
    biased = ops.clamp(ops.add(inner.input_value(0), bias), -1e30, 1e30)
    noisy = ops.add(biased, noise).output(0)
    for target in addition.output(0).get_target_inputs():
        target.replace_source_output(noisy)


def _lay_bands_side_by_side(split: ov.Node) -> None:
    """Make a wavelet's four bands runs of channels.

    The IR keeps the three high bands of each channel together, so that taking them apart moves
    every number by itself: nearly half of the generator's time. Their channels come out of a
    convolution; with its rows in another order the bands lie side by side, and the numbers are the
    same.

    Args:
        split: of the low band from the others.
    """
    import openvino.opset13 as ops

    def only(node: ov.Node, output: int) -> ov.Node:
        (target,) = node.output(output).get_target_inputs()
        return target.get_node()

    bands = split.input_value(0)
    channels = bands.get_partial_shape()[1].get_length()
    count = channels // 4
    high = only(only(split, 1), 0)
    order = np.arange(channels)
    order[count:] = order[count:].reshape(count, 3).T.ravel()
    _reorder(bands.get_node(), order)
    bands = split.input_value(0)
    parts = [ops.slice(bands, [k * count], [(k + 1) * count], [1], [1]) for k in range(4)]
    for target in split.output(0).get_target_inputs():
        target.replace_source_output(parts[0].output(0))
    for k, part in enumerate(parts[1:]):
        for target in only(high, k).output(0).get_target_inputs():
            target.replace_source_output(part.output(0))


def _reorder(node: ov.Node, order: np.ndarray) -> None:
    """Put what a node gives, (n, channels, ...), in another order of channels, by way of the
    constants that it is made from."""
    import openvino.opset13 as ops

    def swap(number: int, axis: int) -> None:
        constant = node.input_value(number).get_node()
        name = constant.get_friendly_name()
        swapped = ops.constant(np.take(constant.data, order, axis), name=name)
        node.input(number).replace_source_output(swapped.output(0))

    kind = node.get_type_name()
    if kind == "Convolution":
        swap(1, 0)
    elif kind == "MatMul":
        swap(1, 0 if node.get_attributes()["transpose_b"] else 1)
    elif kind in ("Clamp", "Reshape", "PRelu"):  # to (1, channels, 1, 1); one slope for all
        _reorder(node.input_value(0).get_node(), order)
    elif kind in ("Add", "Multiply"):
        for number in range(2):
            source = node.input_value(number).get_node()
            if source.get_type_name() != "Constant":
                _reorder(source, order)
            elif source.data.size == len(order):
                swap(number, source.data.shape.index(len(order)))
    else:
        raise RuntimeError(f"its wavelets' bands come out of a {kind}")


class TorchDecoder:
    """A generator through PyTorch: half precision and channels_last on a GPU.

    Args:
        network: codes (n, rows, width) to pictures (n, 3, size, size) in [-1, 1].
        space: of the codes.
        device: "cpu" or a CUDA device.
        precision: "fp32", "bf16" or (CUDA) "fp16".
    """

    def __init__(
        self, network: nn.Module, space: LatentSpace, device: str, precision: str = "fp32"
    ) -> None:
        import torch

        self.device = device
        self._space = space
        self._dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        run: Any = network.to(device).eval()
        self._network = run if device == "cpu" else run.to(memory_format=torch.channels_last)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """As ``models.protocols.Generator``, all at once: give as many as the memory takes."""
        import torch

        if not len(codes):
            return _no_pictures(self._space)
        kind = self.device.split(":")[0]
        batch = torch.from_numpy(np.ascontiguousarray(codes, np.float32)).to(self.device)
        with (
            torch.inference_mode(),
            torch.autocast(kind, self._dtype, enabled=self._dtype is not None),
        ):
            out = self._network(batch)
            shown = (out.float() * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
            return np.asarray(shown.cpu().numpy())
