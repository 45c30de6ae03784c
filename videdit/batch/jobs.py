"""What a file of jobs, or a folder, asks for.

TOML::

    [defaults]                       # any setting of a job
    output = "results"
    quality = "fast"

    [[job]]
    input = "clips/*.mp4"            # a name, a pattern, or a list of them
    edit = ["Smiling=1.5", "Young=-1; Eyeglasses=1"]   # two results; the second has two edits

    [[job]]
    input = "interview.mp4"
    edit = { Smiling = "0s:0,2s:1.5" }
    output = "smile.mp4"
    face = "all"

CSV: a line of names (``input,edit,output`` and any setting), then a job a line. Names are relative
to the file's folder, and none may lead out of it, links followed, unless a wider root is allowed.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..api import comparison_of, default_output, run_settings
from ..editing.schedule import Edit
from ..errors import InputError, UsageError
from ..faces.choice import LIKE, photo_in
from ..files import read_text, read_toml
from ..media.output import CONTAINERS, PICTURE_SUFFIXES
from ..settings import RunSettings, parse_time

_NAMES = {"from": "start_s", "to": "stop_s", "region": "within"}
"""What the command line calls a setting, where that differs."""
SETTINGS = (
    *("quality", "face", "from", "to", "editor", "like", "region", "mask", "keep", "touch"),
    *("backend", "codec", "crf", "device", "precision", "bundle", "tag", "compare"),
)
"""What a job may set besides input, edit and output; each as the option of `videdit run`."""
_KNOWN = ("input", "edit", "output", *SETTINGS)
_READ = (*CONTAINERS, *PICTURE_SUFFIXES, ".avi", ".heic", ".heif", ".avif", ".mts", ".m2ts", ".ts")
"""Suffixes that a folder's sources have."""


@dataclass(frozen=True)
class Job:
    """One result.

    Attributes:
        source: the video or picture.
        edits: of it.
        output: the file to write, or a folder that is there or to be made.
        settings: of `videdit.settings.RunSettings`, as `videdit.api.edit_video` takes them.
    """

    source: Path
    edits: tuple[Edit, ...]
    output: Path
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def names_file(self) -> bool:
        """Whether `output` is a file's name."""
        return is_file_name(self.output)

    def asked(self, target: Path) -> RunSettings:
        """What the run is asked to do.

        Raises:
            UsageError: a setting that no run can have.
        """
        return run_settings(self.source, target, self.edits, self.settings)

    def __str__(self) -> str:
        return f"{self.source.name} {', '.join(map(str, self.edits))}"


def is_file_name(path: Path) -> bool:
    """Whether a result's path names a file, not a folder: it has the suffix of one."""
    return path.suffix.lower() in (*CONTAINERS, *PICTURE_SUFFIXES) and not path.is_dir()


def read_jobs(
    path: Path,
    edits: Sequence[Edit] = (),
    settings: Mapping[str, object] | None = None,
    output: Path | None = None,
    root: Path | None = None,
) -> list[Job]:
    """The jobs of a TOML or CSV file, or one for each source in a folder.

    Args:
        path: the file or folder.
        edits: of jobs that name none.
        settings: of jobs that say nothing else, and of none of its defaults either.
        output: folder of the results of jobs that name none; beside the source otherwise.
        root: what no name in the file may lead out of; the file's folder, if not said.

    Returns:
        In the file's order.

    Raises:
        InputError: the file cannot be read.
        UsageError: it says what no job can be; two jobs have the same result.
    """
    rows: Iterator[tuple[str, Mapping[str, Any]]]
    if path.is_dir():
        folder = path
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in _READ and p.is_file())
        if not found:
            raise UsageError(f"{path} holds no pictures or videos", "Name another folder.")
        rows = iter([(p.name, {"input": glob.escape(p.name)}) for p in found])
    else:
        folder = path.absolute().parent
        rows = _toml(path) if path.suffix.lower() == ".toml" else _csv(path)
    within = (root or folder).resolve()
    output = None if output is None else output.absolute()
    jobs: list[Job] = []
    for where, row in rows:
        try:
            jobs += _jobs(row, folder, within, edits, settings or {}, output)
        except UsageError as error:
            raise UsageError(f"{path.name}, {where}: {error.message}", error.remedy) from error
    if not jobs:
        raise UsageError(f"{path.name} holds no job", "See `videdit batch --help`.")
    _refuse_twins(jobs)
    return jobs


def _toml(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    asked = read_toml(path)
    defaults, listed = asked.pop("defaults", {}), asked.pop("job", [])
    if asked or not isinstance(defaults, dict) or not isinstance(listed, list):
        raise UsageError(
            f"{path.name}: there may be one table [defaults] and tables [[job]]"
            + (f", not {next(iter(asked))!r}" if asked else ""),
            "See `videdit batch --help`.",
        )
    for number, row in enumerate(listed, 1):
        if not isinstance(row, dict):
            raise UsageError(
                f"{path.name}: a job is a table [[job]]", "See `videdit batch --help`."
            )
        yield f"job {number}", {**defaults, **row}


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(path)), skipinitialspace=True, strict=True)
    try:
        names = [(name or "").strip() for name in reader.fieldnames or ()]
        if "input" not in names:
            raise UsageError(
                f"{path.name} has no column 'input' in its first line",
                "Begin it with e.g. input,edit,output; or name a .toml file or a folder.",
            )
        reader.fieldnames = names
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row:
                raise UsageError(
                    f"{path.name}, {where}: more cells than columns",
                    'Put what holds commas in "quotes".',
                )
            # Cells that are missing or empty say nothing.
            yield where, {name: cell.strip() for name, cell in row.items() if (cell or "").strip()}
    except csv.Error as error:
        raise InputError(
            f"{path.name}, line {reader.line_num}: no CSV ({error})", "Correct it."
        ) from error


def _jobs(
    row: Mapping[str, Any],
    folder: Path,
    within: Path,
    edits: Sequence[Edit],
    settings: Mapping[str, object],
    output: Path | None,
) -> Iterator[Job]:
    unknown = [name for name in row if name not in _KNOWN]
    if unknown:
        raise UsageError(f"there is no {unknown[0]!r}", f"There are: {', '.join(_KNOWN)}.")
    sources = list(_sources(row.get("input"), folder, within))
    said = row.get("output")
    if said is None:
        target = output
    elif output is None:
        target = _inside(_text("output", said), folder, within)
    else:
        target = _inside(_text("output", said), output, output.resolve())
    how = dict(settings)
    for name, value in row.items():
        if name in SETTINGS:
            how[_NAMES.get(name, name)] = _setting(name, value, folder, within)
    several = list(_edits(row.get("edit"), folder, within))
    if "like" in how and not several and "within" in how:  # as on the command line
        several = [tuple(Edit.parse(name) for name in str(how.pop("within")).split(","))]
        how.setdefault("editor", "activations")
    several = several or ([tuple(edits)] if edits else [])
    if not several:
        raise UsageError("nothing to edit", 'Say edit = "Smiling=1.5", or give --attr.')
    if target is not None and is_file_name(target) and len(sources) * len(several) > 1:
        raise UsageError("one output for several results", "Name a folder.")
    for source in sources:
        for one in several:
            job = Job(source, one, target or source.parent, how)
            job.asked(source.parent)  # refuses what no run can have
            yield job


def _sources(value: object, folder: Path, within: Path) -> Iterator[Path]:
    listed = value if isinstance(value, list) else [value]
    for each in listed:
        name = _text("input", each)
        path = _inside(name, folder, within)
        if path.exists() or not glob.has_magic(name):
            yield path  # that it is not there is said when its turn comes
            continue
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise UsageError(f"no file is called {name!r}", "Correct the pattern.")
        for match in found:
            yield _inside(match, folder, within)


def _edits(value: object, folder: Path, within: Path) -> Iterator[tuple[Edit, ...]]:
    """Each result's edits: ``"A=1; B=2@like:b.jpg"`` or ``{A = 1, B = 2}``, or a list of such."""
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(each, dict):
            texts = [f"{name}={alpha}" for name, alpha in each.items()]
        else:
            texts = [text.strip() for text in _text("edit", each).split(";") if text.strip()]
        if not texts:
            raise UsageError("an edit is empty", 'Say e.g. "Smiling=1.5".')
        edits = map(Edit.parse, texts)
        yield tuple(replace(edit, face=_face(edit.face, folder, within)) for edit in edits)


def _setting(name: str, value: object, folder: Path, within: Path) -> object:
    if name in ("like", "mask"):
        return _inside(_text(name, value), folder, within)
    if name == "face":
        return _face(_text(name, value), folder, within)
    if name == "editor":
        return _editor(_text(name, value), folder, within)
    if name in ("from", "to"):
        return parse_time(str(value))
    if name == "crf" and isinstance(value, str):
        if not re.fullmatch(r"\d+", value):
            raise UsageError(f"crf is {value!r}", "Give a whole number.")
        return int(value)
    if name == "tag" and isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise UsageError(f"tag is {value!r}", "Say true or false.")
        return value.lower() == "true"
    kind = {"crf": int, "tag": bool}.get(name, str)
    if type(value) is not kind:
        raise UsageError(f"{name} is {value!r}", f"Give a {kind.__name__}.")
    return value


def _face(face: str, folder: Path, within: Path) -> str:
    """Whose face; a picture's path as an absolute one."""
    person = photo_in(face)
    return face if person is None else f"{LIKE}{_inside(str(person), folder, within)}"


def _editor(name: str, folder: Path, within: Path) -> str:
    """An editor's name, or that of a file as an absolute path."""
    head, colon, file = name.partition(":")
    if head == "direction" and colon:
        return f"{head}:{_inside(file, folder, within)}"
    return str(_inside(name, folder, within)) if Path(name).suffix == ".safetensors" else name


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise UsageError(f"{name} is {value!r}", "Give a text.")
    return value.strip()


def _inside(name: str, folder: Path, within: Path) -> Path:
    """A name of the file, relative to ``folder``, as an absolute path.

    Raises:
        UsageError: it leads out of ``within``, by itself or through a link.
    """
    path = Path(os.path.normpath(folder.absolute() / name))
    if not path.resolve().is_relative_to(within):
        raise UsageError(
            f"{name!r} leads out of {within}", "Name what lies inside, or allow more with --root."
        )
    return path


def _refuse_twins(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Job] = {}
    for job in jobs:
        target = job.output
        if not job.names_file:
            picture = job.source.suffix.lower() in PICTURE_SUFFIXES
            target = default_output(job.asked(target), target, picture=picture)
        for file in (target, comparison_of(job.asked(target), target)):
            if file in seen:
                raise UsageError(
                    f"two jobs write {file.name}: {seen[file]}, and {job}", "Name their outputs."
                )
            if file is not None:
                seen[file] = job
