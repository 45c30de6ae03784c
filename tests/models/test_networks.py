"""A bundle's networks by role: which editor a run gets, what is kept, and that another bundle with
another latent space needs nothing but its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from videdit.bundles import Bundle
from videdit.bundles.latent import LatentSpace
from videdit.bundles.manifest import Manifest, Part, Role
from videdit.device import Device
from videdit.editing.linear import LinearEditor, Normals
from videdit.editing.transformer import EDITED_ROWS, AffineMap, LatentTransformers
from videdit.errors import UsageError, WeightsError
from videdit.files import measure
from videdit.generators.mobile import SPACE
from videdit.generators.wspace import WStatistics
from videdit.models.choices import EDITORS, check_backend, check_editor
from videdit.models.networks import Networks

OTHER = LatentSpace(18, 24, 64, {"pose": (0, 4), "features": (4, 9), "colour": (9, 18)})
"""A latent space that no literal of the code fits."""


def bundle_of(folder: Path, space: LatentSpace, **roles: tuple[str, list[str]]) -> Bundle:
    """A bundle of the files in ``folder``; roles as (architecture, files)."""
    parts = {}
    for path in folder.iterdir():
        size, digest = measure(path)
        parts[path.name] = Part(path.name, size, digest, "a test's", "made up", member=path.name)
    found = {
        name.replace("_", "-"): Role(name.replace("_", "-"), architecture, tuple(files))
        for name, (architecture, files) in roles.items()
    }
    return Bundle(Manifest("made-up", "a test's", folder, parts, found, space), folder)


@pytest.fixture(params=[SPACE, OTHER], ids=["mobile", "other"])
def space(request: pytest.FixtureRequest) -> LatentSpace:
    found: LatentSpace = request.param
    return found


@pytest.fixture
def networks(tmp_path: Path, space: LatentSpace) -> Networks:
    folder = tmp_path / "made-up"
    folder.mkdir()
    zero = np.zeros((EDITED_ROWS, space.width), np.float32)
    thin = np.zeros((EDITED_ROWS, space.width, 2), np.float32)
    found = AffineMap(thin, thin.transpose(0, 2, 1), zero)
    LatentTransformers(np.zeros(space.width, np.float32), {"Smiling": found}).save(
        folder / "maps.safetensors", {}
    )
    normals = np.random.default_rng(0).standard_normal((2, *space.shape)).astype(np.float32)
    names = ("Smiling", "Male")
    Normals(dict(zip(names, normals, strict=True)), dict.fromkeys(names, 1.0)).save(
        folder / "normals.safetensors", {}
    )
    mean = torch.linspace(-1, 1, space.width)
    scale = torch.full((space.width,), 0.5)
    WStatistics(mean, torch.eye(space.width), scale).save(folder / "statistics.safetensors")
    bundle = bundle_of(
        folder,
        space,
        statistics=("w-statistics", ["statistics.safetensors"]),
        editor_transformer=("latent-transformers", ["maps.safetensors"]),
        editor_interfacegan=("normals", ["normals.safetensors"]),
    )
    return Networks(bundle, Device("cpu", "fp32"), "mesh")


def test_the_bundles_editors(networks: Networks, space: LatentSpace) -> None:
    assert networks.space == space
    codes = np.random.default_rng(1).standard_normal((3, *space.shape)).astype(np.float32)
    maps = networks.editor("transformer")
    assert maps.names == ("Smiling",)
    assert isinstance(maps, LatentTransformers)
    assert maps.shell is not None  # the bundle's own
    mean = networks.statistics.mean.numpy()
    np.testing.assert_allclose(maps.shell.spread(mean + np.full_like(codes, 1)), 2, rtol=1e-5)
    free, held = networks.editor("interfacegan"), networks.editor("interfacegan", ["male"])
    assert isinstance(free, LinearEditor)
    assert isinstance(held, LinearEditor)
    assert not np.allclose(free.steps["Smiling"], held.steps["Smiling"])
    moved = free.move(codes, "Male", np.ones(3, np.float32)) - codes
    assert moved.shape == codes.shape
    assert np.linalg.norm(moved[0]) == pytest.approx(1, abs=1e-2)
    assert list(networks.editor_ids("interfacegan")) == ["normals.safetensors"]
    with pytest.raises(WeightsError, match="no editor 'ganspace'") as caught:
        networks.editor("ganspace")
    assert caught.value.remedy == "It has transformer, interfacegan."
    for ask in (networks.editor, networks.editor_ids):
        with pytest.raises(WeightsError, match="no editor 'styleflow'") as caught:
            ask("styleflow")
        assert "videdit train styleflow FOLDER" in caught.value.remedy
        assert "--editor FOLDER/styleflow.safetensors" in caught.value.remedy


def test_editors_of_ones_own(networks: Networks, space: LatentSpace, tmp_path: Path) -> None:
    path = tmp_path / "tired.npy"
    np.save(path, np.ones(space.width))
    editor = networks.editor(f"direction:{path}")
    assert editor.names == ("tired",)
    assert isinstance(editor, LinearEditor)
    assert editor.steps["tired"].shape == space.shape
    own = tmp_path / "made-up" / "maps.safetensors"
    maps = networks.editor(str(own))
    assert maps.names == ("Smiling",)
    assert isinstance(maps, LatentTransformers)
    assert maps.shell is not None
    # Another content is another key: what was edited with the old file is not reused.
    before = networks.editor_ids(f"direction:{path}")
    np.save(path, np.zeros(space.width))
    assert networks.editor_ids(f"direction:{path}") != before
    np.save(path, np.zeros(space.width + 1))
    with pytest.raises(UsageError, match=rf"\({space.width},\) or \({space.rows}, "):
        networks.editor(f"direction:{path}")


@pytest.mark.parametrize(
    ("choice", "keep", "message"),
    [
        ("magic", (), "no editor 'magic'"),
        ("direction:nowhere.npy", (), "does not exist"),
        ("nowhere.safetensors", (), "does not exist"),
        ("transformer", ("Male",), "takes no attributes to keep"),
        ("interfacegan", ("Charm",), "Charm"),
    ],
)
def test_mistakes(networks: Networks, choice: str, keep: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        networks.editor(choice, keep)


def test_what_can_be_checked_without_a_file_is() -> None:
    for name in EDITORS:
        check_editor(name)
    check_editor("direction:x.npy")
    check_editor("interfacegan", ["Male"])
    for choice, keep in (("magic", ()), ("transformer", ("Male",))):
        with pytest.raises(UsageError):
            check_editor(choice, keep)
    check_backend("fan")
    with pytest.raises(UsageError, match="mesh, fan"):
        check_backend("cascade")


def test_a_network_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "made-up"
    folder.mkdir()
    (folder / "g.bin").write_bytes(b"x")
    bundle = bundle_of(folder, OTHER, generator=("stylegan9", ["g.bin"]))
    with pytest.raises(WeightsError, match="unknown kind, 'stylegan9'"):
        _ = Networks(bundle, Device("cpu", "fp32"), "mesh").generator


def test_the_precision_reaches_encoder_and_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "made-up"
    folder.mkdir()
    for name in ("e.bin", "c.bin", "g.xml", "g.bin"):
        (folder / name).write_bytes(name.encode())
    bundle = bundle_of(
        folder,
        OTHER,
        encoder=("corrected-encoder", ["e.bin", "c.bin"]),
        generator=("mobilestylegan", ["g.xml", "g.bin"]),
    )
    asked = []

    def fake(name: str, parts: dict[str, str], precision: str, *_: object) -> None:
        asked.append((name, sorted(parts), precision))

    monkeypatch.setattr("videdit.inversion.predict.compiled", fake)
    monkeypatch.setattr("videdit.generators.decoder.compiled", fake)
    for precision in ("fp32", "bf16"):
        networks = Networks(bundle, Device("cpu", precision), "mesh", tmp_path)
        assert networks.encoder is networks.encoder
        assert networks.generator is networks.generator
    encoder, generator = ("encoder", ["c.bin", "e.bin"]), ("generator", ["g.bin", "g.xml", "graph"])
    assert asked == [(*n, p) for p in ("fp32", "bf16") for n in (encoder, generator)]


@pytest.mark.weights
def test_the_default_bundle_has_a_network_for_every_role(bundle: Bundle, tmp_path: Path) -> None:
    networks = Networks(bundle, Device("cpu", "fp32"), "mesh", tmp_path / "compiled")
    assert networks.space == SPACE
    codes = networks.encoder.encode(np.full((1, 256, 256, 3), 0.5, np.float32))
    assert codes.shape == (1, *SPACE.shape)
    picture = networks.generator.decode(codes)
    assert picture.shape == (1, SPACE.resolution, SPACE.resolution, 3)
    # What decides a code, by the manifest: the second look sees what the first code shows.
    assert set(networks.ids("encoder")) == {
        "encoder.safetensors",
        "corrector.safetensors",
        "w_statistics.safetensors",
        "face_network.safetensors",
        "synthesis.xml",
        "synthesis.bin",
    }
    for role in ("recognition", "readout", "classifier", "mapping", "statistics", "landmarker"):
        assert getattr(networks, role) is not None

    # Another process finds the compiled networks, and needs no PyTorch for them.
    again: Any = Networks(bundle, Device("cpu", "fp32"), "mesh", tmp_path / "compiled")
    again.encoder_network = lambda: pytest.fail("converted again")
    same = again.encoder.encode(np.full((1, 256, 256, 3), 0.5, np.float32))
    np.testing.assert_array_equal(same, codes)
    np.testing.assert_array_equal(again.generator.decode(codes), picture)
