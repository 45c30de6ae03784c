"""Edits under a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from videdit.bundles import load_bundle
from videdit.cli.main import main
from videdit.cli.whose import collect_edits
from videdit.editing.attributes import GROUPS, NAMES, resolve
from videdit.editing.presets import PRESETS, find_preset
from videdit.editing.quality import load_quality
from videdit.editing.schedule import Edit
from videdit.errors import InputError, UsageError


def test_the_groups_hold_every_attribute_once() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(NAMES)


def test_those_that_come_along_arrive_on_people() -> None:
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)
    table = load_quality(load_bundle().file("quality"))
    for preset in PRESETS:
        assert preset.about
        for edit in preset.edits:
            resolve(edit.attribute)
            sign = "plus" if edit.schedule.at([0.0])[0] > 0 else "minus"
            seen = dict(zip(("plus", "minus"), table[edit.attribute].sides.values(), strict=True))
            assert seen[sign].seen >= 0.6, (preset.name, str(edit))


def test_a_preset_is_its_edits() -> None:
    assert collect_edits([], [], [], ["happier"]) == [Edit.parse("Smiling=1")]
    assert collect_edits(["Young"], [], [], ["laughing"]) == [
        Edit.parse(text) for text in ("Smiling=1.5", "Mouth_Slightly_Open=1", "Young=1")
    ]


def test_what_is_named_besides_counts() -> None:
    found = collect_edits([], [], ["smiling=0.5"], ["laughing", "happier"])
    assert found == [Edit.parse("Mouth_Slightly_Open=1"), Edit.parse("Smiling=0.5")]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        [premiere]
        about = "Friendlier"
        edit = { Smiling = 0.7, Young = "0s:0,2s:0.5" }

        [tired]
        edit = { Bags_Under_Eyes = 1 }
        """
    )
    return path


def test_one_s_own(own: Path) -> None:
    preset = find_preset(f"{own}:premiere")
    assert preset.about == "Friendlier"
    wanted = ("Smiling=0.7", "Young=0s:0,2s:0.5")
    assert preset.edits == tuple(Edit.parse(text) for text in wanted)
    with pytest.raises(UsageError, match="holds premiere, tired"):
        find_preset(str(own))
    own.write_text("[only]\nedit = { Smiling = 1 }")
    assert find_preset(str(own)).name == "only"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no preset"),
        ("name = 1", "no table"),
        ("[a]\nalpha = 1", "no 'alpha'"),
        ("[a]\nabout = 'x'", "names no edits"),
        ("[a]\nedit = {}", "names no edits"),
        ("[a]\nabout = 1\nedit = { Smiling = 1 }", "names no edits"),
        ("[a]\nedit = { Smiling = 'much' }", "much"),
    ],
)
def test_what_is_none(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        find_preset(str(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        find_preset(str(bad))
    with pytest.raises(InputError, match="cannot be read"):
        find_preset(str(tmp_path / "none.toml"))
    bad.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="larger than 1 MiB"):
        find_preset(str(bad))


def test_a_name_that_is_none_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a.mp4", "--preset", "yonger"]) == 2
    assert "Did you mean younger?" in capsys.readouterr().err
