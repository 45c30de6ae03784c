"""Alpha schedules: what is read, what they give at a time, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videdit.editing.schedule import ALPHA_LIMIT, AlphaSchedule, Edit
from videdit.errors import UsageError

alphas = st.floats(-ALPHA_LIMIT, ALPHA_LIMIT)
times = st.floats(0, 1e5)


@st.composite
def schedules(draw: st.DrawFn) -> AlphaSchedule:
    at = sorted(draw(st.lists(times, min_size=1, max_size=6, unique=True)))
    return AlphaSchedule(tuple((time, draw(alphas)) for time in at))


@given(alphas, st.lists(times, min_size=1, max_size=5))
def test_a_number_is_the_strength_at_all_times(alpha: float, at: list[float]) -> None:
    schedule = AlphaSchedule.parse(repr(alpha))
    assert schedule.is_constant
    np.testing.assert_array_equal(schedule.at(at), np.full(len(at), alpha))


@given(schedules())
def test_keyframes_are_met_and_held_at_both_ends(schedule: AlphaSchedule) -> None:
    at, strengths = np.array(schedule.keyframes).T
    np.testing.assert_allclose(schedule.at(at), strengths, rtol=1e-12, atol=1e-12)
    assert schedule.at(at[0] - 1) == strengths[0]
    assert schedule.at(at[-1] + 1) == strengths[-1]


@given(schedules(), st.lists(times, min_size=2, max_size=9))
def test_a_schedule_with_rising_keyframes_never_falls(
    schedule: AlphaSchedule, at: list[float]
) -> None:
    at_keys = [time for time, _ in schedule.keyframes]
    rising = sorted(alpha for _, alpha in schedule.keyframes)
    strengths = AlphaSchedule(tuple(zip(at_keys, rising, strict=True))).at(sorted(at))
    assert (np.diff(strengths) >= -1e-12).all()
    assert strengths.min() >= rising[0] - 1e-12
    assert strengths.max() <= rising[-1] + 1e-12


@given(schedules(), times)
def test_the_text_of_a_schedule_reads_back_to_the_same_strengths(
    schedule: AlphaSchedule, at: float
) -> None:
    assert AlphaSchedule.parse(str(schedule)).at(at) == schedule.at(at)


def test_linear_between_keyframes() -> None:
    schedule = AlphaSchedule.parse(" 1s:0 , 3S:1.5, 4:-0.5")
    np.testing.assert_allclose(schedule.at([0, 1, 2, 3, 3.5, 9]), [0, 0, 0.75, 1.5, 0.5, -0.5])


def test_equal_schedules_have_equal_texts() -> None:
    """The edit stage's key is made of the text."""
    assert str(AlphaSchedule.parse("-0")) == str(AlphaSchedule.parse("0.0")) == "0.0"
    assert str(AlphaSchedule.parse("0s:1,2s:1")) == str(AlphaSchedule.parse("1"))
    assert AlphaSchedule.parse("1") == AlphaSchedule.constant(1)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "much", "1,5", "nan", "inf", "-inf", "1_0", "1.5.2", "11", "-1e9"),
        *("0s:", ":1", "0s:0,", "0s:0,,1s:1", "0s:0,1", "2s:1,1s:0", "1s:0,1s:1", "-1s:0,1s:1"),
        *("0s:x", "xs:0", "infs:0", "nan:0", "0s:nan", "0s:0:1", "0ss:1", "0s:99"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        AlphaSchedule.parse(text)
    assert caught.value.exit_code == 2
    assert caught.value.remedy


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        strength = float(AlphaSchedule.parse(text).at(0.5))
    except UsageError:
        return
    assert math.isfinite(strength)


def test_keyframes_given_in_code_obey_the_same_rules() -> None:
    with pytest.raises(UsageError, match="keyframe"):
        AlphaSchedule(())
    with pytest.raises(UsageError, match="does not come after"):
        AlphaSchedule(((1.0, 0.0), (1.0, 1.0)))


def test_an_edit_is_read_with_its_attribute() -> None:
    edit = Edit.parse("smiling=0s:0,2s:1.5")
    assert edit == Edit("Smiling", AlphaSchedule(((0.0, 0.0), (2.0, 1.5))))
    assert Edit.parse(str(edit)) == edit
    assert Edit.parse("Young").schedule == AlphaSchedule.constant(1)
    assert Edit.parse("wearing_mask=1").attribute == "wearing_mask"  # an editor may know it
    with pytest.raises(UsageError, match="alpha"):
        Edit.parse("Smiling=")
    with pytest.raises(UsageError, match="names no attribute"):
        Edit.parse("=1")


def test_an_edit_may_say_whose_it_is() -> None:
    one = Edit.parse("smiling=0:0,2s:1@like:photos/a=b.jpg")
    assert (one.attribute, one.face) == ("Smiling", "like:photos/a=b.jpg")
    assert one.what == "Smiling=0.0s:0.0,2.0s:1.0"
    assert Edit.parse(str(one)) == one
    assert Edit.parse("Young @ track:2") == Edit("Young", AlphaSchedule.constant(1), "track:2")
    with pytest.raises(UsageError, match="does not say whose"):
        Edit.parse("Young=1@")
