"""The house's layers hold, and a crossing does not pass."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    *("cli", "training", "evaluation", "stages", "pipeline", "inversion", "editing", "blending"),
    *("faces", "media", "generators", "bundles", "batch", "previews", "report", "ui"),
)
MODULES = (
    *("compiled", "captured", "copies", "batches", "trial"),
    *("__main__", "api", "settings", "artifacts", "models", "device", "files", "errors", "arrays"),
    *(
        "plot",
        "sheet",
        "faces/mesh",
        "faces/fan",
        "stages/chain",
        "stages/align",
        "stages/edit",
        "stages/resources",
    ),
)
SOUND = {
    "__main__": "import videdit.cli",
    "cli/__init__": "from videdit import api, evaluation, training",
    "evaluation/__init__": "from videdit import api, editing",
    "api": "import videdit.stages.chain",
    "stages/chain": "from videdit.stages import align, edit",
    "stages/align": "from videdit import artifacts, faces, pipeline, previews, settings\n"
    "from videdit.stages import resources",
    "artifacts": "import videdit.pipeline",
    "editing/__init__": "import videdit.faces",
    "faces/mesh": "import videdit.faces.fan",
    "faces/fan": "import videdit.errors",
}
"""A small house in which all arrows point the right way."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """`lint-imports` in a folder that holds a package and pyproject.toml."""
    code = "from importlinter.cli import lint_imports_command as run; run()"
    command = [sys.executable, "-c", code, "--no-logo", "--no-cache", "pyproject.toml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The small house under the project's own contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "videdit"
    for name in ("", *ROOMS):
        (package / name).mkdir()
        (package / name / "__init__.py").touch()
    for name in MODULES:
        (package / f"{name}.py").touch()
    for name, text in SOUND.items():
        (package / f"{name}.py").write_text(text + "\n")
    return package


def test_a_sound_house_passes(house: Path) -> None:
    with (house / "device.py").open("a") as file:
        file.write("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import videdit.api\n")
    done = lint(house.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("device", "import videdit.bundles", "Arrows point one way"),
        ("faces/fan", "def f():\n    import videdit.editing", "Arrows point one way"),
        ("inversion/__init__", "import videdit.editing", "Arrows point one way"),
        ("training/__init__", "import videdit.evaluation", "Arrows point one way"),
        ("report/__init__", "import videdit.evaluation", "Arrows point one way"),
        ("evaluation/__init__", "import videdit.training", "Arrows point one way"),
        ("ui/__init__", "import videdit.cli", "Arrows point one way"),
        ("artifacts", "import videdit.stages.edit", "Arrows point one way"),
        ("previews/__init__", "import videdit.stages.edit", "Arrows point one way"),
        ("artifacts", "import videdit.previews", "Arrows point one way"),
        ("pipeline/__init__", "import videdit.settings", "Arrows point one way"),
        ("attic", "", "Arrows point one way"),  # belongs to no layer
        ("pipeline/__init__", "import videdit.faces", "The pipeline knows nothing of faces"),
        ("stages/align", "import videdit.stages.edit", "Stages don't know each other"),
        ("faces/fan", "import videdit.faces.mesh", "No circles"),
    ],
)
def test_a_crossing_does_not_pass(house: Path, module: str, line: str, contract: str) -> None:
    with (house / f"{module}.py").open("a") as file:
        file.write(line + "\n")
    done = lint(house.parent)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout


def test_the_projects_house_passes() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_lint_looks_at_the_layers() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    assert "$(BIN)/lint-imports" in recipe
