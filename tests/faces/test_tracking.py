"""From faces per frame to tracks, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from tests.faces.helpers import detection
from videdit.errors import NoFaceError, UsageError
from videdit.faces.backend import Detection, inter_ocular
from videdit.faces.tracking import (
    Track,
    build_tracks,
    choose,
    load_detections,
    load_tracks,
    save_detections,
    save_tracks,
)

RATE = 30.0


def seconds(count: int) -> np.ndarray:
    return np.arange(count) / RATE


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
    assert (first.score[10:18] == 0).all()
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


def make(number: int, shot: int, start: int, stop: int, size: float) -> Track:
    frames = [[detection(300, 300, size)]] * (stop - start)
    track = build_tracks(frames, [0], seconds(stop - start))[0]
    return replace(track, id=number, shot=shot, frames=track.frames + start)


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


def test_rows_point_into_all_detections() -> None:
    frames = [[detection(800, 300), detection(200, 300)] for _ in range(20)]
    frames[7] = [detection(800, 300)]
    frames[3] = []
    tracks = build_tracks(frames, [0], seconds(20))
    every = [face for frame in frames for face in frame]
    for track in tracks:
        rows = track.rows([len(frame) for frame in frames])
        assert (rows[~track.measured] == -1).all()
        for row, points in zip(rows[track.measured], track.points68[track.measured], strict=True):
            np.testing.assert_array_equal(every[row].points68, points)


def test_files_give_back_what_was_written(tmp_path: Path) -> None:
    mesh = np.random.default_rng(0).normal(300, 50, (468, 3)).astype(np.float32)
    frames = [
        [detection(200, 300), replace(detection(600, 300), mesh=mesh)],
        [],
        [detection(210, 300)],
    ]
    save_detections(tmp_path / "faces.npz", frames)
    again = load_detections(tmp_path / "faces.npz")
    assert [len(frame) for frame in again] == [2, 0, 1]
    for a, b in zip(chain(*frames), chain(*again), strict=True):
        np.testing.assert_array_equal(a.points68, b.points68)
        np.testing.assert_array_equal(a.box, b.box)
        assert a.score == pytest.approx(b.score)
        assert (a.mesh is None) == (b.mesh is None)
    np.testing.assert_array_equal(again[0][1].mesh, mesh)
    without = load_detections(tmp_path / "faces.npz", meshes=False)
    assert all(face.mesh is None for frame in without for face in frame)

    for tracks in (build_tracks(frames, [0], seconds(3)), []):
        save_tracks(tmp_path / "tracks.npz", tracks)
        loaded = load_tracks(tmp_path / "tracks.npz")
        assert [(t.id, t.shot) for t in loaded] == [(t.id, t.shot) for t in tracks]
        for a, b in zip(tracks, loaded, strict=True):
            for name in ("frames", "points68", "box", "score", "measured", "index"):
                np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
                assert getattr(a, name).dtype == getattr(b, name).dtype
