"""Settings of a training, read from JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UsageError

Settings = TypeVar("Settings")


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """A dataclass of numbers from a JSON object; what it does not say keeps its default.

    Raises:
        UsageError: no such file, no JSON, unknown names, or values that are no such numbers.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(values, dict):
            raise ValueError("no object")
        known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown settings {', '.join(unknown)}")
        usual = kind()
        for name, value in values.items():
            wanted = type(getattr(usual, name))
            fits = isinstance(value, (int, float) if wanted is float else wanted)
            if not fits or isinstance(value, bool) or (wanted in (int, float) and value < 0):
                raise ValueError(f"{name} is {value!r}, not a number from 0 on")
        return kind(**values)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{path} holds no settings ({error})", "The committed ones are in training_data."
        ) from error
