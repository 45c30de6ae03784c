"""What files of jobs ask for, and what they must not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videdit.batch.jobs import Job, read_jobs
from videdit.editing.schedule import Edit
from videdit.errors import InputError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "work"
    inside.mkdir()
    for name in ("a.mp4", "b.mp4", "c.jpg", "notes.txt"):
        (inside / name).touch()
    (tmp_path / "secret.mp4").touch()
    return inside


def jobs_of(folder: Path, text: str, name: str = "jobs.toml", **how: object) -> list[Job]:
    path = folder / name
    path.write_text(text)
    return read_jobs(path, **how)  # type: ignore[arg-type]


def test_sources_times_edits(folder: Path) -> None:
    jobs = jobs_of(
        folder,
        """
        [defaults]
        quality = "fast"
        output = "results"
        [[job]]
        input = ["*.mp4", "c.jpg"]
        edit = ["Smiling=1.5", "Young=-1; eyeglasses", {Bald = "0s:0,2s:1"}]
        [[job]]
        input = "a.mp4"
        edit = "Male"
        quality = "balanced"
        face = "all"
        from = "1:02.5"
        output = "male.mov"
        """,
    )
    assert [job.source.name for job in jobs] == ["a.mp4"] * 3 + ["b.mp4"] * 3 + ["c.jpg"] * 3 + [
        "a.mp4"
    ]
    assert [" ".join(map(str, job.edits)) for job in jobs[:3]] == [
        "Smiling=1.5",
        "Young=-1.0 Eyeglasses=1.0",
        "Bald=0.0s:0.0,2.0s:1.0",
    ]
    assert jobs[0].output == folder / "results"
    assert not jobs[0].names_file
    assert jobs[0].asked(Path("x")).method == "encoder"
    last = jobs[-1].asked(jobs[-1].output)
    assert (last.method, last.face, last.start_s) == ("refined", "all", 62.5)
    assert jobs[-1].output == folder / "male.mov"
    assert jobs[-1].names_file


def test_csv(folder: Path) -> None:
    text = 'input,edit,output,crf,to\na.mp4,"Smiling=0s:0,1s:2",x.mp4,20,2.5\nb.mp4,Young=-1\n'
    jobs = jobs_of(folder, text, "jobs.csv")
    assert [str(job.edits[0]) for job in jobs] == ["Smiling=0.0s:0.0,1.0s:2.0", "Young=-1.0"]
    assert jobs[0].settings == {"crf": 20, "stop_s": 2.5}
    assert jobs[1].settings == {}
    assert jobs[1].output == folder


def test_folder(folder: Path) -> None:
    edits = [Edit.parse("Smiling=1.5")]
    jobs = read_jobs(folder, edits, {"quality": "fast"}, folder / "out")
    assert [job.source.name for job in jobs] == ["a.mp4", "b.mp4", "c.jpg"]
    assert {job.output for job in jobs} == {folder / "out"}
    assert all(job.asked(folder).method == "encoder" for job in jobs)


def test_a_name_that_is_a_pattern_is_a_name_first(folder: Path) -> None:
    (folder / "take[1].mp4").touch()
    jobs = jobs_of(folder, '[[job]]\ninput = "take[1].mp4"\nedit = "Smiling"')
    assert [job.source.name for job in jobs] == ["take[1].mp4"]


def test_regions_out_of_a_picture(folder: Path) -> None:
    jobs = jobs_of(folder, '[[job]]\ninput = "a.mp4"\nlike = "c.jpg"\nregion = "nose,eyes"')
    assert [edit.attribute for edit in jobs[0].edits] == ["nose", "eyes"]
    asked = jobs[0].asked(folder)
    assert (asked.editor, asked.like, asked.within) == ("activations", folder / "c.jpg", ())


def test_edits_of_several_people(folder: Path) -> None:
    text = '[[job]]\ninput = "a.mp4"\nedit = ["Smiling@track:1; Young=-1@like:c.jpg", "Bangs"]'
    both, one = jobs_of(folder, text)
    assert [edit.face for edit in both.edits] == ["track:1", f"like:{folder / 'c.jpg'}"]
    assert both.asked(folder).people == (folder / "c.jpg",)
    assert [edit.face for edit in one.edits] == [""]


ESCAPES = {
    "above": 'input = "../secret.mp4"',
    "absolute": 'input = "/etc/hostname"',
    "pattern": 'input = "../*.mp4"',
    "result above": 'input = "a.mp4"\noutput = "../out.mp4"',
    "absolute result": 'input = "a.mp4"\noutput = "/tmp/out.mp4"',
    "link": 'input = "link.mp4"',
    "picture": 'input = "a.mp4"\nlike = "../secret.mp4"\nregion = "nose"',
    "person": 'input = "a.mp4"\nface = "like:../secret.mp4"',
    "people": 'input = "a.mp4"\nedit = "Smiling=1; Young=1@like:../secret.mp4"',
    "direction": 'input = "a.mp4"\neditor = "direction:../d.npy"',
    "weights": 'input = "a.mp4"\neditor = "../../e.safetensors"',
}


@pytest.mark.parametrize("line", ESCAPES.values(), ids=ESCAPES.keys())
def test_names_do_not_lead_out(folder: Path, line: str) -> None:
    (folder / "link.mp4").symlink_to(folder.parent / "secret.mp4")
    edit = "" if "region" in line or "edit" in line.split() else '\nedit = "Smiling"'
    with pytest.raises(UsageError, match="leads out"):
        jobs_of(folder, f"[[job]]\n{line}{edit}")


def test_a_wider_root(folder: Path) -> None:
    text = '[[job]]\ninput = "../secret.mp4"\nedit = "Smiling"\noutput = "../out.mp4"'
    jobs = jobs_of(folder, text, root=folder.parent)
    assert jobs[0].source == folder.parent / "secret.mp4"
    assert jobs[0].output == folder.parent / "out.mp4"


def test_results_may_go_where_the_user_says(folder: Path, tmp_path: Path) -> None:
    text = '[[job]]\ninput = "a.mp4"\nedit = "Smiling"\noutput = "{}"'
    jobs = jobs_of(folder, text.format("x.mp4"), output=tmp_path / "far")
    assert jobs[0].output == tmp_path / "far" / "x.mp4"
    with pytest.raises(UsageError, match="leads out"):
        jobs_of(folder, text.format("../x.mp4"), output=tmp_path / "far")


@given(st.text(max_size=40))
def test_any_name_stays_inside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    quoted = '"' + "".join(f"\\U{ord(c):08x}" for c in name) + '"'
    if any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        return
    try:
        jobs = jobs_of(folder, f'[[job]]\ninput = "a.mp4"\nedit = "Smiling"\noutput = {quoted}')
    except UsageError:
        return
    assert all(job.output.resolve().is_relative_to(folder.resolve()) for job in jobs)


MISTAKES = {
    "no edit": ('[[job]]\ninput = "a.mp4"', "nothing to edit"),
    "no input": ('[[job]]\nedit = "Smiling"', "input is None"),
    "unknown setting": ('[[job]]\ninput = "a.mp4"\nedit="Smiling"\nalhpa = 1', "no 'alhpa'"),
    "cache": ('[[job]]\ninput = "a.mp4"\nedit="Smiling"\ncache_dir = "x"', "no 'cache_dir'"),
    "unknown quality": ('[[job]]\ninput = "a.mp4"\nedit="Smiling"\nquality = "x"', "quality"),
    "no alpha": ('[[job]]\ninput = "a.mp4"\nedit="Smiling=much"', "job 1"),
    "unknown table": ('[job]\ninput = "a.mp4"', r"tables \[\[job\]\]"),
    "another table": ('[[jobs]]\ninput = "a.mp4"', "not 'jobs'"),
    "one file for two": ('[[job]]\ninput = "*.mp4"\nedit="Smiling"\noutput="x.mp4"', "one output"),
    "two for one": ('[[job]]\ninput = ["a.mp4", "a.mp4"]\nedit="Smiling"', "two jobs write"),
    "no match": ('[[job]]\ninput = "*.mkv"\nedit="Smiling"', "no file"),
    "number": ('[[job]]\ninput = 7\nedit="Smiling"', "input is 7"),
    "crf": ('[[job]]\ninput = "a.mp4"\nedit="Smiling"\ncrf = "good"', "crf is 'good'"),
    "crf too large": ('[[job]]\ninput = "a.mp4"\nedit="Smiling"\ncrf = 99', "--crf is 99"),
    "nothing": ("", "holds no job"),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        jobs_of(folder, text)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("jobs.toml", b"[[job]\n", "no TOML"),
        ("jobs.toml", b"\xff\xfe[", "not UTF-8"),
        ("jobs.csv", b'input,edit\n"a.mp4,Smiling\n', "no CSV"),
    ],
)
def test_damaged_files(folder: Path, name: str, data: bytes, said: str) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_jobs(folder / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,edit\na.mp4,Smiling\n", "no column 'input'"),
        ("input,edit\na.mp4,Smiling=0s:0,1s:2\n", "more cells than columns"),
    ],
)
def test_csv_mistakes(folder: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        jobs_of(folder, text, "jobs.csv")


def test_a_folder_without_sources(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="no pictures or videos"):
        read_jobs(tmp_path, [Edit.parse("Smiling")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(folder: Path) -> None:
    path = folder / "jobs.toml"
    path.touch(mode=0)
    with pytest.raises(InputError, match="cannot be read"):
        read_jobs(path)


def test_a_comparison_is_a_file_as_well(folder: Path) -> None:
    text = """
        defaults = {compare = "side"}
        [[job]]
        input = "a.mp4"
        edit = "Smiling"
        output = "out.mp4"
        [[job]]
        input = "b.mp4"
        edit = "Smiling"
        """
    jobs = jobs_of(folder, text)
    assert [job.asked(job.output).compare for job in jobs] == ["side", "side"]
    with pytest.raises(UsageError, match=r"two jobs write out-side\.mp4"):
        jobs_of(folder, text + 'output = "out-side.mp4"')
    with pytest.raises(UsageError, match="no comparison 'beside'"):
        jobs_of(folder, text + 'compare = "beside"')
