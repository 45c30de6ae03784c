"""Every parameter is plain, and counts: in NumPy and in torch, alone and in the composite."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from functools import cache
from typing import Any, get_type_hints

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.faces.helpers import face68
from videdit.blending import alignment, composite, masks, membrane, tensor_membrane, tensors
from videdit.blending.parameters import DEFAULT, BlendingParameters

SIZE = 256
Path = tuple[str | int, ...]


def leaves(group: Any, path: Path = ()) -> Iterator[tuple[Path, float]]:
    """All numbers, with the names and indices that lead to them."""
    if is_dataclass(group):
        for field in fields(group):
            yield from leaves(getattr(group, field.name), (*path, field.name))
    elif isinstance(group, tuple):
        for index, value in enumerate(group):
            yield from leaves(value, (*path, index))
    else:
        yield path, group


def changed(group: Any, path: Path, value: float) -> Any:
    if not path:
        return value
    first, *rest = path
    if isinstance(first, int):
        return (*group[:first], changed(group[first], tuple(rest), value), *group[first + 1 :])
    return replace(group, **{first: changed(getattr(group, first), tuple(rest), value)})


def variants(path: Path, value: float) -> list[BlendingParameters]:
    """With one number smaller and larger: some are upper, some lower limits."""
    # Real numbers by so little that the lower of a pair stays the lower.
    others = (value // 2, value * 2) if isinstance(value, int) else (0.6 * value, 1.6 * value)
    return [changed(DEFAULT, path, other) for other in others]


def built(kind: Any, plain: dict[str, Any]) -> Any:
    """A parameter class from what JSON holds."""
    hints = get_type_hints(kind)
    values = {
        name: built(hints[name], value)
        if is_dataclass(hints[name])
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in plain.items()
    }
    return kind(**values)


LEAVES = list(leaves(DEFAULT))
NAMES = [".".join(map(str, path)) for path, _ in LEAVES]


def smooth(seed: int, *shape: int) -> NDArray[np.float32]:
    """Smooth random values in [0, 1]."""
    values = np.random.default_rng(seed).random((9, 9, *shape[2:])).astype(np.float32)
    return np.asarray(np.clip(cv2.resize(values, shape[:2]), 0, 1), np.float32)


SOURCE = smooth(1, SIZE, SIZE, 3)
RECONSTRUCTION = SOURCE + np.float32(0.15) * (smooth(2, SIZE, SIZE, 3) - SOURCE)
RECONSTRUCTION[60:110, 60:110] = 1 - SOURCE[60:110, 60:110]
EDITED = RECONSTRUCTION + np.float32(0.4) * (smooth(3, SIZE, SIZE, 3) - RECONSTRUCTION)
POINTS = face68() * 0.22 + (0.5, 0.42)
FOUND = POINTS + np.random.default_rng(4).normal(0, 0.02, POINTS.shape)
MAP = (masks.MAP_SIZE, masks.MAP_SIZE)
CHANGE, MISFIT = 0.06 * smooth(5, *MAP), 0.12 * smooth(6, *MAP)  # each threshold wins somewhere
CHANGE[28:36, :5], MISFIT[28:36, :5] = 0.5, 0  # at the border, too little to be the largest change
FACE = masks.face_region(POINTS)
KNOWN, CONFIDENCE = smooth(7, 64, 64, 3), smooth(8, 64, 64) ** 8


def tensor(values: NDArray[np.floating]) -> Tensor:
    """(h, w[, c]) as (1, c, h, w)."""
    last = values if values.ndim == 3 else values[..., None]
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(last, 2, 0), np.float32)[None])


def points(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(values[None].astype(np.float32))


def numpy_composite(parameters: BlendingParameters) -> NDArray[np.float32]:
    pictures = (SOURCE, RECONSTRUCTION, EDITED)
    maps = (masks.difference_map(*pair) for pair in (pictures[1:], pictures[:2]))
    colour, alpha = composite.composite(*pictures, POINTS, FOUND, *maps, parameters)
    return np.dstack((colour, alpha))


def torch_composite(parameters: BlendingParameters) -> Tensor:
    pictures = tuple(tensor(each) for each in (SOURCE, RECONSTRUCTION, EDITED))
    maps = (tensors.difference_maps(*pair) for pair in (pictures[1:], pictures[:2]))
    colour, alpha = tensors.composite(*pictures, POINTS[None], FOUND[None], *maps, parameters)
    return torch.cat((colour, alpha), 1)


Function = Callable[[BlendingParameters], Any]
# What each class acts in. ``smoothing`` acts in the stage; here it says how far that must read.
FUNCTIONS: dict[str, dict[str, Function]] = {
    "numpy": {
        "maps": lambda p: masks.difference_map(SOURCE, EDITED, p.maps),
        "maps.colours": lambda p: composite.match_colours(
            SOURCE, RECONSTRUCTION, EDITED, p.maps.colours
        ),
        "compositing.smoothing": lambda p: p.compositing.smoothing.padding_s,
        "compositing.bending": lambda p: alignment.bend(
            SOURCE, alignment.bending_field(POINTS, FOUND, p.compositing.bending)
        ),
        "compositing.face": lambda p: masks.face_region(POINTS, p.compositing.face),
        "compositing.mask": lambda p: masks.edit_mask(
            CHANGE, MISFIT, FACE, SIZE, p.compositing.mask
        ),
        "compositing.seam": numpy_composite,
        "compositing.seam.membrane": lambda p: membrane.membrane(
            KNOWN, CONFIDENCE, p.compositing.seam.membrane
        ),
        "all": numpy_composite,
    },
    "torch": {
        "maps": lambda p: tensors.difference_maps(tensor(SOURCE), tensor(EDITED), p.maps),
        "maps.colours": lambda p: tensors.match_colours(
            tensor(SOURCE), tensor(RECONSTRUCTION), tensor(EDITED), p.maps.colours
        ),
        "compositing.smoothing": lambda p: p.compositing.smoothing.padding_s,
        "compositing.bending": lambda p: tensors.bend(
            tensor(SOURCE),
            tensors.bending_fields(points(POINTS), points(FOUND), p.compositing.bending),
        ),
        "compositing.face": lambda p: tensors.face_regions(POINTS[None], "cpu", p.compositing.face),
        "compositing.mask": lambda p: tensors.edit_masks(
            tensor(CHANGE), tensor(MISFIT), tensor(FACE), SIZE, p.compositing.mask
        ),
        "compositing.seam": torch_composite,
        "compositing.seam.membrane": lambda p: tensor_membrane.membrane(
            tensor(KNOWN), tensor(CONFIDENCE), p.compositing.seam.membrane
        ),
        "all": torch_composite,
    },
}


@cache
def by_default(backend: str, function: str) -> NDArray[np.float32]:
    return np.asarray(FUNCTIONS[backend][function](DEFAULT))


def counts(backend: str, function: str, path: Path, value: float) -> bool:
    expected = by_default(backend, function)
    results = (FUNCTIONS[backend][function](each) for each in variants(path, value))
    return any(np.abs(np.asarray(result) - expected).max() > 1e-5 for result in results)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On tensors as small as these, threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", FUNCTIONS)
@pytest.mark.parametrize(("path", "value"), LEAVES, ids=NAMES)
def test_every_number_counts_in_its_function(backend: str, path: Path, value: float) -> None:
    names = [name for name in path if isinstance(name, str)]
    assert counts(backend, ".".join(names[:-1]), path, value)


@pytest.mark.parametrize("backend", FUNCTIONS)
@pytest.mark.parametrize(("path", "value"), LEAVES, ids=NAMES)
def test_the_composite_hands_every_number_on(backend: str, path: Path, value: float) -> None:
    # It is given the maps, and smoothing them over time is the stage's.
    elsewhere = path == ("maps", "blur_sigma") or "smoothing" in path
    assert counts(backend, "all", path, value) != elsewhere


def test_changed_numbers_mean_the_same_in_both_paths() -> None:
    parameters = DEFAULT
    for path, value in LEAVES:
        if isinstance(value, float):
            parameters = changed(parameters, path, value * 0.9)
    parameters = changed(parameters, ("compositing", "mask", "closing"), 3)
    parameters = changed(parameters, ("compositing", "seam", "side"), 32)
    expected = numpy_composite(parameters)
    found = torch_composite(parameters)[0].permute(1, 2, 0).numpy()
    assert np.abs(expected - numpy_composite(DEFAULT)).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_parameters_are_plain_json_and_come_back() -> None:
    text = json.dumps(asdict(DEFAULT), allow_nan=False)
    assert built(BlendingParameters, json.loads(text)) == DEFAULT
    for path, value in LEAVES:
        assert type(value) in (int, float), path
        other = variants(path, value)[1]
        assert json.dumps(asdict(other)) != text
        assert built(BlendingParameters, json.loads(json.dumps(asdict(other)))) == other


def test_parameters_are_frozen() -> None:
    def visit(group: Any) -> None:
        for field in fields(group):
            value = getattr(group, field.name)
            with pytest.raises(FrozenInstanceError):
                setattr(group, field.name, value)
            if is_dataclass(value):
                visit(value)

    visit(DEFAULT)


def test_the_padding_is_four_times_the_wider_smoothing() -> None:
    assert DEFAULT.compositing.smoothing.padding_s == pytest.approx(0.6)
    wider = replace(DEFAULT.compositing.smoothing, bending_sigma_s=0.5)
    assert wider.padding_s == pytest.approx(2)


def test_parameters_are_light() -> None:
    code = (
        "import sys; from videdit.blending import parameters;"
        "print(sorted({'numpy', 'cv2', 'torch', 'kornia'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
