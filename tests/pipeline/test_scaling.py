"""What a chunk costs does not grow with their number.

Wall-clock says little on a busy machine, so the work is counted: calls of functions, Python's and
built-in ones alike, and among them those that go to the file system.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import pytest

from videdit.pipeline import stored, upkeep
from videdit.pipeline.progress import Progress
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.stage import Artifact, Chunk, Context, Json, Stage, frame_chunks
from videdit.pipeline.store import Store

FEW, SOME, MANY = 60, 120, 1020
RECENT = 16

_NO_TOUCH = {"fspath", "getpid", "urandom", "fsencode", "fsdecode", "getcwd"}
"""Functions of the operating system that look at no file."""


_BYTES = Path("/proc/self/io")


class Entries:
    """Read in full, to be used as what `os.scandir` gives."""

    def __init__(self, found: Iterator[Any]) -> None:
        self.left = deque(found)

    def __iter__(self) -> Entries:
        return self

    def __next__(self) -> Any:
        if not self.left:
            raise StopIteration
        return self.left.popleft()

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None: ...


class Work:
    """What is done while :meth:`counting`.

    Attributes:
        calls: of functions.
        files: calls to the file system, by name; and the entries of the folders that were listed.
        bytes: read and written, where the system tells (Linux).
    """

    def __init__(self) -> None:
        self.calls = 0
        self.files: Counter[str] = Counter()
        self.bytes = 0

    def _count(self, frame: FrameType, event: str, what: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1
        system = event == "c_call" and what.__module__ in ("posix", "nt", "_io", "io")
        if system and what.__name__ not in _NO_TOUCH:
            self.files[what.__name__] += 1

    @contextmanager
    def counting(self) -> Iterator[Work]:
        scandir, listdir = os.scandir, os.listdir

        def scanned(*where: Any) -> Entries:
            with scandir(*where) as found:
                entries = Entries(found)
            self.files["entries"] += len(entries.left)
            return entries

        def listed(*where: Any) -> list[Any]:
            found = listdir(*where)
            self.files["entries"] += len(found)
            return found

        before, bytes_before = sys.getprofile(), _bytes()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "scandir", scanned)
            patch.setattr(os, "listdir", listed)
            sys.setprofile(self._count)
            try:
                yield self
            finally:
                sys.setprofile(before)
        self.bytes = _bytes() - bytes_before


def _bytes() -> int:
    """Bytes that this process has read and written so far; 0 where the system doesn't tell."""
    if not _BYTES.exists():
        return 0
    told = dict(line.split(": ") for line in _BYTES.read_text().splitlines())
    return int(told["rchar"]) + int(told["wchar"])


class First(Stage):
    """A frame a chunk, each with a small file; the last is made of all others."""

    name: ClassVar[str] = "first"

    def __init__(self, count: int) -> None:
        self.count = count

    def settings(self) -> dict[str, Json]:
        return {}

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return frame_chunks(0, self.count, 1)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        (folder / "data.bin").write_bytes(b"%d" % chunk.start)
        ctx.tick()

    def finish(self, ctx: Context, folder: Path) -> None:
        (folder / "all.bin").write_bytes(b"%d" % self.count)


class Second(Stage):
    """Each chunk looks at its neighbours of the stage before, and at the one before it."""

    name: ClassVar[str] = "second"
    takes: ClassVar[tuple[str, ...]] = ("first",)

    def settings(self) -> dict[str, Json]:
        return {}

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return ctx.input("first").chunks

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        first = ctx.input("first")
        near = first.overlapping(max(0, chunk.start - 1), chunk.stop + 1)
        data = [first.path(one.name, "data.bin").read_bytes() for one in near]
        if chunk.start:
            before = f"{chunk.start - 1:07d}"
            data.append(ctx.own.path(before, "data.bin").read_bytes()[:8])
        (folder / "data.bin").write_bytes(b" ".join(data))
        ctx.tick()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few records are kept, as they are of a film, and the disk is not waited for."""
    monkeypatch.setattr(stored, "RECENT", RECENT)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Films:
    """Runs both stages on films of some lengths, each in a cache of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.source = folder, source

    def __call__(self, count: int) -> RunReport:
        stages = [First(count), Second()]
        with self.store(count) as store, Progress() as progress:
            return run(stages, store, "s1", self.source, progress=progress)

    def store(self, count: int) -> Store:
        return Store(self.folder / str(count))

    def artifact(self, count: int, stage: str = "second") -> Artifact:
        """As another process sees it."""
        (key,) = (path.name for path in (self.folder / str(count) / "s1" / stage).iterdir())
        return self.store(count).open("s1", stage, key)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    folder = tmp_path_factory.mktemp("films")
    source = folder / "film.mp4"
    source.write_bytes(b"not really a film")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "RECENT", RECENT)
        patch.setattr(os, "fsync", lambda descriptor: None)
        made = Films(folder / "cache", source)
        for count in (FEW, SOME, MANY):
            made(count)
        return made


def work_of(what: Callable[[int], object], count: int) -> Work:
    with Work().counting() as work:
        what(count)
    return work


def each(what: Callable[[int], object]) -> tuple[Work, Work]:
    """What sixty chunks more cost, and what nine hundred more do, for every sixty of them."""
    few, some, many = (work_of(what, count) for count in (FEW, SOME, MANY))
    short, long = Work(), Work()
    share = (MANY - SOME) / (SOME - FEW)
    short.calls = some.calls - few.calls
    long.calls = round((many.calls - some.calls) / share)
    short.bytes = some.bytes - few.bytes
    long.bytes = round((many.bytes - some.bytes) / share)
    for name in many.files:
        short.files[name] = some.files[name] - few.files[name]
        long.files[name] = round((many.files[name] - some.files[name]) / share)
    return short, long


def hold(short: Work, long: Work) -> None:
    """The cost of a chunk is the same in a long film as in a short one, within a few calls."""
    for name, count in long.files.items():
        assert count <= short.files[name] + 2, (name, count, short.files[name])
    assert long.calls <= 1.02 * short.calls + 10
    assert long.bytes <= 1.05 * short.bytes + 100  # numbers have more digits


def _pairs(folder: Path, count: int) -> None:
    for i in range(count):
        sorted(abs(i - j) for j in range(count))


def _listed(folder: Path, count: int) -> None:
    for i in range(count // 20):
        (folder / str(i)).touch()
        for _ in os.scandir(folder):
            pass


def _rewritten(folder: Path, count: int) -> None:
    for i in range(count // 20):
        (folder / "manifest").write_bytes(bytes(10 * i))


@pytest.mark.parametrize("growing", [_pairs, _listed, _rewritten])
def test_the_measure_sees_what_grows(tmp_path: Path, growing: Callable[[Path, int], None]) -> None:
    """Work for each pair of chunks, in memory or on the disk, is found out."""
    if growing is _rewritten and not _BYTES.exists():
        pytest.skip("this system does not count bytes")

    def work(count: int) -> None:
        (tmp_path / str(count)).mkdir()
        growing(tmp_path / str(count), count)

    with pytest.raises(AssertionError):
        hold(*each(work))


def test_a_first_run(films: Films, tmp_path: Path) -> None:
    made = Films(tmp_path, films.source)
    hold(*each(made))
    # They are really made: a folder's rename and a record for each chunk of either stage.
    assert made.artifact(MANY).count == MANY
    assert made.artifact(MANY, "first").count == MANY + 1


def test_a_run_with_nothing_to_do(films: Films) -> None:
    hold(*each(films))


def test_a_run_that_goes_on(films: Films) -> None:
    """The last chunk was lost, as when a run is killed: no other is made again."""

    def again(count: int) -> None:
        films.artifact(count).drop(f"{count - 1:07d}")
        report = films(count).stages["second"]
        assert (report.chunks_done, report.chunks_reused) == (1, count - 1)

    hold(*each(again))


def test_windows_over_an_artifact(films: Films) -> None:
    """What stages do that look around: a window about every frame."""

    def look(count: int) -> None:
        artifact = films.artifact(count)
        for frame in range(count):
            for chunk in artifact.overlapping(max(0, frame - 2), frame + 3):
                artifact.path(chunk.name, "data.bin")

    hold(*each(look))


def test_one_window_reads_its_chunks_alone(films: Films) -> None:
    artifact = films.artifact(MANY)
    assert artifact.count == MANY  # its manifest is read
    with Work().counting() as first:
        chunks = artifact.overlapping(MANY // 2, MANY // 2 + 3)
        for chunk in chunks:
            artifact.path(chunk.name, "data.bin")
    assert [chunk.start for chunk in chunks] == [MANY // 2 + i for i in range(3)]
    # A record and a file each, to check it.
    assert first.files["open"] == 6
    with Work().counting() as second:
        for chunk in artifact.overlapping(MANY // 2, MANY // 2 + 3):
            artifact.path(chunk.name, "data.bin")
    assert second.files["open"] == 0
    assert second.calls < 300


def test_the_tools_for_the_cache(films: Films) -> None:
    def tend(count: int) -> None:
        with films.store(count) as store:
            assert len(upkeep.sources(store)) == 1
            assert {info.stage for info in upkeep.show(store, "s1")} == {"first", "second"}
            assert not list(upkeep.verify(store))

    hold(*each(tend))
