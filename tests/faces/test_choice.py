"""Which tracks are edited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.faces.helpers import detection, laid_out
from videdit.errors import NoFaceError, UsageError
from videdit.faces.choice import alike, check_face, choose, photo_in
from videdit.faces.parameters import Choosing
from videdit.faces.tracking import TrackSummary, link_faces


def make(number: int, shot: int, start: int, stop: int, size: float) -> TrackSummary:
    faces = laid_out([[detection(300, 300, size)]] * (stop - start), start)
    frames = range(start, stop)
    (track,) = link_faces([faces], frames, [start], np.arange(stop) / 30).summaries
    return replace(track, id=number, shot=shot)


def test_choose_largest_is_by_summed_area_in_each_shot() -> None:
    tracks = [
        make(0, 0, 0, 100, 50),
        make(1, 0, 40, 60, 80),  # larger, but short
        make(2, 1, 100, 200, 40),
        make(3, 1, 100, 200, 45),
    ]
    assert [t.id for t in choose(tracks, "largest")] == [0, 3]


def test_choose_largest_goes_on_after_a_loss() -> None:
    tracks = [
        make(0, 0, 0, 50, 60),
        make(1, 0, 0, 150, 20),  # someone small in the back
        make(2, 0, 80, 150, 60),  # the same person again
    ]
    assert [t.id for t in choose(tracks, "largest")] == [0, 2]
    # With the first one alone, the person in the back still isn't a stand-in.
    assert [t.id for t in choose([tracks[0], make(1, 0, 60, 150, 20)], "largest")] == [0]


@pytest.mark.parametrize("outgoing", [40, 60, 90])
def test_both_people_of_a_dissolve_are_edited(outgoing: int) -> None:
    # In its middle one is taken for the other, at the same place or larger, or both are found.
    before, after = detection(300, 300, outgoing), detection(310, 300, 60)
    faces = [[before]] * 46 + [[before, after]] * 8 + [[after]] * 46
    tracks = link_faces([laid_out(faces)], range(100), [0, 50], np.arange(100) / 25).summaries
    chosen = choose(tracks, "largest")
    assert min(t.first for t in chosen) == 0
    assert max(t.last for t in chosen) == 99
    assert {t.shot for t in chosen} == {0, 1}


def test_choose_all_and_by_number() -> None:
    tracks = [make(1, 0, 0, 10, 50), make(0, 0, 20, 30, 50)]
    assert [t.id for t in choose(tracks, "all")] == [0, 1]
    assert [t.id for t in choose(tracks, "track:1")] == [1]
    for wrong in ("track:7", "track:", "track:x", "track:-1"):
        with pytest.raises(UsageError, match="0, 1"):
            choose(tracks, wrong)
    with pytest.raises(UsageError, match="largest"):
        choose(tracks, "biggest")
    with pytest.raises(NoFaceError):
        choose([], "largest")


@pytest.mark.parametrize("face", ["largest", "all", "track:0", "track:17"])
def test_good_requests(face: str) -> None:
    check_face(face)


@pytest.mark.parametrize(
    "face", ["", "bogus", "Largest", "all ", "track", "track:", "track:x", "track:-1", "track:1\n"]
)
def test_bad_requests_are_refused_before_any_work(face: str) -> None:
    with pytest.raises(UsageError, match=r"largest, all, track:N, or like:photo\.jpg"):
        check_face(face)


def test_the_size_of_the_same_person_is_a_parameter() -> None:
    tracks = [make(0, 0, 0, 50, 60), make(1, 0, 60, 150, 20)]
    assert [t.id for t in choose(tracks, "largest", Choosing(same_size=0.3))] == [0, 1]


def test_a_picture_names_a_person() -> None:
    check_face("like:photos/a b.jpg")
    assert photo_in("like:photos/a b.jpg") == Path("photos/a b.jpg")
    assert photo_in("largest") is None
    with pytest.raises(UsageError, match="does not know"):
        check_face("like:")


def test_the_same_person_over_cuts_is_one_person() -> None:
    tracks = [
        make(0, 0, 0, 50, 60),
        make(1, 0, 0, 50, 60),  # beside them
        make(2, 1, 50, 90, 20),
        make(3, 2, 90, 99, 80),
    ]
    found = alike(tracks, {0: 0.8, 1: 0.7, 2: 0.63, 3: 0.62}, 0.63)
    assert [track.id for track in found] == [0, 2]
    assert alike(tracks, dict.fromkeys(range(4), 0.1), 0.63) == []
