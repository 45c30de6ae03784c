from __future__ import annotations

import os
from pathlib import Path

import pytest

import videdit
from videdit.api import default_output, edit_video, parse_edits, run_settings
from videdit.editing.schedule import Edit
from videdit.errors import InputError, StorageError, UsageError
from videdit.pipeline.progress import as_progress
from videdit.pipeline.tally import Expected
from videdit.settings import RunSettings


def asked_for(source: Path, *edits: str, **how: object) -> RunSettings:
    return run_settings(source, source, tuple(map(Edit.parse, edits)), how)


@pytest.mark.parametrize(
    ("source", "picture", "expected"),
    [
        ("clip.mp4", False, "clip-Smiling+1.5.mp4"),
        ("a.b.MOV", False, "a.b-Smiling+1.5.mov"),
        ("film.mkv", False, "film-Smiling+1.5.mkv"),
        ("old.avi", False, "old-Smiling+1.5.mp4"),
        ("no_suffix", False, "no_suffix-Smiling+1.5.mp4"),
        ("face.JPEG", True, "face-Smiling+1.5.jpeg"),
        ("face.heic", True, "face-Smiling+1.5.png"),
        ("still.gif", True, "still-Smiling+1.5.png"),
        ("moving.gif", False, "moving-Smiling+1.5.mp4"),
    ],
)
def test_default_output(source: str, picture: bool, expected: str) -> None:
    asked = asked_for(Path("folder") / source, "Smiling=1.5")
    assert default_output(asked, Path("x"), picture=picture) == Path("x") / expected


def test_each_edit_has_its_own_output() -> None:
    texts = ("Smiling=1", "Smiling=-1", "Young=1", "Smiling=0s:0,2s:1.5", "Smiling=0s:0,2s:1")
    groups = [(text,) for text in texts] + [("Smiling=1", "Young=-0.5")]
    names = [
        default_output(asked_for(Path("a.mp4"), *group), Path(), picture=False).name
        for group in groups
    ]
    assert len(set(names)) == len(groups)
    assert names[3] == "a-Smiling+0to1.5.mp4"
    assert names[-1] == "a-Smiling+1-Young-0.5.mp4"


def test_where_an_edit_is_made_is_in_its_name() -> None:
    photo = {"like": Path("my photo.jpg"), "editor": "activations"}
    held = {"within": ("lips", "mouth")}
    names = [
        default_output(asked_for(Path("a.png"), edit, **how), Path(), picture=True).name
        for edit, how in (("nose=1", photo), ("Smiling=1", {}), ("Smiling=1", held))
    ]
    assert names == ["a-nose+1-my_photo.png", "a-Smiling+1.png", "a-Smiling+1-lips-mouth.png"]


@pytest.mark.parametrize("letter", ["a", "ä", "\udce4", "漢"])
@pytest.mark.parametrize("length", [1, 60, 250])
def test_default_output_fits_the_file_system(letter: str, length: int) -> None:
    many = [f"Smiling={k / 10}" for k in range(1, 30)]
    asked = asked_for(Path(letter * length + ".mp4"), *many)
    found = default_output(asked, Path(), picture=False)
    assert len(os.fsencode(found.name)) <= 200
    assert found.suffix == ".mp4"


def test_progress_may_be_a_function() -> None:
    told: list[tuple[str, int, int]] = []
    progress = as_progress(lambda *words: told.append(words))
    progress.plan([Expected("encode", "frames", 0.1, 8, "")])
    progress.begin("encode", 8, 2)
    progress.chunk("encode", 6)
    progress.tick("encode", 3)
    progress.chunk_end("encode")
    progress.end("encode")
    assert told == [("encode", 2, 8), ("encode", 5, 8), ("encode", 8, 8), ("encode", 8, 8)]
    assert as_progress(progress) is progress
    with pytest.raises(UsageError, match="no progress"):
        as_progress(3)  # type: ignore[arg-type]


def test_the_package_shows_its_names_and_nothing_else() -> None:
    names = ["Progress", "RunSettings", "__version__", "edit_image", "edit_video", "load_bundle"]
    assert dir(videdit) == names
    assert all(getattr(videdit, name) is not None for name in names)


def test_parse_edits() -> None:
    edits = parse_edits({"smiling": 1.5, "Young": "0s:0,2s:-1"})
    assert edits == (Edit.parse("Smiling=1.5"), Edit.parse("Young=0s:0,2s:-1"))
    assert parse_edits(list(edits)) == edits
    assert parse_edits({"Wearing_Mask": 1}) == (
        Edit.parse("Wearing_Mask"),
    )  # an editor may know it
    with pytest.raises(UsageError, match="not a number"):
        parse_edits({"Smiling": "much"})


def test_a_time_that_is_none_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    source = tmp_path / "in.mp4"
    source.write_bytes(b"no video")
    settings = {"cache_dir": tmp_path / "cache"}
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        edit_video(source, None, {"Smiling": 1}, settings=settings)
    with pytest.raises(InputError):  # nothing needs it
        edit_video(source, None, {"Smiling": 1}, settings={**settings, "tag": False})


def test_refusals_come_before_any_work(tmp_path: Path) -> None:
    settings = {"cache_dir": tmp_path / "cache"}
    broken = tmp_path / "in.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(UsageError, match="nothing to edit"):
        edit_video(broken, settings=settings)
    with pytest.raises(StorageError, match="does not exist"):
        edit_video(broken, tmp_path / "none" / "o.mp4", {"Smiling": 1}, settings=settings)
    with pytest.raises(InputError):
        edit_video(broken, None, {"Smiling": 1}, settings=settings)
    with pytest.raises(UsageError, match=r"no setting 'end_s'.*stop_s"):
        edit_video(broken, None, {"Smiling": 1}, settings={"end_s": 1})
    with pytest.raises(UsageError, match="no quality 'best'"):
        edit_video(broken, None, {"Smiling": 1}, settings={"quality": "best"})
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"exists.*overwrite"):
        edit_video(broken, taken, {"Smiling": 1}, settings=settings)
    assert taken.read_bytes() == b"mine"
    beside = {**settings, "compare": "taken"}
    with pytest.raises(UsageError, match=r"no comparison 'taken'.*side, split, difference"):
        edit_video(broken, None, {"Smiling": 1}, settings=beside)
    taken.rename(tmp_path / "new-side.mp4")
    beside["compare"] = "side"
    with pytest.raises(UsageError, match=r"new-side\.mp4 exists.*overwrite"):
        edit_video(broken, tmp_path / "new.mp4", {"Smiling": 1}, settings=beside)
    (tmp_path / "new-side.mp4").unlink()
    for text, said in (("-", "standard input"), ("https://a/b.mp4", "address"), (".", "folder")):
        with pytest.raises(InputError, match=said):
            edit_video(text, None, {"Smiling": 1}, settings=settings)
    with pytest.raises(InputError):
        edit_video(tmp_path / "missing.mp4", None, {"Smiling": 1}, settings=settings)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]
