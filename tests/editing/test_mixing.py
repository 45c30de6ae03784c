"""Edits by activations: whose codes are shown where."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.editing.linear import LinearEditor
from videdit.editing.mixing import MixingEditor, WithinEditor, region_mask
from videdit.editing.schedule import Edit
from videdit.editing.stylespace import StyleChannels, StyleSpaceEditor
from videdit.errors import UsageError
from videdit.faces.regions import REGIONS
from videdit.generators.latents import MASK_SIDE, Latents

RANDOM = np.random.default_rng(0)
NOSE, MOUTH = REGIONS.index("nose"), REGIONS.index("mouth")


def codes(count: int = 2) -> np.ndarray:
    return RANDOM.standard_normal((count, 6, 8)).astype(np.float32)


def regions(count: int = 2) -> np.ndarray:
    """A nose and a mouth, far from each other."""
    seen = np.zeros((count, MASK_SIDE, MASK_SIDE, len(REGIONS)), np.uint8)
    seen[:, 40:60, 50:70, NOSE] = 255
    seen[:, 100:105, 50:70, MOUTH] = 255
    return seen


def test_a_region_is_widened_and_no_more() -> None:
    mask = region_mask(regions(1), ["nose"])[0]
    assert mask.min() == 0
    assert mask.max() == 1
    assert mask[45:55, 55:65].min() > 0.999
    rows, columns = np.nonzero(mask > 0.5)
    assert 40 - 8 <= rows.min() < 40
    assert 70 <= columns.max() < 70 + 8
    assert mask[:20].max() == mask[80:].max() == 0  # the mouth is another region
    both = region_mask(regions(1), ["nose", "mouth"])[0]
    assert both[102, 60] > 0.999


def test_the_other_face_has_the_first_ones_head() -> None:
    editor, before = MixingEditor(other := codes(1)[0], coarse=2), codes()
    alphas = np.array([1, 0.5], np.float32)
    after = editor.edited(Latents(before), "nose", alphas, regions())
    np.testing.assert_array_equal(after.codes, before)
    assert after.mixture is not None
    np.testing.assert_array_equal(after.mixture.codes[:, :2], before[:, :2])
    np.testing.assert_array_equal(after.mixture.codes[:, 2:], np.stack([other, other])[:, 2:])
    assert after.mixture.mask[0].max() == 1
    np.testing.assert_allclose(after.mixture.mask[1], after.mixture.mask[0] / 2)


def test_several_regions_are_shown_together_each_by_its_own_strength() -> None:
    editor = MixingEditor(codes(1)[0], coarse=2)
    edits = [Edit.parse("nose=1"), Edit.parse("mouth=0s:0,1s:0.5")]
    before = codes()
    for calm in (None, before * 0):
        after = editor.apply(before, edits, np.array([0.0, 1.0]), calm, regions())
        assert after.mixture is not None
        assert after.mixture.mask[0, 50, 60] == 1
        assert after.mixture.mask[0, 102, 60] == 0
        assert after.mixture.mask[1, 102, 60] == pytest.approx(0.5, abs=1e-3)
        # The head turns from frame to frame, and the other face with it.
        np.testing.assert_array_equal(after.mixture.codes[:, :2], before[:, :2])


def test_strengths_beyond_one_show_the_other_face_and_no_more() -> None:
    editor = MixingEditor(codes(1)[0], coarse=2)
    after = editor.edited(Latents(codes()), "nose", np.array([3, -1], np.float32), regions())
    assert after.mixture is not None
    assert after.mixture.mask[0].max() == 1
    assert not after.mixture.mask[1].any()


def test_an_edit_is_held_in_a_region() -> None:
    step = RANDOM.standard_normal((6, 8)).astype(np.float32)
    inner, before = LinearEditor({"Smiling": step}), codes()
    editor = WithinEditor(inner, ["mouth"])
    edits, times = [Edit.parse("smiling=0s:0,1s:1")], np.array([0.0, 1.0])
    after = editor.apply(before, edits, times, None, regions())
    np.testing.assert_array_equal(after.codes, before)
    assert after.mixture is not None
    np.testing.assert_array_equal(after.mixture.codes, inner.apply(before, edits, times).codes)
    np.testing.assert_array_equal(after.mixture.mask, region_mask(regions(), ["mouth"]))
    assert editor.name("smiling") == "Smiling"


def test_without_regions_nothing_can_be_mixed() -> None:
    for editor in (
        MixingEditor(codes(1)[0], 2),
        WithinEditor(LinearEditor({"nose": codes(1)[0]}), ["mouth"]),
    ):
        with pytest.raises(ValueError, match="regions"):
            editor.apply(codes(), [Edit.parse("nose=1")], np.zeros(2))


def test_regions_that_nothing_edits_are_refused() -> None:
    for name in ("moustache", "background", "clothes"):
        with pytest.raises(UsageError, match=name):
            WithinEditor(LinearEditor({}), [name])
        with pytest.raises(UsageError, match=name):
            MixingEditor(codes(1)[0], 2).name(name)


def test_style_channels_are_shown_as_they_are() -> None:
    """Offsets of styles pass through the edits of other editors untouched."""
    scale = np.ones(3, np.float32)
    shares = np.full((len(REGIONS), 3), 1 / len(REGIONS), np.float32)
    editor = StyleSpaceEditor(StyleChannels((3,), scale, {}, shares, shares))
    given = Latents(codes(), np.ones((2, 3), np.float32))
    after = editor.edited(given, "0:1", np.array([1, 2], np.float32))
    np.testing.assert_array_equal(after.offsets, [[1, 2, 1], [1, 3, 1]])
