"""`videdit attributes`: the table, and what an editor can edit, listed and drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from videdit.bundles import Bundle
from videdit.cli.main import main
from videdit.editing.attributes import NAMES
from videdit.editing.quality import Quality, Results, save_quality
from videdit.models.importing import import_checkpoints


def test_the_table_is_there_without_an_editor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attributes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ATTRIBUTE")
    assert lines[2] == "expression"
    listed = [
        line.split()[0] for line in lines[1 : lines.index("PRESET               EDITS")] if line
    ]
    assert Counter(name for name in listed if name in NAMES) == dict.fromkeys(NAMES, 2)
    assert main(["attributes", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(NAMES)


def test_the_help_loads_no_networks() -> None:
    code = (
        "import sys\nfrom videdit.cli.main import main\nmain(['attributes', '--help'])\n"
        "print('LOADED', sorted({'torch', 'openvino', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--sheet" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_an_editors_edits_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["attributes", "--editor", "ganspace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Smiling ") and " sigma" in line for line in lines)
    assert "pc0 to pc79" in lines[-1]
    assert any(line.startswith("pc0 ") and "Male " in line for line in lines)
    assert main(["attributes", "--editor", "ganspace", "--attr", "pc3:4-7", "--json"]) == 0
    (only,) = json.loads(capsys.readouterr().out)["edits"]
    assert isinstance(only.pop("seen"), dict)
    assert only == {"name": "pc3:4-7", "component": 3, "rows": [4, 7], "sigma": 1.0}
    np.save(tmp_path / "tired.npy", np.ones(512))
    assert main(["attributes", "--editor", f"direction:{tmp_path / 'tired.npy'}"]) == 0
    assert capsys.readouterr().out == "tired\n"
    assert main(["attributes", "--editor", "activations"]) == 0
    assert "nose" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--attr", "Smiling"], 2, "--attr is about"),
        (["--sheet", "sheet.jpg"], 2, "--sheet is about"),
        (["--editor", "magic"], 2, "no editor 'magic'"),
        (["--editor", "magic", "--sheet", "sheet.jpg"], 2, "no editor 'magic'"),
        (["--editor", "local", "--sheet", "sheet.jpg"], 2, "needs a photo"),
        (["--editor", "ganspace", "--sheet", "sheet.mp4"], 2, "cannot be written as .mp4"),
        (["--editor", "ganspace", "--sheet", "nowhere/sheet.jpg"], 6, "does not exist"),
        (["--editor", "ganspace", "--attr", "pc80"], 2, "from pc0 to pc79"),
        (["--editor", "ganspace", "--attr", "pc3:4-16"], 2, "from 0 to 15"),
    ],
)
def test_mistakes(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["attributes", *words]) == code
    written = capsys.readouterr()
    assert message in written.err
    assert written.err.count("\n") == 1
    assert written.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.weights
@pytest.mark.usefixtures("bundle")
def test_a_sheet_is_drawn(
    default_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sheet.jpg"
    words = ["--editor", "ganspace", "--attr", "PC1:0-3", "--sheet", str(path), "--device", "cpu"]
    assert main(["attributes", *words]) == 0
    written = capsys.readouterr()
    assert written.out == f"{path}: 1 edit\n"
    assert written.err == "1/1 pc1:0-3\n"
    sheet = cv2.imread(str(path))
    assert sheet.shape == (164, 1228, 3)
    minus, own, plus = (sheet[20:140, 244 + 164 * i + 20 :][:, :120] for i in range(3))
    for edited in (minus, plus):
        assert np.abs(edited.astype(int) - own).mean() > 10


@pytest.mark.weights
def test_figures_of_a_bundle_of_ones_own(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attributes", "--bundle", "tiny"]) == 0
    assert "was not measured" in capsys.readouterr().out
    figures = tmp_path / "figures.json"
    save_quality(figures, {"Smiling": Quality(Results(9, 0.9, 0.95, 0.3), Results(9), 0.9)})
    import_checkpoints([figures], "tiny")
    assert main(["attributes", "--bundle", "tiny"]) == 0
    table, rest = capsys.readouterr().out.split("Not measured:")
    assert "Smiling    adds a smile    90%    95%   0.30" in table
    assert "Young" not in table
    assert "older" not in table  # a preset of what it has not
    assert "--editor ganspace" in rest
    assert "--editor transformer" not in rest
