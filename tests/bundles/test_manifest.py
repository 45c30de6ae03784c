from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from videdit.bundles import bundle_names, read_manifest, record_part, weights_root
from videdit.errors import UsageError, WeightsError


def test_the_embedded_bundle_is_complete() -> None:
    manifest = read_manifest("mobile")
    networks = {f"{name}.{kind}" for name in ("mapping", "synthesis") for kind in ("xml", "bin")}
    faces = {"face_detection_full_range.tflite", "face_landmark.tflite"}
    assert networks | faces <= set(manifest.parts)
    # The two files of a network are opened together, so they are verified together.
    assert manifest.part("synthesis.xml").read_with == ("synthesis.bin",)
    for part in manifest.parts.values():
        assert part.licence
        assert part.provenance
    wheel = manifest.part("synthesis.bin").wheel
    assert wheel is not None
    assert wheel.requirement.startswith("random-face==2021.7.21.1 --hash=sha256:e5d10e2b")


def test_what_ships_beside_the_manifest_is_in_it() -> None:
    for name in bundle_names(weights_root()):
        folder = weights_root() / name
        shipped = {path.name for path in folder.iterdir()} - {"bundle.json"}
        parts = read_manifest(name).parts.values()
        assert shipped == {part.member for part in parts if part.wheel is None}


def test_ids_and_unknown_parts(shelf: Any) -> None:
    manifest = read_manifest("small", shelf.root)
    part = manifest.part("net.bin")
    assert part.id == part.sha256[:16]
    with pytest.raises(WeightsError, match=r"no part 'nett.bin'.*net.bin"):
        manifest.part("nett.bin")


def test_unknown_bundle_names_the_known(shelf: Any) -> None:
    for name in ("large", "../small", ""):
        with pytest.raises(UsageError, match="Bundles: small"):
            read_manifest(name, shelf.root)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("format",), 99),
        (("name",), "other"),
        (("parts", "net.bin", "sha256"), "abc"),
        (("parts", "net.bin", "size"), "12"),
        (("parts", "net.bin", "source"), {"wheel": "unheard-of", "member": "x"}),
        (("parts", "net.bin", "source"), {"file": "../../outside"}),
        (("parts", "net.xml", "read_with"), ["nothing"]),
        (("parts", "../outside"), {}),
        (("parts", "net.bin", "source"), {"file": "a/b"}),
        (("parts", "net.bin", "source"), {"file": "..\\outside"}),
        (("wheels", "../outside"), {"version": "1", "size": 1, "sha256": "0" * 64}),
        (("wheels", "a\n--index-url x"), {"version": "1", "size": 1, "sha256": "0" * 64}),
        (("wheels", "videdit-test-weights", "version"), "1.0\n--index-url http://localhost"),
        (("parts",), []),
    ],
)
def test_a_damaged_manifest_is_refused(shelf: Any, where: tuple[str, ...], value: Any) -> None:
    data = shelf.read()
    place = data
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    shelf.write(data)
    with pytest.raises(WeightsError, match="damaged"):
        read_manifest("small", shelf.root)


def test_a_manifest_that_is_not_json(shelf: Any) -> None:
    shelf.manifest_path.write_text('{"format": 1,')
    with pytest.raises(WeightsError, match="damaged"):
        read_manifest("small", shelf.root)


def test_parts_made_for_other_weights_are_refused(shelf: Any) -> None:
    data = shelf.read()
    data["parts"]["own.safetensors"]["bound_to"]["net.bin"] = "0" * 16
    shelf.write(data)
    with pytest.raises(WeightsError, match=r"own\.safetensors.*made for another net\.bin"):
        read_manifest("small", shelf.root)


def test_record_part_enters_a_file_and_its_new_content(shelf: Any) -> None:
    folder: Path = shelf.root / "small"
    told = {"licence": "Apache-2.0", "provenance": "trained here", "bound_to": ["net.bin"]}
    ids = []
    for content in (b"first", b"second try"):
        (folder / "encoder.safetensors").write_bytes(content)
        record_part(folder, "encoder.safetensors", **told)
        part = read_manifest("small", shelf.root).part("encoder.safetensors")
        assert part.size == len(content)
        assert part.bound_to == {"net.bin": shelf.bundle().id("net.bin")}
        assert shelf.bundle().path("encoder.safetensors").read_bytes() == content
        ids.append(part.id)
    assert ids[0] != ids[1]
    # The rest of the manifest is as it was.
    assert set(read_manifest("small", shelf.root).parts) == {
        "net.xml",
        "net.bin",
        "own.safetensors",
        "encoder.safetensors",
    }
