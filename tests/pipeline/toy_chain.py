"""A small chain of stages for the tests, also a script: what a run of it does is logged to a file.

    python toy_chain.py SOURCE CACHE OUTPUT LOG [--hold "begin walk 0000004"]

It also says on standard output where it is, and waits for a line on standard input when it comes to
the place of --hold, so that a test can kill it exactly there.

numbers -> walk (each chunk needs the one before) -> doubled -> joined (a `whole` of everything)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from videdit.errors import VideditError
from videdit.media.source import content_id
from videdit.pipeline.progress import Progress, make_progress
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from videdit.pipeline.store import Store

FRAMES = 12
"""What a run of the script makes, in three chunks per stage."""


@dataclass(frozen=True)
class Asked:
    """What a run of the toy chain is asked to do."""

    frames: int = 10
    chunk_frames: int = 4
    face: str = "largest"
    crf: int | None = None


class Toy(Stage):
    """Logs what it makes, and keeps to the frames of the source."""

    def __init__(self, asked: Asked, log: Path | None = None, hold: str = "") -> None:
        self.asked = asked
        self.log = log
        self.hold = hold
        self.made: list[str] = []

    def settings(self) -> dict[str, Json]:
        return {"frames": self.asked.frames}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return frame_chunks(0, self.asked.frames, self.asked.chunk_frames)

    def expected(self) -> int:
        return self.asked.frames

    def say(self, what: str, chunk: str) -> None:
        if what == "begin":
            self.made.append(chunk)
        if self.log is not None:
            place = f"{what} {self.name} {chunk}"
            with open(self.log, "a") as stream:
                stream.write(f"{place} {os.getpid()}\n")
            print(place, flush=True)
            if place == self.hold:
                sys.stdin.readline()

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        self.say("begin", chunk.name)
        for _ in range(chunk.frames):
            ctx.tick()
        np.save(folder / "data.npy", self.make(ctx, chunk))
        self.say("end", chunk.name)

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        raise NotImplementedError

    def read(self, ctx: Context, stage: str, name: str) -> np.ndarray:
        artifact = ctx.own if stage == self.name else ctx.input(stage)
        return np.load(artifact.path(name, "data.npy"))


class Numbers(Toy):
    name: ClassVar[str] = "numbers"

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        numbers = [
            np.frombuffer(hashlib.sha256(b"%d" % i).digest(), np.uint8)
            for i in range(chunk.start, chunk.stop)
        ]
        return np.array(numbers, np.int64)


class Walk(Toy):
    name: ClassVar[str] = "walk"
    takes: ClassVar[tuple[str, ...]] = ("numbers",)

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        before = np.zeros(32, np.int64)
        if chunk.start:
            names = [c.name for c in self.chunks(ctx)]
            before = self.read(ctx, "walk", names[names.index(chunk.name) - 1])[-1]
        return before + np.cumsum(self.read(ctx, "numbers", chunk.name), axis=0)


class Doubled(Toy):
    name: ClassVar[str] = "doubled"
    takes: ClassVar[tuple[str, ...]] = ("walk", "numbers")

    def settings(self) -> dict[str, Json]:
        return {"face": self.asked.face}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return list(ctx.input("walk").chunks)

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        numbers = self.read(ctx, "numbers", chunk.name)
        return 2 * self.read(ctx, "walk", chunk.name) + numbers + len(self.asked.face)


class Joined(Toy):
    name: ClassVar[str] = "joined"
    takes: ClassVar[tuple[str, ...]] = ("doubled",)

    def settings(self) -> dict[str, Json]:
        return {"crf": self.asked.crf}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return list(ctx.input("doubled").chunks)

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        return self.read(ctx, "doubled", chunk.name) % 251

    def finish(self, ctx: Context, folder: Path) -> None:
        self.say("begin", ctx.own.whole)
        with open(folder / "joined.bin", "wb") as stream:
            for chunk in self.chunks(ctx):
                stream.write(self.read(ctx, "joined", chunk.name).tobytes())
        self.say("end", ctx.own.whole)


def chain(asked: Asked, log: Path | None = None, hold: str = "") -> list[Toy]:
    return [kind(asked, log, hold) for kind in (Numbers, Walk, Doubled, Joined)]


def log_commits(progress: Progress, stages: list[Toy]) -> None:
    """Has each stage log what is committed, before the next chunk begins."""
    by_name = {stage.name: stage for stage in stages}
    counted = progress.chunk_end

    def chunk_end(stage: str) -> None:
        counted(stage)
        by_name[stage].say("committed", by_name[stage].made[-1])

    progress.chunk_end = chunk_end  # type: ignore[method-assign]


def result(report: RunReport) -> bytes:
    """The bytes that the last stage left."""
    joined = report.artifacts["joined"]
    return joined.path(joined.whole, "joined.bin").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("source", "cache", "output", "log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--hold", default="")
    given = parser.parse_args()
    stages = chain(Asked(FRAMES), given.log, given.hold)
    try:
        with Store(given.cache) as store, make_progress() as progress:
            log_commits(progress, stages)
            source_id = content_id(given.source)
            report = run(stages, store, source_id, given.source, progress=progress)
            given.output.write_bytes(result(report))
    except VideditError as error:
        print(f"videdit: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
