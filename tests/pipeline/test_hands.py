"""Chunks made by others: the same result, whatever becomes of who makes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.pipeline.conftest import Runs
from tests.pipeline.helpers import flip
from videdit.errors import Interrupted, NoFaceError, StorageError
from videdit.media.source import content_id
from videdit.pipeline.hands import DamageMet, HandLost, Piece
from videdit.pipeline.runner import open_contexts, run
from videdit.pipeline.store import Store
from videdit.pipeline.stored import ChunkDamaged

FRAMES = 30  # eight chunks


class ToyHands:
    """Threads that know of the run no more than other machines do."""

    def __init__(self, toy: ModuleType, source: Path, cache: Path) -> None:
        self.toy, self.source, self.cache = toy, source, cache
        self.count = 3
        self.made: list[tuple[str, str]] = []
        self.most = 0
        self._busy = 0
        self._lock = threading.Lock()
        self.before: Callable[[Piece], None] = lambda _: None

    def make(self, piece: Piece, made: Callable[[int], None]) -> None:
        with self._lock:
            self._busy += 1
            self.most = max(self.most, self._busy)
            self.made.append((piece.stage, piece.chunk.name))
        try:
            self._make(piece)
        finally:
            with self._lock:
                self._busy -= 1
        made(piece.chunk.frames)

    def _make(self, piece: Piece) -> None:
        assert not any(piece.folder.iterdir())
        self.before(piece)
        # The later ones are done first.
        time.sleep(0.01 * (3 - piece.chunk.start // 4 % 3))
        stages = self.toy.chain(self.toy.Asked(FRAMES))
        with Store(self.cache) as store:
            contexts = open_contexts(stages, store, content_id(self.source))
        (stage,) = (stage for stage in stages if stage.name == piece.stage)
        context = contexts[piece.stage]
        assert context.own.key == piece.key
        try:
            if piece.chunk.name == context.own.whole:
                stage.finish(context, piece.folder)
            else:
                stage.run_chunk(context, piece.chunk, piece.folder)
        except ChunkDamaged as damage:
            raise DamageMet(damage.artifact.stage, damage.chunk, damage.problem) from None


@pytest.fixture
def hands(toy: ModuleType, source: Path, cache: Path) -> ToyHands:
    return ToyHands(toy, source, cache)


def apart(toy: ModuleType) -> list[Any]:
    stages = toy.chain(toy.Asked(FRAMES))
    for stage in stages:
        stage.apart = stage.name != "walk"
    return list(stages)


def spread(hands: ToyHands, stop: threading.Event | None = None) -> bytes:
    stages = apart(hands.toy)
    with Store(hands.cache) as store:
        report = run(stages, store, content_id(hands.source), hands.source, hands=hands, stop=stop)
        assert not any(stage.made for stage in stages)  # not here
        return bytes(hands.toy.result(report))


@pytest.fixture
def alone(runs: Runs, tmp_path: Path) -> bytes:
    runs.cache = tmp_path / "alone"
    return runs(frames=FRAMES)


def test_the_result_is_the_same(hands: ToyHands, alone: bytes) -> None:
    assert spread(hands) == alone
    assert hands.most == hands.count
    assert len(hands.made) == len(set(hands.made)) == 4 * 8 + 1


def test_what_is_not_made_apart_keeps_its_order(hands: ToyHands) -> None:
    spread(hands)
    walked = [chunk for stage, chunk in hands.made if stage == "walk"]
    assert walked == sorted(walked)


def test_a_lost_hand_is_replaced(hands: ToyHands, alone: bytes) -> None:
    lost = []

    def lose(piece: Piece) -> None:
        if piece.chunk.start == 8 and piece.stage not in lost:
            lost.append(piece.stage)
            (piece.folder / "half").write_text("of it")
            raise HandLost("it died")

    hands.before = lose
    assert spread(hands) == alone
    assert len(lost) == 4


def test_what_goes_wrong_is_said_and_the_others_are_kept(hands: ToyHands, alone: bytes) -> None:
    def fail(piece: Piece) -> None:
        if piece.stage == "doubled" and piece.chunk.start == 4:
            raise NoFaceError("there is no face")

    hands.before = fail
    with pytest.raises(NoFaceError, match="there is no face"):
        spread(hands)
    before = {chunk for stage, chunk in hands.made if stage == "doubled"}
    hands.made.clear()
    hands.before = lambda _: None
    assert spread(hands) == alone
    again = {chunk for stage, chunk in hands.made if stage == "doubled"}
    assert again & before == {"0000004"}
    assert not [chunk for stage, chunk in hands.made if stage in ("numbers", "walk")]


def test_a_damaged_input_is_made_anew(hands: ToyHands, alone: bytes) -> None:
    damaged = []

    def damage(piece: Piece) -> None:
        if piece.stage == "doubled" and not damaged:
            (folder,) = (hands.cache / content_id(hands.source) / "walk").iterdir()
            damaged.append(folder)
            flip(folder / piece.chunk.name / "data.npy")

    hands.before = damage
    assert spread(hands) == alone
    assert damaged


def test_a_stop_waits_for_what_is_in_flight(hands: ToyHands, alone: bytes) -> None:
    stop = threading.Event()

    def halt(piece: Piece) -> None:
        if piece.stage == "joined":
            stop.set()

    hands.before = halt
    with pytest.raises(Interrupted):
        spread(hands, stop)
    made = [chunk for stage, chunk in hands.made if stage == "joined"]
    assert len(made) <= hands.count
    hands.made.clear()
    hands.before = lambda _: None
    assert spread(hands) == alone
    assert not set(hands.made) & {("joined", chunk) for chunk in made}


def test_a_full_disk_ends_it(hands: ToyHands, alone: bytes) -> None:
    def full(piece: Piece) -> None:
        if piece.stage == "numbers" and piece.chunk.start == 12:
            raise StorageError("the disk is full")

    hands.before = full
    with pytest.raises(StorageError, match="full"):
        spread(hands)
    hands.before = lambda _: None
    assert spread(hands) == alone
