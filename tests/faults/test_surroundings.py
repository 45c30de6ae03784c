"""What changes around a run: the disk, the cache, the source, the clock, the weights.

Each ends in a clear line, and the same command after it gives what an undisturbed run gives.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import videdit
from tests.faults.runs import COUNT, MANY, command, digest
from videdit.bundles import Bundle
from videdit.errors import InputError, StorageError
from videdit.files import sha256_of

pytestmark = [pytest.mark.weights, pytest.mark.slow, pytest.mark.usefixtures("default_cache")]

PACKAGE = Path(videdit.__file__).parent
STAGES = (
    *("frames", "landmarks", "track", "align", "encode", "refine", "reconstruct", "edit"),
    *("decode", "blend"),
)


class Ended:
    """How a run ended: its exit code, its events, and its last words."""

    def __init__(self, code: int, lines: list[str]) -> None:
        assert not [line for line in lines if "Traceback" in line], lines
        self.code = code
        self.events = [json.loads(line) for line in lines]
        self.said = " ".join(str(e["message"]) for e in self.events if e["event"] == "error")
        self.reused = [stage for e in self.events if e["event"] == "plan" for stage in e["reused"]]

    @property
    def last(self) -> str:
        """The stage that it ended in."""
        return [str(e["stage"]) for e in self.events if e["event"] == "stage_begin"][-1]


def run(
    words: list[str],
    at: str = "",
    do: Callable[[], object] = lambda: None,
    cwd: Path | None = None,
    **variables: str,
) -> Ended:
    """Runs a command, and does something when a stage begins."""
    asked = {"cwd": cwd, "env": os.environ | variables, "text": True}
    with subprocess.Popen(words, stderr=subprocess.PIPE, **asked) as process:  # type: ignore[call-overload]
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if at and '"stage_begin"' in line and f'"stage": "{at}"' in line:
                do()
                at = ""
        assert not at, f"{at} did not begin: {lines[-3:]}"
        return Ended(process.wait(300), lines)


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(command(clip, folder)).code == 0
    return folder


def goes_on(clip: Path, folder: Path, whole: Path, cache: Path | None = None) -> Ended:
    """The same again gives what an undisturbed run gives."""
    ended = run(command(clip, folder, cache))
    assert ended.code == 0, ended.said
    assert digest(folder / "out.mp4") == digest(whole / "out.mp4")
    return ended


# --- the disk ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory with some options, or mounts it anew with others."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        again = "remount," if mounted else ""
        words = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small tmpfs")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def pages(folder: Path) -> int:
    """What files take on a file system in memory, pages of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_at_every_stage(
    clip: Path, whole: Path, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    (source,) = (path for path in (whole / "cache").iterdir() if not path.name.startswith("."))
    needs = {stage: pages(source / stage) for stage in STAGES}
    met = []
    # Stages of a page or two find room beside the others.
    large = [stage for stage in STAGES if needs[stage] >= 16]
    for stage in large if COUNT else large[::2]:
        disk = small_disk("size=16m")
        room = (
            pages(disk)
            + sum(  # those before it, which a run makes first, and half of its own
                needs[each]
                for each in STAGES[: STAGES.index(stage)]
                if not (disk / "cache" / source.name / each).exists()
            )
        )
        small_disk(f"size={4 * (room + needs[stage] // 2)}k")
        ended = run(command(clip, tmp_path, disk / "cache"))
        assert ended.code == StorageError.exit_code, (stage, ended.said)
        assert "the disk is full" in ended.said
        assert not (tmp_path / "out.mp4").exists()
        met.append(ended.last)
    small_disk("size=64m")
    goes_on(clip, tmp_path, whole, tmp_path / "disk" / "cache")
    assert len(set(met)) >= (4 if COUNT else 2), met


@MANY
def test_a_disk_that_becomes_read_only(
    clip: Path, whole: Path, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=64m")
    shutil.copytree(whole / "cache", disk / "cache")
    (source,) = (path for path in (disk / "cache").iterdir() if not path.name.startswith("."))
    for stage in ("blend", "decode"):
        shutil.rmtree(source / stage)
    small_disk("ro,size=64m")
    ended = run(command(clip, tmp_path, disk / "cache"))
    assert ended.code == StorageError.exit_code, ended.said
    assert not (tmp_path / "out.mp4").exists()
    small_disk("rw,size=64m")
    assert "reconstruct" in goes_on(clip, tmp_path, whole, disk / "cache").reused


# --- the cache -----------------------------------------------------------------------------------


def test_a_cache_that_vanishes(clip: Path, whole: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    ended = run(command(clip, tmp_path), "decode", lambda: shutil.rmtree(cache, ignore_errors=True))
    # It may have come so far that it could make everything anew.
    assert ended.code in (0, StorageError.exit_code), ended.said
    goes_on(clip, tmp_path, whole)


@MANY
def test_a_cache_that_becomes_a_file(clip: Path, whole: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def replace() -> None:
        cache.rename(tmp_path / "aside")
        cache.write_text("in the way")

    ended = run(command(clip, tmp_path), "encode", replace)
    assert ended.code == StorageError.exit_code, ended.said
    cache.unlink()
    (tmp_path / "aside").rename(cache)
    goes_on(clip, tmp_path, whole)


# --- the source ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [pytest.param("written to", marks=MANY), "replaced"])
def test_a_source_that_changes_meanwhile(
    clip: Path, other: Path, whole: Path, tmp_path: Path, how: str
) -> None:
    source = tmp_path / "clip.mp4"
    shutil.copy(clip, source)

    def change() -> None:
        if how == "written to":
            source.write_bytes(other.read_bytes())
        else:
            shutil.copy(other, tmp_path / "new.mp4")
            os.replace(tmp_path / "new.mp4", source)

    ended = run(command(source, tmp_path), "encode", change)
    assert ended.code == InputError.exit_code, ended.said
    assert "clip.mp4 was changed while it was edited" in ended.said
    assert not (tmp_path / "out.mp4").exists()
    # The other one's own result, and then, from the same cache, the first one's.
    assert run(command(source, tmp_path)).code == 0
    assert digest(tmp_path / "out.mp4") != digest(whole / "out.mp4")
    shutil.copy(clip, source)
    goes_on(source, tmp_path, whole)


# --- the clock -----------------------------------------------------------------------------------


def test_a_clock_that_jumps(clip: Path, whole: Path, tmp_path: Path) -> None:
    source, cache = tmp_path / "clip.mp4", tmp_path / "cache"
    shutil.copy(clip, source)
    shutil.copytree(whole / "cache", cache)
    assert run(command(source, tmp_path)).code == 0
    for years in (-30, 30):
        then = time.time() + years * 365 * 86400
        for path in cache.rglob("*"):
            os.utime(path, (then, then))
        ended = goes_on(source, tmp_path, whole)
        assert "blend" in ended.reused


@MANY
def test_a_clock_that_jumps_while_it_runs(clip: Path, whole: Path, tmp_path: Path) -> None:
    cache, over = tmp_path / "cache", threading.Event()

    def jump() -> None:
        """Every file that is written is old, or from the future."""
        for years in (-30, 30) * 1000:
            then = time.time() + years * 365 * 86400
            for path in list(cache.rglob("*")):
                try:
                    os.utime(path, (then, then))
                except FileNotFoundError:
                    continue
            if over.wait(0.05):
                return

    jumping = threading.Thread(target=jump)
    jumping.start()
    try:
        goes_on(clip, tmp_path, whole)
    finally:
        over.set()
        jumping.join()


# --- the weights ---------------------------------------------------------------------------------


def test_weights_that_are_exchanged_under_a_cache(
    clip: Path, whole: Path, tmp_path: Path, bundle: Bundle
) -> None:
    tree = tmp_path / "tree" / "videdit"
    weights = tree / "_weights" / bundle.name
    weights.mkdir(parents=True)
    for folder, links in ((PACKAGE, tree), (bundle.manifest.folder, weights)):
        for path in folder.iterdir():
            if path.name != "_weights":
                (links / path.name).symlink_to(path)
    manifest, part = weights / "bundle.json", weights / "regions.safetensors"
    with safe_open(str(part), "pt") as opened:
        said = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    name = next(name for name in tensors if tensors[name].ndim == 4)
    tensors[name] = (tensors[name].float() * 1.02).to(torch.float16)
    part.unlink()
    save_file(tensors, part, said)
    content = json.loads(manifest.read_text())
    kept = content["parts"]["regions.safetensors"]
    kept["size"], kept["sha256"] = part.stat().st_size, sha256_of(part)
    manifest.unlink()
    manifest.write_text(json.dumps(content))

    cache = tmp_path / "cache"
    shutil.copytree(whole / "cache", cache)
    ended = run(command(clip, tmp_path), cwd=tmp_path, PYTHONPATH=str(tree.parent))
    assert ended.code == 0, ended.said
    assert "decode" in ended.reused
    assert "blend" not in ended.reused
    assert digest(tmp_path / "out.mp4") != digest(whole / "out.mp4")
    assert "blend" in goes_on(clip, tmp_path, whole).reused  # and back
