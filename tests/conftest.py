"""Fixtures that several rooms share. No test needs the network once the weights are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from videdit.bundles import Bundle, load_bundle

ROOT = Path(__file__).parent.parent


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
