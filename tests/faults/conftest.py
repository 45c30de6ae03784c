"""A clip on which a run takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import write_small

FRAMES = 6


@pytest.fixture(scope="session")
def clip(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the example's size, six frames."""
    return write_small(tmp_path_factory.mktemp("clip") / "clip.mp4", example, FRAMES)


@pytest.fixture(scope="session")
def other(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames from later on."""
    return write_small(tmp_path_factory.mktemp("clip") / "other.mp4", example, FRAMES, 50)
