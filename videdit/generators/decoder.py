"""Decoding W+ codes into pictures on whatever the machine has.

OpenVINO on the CPU (two to eight times as fast as eager PyTorch there), PyTorch on a GPU. PyTorch
itself is only loaded where it is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..bundles.latent import LatentSpace
from ..compiled import compiled, core
from ..device import channels_last
from ..errors import WeightsError
from .latents import DEPTHS, Latents, pooled

if TYPE_CHECKING:
    import openvino as ov
    from torch import nn


_GRAPH = "3"
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
        self._space = space
        self._files = xml, binary
        self._precision = precision
        self._ids = dict(ids or {})
        self._kept_in = kept_in if ids else None
        self._busy = threading.Lock()  # a compiled model answers one caller at a time
        self._plain = self._load("generator", lambda: _rewired(*self._files, space))
        self._mixing: Any = None

    def _load(self, name: str, make: Callable[[], ov.Model]) -> Any:
        try:
            parts = {**self._ids, "graph": _GRAPH}
            return compiled(name, parts, self._precision, make, self._kept_in)
        except (RuntimeError, ValueError) as error:  # ValueError: layers of another network
            raise WeightsError(
                f"the generator {self._files[0].name} cannot be loaded"
                f" ({str(error).splitlines()[0]})",
                "Run `videdit weights fetch` again.",
            ) from error

    def decode(self, codes: np.ndarray | Latents) -> np.ndarray:
        """As ``models.protocols.Generator``, one at a time: batches gain nothing on a CPU."""
        latents = Latents.of(codes)
        pictures = [_no_pictures(self._space)]
        for i in range(len(latents)):
            inputs, mixture = self._inputs(latents, i), latents.mixture
            with self._busy:
                if mixture is None or not mixture.mask[i].any():
                    found = self._plain(inputs)
                else:
                    if self._mixing is None:  # few runs mix
                        self._mixing = self._load("mixing-generator", self._mixing_model)
                    masks = [pooled(mixture.mask[i], 4 << d)[None, None] for d in DEPTHS]
                    found = self._mixing([*inputs, _contiguous(mixture.codes[i : i + 1]), *masks])
                pictures.append(found[0].copy())
        return np.concatenate(pictures)

    def _inputs(self, latents: Latents, i: int) -> list[np.ndarray]:
        offsets = latents.offsets
        added = self._none if offsets is None else _contiguous(offsets[i : i + 1])
        return [_contiguous(latents.codes[i : i + 1]), added]

    @cached_property
    def _none(self) -> np.ndarray:
        return np.zeros((1, self._space.channels), np.float32)

    def _mixing_model(self) -> ov.Model:
        return _mixing(*(_rewired(*self._files, self._space) for _ in range(2)))


def _contiguous(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


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


def _layer_of(weight_name: str, layers: int) -> int:
    """Which layer of styles an affine makes, from the name of its weights in the IR."""
    if weight_name.startswith("m.conv1."):
        return 0
    block, part = weight_name.removeprefix("m.layers.").split(".")[:2]
    parts = {"up": 1, "conv1": 2, "conv2": 3}
    return 3 * int(block) + parts[part] if part in parts else layers - 1


def _rewired(xml: Path, binary: Path, space: LatentSpace) -> ov.Model:
    """The IR with inputs (1, rows, width), codes, and (1, channels), offsets to the styles that are
    made of them; and an output (1, size, size, 3) in [0, 1]."""
    import openvino as ov
    import openvino.opset13 as ops

    model = core().read_model(xml, binary)
    style = model.inputs[0].get_node()
    codes = ops.parameter([1, *space.shape], np.float32, name="codes")
    offsets = ops.parameter([1, space.channels], np.float32, name="offsets")
    starts = np.cumsum([0, *space.styles])
    rows: dict[int, ov.Node] = {}
    for target in style.output(0).get_target_inputs():
        node = target.get_node()
        sources = [node.input_value(i).get_node() for i in range(node.get_input_size())]
        weight = next((s for s in sources if s.get_type_name() == "Constant"), None)
        if weight is None:  # a look at the input's shape: any (1, 512) row serves
            target.replace_source_output(ops.gather(codes, np.int32(0), np.int32(1)).output(0))
            continue
        name = weight.get_friendly_name()
        row, layer = _row_of(name, space.rows), _layer_of(name, len(space.styles))
        if row not in rows:
            rows[row] = ops.gather(codes, np.int32(row), np.int32(1))
        target.replace_source_output(rows[row].output(0))
        made = _only_reader(node)  # the bias is added here
        readers = made.output(0).get_target_inputs()
        # A gather, not a slice: its channels can be put in another order.
        places = np.arange(starts[layer], starts[layer + 1], dtype=np.int32)
        sum_ = ops.add(made, ops.gather(offsets, places, np.int32(1))).output(0)
        sum_.get_node().set_friendly_name(f"{_STYLES}{layer}")
        for reader in readers:
            reader.replace_source_output(sum_)
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
    inputs = [codes, offsets]
    return ov.Model([ops.transpose(shown, np.array([0, 2, 3, 1]))], inputs, "mobile")


_STYLES = "styles of layer "


def _mixing(face: ov.Model, other: ov.Model) -> ov.Model:
    """One face with another's features in places, after the blocks of `DEPTHS`.

    Args:
        face, other: the rewired IR, twice. Inputs of the new model: the face's two; the other's
            codes; and a mask (1, 1, side, side) for each depth.
    """
    import openvino as ov
    import openvino.opset13 as ops

    masks = []
    for depth in DEPTHS:
        (here, place), (theirs, at) = (_features(model, depth) for model in (face, other))
        own, given = here.input_value(place), theirs.input_value(at)
        mask = ops.parameter([1, 1, 4 << depth, 4 << depth], np.float32, name=f"mask {depth}")
        mixed = ops.add(own, ops.multiply(mask, ops.subtract(given, own)))
        here.input(place).replace_source_output(mixed.output(0))
        masks.append(mask)
    codes, offsets = (parameter.get_node() for parameter in other.inputs)
    for reader in offsets.output(0).get_target_inputs():
        reader.replace_source_output(
            ops.constant(np.zeros(list(offsets.shape), np.float32)).output(0)
        )
    parameters = [*(parameter.get_node() for parameter in face.inputs), codes, *masks]
    return ov.Model([face.outputs[0].get_node().input_value(0)], parameters, "mixing")


def _features(model: ov.Model, depth: int) -> tuple[ov.Node, int]:
    """Where the features after some blocks are read: the node, and which of its inputs they are."""
    (made,) = (n for n in model.get_ops() if n.get_friendly_name() == f"{_STYLES}{3 * depth + 1}")
    shaped = _only_reader(made)
    scaled = _only_reader(shaped)
    inputs = [scaled.input_value(i).get_node() for i in range(2)]
    names = [node.get_friendly_name() for node in inputs]
    return scaled, 1 - names.index(shaped.get_friendly_name())


def _only_reader(node: ov.Node, output: int = 0) -> ov.Node:
    (target,) = node.output(output).get_target_inputs()
    return target.get_node()


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

    bands = split.input_value(0)
    channels = bands.get_partial_shape()[1].get_length()
    count = channels // 4
    high = _only_reader(_only_reader(split, 1))
    order = np.arange(channels)
    order[count:] = order[count:].reshape(count, 3).T.ravel()
    _reorder(bands.get_node(), order)
    bands = split.input_value(0)
    parts = [ops.slice(bands, [k * count], [(k + 1) * count], [1], [1]) for k in range(4)]
    for target in split.output(0).get_target_inputs():
        target.replace_source_output(parts[0].output(0))
    for k, part in enumerate(parts[1:]):
        for target in _only_reader(high, k).output(0).get_target_inputs():
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
    if kind == "Convolution" or kind == "Gather":
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
        network: a `mobile.SynthesisNetwork`, or another that is called like it.
        space: of the codes.
        device: "cpu" or a CUDA device.
        precision: "fp32", "bf16" or (CUDA) "fp16".
    """

    def __init__(
        self, network: nn.Module, space: LatentSpace, device: str, precision: str = "fp32"
    ) -> None:
        import torch

        from ..captured import Captured
        from .mixed import Mixed

        self.device = device
        self._space = space
        run = network.to(device).eval()
        if device != "cpu":
            channels_last(run)

        def shown(codes: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
            offsets, *mixed = more or (None,)
            if mixed:
                made = run(codes, offsets, Mixed(mixed[0], mixed[1], DEPTHS))
            else:
                made = run(codes) if offsets is None else run(codes, offsets)
            return cast("torch.Tensor", (made.float() * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1))

        self._network = Captured(shown, device, precision)

    def decode(self, codes: np.ndarray | Latents) -> np.ndarray:
        """As ``models.protocols.Generator``, all at once: give as many as the memory takes."""
        import torch

        from ..copies import downloaded, uploaded

        latents = Latents.of(codes)
        if not len(latents):
            return _no_pictures(self._space)

        def there(array: np.ndarray) -> torch.Tensor:
            return uploaded(_contiguous(array), self.device)

        inputs = [there(latents.codes)]
        if latents.offsets is not None:
            inputs.append(there(latents.offsets))
        if latents.mixture is not None:
            if latents.offsets is None:
                inputs.append(torch.zeros(len(latents), self._space.channels, device=self.device))
            inputs += [there(latents.mixture.codes), there(latents.mixture.mask)[:, None]]
        return downloaded(self._network(*inputs))
