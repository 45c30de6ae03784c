from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from videdit.cli import doctor
from videdit.cli.main import main


def levels(findings: Iterator[doctor.Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_missing_weights_are_a_note_damaged_ones_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(tmp_path))
    assert levels(doctor.check_weights()) == ["note"]
    (tmp_path / "mobile").mkdir()
    (tmp_path / "mobile" / "synthesis.bin").write_bytes(b"not these")
    found = list(doctor.check_weights())
    assert [finding.level for finding in found] == ["FAIL", "note"]
    assert "synthesis.bin" in found[0].what
    assert "synthesis.bin" not in found[1].what


def test_a_system_without_libgl_hears_which_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_libgl(name: str) -> ModuleType:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        if name == "kornia":
            raise ModuleNotFoundError("No module named 'kornia'", name="kornia")
        return builtins

    monkeypatch.setattr(importlib, "import_module", without_libgl)
    bad = {f.what.split()[0]: f.remedy for f in doctor.check_libraries() if f.level == "FAIL"}
    assert set(bad) == {"opencv-python", "kornia"}
    assert "libgl1 libglib2.0-0" in bad["opencv-python"]
    assert bad["kornia"] == "pip install kornia"


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEDIT_CACHE", str(tmp_path / "not" / "there" / "yet"))
    assert "FAIL" not in levels(doctor.check_folders())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIDEDIT_CACHE", str(tmp_path / "file"))
    assert levels(doctor.check_folders()) == ["FAIL"]


def test_a_failure_is_exit_code_1_and_the_rest_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks() -> Iterator[doctor.Finding]:
        raise RuntimeError("driver too old")
        yield

    def works() -> Iterator[doctor.Finding]:
        yield doctor.Finding("ok", "the second one")

    monkeypatch.setattr(doctor, "CHECKS", (("first", breaks), ("second", works)))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  first: RuntimeError: driver too old" in out
    assert "ok    second: the second one" in out
    monkeypatch.setattr(doctor, "CHECKS", (("second", works),))
    assert main(["doctor"]) == 0
