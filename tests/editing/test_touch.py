from __future__ import annotations

from dataclasses import replace

import pytest

from videdit.editing.attributes import NAMES
from videdit.editing.schedule import Edit
from videdit.editing.touch import DEFAULT, TOUCHES, changed, taken_away, touch_of
from videdit.errors import UsageError
from videdit.faces.regions import NEVER, REGIONS, Touch


def test_every_attribute_has_a_touch() -> None:
    assert set(TOUCHES) == set(NAMES)
    assert len(TOUCHES) == 40


@pytest.mark.parametrize("touch", [*TOUCHES.values(), DEFAULT], ids=[*TOUCHES, "default"])
def test_it_names_regions_that_may_be_touched(touch: Touch) -> None:
    assert touch.all
    assert touch.all <= set(REGIONS)
    assert not touch.all & NEVER


@pytest.mark.parametrize("name", NAMES)
def test_case_and_separators_do_not_matter(name: str) -> None:
    touch = touch_of(name)
    assert replace(touch, renewed=frozenset()) == TOUCHES[name]
    assert touch_of(name.upper().replace("_", " ")) == touch
    assert touch_of(name.lower().replace("_", "-")) == touch


@pytest.mark.parametrize("name", ["Elder", "", "Smilling"])
def test_other_names_have_the_default(name: str) -> None:
    assert DEFAULT not in TOUCHES.values()
    assert touch_of(name) == DEFAULT


TOUCH = Touch(frozenset({"skin", "beard"}), frozenset({"hair", "beard"}), frozenset({"beard"}))


def test_what_is_added_changes_in_shape_and_matter() -> None:
    wider = changed(TOUCH, "+hat,+skin")
    assert wider.shape == TOUCH.shape | {"hat"}
    assert wider.matter == TOUCH.matter | {"hat", "skin"}
    assert wider.colour == TOUCH.colour


def test_what_is_taken_away_changes_in_no_way() -> None:
    assert changed(TOUCH, "-beard") == Touch(frozenset({"skin"}), frozenset({"hair"}))
    assert changed(TOUCH, "-nose") == TOUCH
    assert changed(TOUCH, "+ears,-ears") == TOUCH
    assert "ears" in changed(TOUCH, "-ears,+ears").all  # in their order


def test_spaces_case_and_empty_parts_do_not_matter() -> None:
    expected = changed(TOUCH, "+hair,-beard")
    assert expected not in (TOUCH, Touch())
    assert changed(TOUCH, " + Hair ,, -BEARD , ") == expected


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_nothing_changes_nothing(text: str) -> None:
    assert changed(TOUCH, text) == TOUCH


@pytest.mark.parametrize("text", ["hair", "+nose,hair", "*hair"])
def test_a_sign_is_needed(text: str) -> None:
    with pytest.raises(UsageError, match="hair") as caught:
        changed(TOUCH, text)
    assert "+hair,-beard" in caught.value.remedy


@pytest.mark.parametrize("name", ["nose2", "background", "clothes", ""])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_only_regions_that_may_be_touched_are_known(sign: str, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed(TOUCH, f"+hair,{sign}{name}")
    assert repr(name) in caught.value.message
    choice = caught.value.remedy.removeprefix("Choose among ").removesuffix(".").split(", ")
    assert choice == [region for region in REGIONS if region not in NEVER]


def test_a_smile_closes_no_mouth_but_its_end_may() -> None:
    assert not touch_of("Smiling").closes
    assert touch_of("Smiling", -1).closes
    assert touch_of("Mouth_Slightly_Open").closes
    assert not touch_of("Young", -1).closes
    assert (touch_of("Young", -1).motion, touch_of("Young").motion) == (0.5, 1)
    assert touch_of("Chubby").growth > touch_of("Smiling").growth == 1
    kept = changed(touch_of("Smiling", -1), "-beard")
    assert kept.closes
    assert (Touch() | kept).closes


def test_lipstick_is_a_colour_of_lips_alone() -> None:
    assert touch_of("Wearing_Lipstick") == Touch(colour=frozenset({"lips"}))
    assert touch_of("Wearing_Lipstick", -1) == Touch(colour=frozenset({"lips"}))


def test_skin_is_renewed_where_its_texture_is_what_goes() -> None:
    """Younger, more attractive, more of a woman: not the other way, and by no other attribute."""
    ways = {("Young", 1), ("Attractive", 1), ("Male", -1)}
    for name in NAMES:
        for sign in (1, -1):
            renewed = touch_of(name, sign).renewed
            assert renewed == ({"skin", "nose"} if (name, sign) in ways else set()), (name, sign)
            assert touch_of(name.lower(), sign / 2).renewed == renewed
    assert touch_of("Young", 0).renewed  # as it sets in
    assert not touch_of("Elder").renewed


def test_renewal_is_a_way_of_touching() -> None:
    skin, nose = (Touch(renewed=frozenset({name})) for name in ("skin", "nose"))
    both = skin | nose
    assert both.renewed == both.all == {"skin", "nose"}
    assert both == nose | skin
    assert both | Touch() == both
    assert not (both.shape | both.colour | both.matter)
    assert str(both) == "renewed: skin nose"
    assert str(replace(both, matter=frozenset({"hair"}))) == "matter: hair; renewed: skin nose"
    assert touch_of("Young").all == touch_of("Young", -1).all  # no other regions are
    assert str(touch_of("Young")) != str(TOUCHES["Young"])  # a stage's key tells them apart


def test_what_is_taken_away_is_not_renewed() -> None:
    touch = touch_of("Young")
    assert changed(touch, "-skin").renewed == {"nose"}
    assert not changed(touch, "-skin,-nose").renewed
    assert changed(touch, "+ears,-hair").renewed == touch.renewed


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("Eyeglasses=-1", "glasses"),
        ("Eyeglasses=0s:0,2s:-1.5", "glasses"),
        ("Eyeglasses=1", None),
        ("Eyeglasses=0s:-1,2s:1", None),
        ("Eyeglasses=0", None),
        ("No_Beard=1", "beard"),
        ("No_Beard=-1", None),
        ("mustache=-0.5", "beard"),
        ("Smiling=-1", None),
        ("Own=-1", None),
    ],
)
def test_what_is_taken_away(text: str, region: str | None) -> None:
    assert taken_away(Edit.parse(text)) == region
