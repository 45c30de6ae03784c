"""Settings of trainings are read from JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from videdit.errors import UsageError
from videdit.training.maps import TransformerTraining
from videdit.training.settings import read_settings

COMMITTED = Path(__file__).resolve().parents[2] / "training_data" / "transformers-gpu.json"


def test_what_is_not_said_keeps_its_default(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"steps": 7, "margin": 2}')
    assert read_settings(path, TransformerTraining) == TransformerTraining(steps=7, margin=2)
    assert read_settings(COMMITTED, TransformerTraining).together == 40


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"stepz": 7}', '{"steps": "many"}', '{"steps": true}', '{"length": -1}']
)
def test_what_are_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="holds no settings"):
        read_settings(path, TransformerTraining)
