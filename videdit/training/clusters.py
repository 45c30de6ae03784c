"""Regions for nothing: clusters of the generator's activations.

Collins et al. (*Editing in Style*, CVPR 2020) saw that k-means on StyleGAN's activations finds the
parts of a face. Here the features after three, four and five blocks are brought to one grid, each
pixel's divided by their root mean square, projected to their principal axes and clustered. A person
has given each cluster of the embedded generator a name: the table ``training_data/regions.csv``.
Those of another generator are named by what the parser, which learned from these, sees in them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from torch import Tensor

from ..errors import InputError
from ..faces.regions import PARSED, REGIONS
from ..generators.network import GeneratorNetwork
from ..models.protocols import Generator

GRID = 64
"""Side of the maps of clusters."""

BORDER = "border"
"""The name of clusters that lie across two regions: their pixels are told by their colours."""

_BLOCKS = (3, 4, 5)
_AXES = 64
_PIXELS = 400  # of each face, for the fit

Floats = NDArray[np.float32]


@torch.no_grad()
def activations(synthesis: GeneratorNetwork, code: Floats) -> Floats:
    """What the clusters are made of: features (64 * 64, channels) of a code (rows, width), row
    by row of the picture. A small generator has fewer blocks."""
    seen = []
    steps = islice(synthesis.stepwise(torch.from_numpy(code[None])), _BLOCKS[-1] + 1)
    for depth, x in enumerate(steps):
        if depth in _BLOCKS:
            seen.append(_on_grid(x / (x.square().mean(1, keepdim=True).sqrt() + 1e-6)))
    return np.asarray(torch.cat(seen, 1)[0].flatten(1).T.numpy(), np.float32)


def show_face(generator: Generator, code: Floats) -> NDArray[np.uint8]:
    """(256, 256, 3) RGB picture of a code (rows, width)."""
    picture = generator.decode(code[None])[0]
    small = cv2.resize(picture, (PARSED, PARSED), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(small * 255), np.uint8)


def _on_grid(x: Tensor) -> Tensor:
    if x.shape[-1] > GRID:
        return F.avg_pool2d(x, x.shape[-1] // GRID)
    return F.interpolate(x, (GRID, GRID), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Clusters:
    """Fitted clusters.

    Attributes:
        mean, deviation: (channels,) of the features.
        axes: (channels, d) principal axes of the standardised features.
        centres: (k, d).
    """

    mean: Floats
    deviation: Floats
    axes: Floats
    centres: Floats

    def of(self, features: Floats) -> NDArray[np.uint8]:
        """(64, 64) the nearest cluster of each pixel of ``activations``."""
        points = ((features - self.mean) / self.deviation) @ self.axes
        squared = (self.centres**2).sum(1) - 2 * points @ self.centres.T
        return np.asarray(squared.argmin(1).reshape(GRID, GRID), np.uint8)

    def save(self, path: Path) -> None:
        """Write half precision."""
        save_file({k: np.ascontiguousarray(v, np.float16) for k, v in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> Clusters:
        """What `save` wrote.

        Raises:
            InputError: missing or damaged.
        """
        try:
            return cls(**{k: v.astype(np.float32) for k, v in load_file(path).items()})
        except Exception as error:  # safetensors has an exception class of its own
            raise InputError(f"the clusters {path} cannot be read ({error})", "") from error


def fit_clusters(
    synthesis: GeneratorNetwork,
    codes: Floats,
    count: int = 64,
    report: Callable[[str], None] = print,
) -> Clusters:
    """Find clusters in some faces.

    Args:
        codes: (n, rows, width); a few hundred, with enough of what is rare (glasses, hats, beards).
        count: how many clusters.
        report: takes lines of progress.
    """
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(0)
    parts = []
    for n, code in enumerate(codes):
        features = activations(synthesis, code)
        parts.append(features[rng.choice(len(features), _PIXELS, replace=False)])
        if n % 50 == 49:
            report(f"{n + 1} of {len(codes)} faces")
    pixels = np.concatenate(parts)
    mean, deviation = pixels.mean(0), pixels.std(0) + 1e-6
    standard = (pixels - mean) / deviation
    _, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
    axes = np.ascontiguousarray(vectors[:, ::-1][:, :_AXES])
    fitted = MiniBatchKMeans(count, batch_size=8192, n_init=3, random_state=0).fit(standard @ axes)
    return Clusters(mean, deviation, axes, fitted.cluster_centers_.astype(np.float32))


_AGREED = 0.6
"""Share of a cluster's pixels that must be one region's, or it lies across two. So 53 of the
embedded generator's 64 clusters get the name that a person gave them; of the others, 10 are border
to one of both."""


def seen_names(
    maps: Sequence[NDArray[np.uint8]], seen: Sequence[NDArray[np.floating[Any]]], count: int
) -> tuple[str, ...]:
    """The clusters' regions, by what a parser sees in them: a person's eye is needed for the first
    generator alone.

    Args:
        maps: (64, 64) of clusters, a face each.
        seen: (128, 128, regions) what the parser sees in the faces' pictures, from 0 to 1.
        count: of clusters.
    """
    shares = np.zeros((count, len(REGIONS)))
    for clusters, regions in zip(maps, seen, strict=True):
        small = cv2.resize(regions, (GRID, GRID), interpolation=cv2.INTER_AREA)
        for cluster in np.unique(clusters):
            shares[cluster] += small[clusters == cluster].sum(0)
    shares /= np.maximum(shares.sum(1, keepdims=True), 1e-6)
    return tuple(
        REGIONS[int(share.argmax())] if share.max() >= _AGREED else BORDER for share in shares
    )


def save_names(path: Path, names: Sequence[str]) -> None:
    """Write the table that `load_names` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("cluster", "region"))
        table.writerows(enumerate(names))


def load_names(path: Path, count: int) -> tuple[str, ...]:
    """The clusters' regions, or ``border``, from the table that a person filled in.

    Args:
        path: a CSV file with the columns ``cluster`` and ``region``.
        count: of clusters.

    Raises:
        InputError: missing, incomplete, or with unknown names.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = {int(row["cluster"]): row["region"] for row in csv.DictReader(file)}
        names = tuple(rows[k] or "" for k in range(count))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"the names of the clusters {path} cannot be read ({error})",
            "Write a line 'cluster,region' for each, after looking at the sheet.",
        ) from error
    unknown = set(names) - {*REGIONS, BORDER}
    if unknown:
        raise InputError(
            f"{path} names unknown regions: {', '.join(map(repr, sorted(unknown)))}",
            f"There are {', '.join(REGIONS)} and {BORDER}.",
        )
    return names


def cluster_sheet(
    pictures: Sequence[NDArray[np.uint8]], maps: Sequence[NDArray[np.uint8]], count: int
) -> list[list[NDArray[np.uint8]]]:
    """Rows of pictures to name clusters by: where each lies on average, and on the faces with most
    of it, outlined in green."""
    rows: list[list[NDArray[np.uint8]]] = []
    stacked = np.stack(maps)
    for k in range(count):
        inside = stacked == k
        mean = inside.mean(0)
        grey = (255 * mean / max(float(mean.max()), 1e-6)).astype(np.uint8)
        row: list[NDArray[Any]] = [cv2.resize(np.dstack([grey] * 3), (256, 256))]
        cv2.putText(row[0], str(k), (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 0), 2)
        for n in np.argsort(-inside.mean((1, 2)), kind="stable")[:4]:
            size = pictures[n].shape[:2]
            big = cv2.resize(inside[n].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            rim = cv2.morphologyEx(big, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
            shown = pictures[n].copy()
            shown[rim] = (0, 255, 0)
            row.append(shown)
        rows.append(row)
    return rows
