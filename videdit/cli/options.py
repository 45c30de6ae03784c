"""Options that several verbs have: one name, one meaning, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_BESIDE = Path(__file__).parents[2] / "training_data"
SHIPPED = _BESIDE if _BESIDE.is_dir() else Path("training_data")
"""The project's training data, wherever a command is given: beside the package in a checkout."""

BundleName = Annotated[str, typer.Option("--bundle", help="Bundle of weights.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder for kept work.", show_default="$VIDEDIT_CACHE or the user's"
    ),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Labelled = Annotated[Path, typer.Option("--data", help="Folder of labelled codes.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")]
PrintJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
