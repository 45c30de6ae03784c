"""Generated faces to train on: codes and their pictures, made once and kept in shards.

A shard is ``codes-NNNN.npz`` (``w_a``, ``w_b`` (n, width) float16, ``crossover`` (n,) uint8: rows
from it on take ``w_b``) and ``pictures-NNNN.npy`` ((n, 256, 256, 3) uint8). A shard's content
depends on its number alone, so an interrupted sampling continues and two machines can share work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import keep_arrays
from ..errors import InputError
from ..files import replaced
from ..generators.mobile import ROWS
from ..generators.wspace import WStatistics
from ..inversion.predict import INPUT_SIZE
from ..models.protocols import Generator

SHARD = 250
_TRUNCATIONS = (0.6, 0.75, 0.9, 1.0, 1.0)


def shard_codes(
    number: int, mapping: Callable[[Tensor], Tensor], stats: WStatistics, rows: int = ROWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The codes of one shard: ``w_a``, ``w_b`` (SHARD, width) and ``crossover`` (SHARD,).

    Half of the faces are one code of W; half mix two at a random row, which is what teaches the
    encoder that rows can differ (W+).
    """
    generator = torch.Generator().manual_seed(1_000_003 * (number + 1))
    z = torch.randn(2 * SHARD, len(stats.mean), generator=generator)
    pick = torch.randint(len(_TRUNCATIONS), (2 * SHARD, 1), generator=generator)
    with torch.no_grad():
        w = stats.mean + torch.tensor(_TRUNCATIONS)[pick] * (mapping(z) - stats.mean)
    crossover = torch.randint(1, rows, (SHARD,), generator=generator)
    crossover[: SHARD // 2] = rows
    return (
        w[:SHARD].numpy().astype(np.float16),
        w[SHARD:].numpy().astype(np.float16),
        crossover.numpy().astype(np.uint8),
    )


def expand(w_a: np.ndarray, w_b: np.ndarray, crossover: np.ndarray, rows: int = ROWS) -> np.ndarray:
    """A shard's compact codes as (n, rows, width) float32."""
    from_a = np.arange(rows)[None] < crossover[:, None]
    return np.where(from_a[:, :, None], w_a[:, None], w_b[:, None]).astype(np.float32)


def random_codes(
    count: int, mapping: Callable[[Tensor], Tensor], stats: WStatistics, rows: int, seed: int = 0
) -> np.ndarray:
    """(count, rows, width) codes of the generator's faces, as shards hold them, of no shard."""
    parts = [
        expand(*shard_codes(1_000_000 + 1000 * seed + k, mapping, stats, rows), rows)
        for k in range(-(-count // SHARD))
    ]
    # Half of each shard's are mixed: some of both, however few.
    codes = np.concatenate(parts)
    return np.asarray(codes[np.random.default_rng(seed).permutation(len(codes))[:count]])


def sample_faces(
    folder: Path,
    shards: range,
    mapping: Callable[[Tensor], Tensor],
    stats: WStatistics,
    decoder: Generator,
    report: Callable[[str], None] = print,
    rows: int = ROWS,
) -> None:
    """Make the shards that ``folder`` does not hold yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in shards:
        target = folder / f"pictures-{number:04d}.npy"
        if target.exists():
            continue
        w_a, w_b, crossover = shard_codes(number, mapping, stats, rows)
        codes = expand(w_a, w_b, crossover, rows)
        pictures = np.empty((SHARD, INPUT_SIZE, INPUT_SIZE, 3), np.uint8)
        for i in range(SHARD):
            picture = decoder.decode(codes[i : i + 1])[0]
            reduced = cv2.resize(picture, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)
            pictures[i] = np.rint(reduced * 255)
        keep_arrays(folder / f"codes-{number:04d}.npz", w_a=w_a, w_b=w_b, crossover=crossover)
        with replaced(target) as temporary, temporary.open("wb") as stream:
            np.save(stream, pictures)
        report(f"shard {number}: {SHARD} faces")


class FaceData:
    """The first ``count`` shards of generated faces; the last of these are held out.

    Attributes:
        held_out: indices of the faces that are never trained on; those before them are.

    Raises:
        InputError: ``folder`` holds no shard to train on.
    """

    def __init__(self, folder: Path, count: int, held_out: int, rows: int = ROWS) -> None:
        paths = sorted(folder.glob("pictures-*.npy"))[:count]
        if len(paths) <= held_out:
            raise InputError(
                f"no training faces in {folder}", "Sample some first (`videdit train encoder`)."
            )
        self.pictures = [np.load(p, mmap_mode="r") for p in paths]
        codes = []
        for path in paths:
            with np.load(
                path.with_name(path.name.replace("pictures", "codes")).with_suffix(".npz")
            ) as f:
                codes.append(expand(f["w_a"], f["w_b"], f["crossover"], rows))
        self.codes = torch.from_numpy(np.stack(codes))
        self.held_out = range((len(paths) - held_out) * SHARD, len(paths) * SHARD)

    def __len__(self) -> int:
        return self.held_out.start

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, 256, 256) in [0, 1] and codes (n, rows, width) of the given faces."""
        shard, item = np.divmod(indices, SHARD)
        pictures = np.stack([self.pictures[s][i] for s, i in zip(shard, item, strict=True)])
        tensor = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        return tensor, self.codes[torch.from_numpy(shard), torch.from_numpy(item)]
