"""Tracks over time, of a film that was never shot."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faces.helpers import face68
from tests.stages.film import RATE, run_film
from videdit.artifacts.landmarks import DetectionReader, read_tracks
from videdit.faces.parameters import DEFAULT
from videdit.previews import tracks as room
from videdit.previews.over_time import Axis
from videdit.previews.tracks import extent_plot, measures, track_plots

FRAMES = 60
GAPS = [7, 8, 57, 58]  # of the one in front


def test_measures() -> None:
    points = face68()[None] * 50 + (100, 200)
    points[0, 30] = (140, 210)
    points[0, 62], points[0, 66] = (130, 230), (130, 236)
    eyes = points[0, 36:42].mean(0), points[0, 42:48].mean(0)
    between = np.linalg.norm(eyes[1] - eyes[0])
    expected = [140, 210, *eyes[0], *eyes[1], between, 6 / between]
    np.testing.assert_allclose(measures(points)[0], expected)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, DetectionReader, Axis]:
    report = run_film(tmp_path_factory.mktemp("film"), range(FRAMES), face="all")
    landmarks = report.artifacts["landmarks"]
    axis = Axis(range(FRAMES), np.arange(FRAMES) / RATE, (20,))
    reader = DetectionReader(landmarks, landmarks.chunks)
    return read_tracks(report.artifacts["track"]), reader, axis


def test_raw_is_measured_and_smoothed_is_calm(film: object, monkeypatch: object) -> None:
    tracks, detections, axis = film  # type: ignore[misc]
    seen: list[tuple[np.ndarray, ...]] = []
    patch: pytest.MonkeyPatch = monkeypatch  # type: ignore[assignment]

    def kept(name: str, axis: Axis, *values: np.ndarray) -> list[np.ndarray]:
        seen.append(values)
        return []

    patch.setattr(room, "_plots", kept)
    patch.setattr(room, "windows", lambda a, b: [(a, a + 25), (a + 25, b)])
    track_plots(tracks, detections, axis, DEFAULT.aligning)
    front, back = sorted(seen, key=lambda values: -values[-1].sum())
    raw, calm, apart, score, gaps = front
    assert np.flatnonzero(gaps).tolist() == GAPS
    assert np.flatnonzero(np.isnan(raw[:, 0])).tolist() == GAPS
    assert np.flatnonzero(np.isnan(apart)).tolist() == GAPS
    assert np.flatnonzero(np.isnan(score)).tolist() == GAPS
    assert np.isfinite(calm).all()
    np.testing.assert_allclose(score[0], 0.9)
    # They tremble; what is smoothed does so by far less.
    assert np.nanstd(np.diff(raw[:, 0])) > 3 * np.std(np.diff(calm[:, 0]))
    assert np.nanmax(apart) > 0.1
    assert not back[-1].any()
    assert np.isfinite(back[0]).all()


def test_plots_show_both_and_mark_gaps(film: object) -> None:
    tracks, detections, axis = film  # type: ignore[misc]
    pictures = track_plots(tracks, detections, axis, DEFAULT.aligning)
    assert len(pictures) == 2 * 6
    ground = [int((picture == (255, 226, 214)).all(2).sum()) for picture in pictures]
    assert all(count > 1000 for count in ground[:6]) != all(count > 1000 for count in ground[6:])
    assert sorted(ground)[:6] == [0] * 6


def test_the_extent_of_tracks(film: object) -> None:
    tracks, _, axis = film  # type: ignore[misc]
    picture = extent_plot(tracks, axis).astype(int)
    for track in tracks.summaries:
        colour = room.COLOURS[track.id]
        columns = (np.abs(picture - colour).max(2) < 20).any(0)
        there = [bool(columns[round(58 + f / (FRAMES - 1) * 936)]) for f in (3, 7, 8, 30)]
        lost = bool((tracks.index_of(track) < 0).any())
        assert there == [True, not lost, not lost, True]


def test_a_picture_has_no_tracks_over_time(film: object) -> None:
    tracks, detections, _ = film  # type: ignore[misc]
    axis = Axis(range(1), np.zeros(1), (0,))
    assert track_plots(tracks, detections, axis, DEFAULT.aligning) == []
