from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from videdit.bundles import Bundle
from videdit.errors import WeightsError
from videdit.generators.mobile import MappingNetwork, load_mapping
from videdit.generators.wspace import WStatistics, measure


def made_up(seed: int = 0) -> WStatistics:
    """Statistics with eigenvalues over three orders of magnitude, as W's."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.standard_normal((512, 512)))
    return WStatistics(
        torch.from_numpy(rng.standard_normal(512).astype(np.float32)),
        torch.from_numpy(axes.astype(np.float32)),
        torch.logspace(0.5, -1.2, 512),
    )


STATS = made_up()


@given(st.integers(0, 2**32 - 1), st.sampled_from([(512,), (3, 512), (2, 16, 512)]))
@settings(max_examples=20, deadline=None)
def test_whiten_and_color_are_inverses(seed: int, shape: tuple[int, ...]) -> None:
    y = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    codes = STATS.color(y)
    assert codes.shape == shape
    torch.testing.assert_close(STATS.whiten(codes), y, rtol=0, atol=1e-3)
    torch.testing.assert_close(STATS.color(STATS.whiten(codes)), codes, rtol=0, atol=1e-3)


def test_the_mean_is_the_origin() -> None:
    assert STATS.whiten(STATS.mean).abs().max() == 0


def test_measure_finds_what_codes_were_drawn_from() -> None:
    """A 'mapping network' of one affine layer, whose covariance is known."""
    truth = made_up(1)

    class Affine(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return truth.color(z)

    found = measure(Affine(), samples=20_000)  # type: ignore[arg-type]
    assert (found.mean - truth.mean).abs().max() < 0.1
    torch.testing.assert_close(found.scale, truth.scale, rtol=0.25, atol=0)
    assert bool((found.scale.diff() <= 0).all())
    identity = found.axes.T @ found.axes
    torch.testing.assert_close(identity, torch.eye(512), rtol=0, atol=1e-4)
    again = measure(Affine(), samples=20_000)  # type: ignore[arg-type]
    assert torch.equal(found.axes, again.axes)


def test_saved_statistics_are_read_back(tmp_path: Path) -> None:
    STATS.save(tmp_path / "w.safetensors")
    read = WStatistics.load(tmp_path / "w.safetensors")
    for name in ("mean", "axes", "scale"):
        assert torch.equal(getattr(read, name), getattr(STATS, name))


@pytest.mark.parametrize("damage", ["missing", "garbage", "no mean", "shape", "scale"])
def test_damaged_statistics(damage: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    tensors = {"mean": STATS.mean, "axes": STATS.axes, "scale": STATS.scale}
    if damage == "garbage":
        path.write_bytes(b"no tensors")
    elif damage == "no mean":
        del tensors["mean"]
        save_file(tensors, str(path))
    elif damage == "shape":
        save_file(tensors | {"axes": torch.eye(64)}, str(path))
    elif damage == "scale":
        save_file(tensors | {"scale": torch.ones(64)}, str(path))
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        WStatistics.load(path)


@pytest.fixture(scope="module")
def mapping(bundle: Bundle) -> MappingNetwork:
    return load_mapping(bundle.path("mapping.xml"), bundle.path("mapping.bin"))


@pytest.mark.weights
def test_the_bundles_statistics_whiten_its_codes(bundle: Bundle, mapping: MappingNetwork) -> None:
    stats = WStatistics.load(bundle.path("w_statistics.safetensors"))
    z = torch.randn(10_000, 512, generator=torch.Generator().manual_seed(99))
    with torch.no_grad():
        whitened = stats.whiten(mapping(z))
    assert whitened.mean(0).abs().max() < 0.06  # six standard errors
    variance = whitened.var(0)
    assert variance.min() > 0.85
    assert variance.max() < 1.15
    covariance = whitened.T @ whitened / len(whitened)
    assert (covariance - torch.eye(512)).abs().max() < 0.15
