"""Every parameter is plain, and counts."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, asdict, fields, is_dataclass, replace
from functools import cache
from typing import Any, get_type_hints

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.faces.helpers import face68
from videdit.blending.change import Change, applied
from videdit.blending.face import colour_share, find_changes, likeness, visible_share
from videdit.blending.parameters import DEFAULT, BlendingParameters, Seen
from videdit.blending.speech import kept_open, opened
from videdit.blending.transfer import Landmarks
from videdit.faces.detection import inter_ocular
from videdit.faces.regions import REGIONS, SIDE, Touch

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
    others: list[float] = [0.6 * value, 1.6 * value]
    if path == ("zoom",):  # the wide crop is never the smaller one
        others[0] = (1 + value) / 2
    if isinstance(value, int):
        others = [value // 4, value * 2]
    if isinstance(path[-1], int):
        # The lower of a pair stays the lower.
        at = path[-1]
        others[1 - at] = (value + dict(LEAVES)[(*path[:-1], 1 - at)]) / 2
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
EDITED[100:140, 90:170] = np.roll(EDITED, 5, 1)[100:140, 90:170]
EDITED[150:170, 90:170] += 0.2 * (np.indices((20, 80)).sum(0) % 8 < 4)[:, :, None]
EDITED[:100, 160:] = 0.3 + 0.1 * EDITED[:100, 160:]  # hair that becomes much flatter
EDITED[190:, 176:240] = 0.3 + 0.1 * EDITED[190:, 176:240]  # lips, too
EDITED[190:, :90] = RECONSTRUCTION[190:, :90] + 0.01  # ears that hardly change
NOISE = np.random.default_rng(5).uniform(0, 0.015, SOURCE.shape)
NOISE[:, 100:140] *= 6
FRAME = np.rint(np.clip(SOURCE + NOISE, 0, 1) * 65535).astype(np.uint16)
QUAD = np.array([[0, 0], [0, SIZE], [SIZE, SIZE], [SIZE, 0]], np.float64)
POINTS = face68() * 0.22 + (0.5, 0.42)
SPEAKING = POINTS + 0
SPEAKING[65:68] += (0, 0.05)
FOUND = POINTS + np.random.default_rng(4).normal(0, 0.02, POINTS.shape)
AFTER = FOUND + np.random.default_rng(5).normal(0, 0.1, POINTS.shape)


PLACES = {
    "background": (slice(55, 90), slice(0, 30)),
    "clothes": (slice(110, 118), slice(60, 70)),  # a little of it
    "ears": (slice(98, 124), slice(10, 40)),
    "lips": (slice(98, 124), slice(92, 116)),
}


def parsed(seed: int) -> NDArray[np.float32]:
    """Soft regions, others in every picture."""
    odds = np.stack([smooth(10 * seed + k, SIDE, SIDE) for k in range(len(REGIONS))], 2) ** 6
    # Hair for sure on one side, none for sure on the other.
    odds[:50, 80:, REGIONS.index("hair")] += 100
    odds[70:, 80:, [REGIONS.index(name) for name in ("hair", "brows")]] = 0
    for name, place in PLACES.items():
        index = REGIONS.index(name)
        if name != "background":
            odds[:, :, index] *= 1e-3
        odds[(*place, index)] += 100
    shares = np.asarray(odds / odds.sum(2, keepdims=True), np.float32)
    # A little hair at the upper border, and background instead of most of it in the edit.
    top, first = shares[:6], REGIONS.index("background" if seed == 3 else "hair")
    share = 0.65 if seed == 3 else 0.06
    top[:, :, first] = 0
    top *= (1 - share) / top.sum(2, keepdims=True)
    top[:, :, first] = share
    return shares


PARSED = [parsed(seed) for seed in (1, 2, 3, 1)]
# Beside the face hair reaches farther down.
PARSED[3][50:90, 96:] = np.eye(len(REGIONS), dtype=np.float32)[REGIONS.index("hair")]
TOUCH = Touch(
    shape=frozenset({"skin", "nose", "lips", "neck", "eyes", "background"}),
    colour=frozenset({"hair", "brows", "lips"}),
    matter=frozenset({"beard", "glasses", "mouth", "skin", "hair"}),
    renewed=frozenset({"ears"}),
    tone=False,
)
LIPS = Touch(colour=frozenset({"lips"}))
KINDS = ((TOUCH, ("beyond", "face", "hair")), (LIPS, ("lips",)))


def transferred(parameters: BlendingParameters) -> Iterator[NDArray[np.float32]]:
    """The layers of each kind of edit in turn: the first that differs is enough."""
    more, less = (RECONSTRUCTION, EDITED), (EDITED, RECONSTRUCTION)  # of contrast
    for (touch, kinds), pair in itertools.product(KINDS, (more, less)):
        seen = iter(PARSED)
        changes = find_changes(
            FRAME,
            QUAD,
            SIZE,
            *pair,
            lambda _, seen=seen: next(seen),
            Landmarks(POINTS, FOUND, AFTER),
            touch,
            parameters,
        )
        assert set(changes) <= set(kinds)
        layers = [layer for kind in kinds for layer in layers_of(changes.get(kind), parameters)]
        yield np.dstack(layers)


def layers_of(
    found: tuple[NDArray[np.float64], Change] | None, parameters: BlendingParameters
) -> list[NDArray[np.float32]]:
    """Colours and alpha in the frame; 0 where there is no change."""
    colours, alpha = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32)
    if found is not None:
        quad, change = found
        # Everywhere, so that also what is hardly seen is compared.
        everywhere = replace(change, where=np.maximum(change.where, 0.01))
        x, y, patch, weight = applied(FRAME, quad, everywhere, parameters.grain)
        here = np.s_[y : y + weight.shape[0], x : x + weight.shape[1]]
        colours[here], alpha[here] = patch, weight
    return [colours, alpha]


@cache
def by_default() -> tuple[NDArray[np.float32], ...]:
    found = tuple(transferred(DEFAULT))
    assert all(layers.any((0, 1)).all() for layers in found)  # there are changes of every kind
    return found


@pytest.mark.parametrize(("path", "value"), LEAVES, ids=NAMES)
def test_every_number_counts(path: Path, value: float) -> None:
    if "smoothing" in path:  # acts in the stage; here it says how far that must read
        name = str(path[-1]).replace("sigma", "padding")
        others = [getattr(each.smoothing, name) for each in variants(path, value)]
        assert getattr(DEFAULT.smoothing, name) not in others
        return
    if "speech" in path:  # acts on a mouth that would close
        closing = np.zeros((SIZE, SIZE, 2), np.float32)
        closing[round(0.65 * SIZE) :, :, 1] = 0.02
        ajar = POINTS + 0
        ajar[65:68] = ajar[[63, 62, 61]] + np.array([0, 0.035 * inter_ocular(POINTS)])
        kept = kept_open(closing, SPEAKING)
        assert any(
            np.abs(kept_open(closing, SPEAKING, each.speech) - kept).max() > 1e-4
            or abs(opened(ajar, each.speech) - opened(ajar)) > 0.01
            for each in variants(path, value)
        )
        return
    if "seen" in path:  # acts on faces that are half hidden, half outside, or nearly grey
        half = np.zeros((SIDE, SIDE, len(REGIONS)), np.float32)
        half[:, :, REGIONS.index("skin")] = 0.5
        half[:, :, REGIONS.index("background")] = 0.5
        whole, most = (np.array([[0, 0], [0, 1], [w, 1], [w, 0]]) for w in (1, 0.55))
        dull = np.full((8, 8, 3), (0.5, 0.51, 0.52), np.float32)
        blurry = SOURCE + np.float32(1.2) * (smooth(2, SIZE, SIZE, 3) - np.float32(0.5))

        def shares(parameters: Seen) -> tuple[float, ...]:
            return (
                visible_share(half, POINTS, whole, parameters),
                visible_share(2 * half, POINTS, most, parameters),
                colour_share(dull, parameters),
                likeness(SOURCE, blurry, POINTS, parameters),
            )

        usual = shares(DEFAULT.seen)
        assert all(0 < share < 1 for share in usual)
        assert any(shares(each.seen) != usual for each in variants(path, value))
        return
    assert any(
        np.abs(layers - usual).max() > 1e-4
        for each in variants(path, value)
        for layers, usual in zip(transferred(each), by_default(), strict=True)
    )


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


def test_the_padding_is_four_times_the_smoothing() -> None:
    assert replace(DEFAULT.smoothing, bending_sigma_s=0.5).bending_padding_s == pytest.approx(2)


def test_parameters_are_light() -> None:
    code = (
        "import sys; from videdit.blending import parameters;"
        "print(sorted({'numpy', 'cv2', 'torch', 'kornia'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
