"""A track's landmarks and quads: in windows to the last bit as from the whole, and as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.faces.helpers import detection, face68, laid_out, plainly_stabilised
from videdit.faces.align import ffhq_quad
from videdit.faces.detection import Detections, inter_ocular
from videdit.faces.parameters import Aligning, Smoothing, Stabilising
from videdit.faces.paths import (
    calm_landmarks,
    frames_around,
    measured_around,
    smooth_quads,
    track_path,
)
from videdit.faces.smoothing import smooth
from videdit.faces.tracking import Tracks, TrackSummary, link_faces

COUNT = 160
OTHER = Aligning(stabilising=Stabilising(reach_s=0.3), smoothing=Smoothing(0.06, 0.05, 3.0))


def film(kind: str, seed: int) -> tuple[Detections, Tracks, NDArray[np.float64]]:
    """Two people who tremble, one of them lost now and then, and flow that is mostly right."""
    rng = np.random.default_rng(seed)
    times = 50.0 + np.arange(COUNT) / 25
    if kind == "uneven":
        times = 50.0 + np.cumsum(rng.choice([1 / 60, 1 / 24, 1 / 10], COUNT))
    frames = []
    for i in range(COUNT):
        x = 300 + 25 * np.sin(times[i])
        faces = [detection(x + rng.normal(0, 0.3), 300, 60), detection(800, 300, 40)]
        frames.append(faces if i % 17 and not 70 < i < 74 else faces[1:])
    faces = laid_out(frames)
    moved = faces.points68 + rng.normal(0, 0.3, faces.points68.shape)
    ok = rng.random((len(faces.points68), 68)) < 0.95
    faces = replace(faces, moved=moved.astype(np.float32), ok=ok)
    tracks = link_faces([faces], range(COUNT), [0, 90], times)
    assert len(tracks.summaries) == 4
    return faces, tracks, times


def aligned(
    faces: Detections,
    tracks: Tracks,
    track: TrackSummary,
    times: NDArray[np.float64],
    parameters: Aligning,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    path = track_path(tracks, track, faces, times)
    points = calm_landmarks(path, times, parameters)
    return path.frames, points, smooth_quads(points, times[path.frames], parameters)


@given(
    st.sampled_from(["even", "uneven"]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(0, COUNT - 1),
    st.sampled_from([1, 7, 48]),
    st.sampled_from(
        [
            Aligning(),
            Aligning(stabilising=Stabilising(reach_s=0.3), smoothing=Smoothing(0.06, 0.05, 3.0)),
        ]
    ),
)
@settings(max_examples=60, deadline=None)
def test_windows_give_the_same_bits_as_the_whole(
    kind: str, seed: int, which: int, at: int, length: int, parameters: Aligning
) -> None:
    faces, tracks, times = film(kind, seed)
    track = tracks.summaries[which]
    start = track.first + at % len(track)
    stop = min(start + length, track.last + 1)
    _, whole_points, whole_quads = aligned(faces, tracks, track, times, parameters)
    around = measured_around(tracks, track, *frames_around(times, start, stop, parameters))
    frames, points, quads = aligned(faces.between(*around), tracks, track, times, parameters)
    here = slice(*np.searchsorted(frames, (start, stop)))
    there = slice(start - track.first, stop - track.first)
    assert frames[here].tolist() == list(range(start, stop))
    np.testing.assert_array_equal(points[here], whole_points[there])
    np.testing.assert_array_equal(quads[here], whole_quads[there])


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_a_window_is_not_the_whole_film(kind: str) -> None:
    _, _, times = film(kind, 0)
    first, last = frames_around(times, 80, 81)
    # 4 x 0.12 + 4 x 0.03 + 1 seconds, and a frame or two.
    assert 1.6 <= times[80] - times[first] < 2.1
    assert 1.6 <= times[last - 1] - times[80] < 2.1


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_landmarks_and_quads_are_those_of_an_endless_reach(kind: str) -> None:
    faces, tracks, times = film(kind, 3)
    for track in tracks.summaries:
        path = track_path(tracks, track, faces, times)
        at = times[path.frames]
        points64 = path.points68.astype(np.float64)
        calm = plainly_stabilised(points64, path.moved.astype(np.float64), path.ok, at)
        points = smooth(calm, at, 0.03).astype(np.float32)
        unit = float(inter_ocular(points).mean())
        _, ours, quads = aligned(faces, tracks, track, times, Aligning())
        assert np.abs(ours - points).max() / unit < 1e-3
        assert np.abs(quads - smooth(ffhq_quad(points), at, 0.12)).max() / unit < 1e-3
        assert np.abs(ours - path.points68).max() / unit > 3e-3  # and something was done


def test_flow_out_of_a_gap_is_not_trusted() -> None:
    faces, tracks, times = film("even", 0)
    track = max(tracks.summaries, key=lambda t: (tracks.index_of(t) < 0).sum())
    path = track_path(tracks, track, faces, times)
    assert 0 < (~path.measured).sum() < 12
    assert not path.ok[~path.measured].any()
    np.testing.assert_array_equal(path.moved[~path.measured], path.points68[~path.measured])
    # The detections that it was made from are left as they were.
    again = track_path(tracks, track, faces, times)
    np.testing.assert_array_equal(again.points68, path.points68)


def test_quads_are_squares_as_oblong_pixels_are_shown() -> None:
    points = (face68() * 80 + (200, 150))[None].astype(np.float32)
    times = np.zeros(1)
    square = smooth_quads(points, times)
    oblong = smooth_quads(points / np.float32([1.5, 1]), times, pixel_aspect=1.5)
    np.testing.assert_allclose(oblong * [1.5, 1], square, atol=1e-3)
