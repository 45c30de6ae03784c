"""Lists of what editors can edit, and sheets of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from videdit.bundles.latent import LatentSpace
from videdit.editing.editor import Editor
from videdit.editing.linear import Component, GANSpaceEditor, LinearEditor, ganspace_editor
from videdit.editing.stylespace import StyleChannels, StyleSpaceEditor
from videdit.editing.touch import EDITABLE
from videdit.errors import UsageError
from videdit.evaluation.browse import (
    GAP,
    HEIGHT,
    TRUNCATION,
    check_drawn,
    draw_edits,
    generated_faces,
    list_edits,
    reach,
    sheet_names,
)
from videdit.faces.regions import REGIONS
from videdit.generators.latents import Latents
from videdit.generators.wspace import WStatistics
from videdit.models.choices import BY_PHOTO

SPACE = LatentSpace(6, 8, 16, {"pose": (0, 2), "features": (2, 4), "colour": (4, 6)}, (4, 2))
STATS = WStatistics(torch.full((8,), 0.5), torch.eye(8), torch.linspace(2, 0.5, 8))


class Grey:
    """A generator whose pictures are as bright as their codes' mean, and their styles' offset."""

    def decode(self, codes: np.ndarray | Latents) -> np.ndarray:
        latents = Latents.of(codes)
        bright = latents.codes.mean((1, 2))
        if latents.offsets is not None:
            bright = bright + latents.offsets.mean(1)
        return np.broadcast_to(bright[:, None, None, None], (len(bright), 16, 16, 3))


class Ends:
    """A classifier that looks at the first and the last number of a code's middle row."""

    names = ("First", "Last")

    def logits(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(codes[:, 3][:, [0, -1]], np.float32)


class Given(SimpleNamespace):
    """Networks that have what they were given."""

    def __contains__(self, role: str) -> bool:
        return hasattr(self, role)


def networks(editor: Editor) -> Any:
    return Given(
        space=SPACE,
        statistics=STATS,
        generator=Grey(),
        mapping=lambda noise: 0.5 + 0.1 * noise,
        editor=lambda choice: editor,
        channels=None,
        classifier=Ends(),
    )


def components() -> GANSpaceEditor:
    return ganspace_editor(STATS, {"Smiling": Component(7, 2, 3, -3.25)}, 6, components=3)


def channels() -> StyleSpaceEditor:
    def side(*pairs: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([p[0] for p in pairs], np.int64), np.float32([p[1] for p in pairs])

    shares = np.full((len(REGIONS), 6), 1 / len(REGIONS), np.float32)
    steps = {"Smiling": (side((1, -2), (4, 3)), side((5, 0.5)))}
    return StyleSpaceEditor(StyleChannels((4, 2), np.ones(6, np.float32), steps, shares, shares))


def linear() -> LinearEditor:
    steps = {"Smiling": np.full((6, 8), 0.1, np.float32), "tired": np.zeros((6, 8), np.float32)}
    return LinearEditor(steps)


def test_components_are_listed_by_name_and_told_by_number() -> None:
    one = networks(components())
    listing = list_edits(one, "ganspace")
    # The first axis is the first number's, the eighth the last's; a code of W deviates by one.
    first, zeroth, empty, note = listing.text().split("\n")
    assert first.startswith("Smiling  pc7 rows 2-3, -3.2 sigma (Last -6.")
    assert zeroth.startswith("pc0      pc0 rows 0-5, +1.0 sigma (First +1.9)")
    assert empty == ""
    assert "pc0 to pc2" in note
    assert "0 to 5" in note
    smiling, other = listing.plain()["edits"]
    assert smiling["seen"]["Last"] == pytest.approx(-6.5, rel=0.1)
    assert {**smiling, "seen": {}} == {
        "name": "Smiling",
        "component": 7,
        "rows": [2, 3],
        "sigma": -3.25,
        "seen": {},
    }
    assert other["name"] == "pc0"
    some = list_edits(one, "ganspace", ["PC1:4", "pc2:0-3"]).text().split("\n")
    assert some[:2] == ["pc1:4    pc1 row 4, +1.0 sigma", "pc2:0-3  pc2 rows 0-3, +1.0 sigma"]
    with pytest.raises(UsageError, match="pc3"):
        list_edits(one, "ganspace", ["pc3"])


def test_attributes_of_channels_are_told_with_them() -> None:
    one = networks(channels())
    listing = list_edits(one, "stylespace")
    assert listing.text().split("\n")[0] == "Smiling  + 1:1*0.50  - 0:1*-2.00 1:0*3.00"
    assert listing.plain()["edits"] == [
        {
            "name": "Smiling",
            "plus": [{"channel": "1:1", "size": 0.5}],
            "minus": [{"channel": "0:1", "size": -2}, {"channel": "1:0", "size": 3}],
        }
    ]
    assert "layers 0 to 1" in listing.note
    (single,) = list_edits(one, "stylespace", ["0:03"]).edits
    assert (single.name, single.about) == ("0:3", "+ 0:3*1.00  - 0:3*-1.00")


def test_other_editors_have_names_and_regions() -> None:
    one = networks(linear())
    assert list_edits(one, "transformer").text() == "Smiling\ntired"
    assert list_edits(one, "own.safetensors", ["TIRED"]).plain()["edits"] == [{"name": "tired"}]
    for choice in ("local", "activations"):
        listing = list_edits(one, choice)
        assert [edit.name for edit in listing.edits] == list(EDITABLE)
        assert "--like" in listing.note
        assert [edit.name for edit in list_edits(one, choice, ["Nose"]).edits] == ["nose"]
    listing = list_edits(one, "scribble")
    assert not listing.edits
    assert listing.text() == listing.note
    assert "--scribble" in listing.note
    for choice in BY_PHOTO:
        with pytest.raises(UsageError, match="needs a photo"):
            check_drawn(choice)
    with pytest.raises(UsageError, match="no editor 'magic'"):
        check_drawn("magic")
    check_drawn("ganspace")


def test_a_sheet_shows_what_is_named_or_all_or_the_first_components() -> None:
    one, editor = networks(components()), components()
    expected = [f"pc{i}{rows}" for i in range(3) for rows in ("", ":0-1", ":2-3", ":4-5")]
    assert sheet_names(one, editor) == expected
    assert sheet_names(one, editor, ["smiling", "PC0"]) == ["Smiling", "pc0"]
    assert sheet_names(networks(linear()), linear()) == ["Smiling", "tired"]
    assert [reach(editor, name) for name in ("Smiling", "pc0", "pc0:1")] == [2, 3, 3]
    assert [reach(channels(), name) for name in ("Smiling", "0:3")] == [2, 3]
    assert reach(linear(), "Smiling") == 2


def test_faces_are_typical_and_the_same_every_time() -> None:
    one = networks(linear())
    codes = generated_faces(one)
    assert codes.shape == (2, 6, 8)
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes, codes[:, :1].repeat(6, 1))
    np.testing.assert_array_equal(codes, generated_faces(one))
    far = generated_faces(one, 4000)[:, 0] - 0.5
    assert far.std() == pytest.approx(0.1 * TRUNCATION, rel=0.05)


def test_a_row_is_a_name_and_each_face_edited_either_way() -> None:
    one, told = networks(linear()), []
    sheet = draw_edits(one, linear(), ["Smiling", "tired"], told.append)
    assert told == ["1/2 Smiling", "2/2 tired"]
    width = 240 + GAP
    assert sheet.shape == (2 * (HEIGHT + GAP), width + 6 * (HEIGHT + GAP), 3)
    assert sheet.dtype == np.uint8
    # Text on white, other for each name.
    first, second = sheet[:HEIGHT, :240], sheet[HEIGHT + GAP : -GAP, :240]
    assert first.min() < 100
    assert first[0, 0].tolist() == [255, 255, 255]
    assert (first != second).any()
    shown = sheet[[80, 80 + HEIGHT + GAP], width + HEIGHT // 2 :: HEIGHT + GAP, 0].astype(float)
    own = one.generator.decode(generated_faces(one))[:, 0, 0, 0]
    for face, bright in enumerate(own):
        by_alpha = 255 * np.clip(bright + np.array([-0.2, 0, 0.2]), 0, 1)
        np.testing.assert_allclose(shown[0, 3 * face : 3 * face + 3], by_alpha, atol=1)
        np.testing.assert_allclose(shown[1, 3 * face : 3 * face + 3], 255 * bright, atol=1)


def test_styles_are_drawn_and_long_names_of_any_letters_fit() -> None:
    sheet = draw_edits(networks(channels()), channels(), ["0:3"])
    bright = sheet[80, 244 + HEIGHT // 2 :: HEIGHT + GAP, 0].astype(int)
    assert bright[0] < bright[1] < bright[2]
    name = "ein sehr langer Name für müde Augen am Morgen danach"
    editor = LinearEditor({name: np.zeros((6, 8), np.float32)})
    caption = draw_edits(networks(editor), editor, [name])[:HEIGHT, :240]
    assert (caption[:, -6:] == 255).all()
    assert caption.min() < 150
