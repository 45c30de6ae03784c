"""A small chain of stages for the tests, also a script: what a run of it does is logged to a file.

    python toy_chain.py SOURCE CACHE OUTPUT LOG [--delay S] [--frames N] [--face F] [--crf C]

numbers -> walk (each chunk needs the one before) -> doubled -> joined (a `whole` of everything)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from videdit.errors import VideditError
from videdit.media.source import content_id
from videdit.pipeline.progress import make_progress
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.settings import RunSettings
from videdit.pipeline.stage import WHOLE, Chunk, Context, Stage, frame_chunks
from videdit.pipeline.store import Json, Store


class Toy(Stage):
    """Logs what it makes, takes its time, and keeps to the frames of the source."""

    def __init__(self, frames: int, log: Path | None = None, delay: float = 0.0) -> None:
        self.frames = frames
        self.log = log
        self.delay = delay
        self.made: list[str] = []

    def settings(self, run: RunSettings) -> dict[str, Json]:
        return {"frames": self.frames}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return frame_chunks(0, self.frames, ctx.run.chunk_frames)

    def say(self, what: str, chunk: str) -> None:
        if what == "begin":
            self.made.append(chunk)
        if self.log is not None:
            with open(self.log, "a") as stream:
                stream.write(f"{what} {self.name} {chunk} {os.getpid()}\n")

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        self.say("begin", chunk.name)
        for _ in range(chunk.frames):
            time.sleep(self.delay)
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

    def settings(self, run: RunSettings) -> dict[str, Json]:
        return {"face": run.face}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return list(ctx.input("walk").chunks)

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        numbers = self.read(ctx, "numbers", chunk.name)
        return 2 * self.read(ctx, "walk", chunk.name) + numbers + len(ctx.run.face)


class Joined(Toy):
    name: ClassVar[str] = "joined"
    takes: ClassVar[tuple[str, ...]] = ("doubled",)

    def settings(self, run: RunSettings) -> dict[str, Json]:
        return {"crf": run.crf}

    def chunks(self, ctx: Context) -> list[Chunk]:
        return list(ctx.input("doubled").chunks)

    def make(self, ctx: Context, chunk: Chunk) -> np.ndarray:
        return self.read(ctx, "doubled", chunk.name) % 251

    def finish(self, ctx: Context, folder: Path) -> None:
        self.say("begin", WHOLE)
        with open(folder / "joined.bin", "wb") as stream:
            for chunk in self.chunks(ctx):
                stream.write(self.read(ctx, "joined", chunk.name).tobytes())
        self.say("end", WHOLE)


def chain(frames: int, log: Path | None = None, delay: float = 0.0) -> list[Toy]:
    return [kind(frames, log, delay) for kind in (Numbers, Walk, Doubled, Joined)]


def result(report: RunReport) -> bytes:
    """The bytes that the last stage left."""
    return report.artifacts["joined"].path(WHOLE, "joined.bin").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("source", "cache", "output", "log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--delay", type=float, default=0.002)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--chunk", type=int, default=4)
    asked = parser.parse_args()
    settings = RunSettings(asked.source, asked.output, chunk_frames=asked.chunk)
    stages = chain(asked.frames, asked.log, asked.delay)
    try:
        with Store(asked.cache) as store, make_progress() as progress:
            report = run(stages, settings, store, content_id(asked.source), progress=progress)
            asked.output.write_bytes(result(report))
    except VideditError as error:
        print(f"videdit: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
