from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from tests.models.published import WIDTH, generator_state
from videdit.errors import InputError
from videdit.faces.regions import PARSED, REGIONS
from videdit.generators.mobile import SynthesisNetwork
from videdit.generators.stylegan2 import load_synthesis
from videdit.models.networks import Networks
from videdit.training.clusters import (
    BORDER,
    GRID,
    Clusters,
    activations,
    cluster_sheet,
    fit_clusters,
    load_names,
    save_names,
    seen_names,
    show_face,
)

DATA = Path(__file__).parents[2] / "training_data"


@pytest.fixture
def clusters() -> Clusters:
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(0, 2, 12), rng.uniform(0.2, 3, 12)
    axes, centres = rng.standard_normal((12, 5)), rng.standard_normal((7, 5))
    return Clusters(*(a.astype(np.float32) for a in (mean, deviation, axes, centres)))


def features() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 2, (GRID * GRID, 12)).astype(np.float32)


def test_each_pixel_belongs_to_the_nearest_centre(clusters: Clusters) -> None:
    found = clusters.of(features())
    assert found.shape == (GRID, GRID)
    assert found.dtype == np.uint8
    assert len(np.unique(found)) == 7
    for place, pixel in enumerate(features()[:1000].astype(np.float64)):
        point = clusters.axes.T.astype(np.float64) @ ((pixel - clusters.mean) / clusters.deviation)
        apart = [float(np.linalg.norm(point - centre)) for centre in clusters.centres]
        nearest = apart[found[place // GRID, place % GRID]]
        assert nearest <= min(apart) + 1e-4


def test_they_are_kept_in_half_precision(clusters: Clusters, tmp_path: Path) -> None:
    path = tmp_path / "clusters.safetensors"
    clusters.save(path)
    assert {str(tensor.dtype) for tensor in load_file(path).values()} == {"float16"}
    again = Clusters.load(path)
    for name, value in vars(clusters).items():
        kept = getattr(again, name)
        assert kept.dtype == np.float32
        np.testing.assert_array_equal(kept, value.astype(np.float16).astype(np.float32))
    assert (again.of(features()) == clusters.of(features())).mean() > 0.99


@pytest.mark.parametrize("damage", ["missing", "garbage", "cut off", "incomplete", "other"])
def test_damaged_clusters(damage: str, clusters: Clusters, tmp_path: Path) -> None:
    path = tmp_path / "clusters.safetensors"
    clusters.save(path)
    tensors = load_file(path)
    if damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "incomplete":
        del tensors["axes"]
        save_file(tensors, path)
    else:
        save_file(tensors | {"more": tensors["axes"]}, path)
    with pytest.raises(InputError, match=r"clusters\.safetensors"):
        Clusters.load(path)


def test_names_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    table.write_text("cluster,region\n2,hair\n0,skin\n1,border\n")
    assert load_names(table, 3) == ("skin", BORDER, "hair")
    assert load_names(table, 2) == ("skin", BORDER)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "cluster,region\n0,skin\n2,hair\n",
        "cluster,region\n0,skin\n1,hair\n",
        "cluster,name\n0,skin\n1,hair\n2,hair\n",
        "cluster,region\nfirst,skin\n1,hair\n2,hair\n",
    ],
    ids=["no file", "empty", "a gap", "too few", "other columns", "no number"],
)
def test_an_incomplete_table(text: str | None, tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(InputError, match=r"names\.csv") as caught:
        load_names(table, 3)
    assert "cluster,region" in caught.value.remedy


def test_unknown_names_are_told(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    table.write_text("cluster,region\n0,skin\n1,beak\n2,antlers\n")
    with pytest.raises(InputError, match="'antlers', 'beak'") as caught:
        load_names(table, 3)
    assert all(region in caught.value.remedy for region in (*REGIONS, BORDER))


def test_the_shipped_clusters_have_their_names() -> None:
    clusters = Clusters.load(DATA / "regions.safetensors")
    channels, axes = clusters.axes.shape
    assert clusters.centres.shape == (64, axes)
    assert clusters.mean.shape == clusters.deviation.shape == (channels,)
    assert clusters.deviation.min() > 0
    names = load_names(DATA / "regions.csv", 64)
    # No cluster of hats: they are told from clothes by where they lie.
    assert set(names) == {*REGIONS, BORDER} - {"hat"}
    with pytest.raises(InputError):
        load_names(DATA / "regions.csv", 65)


@pytest.mark.weights
def test_activations_of_the_generator(networks: Networks) -> None:
    synthesis, mean = networks.synthesis, networks.statistics.mean.numpy()
    code = np.tile(mean, (16, 1)).astype(np.float32)
    found = activations(synthesis, code)
    assert found.shape == (GRID * GRID, 512 + 512 + 256)
    assert found.shape[1:] == Clusters.load(DATA / "regions.safetensors").mean.shape
    assert found.dtype == np.float32
    assert np.array_equal(found, activations(synthesis, code))
    assert np.abs(found - activations(synthesis, code * 1.5)).max() > 0.1
    with torch.no_grad():
        depths = [x[0].numpy() for x in islice(synthesis.stepwise(torch.from_numpy(code[None])), 6)]
    coarse, middle, fine = (x / np.sqrt((x**2).mean(0)) for x in depths[3:])
    grids = found.T.reshape(-1, GRID, GRID)
    np.testing.assert_allclose(grids[512:1024], middle, atol=1e-3)
    averaged = fine.reshape(-1, GRID, 2, GRID, 2).mean((2, 4))
    np.testing.assert_allclose(grids[1024:], averaged, atol=1e-3)
    lines = 0.75 * coarse[:, :-1] + 0.25 * coarse[:, 1:]
    between = 0.75 * lines[:, :, :-1] + 0.25 * lines[:, :, 1:]
    np.testing.assert_allclose(grids[:512, 1:-1:2, 1:-1:2], between, atol=1e-3)


@pytest.mark.weights
def test_a_face_is_shown(networks: Networks) -> None:
    code = np.tile(networks.statistics.mean.numpy(), (16, 1)).astype(np.float32)
    picture = show_face(networks.generator, code)
    assert picture.shape == (PARSED, PARSED, 3)
    assert picture.dtype == np.uint8
    full = networks.generator.decode(code[None])[0]
    blocks = full.reshape(PARSED, 2, PARSED, 2, 3).mean((1, 3)) * 255
    assert np.abs(picture - blocks).max() < 0.51


class Quarters:
    """A generator whose activations tell the quarters of its picture, and a little noise; the
    code says how they are turned."""

    def stepwise(self, codes: Tensor) -> Iterator[Tensor]:
        turn, rng = int(codes[0, 0, 0]), torch.Generator().manual_seed(0)
        base = torch.randn(8, 2, 2, generator=rng).mul(4)
        for depth in range(8):
            assert depth <= 5, "no more than five blocks are needed"
            size = 4 << depth
            quarters = base.repeat_interleave(size // 2, 1).repeat_interleave(size // 2, 2)
            noise = torch.randn(8, size, size, generator=rng) * 0.3
            yield (quarters.rot90(turn, (1, 2)) + noise)[None]


def test_clusters_are_the_parts_of_the_faces() -> None:
    synthesis = cast(SynthesisNetwork, Quarters())
    codes = np.zeros((3, 16, 512), np.float32)
    codes[:, 0, 0] = range(3)
    clusters = fit_clusters(synthesis, codes, count=4)
    assert clusters.centres.shape[0] == 4
    first = clusters.of(activations(synthesis, codes[0]))
    half, rim = GRID // 2, 3
    places = [
        (slice(y + rim, y + half - rim), slice(x + rim, x + half - rim))
        for y in (0, half)
        for x in (0, half)
    ]
    parts = [np.unique(first[place]).tolist() for place in places]
    assert sorted(parts) == [[0], [1], [2], [3]]  # each quarter is one cluster
    for turn in (1, 2):
        other = clusters.of(activations(synthesis, codes[turn]))
        for place in places:
            assert np.array_equal(other[place], np.rot90(first, turn)[place])


def test_another_generator_has_activations_as_well() -> None:
    synthesis, _ = load_synthesis(generator_state(64))
    code = np.random.default_rng(0).standard_normal((10, WIDTH)).astype(np.float32)
    found = activations(synthesis, code)
    assert found.shape == (GRID * GRID, 2 * 8)  # at 32 and 64 pixels, which are all that it has
    with torch.no_grad():
        *_, coarse, fine = (x[0].numpy() for x in synthesis.stepwise(torch.from_numpy(code[None])))
    assert coarse.shape[1:] == (32, 32)
    np.testing.assert_allclose(
        found.T[8:].reshape(8, GRID, GRID), fine / np.sqrt((fine**2).mean(0)), rtol=1e-2
    )
    clusters = fit_clusters(synthesis, np.stack([code, -code]), count=3)
    assert clusters.axes.shape == (16, 16)


def test_clusters_are_named_by_what_is_seen_in_them(tmp_path: Path) -> None:
    quarters = np.kron(np.arange(4, dtype=np.uint8).reshape(2, 2), np.ones((32, 32), np.uint8))
    seen = np.zeros((128, 128, len(REGIONS)), np.float32)
    seen[:64, :64, REGIONS.index("hair")] = 1
    seen[:64, 64:, REGIONS.index("skin")] = 0.7
    seen[:64, 64:, REGIONS.index("nose")] = 0.3
    seen[64:, :32, REGIONS.index("neck")] = 1
    seen[64:, 32:64, REGIONS.index("clothes")] = 1
    seen[64:, 64:, REGIONS.index("lips")] = 1
    names = seen_names([quarters] * 2, [seen, seen], 5)
    assert names == ("hair", "skin", BORDER, "lips", BORDER)
    save_names(tmp_path / "regions.csv", names)
    assert load_names(tmp_path / "regions.csv", 5) == names


def test_progress_of_the_fit_is_told() -> None:
    lines: list[str] = []
    codes = np.zeros((50, 16, 512), np.float32)
    fit_clusters(cast(SynthesisNetwork, Quarters()), codes, count=2, report=lines.append)
    assert lines == ["50 of 50 faces"]


def test_the_sheet_shows_where_a_cluster_lies_and_who_has_most_of_it() -> None:
    pictures = [np.full((256, 256, 3), 20 * n, np.uint8) for n in range(6)]
    maps = [np.zeros((GRID, GRID), np.uint8) for _ in range(6)]
    for n, width in enumerate((2, 30, 4, 20, 6, 10)):
        maps[n][32:48, :width] = 1
    maps[5][0, 0] = 2
    rows = cluster_sheet(pictures, maps, 4)
    assert len(rows) == 4
    for row in rows:
        assert len(row) == 5
        assert {(one.shape, one.dtype) for one in row} == {((256, 256, 3), np.dtype(np.uint8))}
    average, *shown = rows[1]
    assert average[160, 4].min() > 240  # everybody has it there,
    assert 80 < average[160, 12].mean() < 240  # some there,
    assert not average[100:].min(2)[:, 140:].any()  # nobody there
    own = [int(np.median(one)) // 20 for one in shown]
    assert own == [1, 3, 5, 4]
    green = (shown[0] == (0, 255, 0)).all(2)
    assert green[160, 119] or green[160, 120]
    assert not green[130:188, 4:116].any()
    assert 2 * (120 + 60) < green.sum() < 4 * (120 + 64)
    assert not any((picture == (0, 255, 0)).all(2).any() for picture in pictures)  # not in place
