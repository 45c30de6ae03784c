from __future__ import annotations

import re

import numpy as np
import pytest

from videdit.report.charts import (
    MOST_POINTS,
    Axis,
    Curve,
    Row,
    Span,
    decimated,
    limits_of,
    merged,
    path_of,
    pieces_of,
    plot,
    thinned,
    timeline,
    times_of,
)

AXIS = Axis(2.0, 4.0)


def test_a_line_goes_where_its_values_are() -> None:
    piece = np.array([2.0, 3.0, 4.0]), np.array([0.0, 10.0, 5.0])
    assert path_of(AXIS, piece, (0, 10)) == "M0.0 100.00L500.0 0.00L1000.0 50.00"


def test_what_is_not_known_breaks_a_line() -> None:
    times = np.linspace(2, 4, 5)
    values = np.array([0.0, 0.0, np.nan, 1.0, np.nan])
    path = path_of(AXIS, (times, values), (0, 1))
    assert path == "M0.0 100.00L250.0 100.00M750.0 0.00h0"  # one alone is a dot


def test_a_long_line_keeps_its_peaks() -> None:
    times = np.linspace(0, 100, 20_000)
    values = np.sin(times)
    values[12_345], values[777] = 9.0, -9.0
    values[5000:6000] = np.nan
    few, seen = decimated(times, values)
    assert len(few) <= MOST_POINTS
    assert (np.diff(few) > 0).all()
    assert (np.nanmax(seen), np.nanmin(seen)) == (9.0, -9.0)
    assert np.isnan(seen).any()
    short = decimated(times[:50], values[:50])
    assert short[0] is not None
    assert np.array_equal(short[1], values[:50])


def test_limits_hold_all_values() -> None:
    low, high = limits_of(np.array([1.0, 3.0]))
    assert low < 1 < 3 < high < 3.5
    assert limits_of(np.array([0.9]), ends=(0.7, 1.0)) == pytest.approx((0.685, 1.015))
    low, high = limits_of(np.full(3, 2.0))
    assert low < 2 < high
    low, high = limits_of(np.zeros(0))
    assert low < high


def test_spans_too_short_to_be_seen_become_one() -> None:
    spans = [Span(k, k + 0.5, f"{k}") for k in range(10)]
    assert merged(spans, 0.4) == spans
    assert merged(spans, 0.6) == [Span(0, 9.5)]
    # Long ones stay apart, however near they are.
    shots = [Span(0, 5, "a"), Span(5, 9, "b")]
    assert merged(shots, 1.0) == shots
    assert thinned([0, 0.1, 1, 1.05, 3], 0.5) == [0, 1, 3]


def test_frames_become_times() -> None:
    edges = np.array([0.0, 0.1, 0.3, 0.4])
    assert times_of([(1, 3)], edges) == [Span(0.1, 0.4, "frames 1 to 2")]


def test_a_line_has_a_piece_for_each_track() -> None:
    frames, tracks = np.array([0, 1, 4, 5]), np.array([3, 3, 7, 7])
    times = np.arange(6) / 10
    (a, b), (c, d) = pieces_of(frames, tracks, times, np.array([1.0, 2, 3, 4]))
    assert (a.tolist(), b.tolist(), c.tolist(), d.tolist()) == (
        *([0.0, 0.1], [1.0, 2.0]),
        *([0.4, 0.5], [3.0, 4.0]),
    )
    none = np.zeros(0, int)
    assert pieces_of(none, none, times, np.zeros(0)) == []


def test_a_plot_says_what_it_shows() -> None:
    curve = Curve("<b>", [(np.array([2.0, 4.0]), np.array([0.25, 0.75]))], colour=7)
    axis = Axis(2.0, 4.0, [3.0], [Span(2.5, 3.0)], [(2.0, "frame 5", "frame-5")])
    drawn = plot("Likeness & more", axis, [curve], limits=(0, 1), levels=[(0.5, "half")])
    assert "<b>" not in drawn
    (label,) = re.findall(r'aria-label="([^"]*)"', drawn)
    assert "Likeness &amp; more" in label
    assert "mean 0.50, 0.25 to 0.75" in label
    assert 'class="curve c1"' in drawn
    assert 'd="M500.0 0.0L500.0 100.0"' in drawn  # the cut
    assert 'x="250.0" width="250.0"' in drawn  # what passed through
    assert ">half</span>" in drawn
    assert "not known" in plot("", AXIS, [Curve("a", [])])


def test_the_timeline_has_a_bar_for_each_span() -> None:
    rows = [Row("Result", [("edited", [Span(2.0, 3.0, "<i>")]), ("passed", [Span(3.0, 4.0)])])]
    axis = Axis(2.0, 4.0, marks=[(3.0, "frame 7", "frame-7")])
    drawn = timeline(axis, rows, "All of it.")
    assert re.findall(r'class="(\w+)" x="(\S+)" width="(\S+)"', drawn) == [
        ("edited", "0.0", "500.0"),
        ("passed", "500.0", "500.0"),
    ]
    assert "<title>&lt;i&gt;, 2.00 to 3.00 s</title>" in drawn
    assert 'href="#frame-7"' in drawn
    assert 'style="left:50.000%"' in drawn
