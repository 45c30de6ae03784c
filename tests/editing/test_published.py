"""Editors in their authors' layouts do what an obvious reference in double precision does."""

from __future__ import annotations

import math
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from videdit.bundles.latent import LatentSpace
from videdit.editing.attributes import NAMES
from videdit.editing.classifier import PaperClassifier, load_any_classifier, load_classifier
from videdit.editing.editor import Editor
from videdit.editing.linear import Components, load_normals
from videdit.editing.published import attribute_of, convert, read_editor
from videdit.editing.styleclip import BETA, StyleClipEditor, load_global_directions
from videdit.editing.transformer import EDITED_ROWS, load_transformers
from videdit.errors import UsageError, WeightsError

ROWS, WIDTH = 18, 24
STYLES = (8, 8, 8, 8, 8, 8, 6, 6)  # of three blocks; the second and each third behind it: colours
SPACE = LatentSpace(
    ROWS, WIDTH, 1024, {"pose": (0, 4), "features": (4, 8), "colour": (8, 18)}, STYLES
)
RANDOM = np.random.default_rng(0)
ALPHAS = np.array([0.0, 1.0, -2.5, 3.0])


def draw(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def codes() -> np.ndarray:
    return draw(len(ALPHAS), ROWS, WIDTH)


def converted(folder: Path, *paths: Path, before: dict[str, Path] | None = None) -> Path:
    files = [read_editor(path) for path in paths]
    assert all(file is not None for file in files)
    (made,) = convert([file for file in files if file], SPACE, folder, before)
    return made.path


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def check_alone(editor: Editor, before: np.ndarray, name: str) -> None:
    """A code of a batch is edited as if it were alone."""
    strengths = ALPHAS.astype(np.float32)
    together = editor.move(before, name, strengths)
    for k in range(len(before)):
        alone = editor.move(before[k : k + 1], name, strengths[k : k + 1])
        np.testing.assert_array_equal(alone[0], together[k])


# --- the latent transformer's paper --------------------------------------------------------------


def map_state() -> dict[str, torch.Tensor]:
    state = {}
    for row in range(ROWS):
        state[f"dense.{row}.weight"] = torch.from_numpy(draw(WIDTH, WIDTH))
        state[f"dense.{row}.bias"] = torch.from_numpy(draw(WIDTH))
    return state


def test_a_map(tmp_path: Path) -> None:
    state, before = map_state(), codes()
    torch.save(state, tmp_path / "net_31.pth.tar")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "Young.pt")
    path = converted(tmp_path, tmp_path / "net_31.pth.tar", tmp_path / "Young.pt")
    editor = load_transformers(path, shape=SPACE.shape)
    assert editor.names == ("Smiling", "Young")
    wanted = before.astype(np.float64)
    for k, alpha in enumerate(ALPHAS):
        for row in range(EDITED_ROWS):
            weight = state[f"dense.{row}.weight"].double().numpy() / math.sqrt(WIDTH)
            moved = weight @ before[k, row].astype(np.float64) + state[f"dense.{row}.bias"].numpy()
            wanted[k, row] += alpha * moved
    for name in editor.names:
        found = editor.move(before, name, ALPHAS.astype(np.float32))
        close(found - before, wanted - before)
        check_alone(editor, before, name)


def test_maps_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    for name in ("Smiling", "Young", "Male"):
        torch.save(map_state(), tmp_path / f"{name}.pt")
    first = converted(tmp_path, tmp_path / "Smiling.pt", tmp_path / "Young.pt")
    before, ones = codes(), np.ones(len(ALPHAS), np.float32)
    young = load_transformers(first).move(before, "Young", ones)
    torch.save(map_state(), tmp_path / "Smiling.pt")
    role = {"editor-transformer": first}
    path = converted(tmp_path, tmp_path / "Smiling.pt", tmp_path / "Male.pt", before=role)
    editor = load_transformers(path)
    assert editor.names == ("Smiling", "Young", "Male")
    np.testing.assert_array_equal(editor.move(before, "Young", ones), young)


def classifier_state() -> dict[str, torch.Tensor]:
    widths, state = (ROWS * WIDTH, 20, 10, 40), {}
    for number, (ins, out) in enumerate(pairwise(widths)):
        state[f"fcs.{number}.weight"] = torch.from_numpy(draw(out, ins)) / math.sqrt(ins)
        state[f"fcs.{number}.bias"] = torch.from_numpy(draw(out))
    return state


def test_the_papers_classifier(tmp_path: Path) -> None:
    state, seen = classifier_state(), codes()
    torch.save(state, tmp_path / "latent_classifier.pth")
    path = converted(tmp_path, tmp_path / "latent_classifier.pth")
    network = load_any_classifier(path, ROWS)
    assert isinstance(network, PaperClassifier)
    assert network.names == NAMES
    x = seen.reshape(len(seen), -1).astype(np.float64)
    for number in range(3):
        x = x @ state[f"fcs.{number}.weight"].double().numpy().T
        x = x + state[f"fcs.{number}.bias"].double().numpy()
        x = np.where((x > 0) | (number == 2), x, 0.2 * x)
    close(network.logits(seen), x)
    np.testing.assert_allclose(network.logits(seen[1:2])[0], network.logits(seen)[1], atol=1e-5)
    with pytest.raises(WeightsError, match="18 rows, these have 16"):
        load_any_classifier(path, 16)
    with pytest.raises(WeightsError, match="the paper's"):
        load_classifier(path)


# --- InterFaceGAN --------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_a_boundary(tmp_path: Path, rows: int, suffix: str) -> None:
    boundary, before = draw(rows, WIDTH), codes()
    path = tmp_path / f"stylegan_ffhq_age_w_boundary{suffix}"
    if suffix == ".npy":
        np.save(path, boundary)
    else:
        torch.save(torch.from_numpy(boundary), path)
    editor = load_normals(converted(tmp_path, path), SPACE.shape).editor()
    assert editor.names == ("age",)
    wanted = before + ALPHAS[:, None, None] * boundary.astype(np.float64)
    close(editor.move(before, "age", ALPHAS.astype(np.float32)) - before, wanted - before)
    check_alone(editor, before, "age")


def test_boundaries_by_name(tmp_path: Path) -> None:
    table = {"smile": draw(1, WIDTH), "pose": draw(WIDTH)}
    torch.save({k: torch.from_numpy(v) for k, v in table.items()}, tmp_path / "boundaries.pt")
    np.save(tmp_path / "boundary_Big_Lips.npy", draw(1, WIDTH))
    path = converted(tmp_path, tmp_path / "boundaries.pt", tmp_path / "boundary_Big_Lips.npy")
    editor = load_normals(path, SPACE.shape).editor(keep=["pose"])
    assert editor.names == ("Smiling", "pose", "Big_Lips")
    kept = np.tile(table["pose"].astype(np.float64), (ROWS, 1)).ravel()
    moved = editor.step("Smiling").astype(np.float64).ravel()
    assert abs(moved @ kept) < 1e-5 * np.linalg.norm(moved) * np.linalg.norm(kept)


# --- GANSpace ------------------------------------------------------------------------------------


def components_file(count: int = 7) -> dict[str, np.ndarray]:
    axes = np.linalg.qr(draw(WIDTH, count))[0].T
    scale = np.sort(np.abs(draw(count)))[::-1] + 0.1
    return {
        "act_comp": draw(count, 1, 6, 4, 4),
        "act_mean": draw(1, 6, 4, 4),
        "act_stdev": np.ones(count, np.float32),
        "lat_comp": axes[:, None],
        "lat_mean": draw(1, WIDTH),
        "lat_stdev": scale,
        "var_ratio": np.ones(count, np.float32),
        "random_stdevs": np.ones(count, np.float32),
    }


@pytest.mark.parametrize("suffix", [".npz", ".pkl", ".pt"])
def test_components(tmp_path: Path, suffix: str) -> None:
    table, before = components_file(), codes()
    path = tmp_path / f"ffhq_pca{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, **table)
    elif suffix == ".pkl":
        path.write_bytes(pickle.dumps(table))
    else:  # as e4e has them
        names = {"comp": "lat_comp", "mean": "lat_mean", "std": "lat_stdev"}
        torch.save({k: torch.from_numpy(table[v].copy()) for k, v in names.items()}, path)
    editor = Components.load(converted(tmp_path, path)).editor(SPACE.shape)
    assert editor.names == tuple(f"pc{k}" for k in range(7))
    for name, rows in (("pc3", range(ROWS)), ("pc3:4-7", range(4, 8))):
        wanted = np.zeros(before.shape)
        step = table["lat_comp"][3, 0].astype(np.float64) * table["lat_stdev"][3]
        wanted[:, list(rows)] = ALPHAS[:, None, None] * step
        found = editor.move(before, editor.name(name), ALPHAS.astype(np.float32))
        close(found - before, wanted)
        check_alone(editor, before, name)


def test_components_of_noise(tmp_path: Path) -> None:
    table = components_file() | {"lat_stdev": np.ones(7, np.float32)}
    np.savez(tmp_path / "pca.npz", **table)
    with pytest.raises(WeightsError, match="lat_comp are directions of noise"):
        read_editor(tmp_path / "pca.npz")
    # Where W was decomposed, its components are there all the same.
    table |= {"act_comp": table["lat_comp"], "act_stdev": np.full(7, 0.5, np.float32)}
    np.savez(tmp_path / "pca.npz", **table)
    editor = Components.load(converted(tmp_path, tmp_path / "pca.npz")).editor(SPACE.shape)
    close(editor.step("pc0")[0], 0.5 * table["act_comp"][0, 0])


# --- StyleCLIP -----------------------------------------------------------------------------------


def styleclip_files(folder: Path, *, with_colours: bool = False) -> dict[str, Any]:
    channels = np.repeat(np.arange(len(STYLES)), STYLES)
    places = np.flatnonzero(with_colours | (channels % 3 != 1))
    rows, text = draw(len(places), 16) * 0.1, draw(16)
    means, deviations = ([np.abs(draw(count)) for count in STYLES] for _ in range(2))
    np.save(folder / "fs3.npy", rows)
    (folder / "S_mean_std").write_bytes(pickle.dumps([means, deviations]))
    np.save(folder / "Smiling.npy", text)
    return {"places": places, "rows": rows, "text": text, "scale": np.concatenate(deviations)}


def expected_shift(made: dict[str, Any], beta: float) -> np.ndarray:
    text = made["text"].astype(np.float64)
    relevance = made["rows"].astype(np.float64) @ (text / np.linalg.norm(text))
    relevance[np.abs(relevance) < beta] = 0
    shift = np.zeros(sum(STYLES))
    shift[made["places"]] = relevance / np.abs(relevance).max()
    return shift * made["scale"]


@pytest.mark.parametrize("with_colours", [False, True])
def test_global_directions(tmp_path: Path, with_colours: bool) -> None:
    made = styleclip_files(tmp_path, with_colours=with_colours)
    names = ("fs3.npy", "S_mean_std", "Smiling.npy")
    path = converted(tmp_path, *(tmp_path / name for name in names))
    editor = StyleClipEditor(load_global_directions(path))
    before, strengths = codes(), ALPHAS.astype(np.float32)
    assert editor.follows_expression(editor.name("smiling : 0.05"))
    for name, beta in (("Smiling", BETA), ("Smiling:0.05", 0.05)):
        wanted = ALPHAS[:, None] * expected_shift(made, beta)
        assert 0 < np.count_nonzero(wanted[1]) < len(made["places"])
        found = editor.shift(before, editor.name(name), strengths)
        close(found, wanted)
        for k in range(len(before)):
            alone = editor.shift(before[k : k + 1], name, strengths[k : k + 1])
            np.testing.assert_array_equal(alone[0], found[k])
        np.testing.assert_array_equal(editor.move(before, name, strengths), before)
    with pytest.raises(UsageError, match=r"as relevant as 0\.9"):
        editor.shift(before, "Smiling:0.9", strengths)
    with pytest.raises(UsageError, match="no threshold"):
        editor.name("Smiling:1.5")
    # Another text comes by itself.
    np.save(tmp_path / "tan.npy", draw(16))
    again = converted(tmp_path, tmp_path / "tan.npy", before={"editor-styleclip": path})
    assert load_global_directions(again).texts.keys() == {"Smiling", "tan"}


def test_a_text_needs_the_rows_of_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "tan.npy", draw(16))
    with pytest.raises(WeightsError, match=r"tan\.npy needs the rows .*fs3"):
        converted(tmp_path, tmp_path / "tan.npy")


# --- what cannot work ----------------------------------------------------------------------------

OTHERS = (
    LatentSpace(16, WIDTH, 512, {"pose": (0, 4), "features": (4, 8), "colour": (8, 16)}, STYLES),
    LatentSpace(18, WIDTH + 1, 1024, SPACE.bands, (*STYLES[:-3], 7, 6, 6)),
)


@pytest.mark.parametrize("other", OTHERS, ids=["rows", "width"])
def test_what_was_made_for_other_codes(tmp_path: Path, other: LatentSpace) -> None:
    torch.save(map_state(), tmp_path / "Smiling.pt")
    torch.save(classifier_state(), tmp_path / "classifier.pt")
    np.save(tmp_path / "b.npy", draw(ROWS, WIDTH))
    for name in ("Smiling.pt", "classifier.pt", "b.npy"):
        file = read_editor(tmp_path / name)
        assert file is not None
        with pytest.raises(WeightsError, match=rf"{name}: .*the bundle's"):
            convert([file], other, tmp_path)


def test_what_was_made_for_other_channels(tmp_path: Path) -> None:
    styleclip_files(tmp_path)
    files = [read_editor(tmp_path / name) for name in ("fs3.npy", "S_mean_std", "Smiling.npy")]
    known = [file for file in files if file]
    with pytest.raises(WeightsError, match=r"rows for 38 style channels, .* has 37"):
        convert(known, OTHERS[1], tmp_path)
    moved = LatentSpace(ROWS, WIDTH, 1024, SPACE.bands, (8, 8, 7, 9, 8, 8, 6, 6))
    with pytest.raises(WeightsError, match=r"1\.2 is \(8,\), .*layer 2 has 7"):
        convert(known, moved, tmp_path)


def test_damaged_states_name_the_first_key(tmp_path: Path) -> None:
    def refused(state: dict[str, torch.Tensor], message: str) -> None:
        torch.save(state, tmp_path / "Smiling.pt")
        with pytest.raises(WeightsError, match=message):
            read_editor(tmp_path / "Smiling.pt")

    for key in ("dense.5.bias", "dense.7.weight"):
        state = map_state()
        del state[key]
        refused(state, f"{key} is missing")
    refused(
        map_state() | {"dense.3.weight": torch.ones(3, WIDTH)}, r"dense\.3\.weight is \(3, 24\)"
    )
    refused(map_state() | {"dense.3.gain": torch.ones(1)}, r"dense\.3\.gain is no part")
    refused(map_state() | {"dense.3.bias": torch.full((WIDTH,), np.nan)}, "not finite")
    state = classifier_state()
    del state["fcs.1.bias"]
    refused(state, r"fcs\.1\.bias is missing")
    refused(
        classifier_state() | {"fcs.1.weight": torch.ones(10, 19)}, r"fcs\.1\.weight is \(10, 19\)"
    )
    few = {"fcs.2.weight": torch.ones(4, 10), "fcs.2.bias": torch.ones(4)}
    refused(classifier_state() | few, r"fcs\.2\.bias is \(4,\), not \(40,\)")


def test_damaged_tables_name_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "pca.npz"
    for key in ("lat_comp", "lat_stdev"):
        table = components_file()
        del table[key]
        np.savez(path, **table)
        with pytest.raises(WeightsError, match=f"{key} is missing"):
            read_editor(path)
    np.savez(path, **components_file() | {"lat_stdev": np.full(3, 0.5)})
    with pytest.raises(WeightsError, match=r"lat_stdev is \(3,\), not \(7,\)"):
        read_editor(path)
    np.save(tmp_path / "b.npy", np.zeros((1, WIDTH)))
    with pytest.raises(WeightsError, match="nothing but zeros"):
        read_editor(tmp_path / "b.npy")
    np.save(tmp_path / "stylegan_ffhq_age_boundary.npy", draw(1, WIDTH))
    with pytest.raises(WeightsError, match="boundary of noise"):
        read_editor(tmp_path / "stylegan_ffhq_age_boundary.npy")


def test_what_is_no_editor(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(3, 3), "conv.bias": torch.ones(3)}, tmp_path / "g.pt")
    assert read_editor(tmp_path / "g.pt") is None
    np.save(tmp_path / "p.npy", draw(1, 3, 64, 64))
    assert read_editor(tmp_path / "p.npy") is None


@pytest.mark.parametrize(
    ("file", "called", "name"),
    [
        ("Smiling.pt", "", "Smiling"),
        ("big-nose.pt", "", "Big_Nose"),
        ("5_o_Clock_Shadow.pt", "", "5_o_Clock_Shadow"),
        ("net_31.pth.tar", "", "Smiling"),
        ("0.pt", "", "5_o_Clock_Shadow"),
        ("boundary_Young.npy", "", "Young"),
        ("stylegan_ffhq_smile_w_boundary.npy", "", "Smiling"),
        ("stylegan2_ffhq_pose_w_boundary.npy", "", "pose"),
        ("net_31.pth.tar", "Young", "Young"),
        ("x.pt", "39", "Young"),
        ("x.pt", "evil twin 2", "evil twin 2"),
    ],
)
def test_which_attribute_a_file_is_about(file: str, called: str, name: str) -> None:
    assert attribute_of(Path(file), called, numbered=True) == name


def test_celeba_has_forty_attributes() -> None:
    with pytest.raises(UsageError, match="no attribute 40"):
        attribute_of(Path("net_40.pth"), numbered=True)
    assert attribute_of(Path("age_12.npy")) == "age_12"
