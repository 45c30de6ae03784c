"""Attribute names: what is understood, what is suggested, what the list prints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from videdit.cli import attributes as cli
from videdit.cli.main import main
from videdit.editing.attributes import ATTRIBUTES, GROUPS, NAMES, resolve
from videdit.editing.quality import Quality, Results, save_quality
from videdit.errors import UsageError


def test_the_names_are_those_of_the_training_labels() -> None:
    labels = Path(__file__).parents[2] / "training_data" / "faces" / "labels.csv"
    with labels.open() as file:
        assert file.readline().strip().split(",")[2:] == list(NAMES)
    assert len(set(NAMES)) == 40


@pytest.mark.parametrize("name", NAMES)
def test_case_and_separators_do_not_matter(name: str) -> None:
    assert resolve(name).name == name
    assert resolve(name.upper().replace("_", " ")).name == name
    assert resolve(name.replace("_", "-").lower()).name == name


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("Smilling", "Smiling"),
        ("smile", "Smiling"),
        ("beard", "No_Beard"),
        ("glasses", "Eyeglasses"),
        ("hair", "Blond_Hair"),
        ("Yung", "Young"),
        ("lipstick", "Wearing_Lipstick"),
    ],
)
def test_the_nearest_names_are_suggested(wrong: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(wrong)
    assert repr(wrong) in caught.value.message
    assert meant in caught.value.remedy


@pytest.mark.parametrize("wrong", ["", "zzzzzz", "é", "x" * 500])
def test_without_a_near_name_the_list_is_pointed_to(wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(wrong)
    assert caught.value.remedy == "`videdit attributes` lists all names."


def test_every_attribute_says_what_it_does() -> None:
    assert all(attribute.plus and attribute.minus for attribute in ATTRIBUTES)


def test_the_list_shows_all_attributes_with_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "quality.json"
    sides = Results(20, 0.5, 0.96, 0.31), Results(0)
    save_quality(file, dict.fromkeys(NAMES, Quality(*sides, 0.912)))
    manifest = SimpleNamespace(roles={"quality"})
    bundle = SimpleNamespace(file={"quality": file}.__getitem__, manifest=manifest, of_user=False)
    monkeypatch.setattr(cli, "load_bundle", lambda name: bundle)
    assert main(["attributes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = [n for n, line in enumerate(lines) if line.startswith(("ATTRIBUTE", "PRESET"))]
    table, touches, rest = lines[at[0] : at[1]], lines[at[1] : at[2] - 1], lines[at[2] :]
    assert any("JUDGE" in line for line in rest)
    in_groups = [name for names in GROUPS.values() for name in names]
    assert [line for line in table[1:] if line and line.split()[0] not in NAMES] == list(GROUPS)
    rows_shown = [line for line in table[1:] if line and line.split()[0] in NAMES]
    assert [line.split()[0] for line in rows_shown] == in_groups
    assert [line.split()[0] for line in touches] == ["ATTRIBUTE", *in_groups]
    assert "matter: glasses" in touches[1 + in_groups.index("Eyeglasses")]
    figures = "50% 96% 0.31 ? ? ? 0.91 ! +: often too weak; -: too few lacked it to be measured"
    assert all(" ".join(line.split()).endswith(figures) for line in rows_shown)
    assert main(["attributes", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(NAMES)
    assert rows[31]["plus"] == "adds a smile"
    assert rows[31]["judge_auc"] == 0.912
    assert rows[31]["more"] == {"lacked": 20, "seen": 0.5, "kept": 0.96, "identity": 0.31}
    assert rows[31]["less"]["seen"] is None
    assert rows[31]["doubt"].startswith("+: often too weak")
    assert "lips" in rows[31]["touches"]["shape"]
