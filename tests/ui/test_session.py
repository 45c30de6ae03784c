"""Frames as they would be, who is in them, and stretches to try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_small
from videdit.bundles import Bundle
from videdit.editing.schedule import Edit
from videdit.errors import InputError, NoFaceError, UsageError
from videdit.media.pictures import read_picture, write_picture
from videdit.media.probe import probe
from videdit.ui.offer import make_offer
from videdit.ui.session import Opened, Session, _write_small

SMILE = (Edit.parse("Smiling=1.5"),)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, default_cache: Path) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("session"), make_offer())
    yield made
    made.close()


@pytest.fixture(scope="module")
def opened(session: Session, example: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return session.open(write_small(tmp_path_factory.mktemp("clips") / "clip.mp4", example, 6))


def test_what_is_no_clip(session: Session, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    for path in (text, tmp_path, tmp_path / "nothing.mp4"):
        with pytest.raises(InputError):
            session.open(path)


def test_times(opened: Opened) -> None:
    assert [opened.frame_at(time) for time in (0, 0.039, 0.04, 0.13, 99)] == [0, 0, 1, 3, 5]
    assert opened.seconds == pytest.approx(0.24)
    assert not opened.is_image


@pytest.mark.weights
def test_a_frame_is_edited_where_the_chosen_face_is(
    session: Session, opened: Opened, bundle: Bundle
) -> None:
    people = session.look(opened)
    assert session.look(opened) is people
    (face,) = people.faces
    assert face.picture is not None
    assert face.picture.shape == (160, 160, 3)
    assert people.shots[0][0] == 0
    first = session.show(opened, 2, SMILE, "track:0", people)
    before, after = read_picture(first.before), read_picture(first.after)
    assert before.shape == after.shape == (180, 320, 3)
    differs = np.abs(before.astype(int) - after).max(2) > 12
    box = face.box(2)
    assert box is not None
    rows, columns = np.nonzero(differs)
    assert 0.001 < differs.mean() < 0.3
    # Around the mouth, and not beside the person.
    assert box[0] < np.median(columns) < box[2]
    assert (box[1] + box[3]) / 2 < np.median(rows) < box[3]
    # The same again is not made again; nothing to do is nothing done.
    assert session.show(opened, 2, SMILE, "track:0", people) is first
    assert session.show(opened, 2, (), "largest", people).after == first.before


@pytest.mark.weights
def test_who_is_not_there_is_not_edited(session: Session, opened: Opened, bundle: Bundle) -> None:
    from dataclasses import replace

    people = session.look(opened)
    (face,) = people.faces
    gone = replace(face, track=replace(face.track, first=4), boxes=face.boxes[4:])
    shown = session.show(opened, 2, SMILE, "track:0", replace(people, faces=(gone,)))
    assert shown.before == shown.after
    assert "not in this frame" in shown.note
    elsewhere = replace(face, boxes=face.boxes * 0 + np.array((0, 0, 9, 9), np.float32))
    shown = session.show(opened, 2, SMILE, "track:0", replace(people, faces=(elsewhere,)))
    assert "not found" in shown.note
    with pytest.raises(NoFaceError, match="these seconds"):
        session.stretch(opened, 0, SMILE, "track:0", replace(people, faces=(elsewhere,)))


@pytest.mark.weights
def test_a_picture_without_a_face(session: Session, bundle: Bundle, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    write_picture(grey, np.full((128, 128, 3), 128, np.uint8))
    picture = session.open(grey)
    people = session.look(picture)
    assert people.faces == ()
    shown = session.show(picture, 0, SMILE, "largest", people)
    assert shown.before == shown.after
    assert shown.note == "No face is found in this frame."
    with pytest.raises(UsageError, match="cannot be played"):
        session.stretch(picture, 0, SMILE, "largest", people)


@pytest.mark.weights
def test_a_stretch_is_small_and_begins_where_it_is_asked_to(
    session: Session, opened: Opened, bundle: Bundle
) -> None:
    with pytest.raises(UsageError, match="nothing is edited"):
        session.stretch(opened, 0, (), "largest", None)
    job = session.stretch(opened, 2, SMILE, "track:0", session.look(opened))
    assert job.settings["face"] == "track:0"
    assert (len(probe(job.source)), job.edits) == (4, SMILE)


def test_a_stretch_keeps_its_times(example: Path, tmp_path: Path) -> None:
    timeline = probe(example)
    _write_small(timeline, range(10, 20), tmp_path / "small.mp4")
    small = probe(tmp_path / "small.mp4")
    assert (small.width, small.height) == (640, 360)
    wanted = timeline.times()[10:20] - timeline.times()[10]
    assert np.abs(small.times() - wanted).max() < 1e-3
