"""Trainings for an imported generator of 64 pixels and 10 rows, in small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.published import generator_state, write_generator
from videdit.bundles import Bundle
from videdit.cli.main import main
from videdit.device import Device
from videdit.editing.classifier import load_classifier
from videdit.editing.labelled import LabelledFaces
from videdit.editing.linear import load_normals
from videdit.editing.styleflow import load_styleflow
from videdit.errors import UsageError, WeightsError
from videdit.generators.stylegan2 import load_synthesis
from videdit.generators.wspace import assumed
from videdit.inversion.encoder import load_network
from videdit.models.importing import import_checkpoints
from videdit.models.networks import Networks
from videdit.training.baselines import fit_baselines
from videdit.training.classifier import ClassifierTraining, Viewer
from videdit.training.crops import RealFaces
from videdit.training.encoder import train_corrector, train_encoder
from videdit.training.encoder_loop import Run, Supervision
from videdit.training.encoder_settings import EncoderTraining
from videdit.training.faces import FaceData, expand, sample_faces
from videdit.training.latent import keep_bundle, train_classifier
from videdit.training.losses import Judge
from videdit.training.maps import TransformerTraining
from videdit.training.picture_classifier import PictureTraining
from videdit.training.readout import READOUT, train_readout
from videdit.training.styleflow import StyleFlowTraining, train_styleflow
from videdit.training.stylespace import StyleSpaceTraining, deviations, train_stylespace
from videdit.training.transformers import train_transformers
from videdit.training.views import generated, sized

DATA = Path(__file__).parents[2] / "training_data" / "faces"
HOW = ClassifierTraining(
    teacher=PictureTraining(epochs=1, views=1),
    shards=2,
    members=1,
    epochs=1,
    rounds=1,
    pushed=4,
    more_epochs=1,
)
SMALL = TransformerTraining(
    together=2,
    steps=4,
    refining_steps=1,
    refining_batch=2,
    refining_faces=4,
    finishing_steps=1,
    memory=4,
)

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def of_tiny(tiny: Bundle, compiled: Path) -> Networks:
    return Networks(tiny, Device("cpu", "fp32"), "mesh", compiled)


@pytest.fixture(scope="module")
def data() -> LabelledFaces:
    """A few labelled faces of the embedded generator, with the labels of three attributes."""
    every = LabelledFaces.load(DATA)
    few = every.chosen(np.arange(len(every.codes)) < 36)
    names = ("Smiling", "Black_Hair", "Male")
    labels = few.labels[:, [few.names.index(name) for name in names]]
    return LabelledFaces(few.codes, labels, names, few.random, few.part)


@pytest.fixture(scope="module")
def work(of_tiny: Networks, data: LabelledFaces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the classifier was trained."""
    folder = tmp_path_factory.mktemp("work") / "tiny"
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("videdit.training.faces.SHARD", 18)
        patch.setattr("videdit.training.latent.SHARD", 18)
        train_classifier(folder, data, DATA / "pose.npz", of_tiny, HOW, lines.append)
    # Noise is no face: no head is measured, and it is said.
    assert any("no heads" in line for line in lines)
    return folder


@pytest.mark.slow
def test_the_classifier_reads_that_generators_codes(work: Path) -> None:
    found = load_classifier(work / "classifier.safetensors", 10)
    assert (found.rows, found.width) == (10, 32)
    with np.load(work / "labelled-0000.npz") as arrays:
        assert arrays["codes"].shape == arrays["inverted"].shape == (18, 10, 32)
        assert not np.isfinite(arrays["meshes"]).any()
    assert (work / "bundle.txt").read_text() == "tiny\n"
    with pytest.raises(WeightsError, match="10 rows"):
        load_classifier(work / "classifier.safetensors", 18)


@pytest.mark.slow
def test_editors_are_trained_and_edit(
    work: Path, of_tiny: Networks, data: LabelledFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet: list[str] = []
    codes = np.random.default_rng(0).normal(0, 0.3, (2, 10, 32)).astype(np.float32)
    one = np.ones(2, np.float32)
    maps = train_transformers(work, data, of_tiny, ["Smiling", "Black_Hair"], SMALL, quiet.append)
    editor = of_tiny.editor(str(maps))
    assert editor.names == ("Smiling", "Black_Hair")
    assert np.abs(editor.move(codes, "Smiling", one) - codes).max((0, 2)).min() > 0

    fit_baselines(work, of_tiny.statistics, quiet.append, of_tiny.space.bands)
    normals = work / "interfacegan.safetensors"
    assert set(load_normals(normals, (10, 32)).normals) == set(data.names)
    assert of_tiny.editor(str(normals)).move(codes, "Male", one).shape == codes.shape

    how = StyleSpaceTraining(pool=6, measured=1, chosen=5, lacking=1, spots=1)
    channels = train_stylespace(work, data, of_tiny, how, quiet.append)
    shift = of_tiny.editor(str(channels)).shift(codes, "Smiling", one)
    assert shift is not None
    assert shift.shape == (2, of_tiny.space.channels)

    flowing = StyleFlowTraining(faces=40, hidden=8, layers=1, steps=2, batch=8, tried=4)
    path = train_styleflow(work, of_tiny, flowing, quiet.append)
    classifier = load_classifier(work / "classifier.safetensors")
    flow = load_styleflow(path, of_tiny.statistics, classifier)
    assert flow.move(codes, "Male", one).shape == codes.shape
    assert flow.ways(codes[0], torch.zeros(1, 6)).shape == (1, 10, 32)


def test_a_folder_is_one_bundles(of_tiny: Networks, networks: Networks, tmp_path: Path) -> None:
    keep_bundle(tmp_path, of_tiny)
    keep_bundle(tmp_path, of_tiny)
    with pytest.raises(UsageError, match="'tiny'"):
        keep_bundle(tmp_path, networks)
    old = tmp_path / "old"  # of before folders were noted: the embedded bundle's
    old.mkdir()
    (old / "labelled-0000.npz").touch()
    with pytest.raises(UsageError, match="'mobile'"):
        keep_bundle(old, of_tiny)


def test_what_is_missing_is_said_at_once(
    of_tiny: Networks, data: LabelledFaces, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        train_stylespace(tmp_path / "a", data, of_tiny, StyleSpaceTraining())
    assert "videdit train classifier" in caught.value.remedy
    assert "--bundle tiny" in caught.value.remedy
    with pytest.raises(UsageError, match="has a classifier of codes") as caught:
        train_styleflow(tmp_path / "b", of_tiny, StyleFlowTraining())
    assert "--bundle tiny" in caught.value.remedy


def test_pictures_of_any_size_are_looked_at_at_one(of_tiny: Networks) -> None:
    viewer = Viewer.of(of_tiny)
    codes = torch.zeros(2, 10, 32)
    assert viewer.pictures(codes).shape == (2, 3, 256, 256)
    assert viewer.cost == 1
    own = of_tiny.synthesis(codes) * 0.5 + 0.5
    torch.testing.assert_close(sized(viewer.show(codes), 64), sized(own, 64), atol=0.1, rtol=0)
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert sized(picture, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert sized(picture, 8).shape == (1, 1, 8, 8)


# --- an encoder ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_small(tiny: Bundle, compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """A generator of 256 pixels, 14 rows, without an encoder."""
    path = tmp_path_factory.mktemp("small") / "g.pt"
    bundle = import_checkpoints([write_generator(path, generator_state(256))], "small")
    return Networks(bundle, Device("cpu", "fp32"), "mesh", compiled)


@pytest.mark.slow
def test_an_encoder_is_trained_for_a_generator_without_one(
    of_small: Networks, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videdit.training.faces.SHARD", 6)
    monkeypatch.setattr("videdit.training.readout._BATCH", 2)
    stats, space, face = of_small.statistics, of_small.space, of_small.recognition
    quiet: list[str] = []
    sample_faces(
        tmp_path, range(2), of_small.mapping, stats, of_small.generator, quiet.append, space.rows
    )
    data = FaceData(tmp_path, 2, 1, space.rows)
    synthesis = of_small.synthesis
    path = tmp_path / READOUT
    fitted = train_readout(data, synthesis, face, path, blocks=4, steps=2, report=quiet.append)
    viewer = Viewer.of(of_small, tmp_path)
    pictures = viewer.pictures(data.codes[0, :2])
    with torch.no_grad():
        shown = fitted.show(synthesis, data.codes[0, :2]).clamp(0, 1)
    torch.testing.assert_close(pictures, shown)

    real = RealFaces(np.zeros((0, 256, 256, 3), np.uint8), np.zeros((0, 68, 2), np.float32))
    how = EncoderTraining(steps=2, batch=2, real=0, morphed=0, pairs=0, shown=1, warm_up=1)
    given = Supervision(data, real, stats, synthesis, fitted, face, space.groups)
    run = Run(tmp_path / "encoder", report=quiet.append)
    encoder = train_encoder(given, how, run)
    alone = Networks(
        import_checkpoints([encoder], "small"), Device("cpu", "fp32"), "mesh", compiled
    )
    crops = np.random.default_rng(0).uniform(0, 1, (2, 256, 256, 3)).astype(np.float32)
    codes = alone.encoder.encode(crops)
    assert codes.shape == (2, 14, 32)

    path = tmp_path / "readout-32.safetensors"
    coarse = train_readout(data, synthesis, face, path, blocks=3, steps=2, report=quiet.append)
    first = load_network(encoder, stats, space.groups)
    run = Run(tmp_path / "corrector", report=quiet.append)
    corrector = train_corrector(given, first, coarse, how, run)
    bundle = import_checkpoints([corrector], "small")
    assert bundle.manifest.title.endswith("encoder and corrector trained here")
    both = Networks(bundle, Device("cpu", "fp32"), "mesh", compiled)
    again = both.encoder.encode(crops)
    with torch.no_grad():
        network = both.encoder_network()(torch.from_numpy(crops).permute(0, 3, 1, 2))
    np.testing.assert_allclose(again, network.numpy(), atol=1e-3)


def test_no_cheap_pictures_of_small_generators(
    tiny: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("readout", "corrector"):
        assert main(["train", verb, str(tmp_path / "w"), "--bundle", "tiny"]) == 2
        said = capsys.readouterr().err
        assert "64 pixels" in said
        assert said.count("\n") == 1
    assert not (tmp_path / "w").exists()


def test_small_generators_are_looked_at_themselves(of_tiny: Networks) -> None:
    judge = Judge(of_tiny.synthesis, None, of_tiny.recognition, EncoderTraining(), "cpu")
    codes = torch.zeros(2, 10, 32, requires_grad=True)
    loss, parts = judge(codes, torch.full((2, 3, 256, 256), 0.5))
    loss.backward()  # type: ignore[no-untyped-call]
    assert set(parts) == {"pixels", "parts", "identity"}
    assert codes.grad is not None
    assert float(codes.grad.abs().sum()) > 0


def test_eighteen_rows_of_1024_pixels() -> None:
    synthesis = load_synthesis(generator_state(1024))[0]
    codes = torch.randn(1, 18, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        shown = generated(synthesis)(codes)
        own = synthesis(codes) * 0.5 + 0.5
    assert shown.shape == (1, 3, 256, 256)
    torch.testing.assert_close(shown[0, :, 0, 0], own[0, :, :4, :4].mean((1, 2)))
    stats = assumed(torch.zeros(32))
    assert deviations(synthesis, stats, 18).shape == (sum(synthesis.shape.styles),)
    w_a, w_b = np.zeros((2, 32), np.float32), np.ones((2, 32), np.float32)
    mixed = expand(w_a, w_b, np.array([17, 18], np.uint8), 18)
    assert mixed[:, :, 0].sum(1).tolist() == [1, 0]
