"""Killed and stopped at any moment, as often as one likes: the result is the same to the byte.

``VIDEDIT_KILLS`` says how often, with each signal; ``make faults`` takes 50.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.runs import COUNT, MANY, command, digest

# Once at some stages is in tests/test_end_to_end.py.
own_cache = pytest.mark.usefixtures("default_cache")
pytestmark = [pytest.mark.weights, pytest.mark.slow, MANY, own_cache]


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The result of an undisturbed run, and how many lines it logs."""
    folder = tmp_path_factory.mktemp("whole")
    done = subprocess.run(command(clip, folder), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return digest(folder / "out.mp4"), len(done.stderr.splitlines())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_at_any_moment(
    clip: Path, whole: tuple[str, int], tmp_path: Path, number: signal.Signals
) -> None:
    wanted, lines = whole
    rng = random.Random(int(number))
    kills, rounds, codes = 0, 0, Counter[int]()
    while kills < COUNT:
        folder = tmp_path / str(rounds)
        folder.mkdir()
        rounds += 1
        while True:
            with subprocess.Popen(
                command(clip, folder), stderr=subprocess.PIPE, text=True
            ) as process:
                assert process.stderr is not None
                # After a line, or some time after one: in the middle of a chunk.
                for _ in range(rng.randrange(1, lines)):
                    if not process.stderr.readline():
                        break
                time.sleep(rng.choice((0, 0, 0.1, 0.5)))
                if kills < COUNT and process.poll() is None:
                    process.send_signal(number)
                try:
                    _, rest = process.communicate(timeout=120)
                except subprocess.TimeoutExpired:
                    process.kill()  # not to wait for what hangs
                    raise
            assert "Traceback" not in rest
            codes[process.returncode] += 1
            if process.returncode == 0:
                break
            kills += 1
            assert process.returncode == (7 if number == signal.SIGTERM else -number), rest
            assert not (folder / "out.mp4").exists() or digest(folder / "out.mp4") == wanted
        assert digest(folder / "out.mp4") == wanted
        left = {path.name for path in folder.iterdir()}
        if number == signal.SIGTERM:
            assert left == {"out.mp4", "cache"}
    print(f"{number.name}: {kills} in {rounds} rounds, {dict(codes)}")
