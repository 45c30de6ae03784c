"""The repository's own files agree with each other, and the wheel is whole."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import videdit
from videdit.bundles import read_manifest
from videdit.cli.main import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_one_version() -> None:
    assert setup_cfg()["metadata"]["version"] == videdit.__version__


def test_every_dependency_is_pinned() -> None:
    config = setup_cfg()
    lines = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    listed = "\n".join(lines).strip().splitlines()
    named = {normal(re.split(r"[<>=!~;\[ ]", line.strip())[0]) for line in listed if line.strip()}
    constraints = (ROOT / "constraints.txt").read_text()
    pins = re.findall(r"^([A-Za-z0-9._-]+)==(\S+?)(?:;.*)?$", constraints, re.MULTILINE)
    assert named <= {normal(name) for name, _ in pins}
    # A local version would tie the pin to one build of torch.
    assert not [version for _, version in pins if "+" in version]


def test_what_tests_are_run_with_holds_what_any_extra_brings() -> None:
    """Else tests of the evaluation and the training would be left out without a word."""
    extras = {k: set(v.split()) for k, v in setup_cfg()["options.extras_require"].items()}
    for name, needed in extras.items():
        assert needed <= extras["test"], name
    assert "'.[test]'" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make --no-print-directory test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_folder_with_sources_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "videdit").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_readme_documents_the_exit_codes() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", text, re.MULTILINE))
    assert table == {str(code): meaning for code, meaning in EXIT_CODES.items()}


def test_notice_names_every_wheel_that_weights_come_from() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for part in read_manifest().parts.values():
        if part.wheel is not None:
            assert f"{part.wheel.name} {part.wheel.version}" in notice
            assert part.name in notice


def test_ci_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_wheel_is_whole_and_finds_its_weights(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    # A copy: building leaves folders behind, and a stale one would hide what is missing.
    source = tmp_path / "source"
    source.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in ("videdit", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    files = ("setup.cfg", "setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "NOTICE")
    for name in (*files, "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "-w", str(tmp_path), "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
        names = set(archive.namelist())
    parts = ("*.py", "*.css", "*.js")
    sources = {p.relative_to(source) for part in parts for p in (source / "videdit").rglob(part)}
    assert {path.as_posix() for path in sources} <= names
    assert not [name for name in names if name.startswith("tests/")]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import videdit\n"
        "from videdit.bundles import load_bundle\n"
        "bundle = load_bundle()\n"
        "own = [p.name for p in bundle.manifest.parts.values() if p.wheel is None]\n"
        "print(videdit.__file__, bundle.manifest.folder, [bundle.state(p) for p in own])"
    )
    asked = [sys.executable, "-c", code, str(installed)]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    package, folder, states = done.stdout.split(maxsplit=2)
    assert Path(package).is_relative_to(installed)
    assert Path(folder) == installed / "videdit" / "_weights" / "mobile"
    assert "missing" not in states
    assert "damaged" not in states
