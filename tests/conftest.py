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
from videdit.device import Device, choose_device
from videdit.models.networks import Networks

ROOT = Path(__file__).parent.parent

# A shell that starts the tests in the background has interrupts ignored, and so would every command
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files say when they were edited. Here that is always the same, so that the results of two runs,
# one of them killed on the way, can be compared byte for byte.
os.environ["SOURCE_DATE_EPOCH"] = "1700000000"


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the networks that these tests compile are kept; all their processes share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def default_cache(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Path]:
    """A default cache of a module's own, also for the commands that its tests start; of what
    earlier tests left it has the compiled networks alone."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("default-cache")
        (folder / ".compiled").symlink_to(compiled)
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
def networks(bundle: Bundle, compiled: Path) -> Networks:
    """The default bundle's, on the CPU, loaded once. Only for tests marked ``weights``."""
    return Networks(bundle, Device("cpu", "fp32"), "mesh", compiled)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Bundle]:
    """An imported bundle with a random generator of 64 pixels and 10 rows, also for the commands
    that a module's tests start. Only for tests marked ``weights``."""
    from tests.models.published import import_tiny

    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("VIDEDIT_WEIGHTS", str(home / "weights"))
        import_tiny(home / "weights", home, bundle.folder)
        yield load_bundle("tiny")


@pytest.fixture(scope="session")
def example() -> Path:
    """The example clip: 1280x720, 25 fps, 100 frames, a generated person, with sound."""
    return ROOT / "examples" / "input.mp4"


DEVICES = ("cpu",) if choose_device().name == "cpu" else ("cpu", "cuda")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Each that this machine has."""
    return str(request.param)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one: on small tensors, several mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
