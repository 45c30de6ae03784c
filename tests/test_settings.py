"""What a run is asked to do, as it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.helpers import flip
from videdit.errors import UsageError
from videdit.pipeline.store import Store
from videdit.settings import RunSettings, load_last_run, save_last_run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not really a video")
    return path


def test_settings_as_json(source: Path) -> None:
    from videdit.editing.schedule import AlphaSchedule, Edit

    edit = Edit("Smiling", AlphaSchedule.parse("0s:0,2s:1.5"))
    plain = RunSettings(source, source, edits=(edit,), stop_s=2.5).to_json()
    assert plain["edits"] == ["Smiling=0.0s:0.0,2.0s:1.5"]
    assert plain["source"] == str(source)
    assert plain["stop_s"] == 2.5
    assert plain["start_s"] is None


def test_the_last_run_is_kept(source: Path, tmp_path: Path) -> None:
    from videdit.editing.schedule import Edit

    cache = tmp_path / "cache"
    edits = (Edit.parse("Smiling=0s:0,2s:1.5"), Edit.parse("Young=-0.5"))
    asked = RunSettings(source, source, edits, stop_s=2.5, crf=18, cache_dir=cache)
    with Store(cache) as store:
        with pytest.raises(UsageError):
            load_last_run(store, "s1")
        save_last_run(store, "s1", asked)
        assert load_last_run(store, "s1") == asked
        flip(cache / "s1" / "last-run.json")
        with pytest.raises(UsageError):
            load_last_run(store, "s1")
