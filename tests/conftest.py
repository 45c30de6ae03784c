"""Fixtures that several rooms share. No test needs the network once the weights are fetched."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any library that starts threads: the tests of several processes share the processors.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("VIDEDIT_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

from videdit.bundles import Bundle, load_bundle

ROOT = Path(__file__).parent.parent

# A shell that starts the tests in the background has interrupts ignored, and so would every command
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files say when they were edited. Here that is always the same, so that the results of two runs,
# one of them killed on the way, can be compared byte for byte.
os.environ["SOURCE_DATE_EPOCH"] = "1700000000"


@pytest.fixture(scope="module")
def default_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A default cache of a module's own, also for the commands that its tests start."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("default-cache")
        patch.setenv("VIDEDIT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The default bundle, fetched by `make test`. Only for tests marked ``weights``."""
    found = load_bundle()
    missing = found.missing()
    assert not missing, f"run `videdit weights fetch` first: {', '.join(missing)} missing"
    return found


@pytest.fixture(scope="session")
def example() -> Path:
    """The example clip: 1280x720, 25 fps, 100 frames, a generated person, with sound."""
    return ROOT / "examples" / "input.mp4"
