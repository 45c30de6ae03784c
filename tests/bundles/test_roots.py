"""Bundles of the user's: where they are looked for, what they have from the embedded one, and that
no name leads elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from videdit.bundles import Bundle, bundle_names, load_bundle, read_manifest
from videdit.bundles.manifest import SHARED, check_name, user_root
from videdit.errors import UsageError, WeightsError
from videdit.files import sha256_of


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of the user's, with one file, on the embedded one; its folder."""
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(tmp_path))
    folder = tmp_path / "bundles" / "mine"
    folder.mkdir(parents=True)
    (folder / "net.bin").write_bytes(b"numbers")
    write(folder, base="mobile")
    return folder


def write(folder: Path, **more: Any) -> None:
    part = {
        "source": {"file": "net.bin"},
        "size": 7,
        "sha256": sha256_of(folder / "net.bin"),
        "licence": "MIT",
        "provenance": "a test",
    }
    data = {
        "format": 1,
        "name": "mine",
        "title": "Mine",
        "parts": {"net.bin": part},
        "roles": {"generator": {"architecture": "stylegan2", "files": ["net.bin"]}},
    }
    (folder / "bundle.json").write_text(json.dumps(data | more))


def test_what_depends_on_no_generator_is_the_embedded_ones(own: Path, tmp_path: Path) -> None:
    assert bundle_names() == ["mine", "mobile"]
    found, mobile = load_bundle("mine"), load_bundle("mobile")
    assert found.of_user
    assert not mobile.of_user
    assert set(found.manifest.roles) == {"generator", *SHARED}
    assert found.ids("landmarker", "judge") == mobile.ids("landmarker", "judge")
    assert found.location("net.bin") == own / "net.bin"
    for name in ("face_network.safetensors", "face_landmark.tflite"):
        assert found.location(name) == mobile.location(name)
    assert found.location("face_landmark.tflite").parent == tmp_path / "mobile"
    assert found.file("recognition") == mobile.file("recognition")
    assert "encoder.safetensors" not in found
    with pytest.raises(WeightsError, match="no 'encoder'") as caught:
        found.file("encoder")
    assert "videdit weights import FILE --as mine" in caught.value.remedy


def test_a_damaged_file_says_how_to_make_it_anew(own: Path) -> None:
    (own / "net.bin").write_bytes(b"another")
    with pytest.raises(WeightsError, match="damaged") as caught:
        load_bundle("mine").file("generator")
    assert str(own) in caught.value.remedy


def test_a_users_name_hides_none_of_the_packages(own: Path) -> None:
    own.rename(own.with_name("mobile"))
    write(own.with_name("mobile"), name="mobile")
    assert "net.bin" not in read_manifest("mobile").parts
    for name in ("mobile", "bundles", "../mine", "a/b", "", ".mine", "x" * 65):
        with pytest.raises(UsageError):
            check_name(name)
    check_name("mine-2.0")


@pytest.mark.parametrize(
    ("spoiled", "named"),
    [
        ({"base": "unheard-of"}, "no bundle called 'unheard-of'"),
        ({"base": "../mobile"}, "no bundle called"),
        ({"base": "mine"}, "no bundle called 'mine'"),
        ({"name": "other"}, "calls itself 'other'"),
        ({"parts": {"../out": {}}}, "cannot be a part's name"),
        ({"parts": {"x": {"source": {"file": "../x"}, "size": 1}}}, "not a file's name"),
        ({"parts": {"x": {"source": {"address": "ftp://a/x"}, "size": 1}}}, "no https address"),
        ({"parts": {"x": {"source": {"address": "http://a.org/x"}, "size": 1}}}, "no https"),
        ({"parts": {"x": {"source": {"address": "file:///etc"}, "size": 1}}}, "no https address"),
        ({"parts": {"x": {"source": {"address": "https://a/"}, "size": 9 << 30}}}, "more than"),
    ],
)
def test_a_manifest_leads_nowhere_else(own: Path, spoiled: Any, named: str) -> None:
    write(own, **{"base": "mobile", **spoiled})
    with pytest.raises(WeightsError, match=named) as caught:
        read_manifest("mine")
    assert str(own) in caught.value.remedy


def test_a_part_of_both_is_refused(own: Path) -> None:
    data = json.loads((own / "bundle.json").read_text())
    data["parts"]["regions.safetensors"] = data["parts"]["net.bin"]
    (own / "bundle.json").write_text(json.dumps(data))
    with pytest.raises(WeightsError, match=r"'regions\.safetensors' is one of 'mobile' as well"):
        read_manifest("mine")


def test_what_an_import_left_is_no_bundle(own: Path) -> None:
    (user_root() / ".import-1").mkdir()
    (user_root() / ".import-1" / "bundle.json").write_text("{}")
    assert bundle_names() == ["mine", "mobile"]
    assert isinstance(load_bundle("mine"), Bundle)
