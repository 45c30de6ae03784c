"""The repository's own files agree with each other."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path

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
    """It is written in `videdit/__init__.py` alone."""
    assert setup_cfg()["metadata"]["version"] == "attr: videdit.__version__"


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


def test_the_version_is_a_semantic_one_and_has_its_changes() -> None:
    number = r"(?:0|[1-9]\d*)"
    assert re.fullmatch(rf"{number}\.{number}\.{number}(?:(?:a|b|rc)\d+)?", videdit.__version__)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.+)$", changes, re.MULTILINE)
    assert re.search(rf"\b{re.escape(videdit.__version__)}\b", heads[0])
    cited = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited in ([], [videdit.__version__])
