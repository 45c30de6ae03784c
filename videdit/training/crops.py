"""Aligned crops of real photographs and clips, to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import keep_arrays
from ..errors import InputError
from ..faces.align import cut_crop, ffhq_quad, points_in_crop
from ..faces.detection import Landmarker, largest
from ..files import write_atomically
from ..inversion.predict import INPUT_SIZE
from ..media.probe import probe
from ..media.reader import read_frames
from .encoder_settings import EncoderTraining
from .morph import Morpher

HELD_OUT_EVERY = 4
"""Every fourth source, in the order of names, takes no part in training: it is for measuring."""

_SECONDS_BETWEEN = 1.0


@dataclass(frozen=True)
class RealFaces:
    """Crops (n, 256, 256, 3) uint8 and their landmarks (n, 68, 2) in pixels; n may be 0."""

    crops: np.ndarray
    points68: np.ndarray

    @cached_property
    def morph(self) -> Morpher:
        """Draws people in between."""
        return Morpher(self.crops, self.points68)

    def batch(self, step: int, settings: EncoderTraining) -> Tensor:
        """The step's targets (real, 3, 256, 256); the first ones are morphs."""
        epoch, offset = divmod(step * settings.real, len(self.crops))
        order = np.random.default_rng((settings.seed, 1, epoch)).permutation(len(self.crops))
        chosen = order[np.arange(offset, offset + settings.real) % len(self.crops)]
        rng = np.random.default_rng((settings.seed, 2, step))
        pictures = self.crops[chosen].copy()
        for i, index in enumerate(chosen[: settings.morphed]):
            pictures[i] = self.morph(int(index), rng)
        targets = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        targets[::2] = targets[::2].flip(3)
        return targets


def real_crops(
    sources: Sequence[Path],
    backend: Landmarker,
    folder: Path,
    report: Callable[[str], None] = print,
) -> RealFaces:
    """The largest face of each picture, and of a frame a second of each clip.

    Files without a readable face are left out. The crops are kept in ``folder/real.npz``, and the
    names of the held-out files in ``folder/held_out.txt``.

    Args:
        sources: pictures and clips; folders are searched.
        backend: finds the faces.
        folder: where crops are kept; if it has those of the same files, or no file is named, they
            are taken.
        report: takes lines of progress.

    Returns:
        Crops and landmarks, without the held-out sources'.
    """
    kept = folder / "real.npz"
    files = _files(sources)
    state = _state(files)
    if kept.exists():
        with np.load(kept) as data:
            if not files or ("sources" in data and str(data["sources"]) == state):
                return RealFaces(data["crops"], data["points68"])
        report("the pictures changed since their faces were cut out: they are cut out again")
    crops, held_out, used = [], [], 0
    for path in files:
        try:
            found = [_crop(rgb, backend) for rgb in _pictures(path)]
        except InputError as error:
            report(f"{path.name} is left out: {error}")
            continue
        own = [crop for crop in found if crop is not None]
        if not own:
            continue
        if used % HELD_OUT_EVERY:
            crops += own
        else:
            held_out.append(path.name)
        used += 1
        if used % 100 == 0:
            report(f"{used} sources, {len(crops)} crops")
    if not crops:
        raise InputError("no real face was found to train on", "Name other pictures or folders.")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "held_out.txt", "".join(f"{name}\n" for name in held_out).encode())
    faces = RealFaces(np.stack([c for c, _ in crops]), np.stack([p for _, p in crops]))
    keep_arrays(kept, crops=faces.crops, points68=faces.points68, sources=np.array(state))
    return faces


def _state(files: Sequence[Path]) -> str:
    """Changes when a file comes, goes or is written to."""
    lines = [(str(path), (now := path.stat()).st_size, now.st_mtime_ns) for path in files]
    return hashlib.sha256(repr(lines).encode()).hexdigest()


def _files(sources: Sequence[Path]) -> list[Path]:
    files = []
    for source in sources:
        inside = source.rglob("*") if source.is_dir() else (source,)
        files += [p for p in inside if p.is_file() and p.suffix.lower() not in (".csv", ".md")]
    return sorted(files, key=lambda path: path.name)


def _pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    timeline = probe(path)
    due = 0.0
    times = timeline.times()
    for frame in read_frames(timeline):
        if float(times[frame.index] - times[0]) >= due:
            due += _SECONDS_BETWEEN
            yield frame.rgb8


def _crop(
    rgb8: NDArray[np.uint8], backend: Landmarker
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    found = backend.detect(rgb8)
    if not found:
        return None
    best = largest(found)
    quad = ffhq_quad(best.points68)
    crop: NDArray[Any] = cut_crop(rgb8, quad, INPUT_SIZE)
    points = points_in_crop(best.points68, quad, INPUT_SIZE)
    return np.asarray(np.rint(crop * 255), np.uint8), np.asarray(points, np.float32)
