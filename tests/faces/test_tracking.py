"""From faces per frame to tracks, and the paths of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.faces.helpers import detection, laid_out
from tests.faces.plain_tracking import plain_tracks
from videdit.faces.detection import Detection, inter_ocular
from videdit.faces.parameters import Tracking
from videdit.faces.paths import measured_around, track_path
from videdit.faces.tracking import link_faces

RATE = 30.0


def seconds(count: int) -> np.ndarray:
    return np.arange(count) / RATE


@dataclass(frozen=True)
class Whole:
    """A track and its path, from first to last frame."""

    id: int
    shot: int
    frames: NDArray[np.int64]
    points68: NDArray[np.float32]
    measured: NDArray[np.bool_]
    index: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.frames)


def build_tracks(
    frames: Sequence[Sequence[Detection]], shots: Sequence[int], times: NDArray[np.float64]
) -> list[Whole]:
    """The tracks of frames numbered from 0, each with all of its landmarks."""
    faces = laid_out(frames)
    tracks = link_faces([faces], range(len(frames)), shots, times)
    whole = []
    for track in tracks.summaries:
        path = track_path(tracks, track, faces.between(track.first, track.last + 1), times)
        index = tracks.index_of(track)
        assert len(track) == len(path) == len(index)
        whole.append(Whole(track.id, track.shot, path.frames, path.points68, path.measured, index))
    return whole


def walk(count: int, x: float, speed: float = 60.0, size: float = 60.0) -> list[Detection]:
    """A face that moves to the right at ``speed`` pixels per second."""
    return [detection(x + speed * i / RATE, 300, size) for i in range(count)]


def test_two_people_keep_their_identities_whatever_the_order() -> None:
    left, right = walk(60, 200), walk(60, 700, speed=-40)
    frames = [[a, b] if i % 2 else [b, a] for i, (a, b) in enumerate(zip(left, right, strict=True))]
    tracks = build_tracks(frames, [0], seconds(60))
    assert [track.id for track in tracks] == [0, 1]
    for track, truth in zip(tracks, (left, right), strict=True):
        np.testing.assert_array_equal(track.frames, np.arange(60))
        np.testing.assert_array_equal(track.points68, np.stack([d.points68 for d in truth]))
        assert track.measured.all()
    np.testing.assert_array_equal(tracks[0].index, np.arange(60) % 2 == 0)


def test_crossing_people_are_told_apart_by_size() -> None:
    a = [detection(200 + 8 * i, 300, 60) for i in range(60)]
    b = [detection(680 - 8 * i, 300, 30) for i in range(60)]
    tracks = build_tracks([list(pair) for pair in zip(a, b, strict=True)], [0], seconds(60))
    assert len(tracks) == 2
    for track in tracks:
        assert np.ptp(inter_ocular(track.points68)) < 1


def test_short_gaps_are_filled_and_long_ones_split() -> None:
    frames = [[face] for face in walk(60, 200)]
    for lost in (*range(10, 18), *range(30, 45)):  # 0.27 s and 0.5 s
        frames[lost] = []
    tracks = build_tracks(frames, [0], seconds(60))
    assert [(t.frames[0], t.frames[-1]) for t in tracks] == [(0, 29), (45, 59)]
    first = tracks[0]
    np.testing.assert_array_equal(np.flatnonzero(~first.measured), np.arange(10, 18))
    truth = np.stack([d.points68 for d in walk(60, 200)])
    np.testing.assert_allclose(first.points68, truth[:30], atol=1e-3)
    assert (first.index[10:18] == -1).all()


def test_gaps_are_filled_along_the_times_not_the_frame_numbers() -> None:
    times = np.array([0.0, 0.1, 0.13, 0.3])
    frames = [[detection(300, 200)], [], [], [detection(330, 200)]]
    track = build_tracks(frames, [0], times)[0]
    moved = track.points68[:, 0, 0] - track.points68[0, 0, 0]
    np.testing.assert_allclose(moved, [0, 10, 13, 30], atol=1e-3)


def test_tracks_never_cross_a_cut() -> None:
    frames = [[face] for face in walk(40, 200, speed=0)]
    tracks = build_tracks(frames, [0, 17], seconds(40))
    assert [(t.shot, t.frames[0], t.frames[-1]) for t in tracks] == [(0, 0, 16), (1, 17, 39)]
    frames[17] = []  # nor is a gap at the cut filled
    tracks = build_tracks(frames, [0, 17], seconds(40))
    assert [(t.frames[0], t.frames[-1]) for t in tracks] == [(0, 16), (18, 39)]


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.25])
def test_a_jump_in_place_or_size_splits_at_any_scale(factor: float) -> None:
    def moved(dx: float, size: float) -> list[list[Detection]]:
        before = [[detection(300 * factor, 300 * factor, 60 * factor)] for _ in range(20)]
        after = [[detection((300 + dx) * factor, 300 * factor, size * factor)] for _ in range(20)]
        return before + after

    for dx, size, expected in ((30, 60, 1), (60, 60, 2), (0, 80, 1), (0, 105, 2), (0, 35, 2)):
        assert len(build_tracks(moved(dx, size), [0], seconds(40))) == expected


def test_spurious_tracks_are_dropped() -> None:
    frames = [[face] for face in walk(60, 200, speed=0)]
    for i in range(20, 24):
        frames[i].append(detection(900, 500, 60, score=0.55))
    for i in range(40, 44):
        frames[i].append(detection(900, 500, 60, score=0.95))
    for i in range(10, 50):
        frames[i].append(detection(500, 700, 60, score=0.55))
    tracks = build_tracks(frames, [0], seconds(60))
    # Short and doubtful goes; short and certain stays, long and doubtful too.
    assert [(t.frames[0], len(t)) for t in tracks] == [(0, 60), (10, 40), (40, 4)]


def test_a_picture_and_a_clip_without_faces() -> None:
    tracks = build_tracks([[detection(100, 100, score=0.51)]], [0], np.zeros(1))
    assert [len(track) for track in tracks] == [1]
    assert build_tracks([[], [], []], [0], seconds(3)) == []
    assert build_tracks([], [], np.zeros(0)) == []


def test_a_slow_clip_is_still_one_track() -> None:
    frames = [[detection(300, 300)] for _ in range(5)]
    tracks = build_tracks(frames, [0], np.arange(5) * 1.0)  # one frame per second
    assert [len(track) for track in tracks] == [5]


def test_ids_go_by_first_frame_then_left_to_right() -> None:
    frames = [[detection(x, 300) for x in (900, 100, 500)] for _ in range(30)]
    for i in range(30):
        if i >= 5:
            frames[i].append(detection(20 + 60, 900))
    tracks = build_tracks(frames, [0], seconds(30))
    assert [round(float(t.points68[0, 27, 0])) for t in tracks] == [100, 500, 900, 80]


def test_wrong_arguments() -> None:
    frames = [[detection(1, 1)]] * 4
    for shots in ([], [1], [0, 2, 2], [0, 4]):
        with pytest.raises(ValueError, match="shots"):
            build_tracks(frames, shots, seconds(4))
    with pytest.raises(ValueError, match="times"):
        build_tracks(frames, [0], seconds(3))


def test_paths_point_into_the_detections() -> None:
    frames = [[detection(800, 300), detection(200, 300)] for _ in range(20)]
    frames[7] = [detection(800, 300)]
    frames[3] = []
    for track in build_tracks(frames, [0], seconds(20)):
        assert (track.index[~track.measured] == -1).all()
        for k in np.flatnonzero(track.measured):
            face = frames[track.frames[k]][track.index[k]]
            np.testing.assert_array_equal(face.points68, track.points68[k])


def scene(seed: int, count: int = 90) -> tuple[list[list[Detection]], list[int], np.ndarray]:
    """People who come, go, cross, hide for a moment and are mistaken, through a few shots."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([1 / 60, 1 / 24, 1 / 10, 0.5], count, p=[0.4, 0.4, 0.18, 0.02]))
    shots = [0, *sorted(rng.choice(np.arange(1, count), rng.integers(0, 4), replace=False))]
    frames: list[list[Detection]] = [[] for _ in range(count)]
    for _ in range(rng.integers(1, 5)):
        x, y, size = rng.uniform(100, 900), rng.uniform(200, 500), rng.uniform(20, 80)
        speed, there = rng.normal(0, 150, 2), True
        come, go = sorted(rng.integers(0, count + 1, 2))
        for frame in range(come, go):
            there = rng.random() < (0.95 if there else 0.35)
            if rng.random() < 0.02:
                x, size = x + rng.normal(0, 1.5) * size, size * rng.uniform(0.5, 2)
            if there:
                at = np.array([x, y]) + speed * times[frame] + rng.normal(0, 0.02, 2) * size
                score = float(np.float32(rng.uniform(0.5, 1)))
                face = detection(*at, size * rng.uniform(0.95, 1.05), score)
                frames[frame].insert(rng.integers(0, len(frames[frame]) + 1), face)
    return frames, [int(shot) for shot in shots], times


@given(st.integers(0, 10**6), st.lists(st.integers(0, 90), max_size=6), st.sampled_from([0, 37]))
@settings(max_examples=60, deadline=None)
def test_the_stream_gives_what_plain_tracking_gives(seed: int, cuts: list[int], first: int) -> None:
    frames, shots, times = scene(seed)
    pieces = [laid_out(frames[a:b], first + a) for a, b in pairwise([0, *sorted(cuts), 90])]
    padded = np.concatenate([times[0] - np.arange(first, 0, -1.0), times])
    tracks = link_faces(
        iter(pieces), range(first, first + 90), [first + shot for shot in shots], padded
    )
    expected = plain_tracks(frames, shots, times)
    assert len(tracks.summaries) == len(expected)
    every = laid_out(frames, first)
    for number, (track, plain) in enumerate(zip(tracks.summaries, expected, strict=True)):
        assert (track.id, track.shot) == (number, plain.shot)
        assert (track.first, track.last) == (first + plain.seen[0], first + plain.seen[-1])
        index = tracks.index_of(track)
        assert index[index >= 0].tolist() == plain.index
        assert (np.flatnonzero(index >= 0) + track.first - first).tolist() == plain.seen
        points = plain.points(times)
        sizes = inter_ocular(points)
        assert track.area == float(np.sum(sizes**2))
        assert track.inter_ocular == float(np.median(sizes))
        # A window's path is the same as that part of the whole, wherever gaps lie.
        rng = np.random.default_rng(seed)
        start = int(rng.integers(track.first, track.last + 1))
        stop = int(rng.integers(start + 1, track.last + 2))
        around = measured_around(tracks, track, start, stop)
        path = track_path(tracks, track, every.between(*around), padded).between(start, stop)
        part = slice(start - track.first, stop - track.first)
        np.testing.assert_array_equal(path.points68, points[part])
        np.testing.assert_array_equal(path.measured, index[part] >= 0)
        np.testing.assert_array_equal(path.frames, np.arange(start, stop))
        assert not path.ok[~path.measured].any()
        np.testing.assert_array_equal(path.moved[~path.measured], points[part][~path.measured])


def test_limits_are_parameters() -> None:
    frames = [[face] for face in walk(60, 200)]
    for lost in range(10, 18):
        frames[lost] = []
    stretch = ([laid_out(frames)], range(60), [0], seconds(60))
    assert len(link_faces(*stretch).summaries) == 1
    assert len(link_faces(*stretch, Tracking(max_gap_s=0.2)).summaries) == 2
    assert len(link_faces(*stretch, Tracking(base_distance=0, speed=0)).summaries) > 2


def test_pieces_must_make_up_the_stretch() -> None:
    frames = [[detection(100, 100)]] * 6
    first, last = laid_out(frames[:3]), laid_out(frames[3:], 3)
    for pieces, problem in (
        ([first], "frame 3 is missing"),
        ([last], "frame 0 is missing"),
        ([first, first], "frame 3 is missing"),
        ([first, last, laid_out(frames, 6)], "beyond frame 5"),
    ):
        with pytest.raises(ValueError, match=problem):
            link_faces(pieces, range(6), [0], seconds(6))
