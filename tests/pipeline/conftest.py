"""The toy chain as a module, and a source for it."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from videdit.media.source import content_id
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.store import Store

SCRIPT = Path(__file__).with_name("toy_chain.py")


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell starts background jobs with SIGINT ignored, which these tests are about."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("videdit_toy_chain", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not really a video")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(cache: Path) -> Iterator[Store]:
    with Store(cache) as opened:
        yield opened


class Runs:
    """Runs the toy chain in this process; keeps what each stage made in the last run."""

    def __init__(self, toy: ModuleType, source: Path, cache: Path) -> None:
        self.toy, self.source, self.cache = toy, source, cache
        self.made: dict[str, list[str]] = {}
        self.report: RunReport | None = None

    def __call__(
        self,
        change: Callable[[list[Any]], None] | None = None,
        targets: Sequence[str] = (),
        **asked: Any,
    ) -> bytes:
        stages = self.toy.chain(self.toy.Asked(**asked))
        if change is not None:
            change(stages)
        self.made = {stage.name: stage.made for stage in stages}
        with Store(self.cache) as store:
            self.report = run(stages, store, content_id(self.source), self.source, targets=targets)
            return bytes(self.toy.result(self.report))

    def folder(self, stage: str) -> Path:
        """Where the stage's only artifact is."""
        (folder,) = (self.cache / content_id(self.source) / stage).iterdir()
        return folder


@pytest.fixture
def runs(toy: ModuleType, source: Path, cache: Path) -> Runs:
    return Runs(toy, source, cache)


@pytest.fixture
def start(source: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the toy chain as a process of its own."""
    started = []

    def begin(
        cache: Path, output: Path, log: Path, *options: str, **popen: Any
    ) -> subprocess.Popen[str]:
        words = [sys.executable, str(SCRIPT), *map(str, (source, cache, output, log)), *options]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(words, text=True, **{**pipes, **popen})
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:  # closes its pipes and waits
            process.kill()
