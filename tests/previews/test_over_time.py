"""Lanes of tracks, and the time that plots share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.stages.film import run_film
from videdit.artifacts.faces import FaceTable
from videdit.plot import COLOURS, Line
from videdit.previews.over_time import MOST_LANES, Axis, by_lane, lane_name, lanes, windows


@dataclass(frozen=True)
class Span:
    id: int
    first: int
    last: int


def test_tracks_that_follow_each_other_share_a_lane() -> None:
    tracks = [Span(0, 0, 9), Span(1, 5, 30), Span(2, 10, 19), Span(3, 20, 25), Span(4, 31, 90)]
    ids = [[track.id for track in lane] for lane in lanes(tracks)]
    assert sorted(ids) == [[0, 2, 3, 4], [1]]
    assert ids[0] == [0, 2, 3, 4]  # the one with most frames
    crowd = [Span(k, 0, 10 + k) for k in range(MOST_LANES + 4)]
    assert [lane[0].id for lane in lanes(crowd)] == [6, 5, 4]
    assert lanes([]) == []


def test_lanes_have_short_names() -> None:
    assert lane_name([Span(3, 0, 1)]) == "track 3"
    assert lane_name([Span(3, 5, 6), Span(1, 0, 1)]) == "tracks 1, 3"
    assert lane_name([Span(k, k, k) for k in range(9)]) == "tracks 0 to 8"


def test_windows_hold_every_frame_once() -> None:
    found = windows(7, 700)
    assert [frame for a, b in found for frame in range(a, b)] == list(range(7, 700))
    assert len(found) > 1
    assert windows(5, 5) == []


def test_quantities_are_put_where_their_faces_are(tmp_path: Path) -> None:
    report = run_film(tmp_path, range(300), face="all")
    table = FaceTable(report.artifacts["align"])
    asked: list[tuple[int, int]] = []

    def measure(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        faces = table.window(start, stop)
        return np.stack((faces.frame, faces.track), 1).astype(float)

    found = by_lane(table, range(10, 290), measure)
    assert len(asked) > 1
    assert min(asked)[0] == 10
    assert [name for name, _ in found] == ["track 0", "track 1"]
    for track, (_, values) in enumerate(found):
        assert values.shape == (280, 2)
        assert values[:, 0].tolist() == list(range(10, 290))
        assert (values[:, 1] == track).all()


def test_an_axis_marks_frames_shots_and_gaps() -> None:
    times = np.arange(101) / 25
    line = [Line("", np.zeros(81), COLOURS[0])]
    gaps = np.zeros(81, bool)
    gaps[40:50] = True
    plain = Axis(range(10, 91), times, ()).draw("", line, (-1, 1))
    marked = Axis(range(10, 91), times, (5, 30), (0, 10, 50, 95)).draw("", line, (-1, 1), gaps)
    changed = (plain != marked)[40:200].any(2)
    width = plain.shape[1] - 58 - 14

    def column(frame: int) -> int:
        return round(58 + (frame - 10) / 80 * width)

    assert changed[:, column(50)].mean() > 0.95  # the cut; that at the start is none
    assert not changed[:, column(10) : column(10) + 3].any()
    assert 0.3 < changed[:, column(30)].mean() < 0.7
    # From the last frame before the gap to the first after it.
    assert changed[:, column(49) + 2 : column(60) - 2].mean() > 0.9
    assert not changed[:, column(60) + 2 :].any()
    assert not changed[:, column(31) : column(49) - 2].any()


def test_a_picture_has_level_lines() -> None:
    axis = Axis(range(1), np.zeros(1), (0,))
    drawn = axis.draw("", [Line("", np.array([0.5]), COLOURS[0])], (0, 1)).astype(int)
    blue = np.abs(drawn - COLOURS[0]).max(2) < 20
    assert blue.any(0)[60:990].all()
    assert blue.any(1).sum() <= 3
