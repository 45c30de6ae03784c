"""Edits of style channels: what they add, which channels a region gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videdit.editing.schedule import Edit
from videdit.editing.stylespace import (
    LocalEditor,
    StyleChannels,
    StyleSpaceEditor,
    load_channels,
    region_query,
)
from videdit.errors import UsageError, WeightsError
from videdit.faces.regions import REGIONS
from videdit.generators.latents import Latents

LAYERS = (4, 2, 6)
COUNT = sum(LAYERS)
RANDOM = np.random.default_rng(0)
NOSE = REGIONS.index("nose")


def codes(count: int = 3) -> np.ndarray:
    return RANDOM.standard_normal((count, 2, 8)).astype(np.float32)


def side(*pairs: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.float32)


def channels() -> StyleChannels:
    shares = RANDOM.random((len(REGIONS), COUNT)).astype(np.float32)
    shares /= shares.sum(0)
    steps = {"Smiling": (side((1, -2), (4, 3)), side((5, 0.5)))}
    scale = np.arange(1, COUNT + 1, dtype=np.float32)
    return StyleChannels(LAYERS, scale, steps, shares, shares)


def test_an_attribute_moves_its_channels_by_deviations_and_each_sign_its_own() -> None:
    editor, before = StyleSpaceEditor(channels()), codes()
    alphas = np.array([-1, 0, 2], np.float32)
    after = editor.edited(Latents(before), "Smiling", alphas)
    np.testing.assert_array_equal(after.codes, before)
    expected = np.zeros((3, COUNT), np.float32)
    expected[0, [1, 4]] = -2 * 2, 3 * 5  # of a deviation of 2 and of 5
    expected[2, 5] = 2 * 0.5 * 6
    np.testing.assert_array_equal(after.offsets, expected)


def test_a_channel_is_called_by_layer_and_number() -> None:
    editor = StyleSpaceEditor(channels())
    assert editor.name(" 2:03 ") == "2:3"
    assert editor.name("smiling") == "Smiling"
    found = editor.shift(codes(), "2:3", np.array([1, -2, 0], np.float32))
    assert np.flatnonzero(found.any(0)).tolist() == [4 + 2 + 3]
    np.testing.assert_array_equal(found[:, 9], [10, -20, 0])
    for place in range(COUNT):
        assert editor.channels.place(editor.channels.called(place)) == place
    with pytest.raises(UsageError, match="no style layer 3"):
        editor.name("3:0")
    with pytest.raises(UsageError, match="no channel 2"):
        editor.name("1:2")
    with pytest.raises(UsageError, match="9-1"):
        editor.name("9-1")


def test_edits_add_up_over_a_schedule() -> None:
    editor = StyleSpaceEditor(channels())
    edits = [Edit.parse("Smiling=0s:0,2s:1"), Edit.parse("0:1=1"), Edit.parse("1:1=2")]
    after = editor.apply(codes(), edits, np.array([0.0, 1.0, 2.0]))
    assert after.offsets is not None
    np.testing.assert_allclose(after.offsets[:, 5], [12, 12 + 0.5 * 0.5 * 6, 12 + 0.5 * 6])
    np.testing.assert_array_equal(after.offsets[:, 1], [2, 2, 2])


def test_calm_codes_do_not_change_what_channels_add() -> None:
    editor, moving = StyleSpaceEditor(channels()), codes()
    calm = np.repeat(moving.mean(0, keepdims=True), 3, 0)
    for name in ("Smiling", "2:3"):
        edits, times = [Edit.parse(f"{name}=1"), Edit.parse("0:1=-1")], np.zeros(3)
        plain, steady = (editor.apply(moving, edits, times, c) for c in (None, calm))
        np.testing.assert_array_equal(steady.codes, moving)
        np.testing.assert_allclose(steady.offsets, plain.offsets, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(inside=st.floats(0, 1), budget=st.floats(0.01, 0.9))
def test_what_a_region_changes_elsewhere_stays_within_its_budget(
    inside: float, budget: float
) -> None:
    shares = np.array([[inside], [1 - inside]], np.float32)
    (query,) = region_query(shares, 0, budget)
    assert 0 <= query <= 1
    elsewhere, here = query * (1 - inside), inside
    assert elsewhere <= budget / (1 - budget) * here + 1e-4
    if 1 - inside < 0.9 * budget * inside / (1 - budget):
        assert query == pytest.approx(1)


def test_a_region_takes_the_other_faces_style_as_far_as_it_is_its_own() -> None:
    found, before = channels(), codes(2)
    weights = RANDOM.standard_normal((16, COUNT)).astype(np.float32)
    seen = []

    def styles(some: np.ndarray) -> np.ndarray:
        seen.append(len(some))
        return some.reshape(len(some), -1) @ weights

    other = RANDOM.standard_normal(COUNT).astype(np.float32)
    editor = LocalEditor(found, styles, other)
    after = editor.edited(Latents(before), editor.name("Nose"), np.array([1, 0.5], np.float32))
    own = np.stack([before[k].ravel() @ weights for k in range(2)])
    query = region_query(found.shares, NOSE)
    assert after.offsets is not None
    np.testing.assert_allclose(after.offsets[0], query * (other - own[0]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after.offsets[1], query * (other - own[1]) / 2, atol=1e-4, rtol=1e-4)
    assert set(seen) == {1}  # one at a time, or rounding would depend on the others
    assert editor.shift(before[:0], "nose", np.zeros(0, np.float32)).shape == (0, COUNT)
    with pytest.raises(UsageError, match="no region 'Smiling'"):
        editor.name("Smiling")


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path, found = tmp_path / "s.safetensors", channels()
    found.save(path, {"made": "by a test"})
    loaded = load_channels(path)
    assert loaded.layers == LAYERS
    np.testing.assert_array_equal(loaded.scale, found.scale)
    np.testing.assert_allclose(loaded.shares, found.shares, atol=1e-3)
    alphas = np.array([-1, 0, 2], np.float32)
    before = codes()
    one, other = (StyleSpaceEditor(c).shift(before, "Smiling", alphas) for c in (loaded, found))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "places"])
def test_damaged_files_are_told(tmp_path: Path, damage: str) -> None:
    path, found = tmp_path / "s.safetensors", channels()
    if damage == "places":
        found.steps["Smiling"][0][0][0] = COUNT
    if damage != "missing":
        found.save(path, {})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    if damage == "other":
        content = path.read_bytes()
        path.write_bytes(content.replace(b"stylespace.1", b"stylespace.9"))
    with pytest.raises(WeightsError, match="style channels"):
        load_channels(path)
