"""Editors in their authors' layouts, imported into a bundle of the user's and asked for there."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.published import WIDTH, generator_state, write_generator
from videdit.bundles.bundle import Bundle, load_bundle
from videdit.cli.main import main
from videdit.device import Device
from videdit.editing.attributes import NAMES
from videdit.editing.classifier import PaperClassifier
from videdit.errors import WeightsError
from videdit.faces.region_network import RegionNetwork
from videdit.models.importing import import_checkpoints
from videdit.models.networks import Networks

ROWS = 10
ONE = np.ones(1, np.float32)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator's checkpoint, and every kind of editor of it."""
    folder = tmp_path_factory.mktemp("published")
    write_generator(folder / "g.pt", generator_state(mapping=0))
    state = {}
    for row in range(ROWS):
        state[f"dense.{row}.weight"] = torch.from_numpy(draw(WIDTH, WIDTH))
        state[f"dense.{row}.bias"] = torch.from_numpy(draw(WIDTH))
    torch.save(state, folder / "net_31.pth.tar")
    state = {}
    for number, (ins, out) in enumerate(pairwise((ROWS * WIDTH, 12, 40))):
        state[f"fcs.{number}.weight"] = torch.from_numpy(draw(out, ins))
        state[f"fcs.{number}.bias"] = torch.from_numpy(draw(out))
    torch.save(state, folder / "latent_classifier.pth")
    np.save(folder / "boundary_Young.npy", draw(1, WIDTH))
    axes = np.linalg.qr(draw(WIDTH, 5))[0].T
    np.savez(folder / "pca.npz", lat_comp=axes[:, None], lat_stdev=np.arange(5, 0, -1.0))
    styles = load_styles()
    layer = np.repeat(np.arange(len(styles)), styles)
    np.save(folder / "fs3.npy", draw(int((layer % 3 != 1).sum()), 16))
    held = [[np.abs(draw(count)) for count in styles] for _ in range(2)]
    (folder / "S_mean_std").write_bytes(pickle.dumps(held))
    np.save(folder / "surprised.npy", draw(16))
    np.save(folder / "eighteen.npy", draw(18, WIDTH))
    return folder


def load_styles() -> tuple[int, ...]:
    from videdit.generators.stylegan2 import shape_of

    return shape_of(generator_state(mapping=0)).styles


EDITORS = (
    *("net_31.pth.tar", "latent_classifier.pth", "boundary_Young.npy", "pca.npz"),
    *("fs3.npy", "S_mean_std", "surprised.npy"),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def bundle(files: Path, home: Path) -> Bundle:
    return import_checkpoints([files / name for name in ("g.pt", *EDITORS)], "own")


def networks() -> Networks:
    return Networks(load_bundle("own"), Device("cpu", "fp32"), "mesh")


def test_what_was_imported_edits(bundle: Bundle) -> None:
    found = networks()
    codes = draw(1, ROWS, WIDTH)
    for choice, name in (
        ("transformer", "Smiling"),
        ("interfacegan", "young"),
        ("ganspace", "pc2:3-4"),
    ):
        editor = found.editor(choice)
        moved = editor.move(codes, editor.name(name), ONE)
        assert moved.shape == codes.shape
        assert np.abs(moved - codes).max() > 0.01
        assert found.editor_ids(choice)
    shift = found.editor("styleclip").shift(codes, "surprised", ONE)
    assert shift is not None
    assert shift.shape == (1, found.space.channels)
    assert isinstance(found.classifier, PaperClassifier)
    for part in bundle.manifest.parts:
        if part.startswith(("transformers", "styleclip")):
            assert set(bundle.manifest.part(part).bound_to) == {"generator.safetensors"}


def test_more_is_added_and_the_rest_stays(files: Path, bundle: Bundle, home: Path) -> None:
    codes = draw(1, ROWS, WIDTH)
    smiling = networks().editor("transformer").move(codes, "Smiling", ONE)
    import_checkpoints([Path(f"{files / 'net_31.pth.tar'}=Male")], "own")
    editor = networks().editor("transformer")
    assert editor.names == ("Smiling", "Male")
    np.testing.assert_array_equal(editor.move(codes, "Smiling", ONE), smiling)
    (part,) = (name for name in load_bundle("own").manifest.parts if name.startswith("transform"))
    assert [one.name for one in (home / "bundles" / "own").glob("transformers*")] == [part]
    # The same again changes nothing.
    before = load_bundle("own").manifest.parts
    import_checkpoints([Path(f"{files / 'net_31.pth.tar'}=Male")], "own")
    assert load_bundle("own").manifest.parts == before


def test_a_parser_of_ones_own(bundle: Bundle, tmp_path: Path) -> None:
    network = RegionNetwork()
    torch.nn.init.ones_(network.last.bias)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "regions.safetensors")
    lent = networks().ids("regions")
    import_checkpoints([tmp_path / "regions.safetensors"], "own")
    assert networks().ids("regions") != lent
    assert bool((networks().region_network().last.bias == 1).all())
    del state["up.1.bias"]
    save_file(state, tmp_path / "regions.safetensors")
    with pytest.raises(WeightsError, match=r"regions\.safetensors: up\.1\.bias is missing"):
        import_checkpoints([tmp_path / "regions.safetensors"], "own")


def test_it_is_listed(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attributes", "--bundle", "own"]) == 0
    said = capsys.readouterr().out
    for line in ("--editor transformer", "Smiling", "Young", "surprised", "--editor styleclip"):
        assert line in said.splitlines()
    assert "pc0 to pc4" in said
    assert main(["attributes", "--bundle", "own", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["interfacegan"]["edits"] == [{"name": "Young"}]


def test_the_command_line(files: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "import", f"{files / 'boundary_Young.npy'}=3", "--as", "own"]) == 0
    said = capsys.readouterr().out
    assert f"InterFaceGAN boundary {NAMES[3]}" in said
    assert "licence" in said
    before = load_bundle("own").manifest.parts
    assert main(["weights", "import", str(files / "eighteen.npy"), "--as", "own"]) == 5
    assert "18 rows, the bundle's codes have 10" in capsys.readouterr().err
    assert load_bundle("own").manifest.parts == before


def test_editors_alone_make_no_bundle(
    files: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "import", str(files / "pca.npz"), "--as", "own"]) == 5
    assert "no generator" in capsys.readouterr().err
    assert main(["weights", "import", str(files / "pca.npz")]) == 2
    assert "--as NAME" in capsys.readouterr().err
