"""What `python -m build` makes of the repository: the sdist, and the wheel out of it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest
from markdown_it import MarkdownIt

import videdit

ROOT = Path(__file__).resolve().parents[1]
NAME = f"videdit-{videdit.__version__}"
EXTRAS = {"test", "train", "ray", "c2pa", "eval"}


class Packages(NamedTuple):
    sdist: set[str]
    wheel: set[str]
    installed: Path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Names of the files in the sdist and the wheel, and a folder with the wheel's content."""
    folder = tmp_path_factory.mktemp("packages")
    # A copy: building leaves folders behind, and a stale one would hide what is missing.
    source = folder / "source"
    kept = (".ci", ".gitignore", ".dockerignore")
    hidden = [path.name for path in ROOT.iterdir() if path.name.startswith(".")]
    left = {*hidden, "build", "dist", "demo", "shared"} - set(kept)
    leave = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
    large = (".safetensors", ".npz", ".jpg")

    def ignored(where: str, names: list[str]) -> set[str]:
        return leave(where, names) | (left if Path(where) == ROOT else set())

    def copy(path: str, to: str) -> None:
        """Large files are there by name: packing them takes half a minute and proves nothing."""
        if path.endswith(large):
            Path(to).write_bytes(b"stub")
        else:
            shutil.copy(path, to)

    shutil.copytree(ROOT, source, ignore=ignored, copy_function=copy)
    # Junk of the kinds that working on it leaves.
    (source / "tests" / "__pycache__").mkdir()
    (source / "tests" / "__pycache__" / "x.cpython-311.pyc").touch()
    (source / "weights" / ".DS_Store").touch()
    (source / "notes.txt").touch()
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    assert (sdist.name, wheel.name) == (f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl")
    with tarfile.open(sdist) as archive:
        within = {each.name for each in archive.getmembers() if each.isfile()}
    assert all(name.startswith(f"{NAME}/") for name in within)
    with zipfile.ZipFile(wheel) as zipped:
        zipped.extractall(folder / "installed")
        names = set(zipped.namelist())
    for path in (sdist, wheel, source):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Packages({name.removeprefix(f"{NAME}/") for name in within}, names, folder / "installed")


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("build") is None, reason="needs build"),
]


def files_below(*folders: str) -> set[str]:
    """Those of the repository's files that a version has; without git, all but compiled ones."""
    if (ROOT / ".git").exists():
        words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return {name for name in listed.splitlines() if (ROOT / name).is_file()}
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {p.relative_to(ROOT).as_posix() for p in found if "__pycache__" not in p.parts}


def test_the_sdist_is_the_repository(packages: Packages) -> None:
    wanted = files_below("videdit", "tests", "docs", "examples", "weights", "training_data", ".ci")
    assert len(wanted) > 300
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"):
        wanted.add(name)
    wanted |= {"LICENSE", "NOTICE", "Makefile", "Dockerfile", "constraints.txt", "pyproject.toml"}
    wanted |= {"setup.cfg", "setup.py", "MANIFEST.in", "mkdocs.yml", ".gitignore", ".dockerignore"}
    generated = {name for name in packages.sdist if name.startswith("videdit.egg-info/")}
    assert packages.sdist - generated == wanted | {"PKG-INFO"}


def test_the_wheel_holds_the_package_and_its_weights(packages: Packages) -> None:
    modules = {
        name for name in files_below("videdit") if name.endswith((".py", "py.typed", ".css", ".js"))
    }
    weights = {f"videdit/_{name}" for name in files_below("weights")}
    about = {name for name in packages.wheel if name.startswith(f"{NAME}.dist-info/")}
    assert packages.wheel - about == modules | weights
    listed = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    licences = ("licenses/LICENSE", "licenses/NOTICE")
    assert about == {f"{NAME}.dist-info/{name}" for name in (*listed, *licences)}
    top = packages.installed / f"{NAME}.dist-info" / "top_level.txt"
    assert top.read_text().split() == ["videdit"]


def metadata(packages: Packages) -> Message:
    text = (packages.installed / f"{NAME}.dist-info" / "METADATA").read_text(encoding="utf-8")
    return Parser().parsestr(text)


def test_what_the_wheel_says_of_itself(packages: Packages) -> None:
    said = metadata(packages)
    assert (said["Name"], said["Version"]) == ("videdit", videdit.__version__)
    assert said["License"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.10"
    assert set(said.get_all("Provides-Extra", [])) >= EXTRAS
    entry = packages.installed / f"{NAME}.dist-info" / "entry_points.txt"
    lines = entry.read_text().split("\n")
    assert "videdit = videdit.cli.main:entry" in lines
    assert said["Description-Content-Type"] == "text/markdown"
    shown = MarkdownIt().enable("table").render(str(said.get_payload()))
    assert "<h1>videdit</h1>" in shown
    assert "<table>" in shown
    beside = re.findall(r'(?:href|src)="(?!https?://|#)([^"#]+)', shown)
    assert set(beside) <= packages.sdist


def test_the_readme_says_what_each_extra_is_for(packages: Packages) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for extra in metadata(packages).get_all("Provides-Extra", []):
        assert re.search(rf"`{extra}`|\[{extra}\]", text), extra


def test_what_is_installed_finds_its_weights(packages: Packages, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import videdit\n"
        "from videdit.bundles import load_bundle\n"
        "bundle = load_bundle()\n"
        "own = [p.name for p in bundle.manifest.parts.values() if p.wheel is None]\n"
        "print(videdit.__file__, bundle.manifest.folder, [bundle.state(p) for p in own])"
    )
    asked = [sys.executable, "-c", code, str(packages.installed)]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    package, folder, states = done.stdout.split(maxsplit=2)
    assert Path(package).is_relative_to(packages.installed)
    assert Path(folder) == packages.installed / "videdit" / "_weights" / "mobile"
    # The stubs are found.
    assert set(re.findall(r"'(\w+)'", states)) == {"good", "damaged"}
