"""Settings of a training, read from JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import UsageError

Settings = TypeVar("Settings")


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """A dataclass from a JSON object; what it does not say keeps its default.

    Raises:
        UsageError: no such file, no JSON, or unknown names.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown settings {', '.join(unknown)}")
        return kind(**values)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{path} holds no settings ({error})", "The committed ones are in training_data."
        ) from error
