"""W's mean and covariance, and whitening: coordinates in which codes are compared and kept sane.

W is far from isotropic (eigenvalues of its covariance span three orders of magnitude), so distances
and priors are taken in whitened coordinates ``y = (w - mean) @ U / sqrt(eigenvalue)``, in which a
sample of W has unit variance along every axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import WeightsError
from .mobile import STYLE_DIM


@dataclass(frozen=True)
class WStatistics:
    """Mean and principal axes of W.

    Attributes:
        mean: (512,) the mean code.
        axes: (512, 512) orthonormal columns, the covariance's eigenvectors, largest first.
        scale: (512,) standard deviations along the axes.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def whiten(self, codes: Tensor) -> Tensor:
        """(..., 512) codes to whitened coordinates of the same shape."""
        return (codes - self.mean) @ self.axes / self.scale

    def color(self, whitened: Tensor) -> Tensor:
        """(..., 512) whitened coordinates back to codes: the inverse of ``whiten``."""
        return (whitened * self.scale) @ self.axes.T + self.mean

    @property
    def whitening(self) -> Tensor:
        """(512, 512) by which a code less the mean is multiplied to be whitened."""
        return self.axes / self.scale

    def to(self, device: torch.device | str) -> WStatistics:
        """The same statistics on another device."""
        return WStatistics(self.mean.to(device), self.axes.to(device), self.scale.to(device))

    def save(self, path: Path) -> None:
        """Write as safetensors, single precision: whitening divides by small eigenvalues."""
        save_file(
            {"mean": self.mean, "axes": self.axes.contiguous(), "scale": self.scale}, str(path)
        )

    @classmethod
    def load(cls, path: Path, width: int = STYLE_DIM) -> WStatistics:
        """Read what ``save`` wrote.

        Raises:
            WeightsError: missing, damaged or of another shape.
        """
        try:
            tensors = load_file(str(path))
            stats = cls(tensors["mean"], tensors["axes"], tensors["scale"])
        except Exception as error:
            raise WeightsError(
                f"W's statistics {path.name} cannot be read ({error})",
                "Run `videdit weights verify`.",
            ) from error
        shapes = [tuple(tensor.shape) for tensor in (stats.mean, stats.axes, stats.scale)]
        if shapes != [(width,), (width, width), (width,)]:
            raise WeightsError(f"W's statistics {path.name} have another latent space's shape")
        return stats


USUAL_SCALE = 0.44
"""Standard deviation of StyleGAN2-FFHQ's W, the root mean square over all directions."""


def assumed(mean: Tensor) -> WStatistics:
    """Statistics where W cannot be sampled: the same deviation, that of the best-known generator of
    faces, in every direction.

    Args:
        mean: (width,) of W.
    """
    width = len(mean)
    return WStatistics(mean.float(), torch.eye(width), torch.full((width,), USUAL_SCALE))


def measure(
    mapping: Callable[[Tensor], Tensor],
    width: int = STYLE_DIM,
    samples: int = 200_000,
    seed: int = 0,
) -> WStatistics:
    """Estimate the statistics from random codes (takes about ten seconds on two cores).

    Args:
        mapping: (n, width) normal noise to codes of W.
        width: of W.
        samples: how many codes; rounded up to tens of thousands.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(width, dtype=torch.float64)
    outer = torch.zeros(width, width, dtype=torch.float64)
    batch = 10_000
    with torch.no_grad():
        for _ in range(0, samples, batch):
            w = mapping(torch.randn(batch, width, generator=generator)).double()
            total += w.sum(0)
            outer += w.T @ w
    mean = total / samples
    values, vectors = np.linalg.eigh((outer / samples - torch.outer(mean, mean)).numpy())
    order = np.argsort(values)[::-1]
    axes = vectors[:, order]
    # An eigenvector's sign is arbitrary: fix it, so that the file is the same everywhere.
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(width)])
    return WStatistics(
        mean.float(),
        torch.from_numpy(axes.astype(np.float32)).contiguous(),
        torch.from_numpy(np.sqrt(values[order].clip(1e-12)).astype(np.float32)),
    )
