from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from videdit.errors import InputError
from videdit.media import apart
from videdit.media.apart import probe_apart
from videdit.media.probe import probe


def test_the_same_as_probed_here(plain: Path) -> None:
    here, there = probe(plain), probe_apart(plain)
    for name in here.__dataclass_fields__:
        np.testing.assert_equal(getattr(there, name), getattr(here, name), err_msg=name)


def test_the_same_error(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(InputError) as here:
        probe(path)
    with pytest.raises(InputError) as there:
        probe_apart(path)
    assert str(there.value) == str(here.value)


def test_a_crash_is_an_error_of_the_input(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_STARTED", "import os; {!r}; os.abort()")
    with pytest.raises(InputError, match="crashed"):
        probe_apart(plain)


def test_where_no_process_can_be_started_it_is_probed_here(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "")
    assert len(probe_apart(plain)) == 25
