"""Who makes chunks in the runner's stead: several at a time, in other processes or elsewhere.

The runner stays the only one that writes to the store. A hand is given an empty folder on a path
that both see, leaves a chunk's files there, and the runner commits them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from videdit.pipeline.records import Chunk


@dataclass(frozen=True)
class Piece:
    """A chunk to make.

    Attributes:
        stage, key: whose; the key says that both mean the same.
        chunk: which, the last one (:attr:`StoredArtifact.whole`) included.
        folder: empty; takes its files.
    """

    stage: str
    key: str
    chunk: Chunk
    folder: Path


class HandLost(Exception):
    """A hand ended without having made its chunk, which may be given out again."""


class DamageMet(Exception):
    """What a hand read is not what was written.

    Attributes:
        stage, chunk: what is damaged.
        problem: in words.
    """

    def __init__(self, stage: str, chunk: str, problem: str) -> None:
        super().__init__(f"{stage}, chunk {chunk}: {problem}")
        self.stage, self.chunk, self.problem = stage, chunk, problem


class Hands(Protocol):
    """Some hands.

    Attributes:
        count: how many chunks they make at a time.
    """

    @property
    def count(self) -> int: ...

    def make(self, piece: Piece, made: Callable[[int], None]) -> None:
        """Make a chunk; called from several threads, and waits for a free hand.

        Args:
            made: told how many units of its work are done.

        Raises:
            HandLost: give it out again.
            DamageMet: an input is damaged.
            VideditError: whatever the stage raises, or a hand that others can't work with.
        """
