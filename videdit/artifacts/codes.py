"""Codes: what ``encode`` leaves of every face and ``refine`` of every person, and both together.

They are kept as they were found and smoothed over time when they are read, so that every stage sees
the same codes and none has to hold a whole film.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bundles.latent import LatentSpace
from ..faces.smoothing import window
from ..generators.latents import Latents, Mixture, joined
from ..inversion.parameters import CodeSmoothing
from ..pipeline.stage import Artifact, StoredArtifact
from ..sheet import code_picture
from .faces import FaceTable
from .rows import read_rows, smooth_rows

if TYPE_CHECKING:
    from ..generators.wspace import WStatistics

CODES = "codes.npy"
"""The file of a chunk's codes."""

_SHIFTS = "styles.npz"
_OTHER = "other.npy"
_MASK = "mask.npy"
_OFFSET = "offset.npz"
_OFFSETS = "offsets.npz"


def write_codes(
    folder: Path, codes: Sequence[NDArray[Any]] | NDArray[Any], space: LatentSpace
) -> None:
    """Write a chunk's codes, ``codes.npy``: (k, rows, width) float16, a row per face."""
    shaped = np.array(codes, np.float16).reshape(-1, *space.shape)
    np.save(folder / CODES, shaped)


def read_codes(artifact: Artifact, table: FaceTable, start: int, stop: int) -> NDArray[np.float32]:
    """(k, rows, width) the codes of the faces in ``start <= frame < stop``, as they were written.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    return read_rows(artifact, CODES, table, start, stop).astype(np.float32)


def write_latents(folder: Path, latents: Latents, space: LatentSpace) -> None:
    """Write a chunk's latents: ``codes.npy``; where styles have offsets, ``styles.npz``, the
    channels (m,) that any has and their values (k, m); where activations are mixed, ``other.npy``,
    the other face's codes, and ``mask.npy``, (k, 128, 128) from 0 to 255."""
    write_codes(folder, latents.codes, space)
    if latents.offsets is not None:
        channels = np.flatnonzero(latents.offsets.any(0))
        values = latents.offsets[:, channels].astype(np.float16)
        count = latents.offsets.shape[1]
        np.savez(folder / _SHIFTS, channels=channels, values=values, count=count)
    if latents.mixture is not None:
        np.save(folder / _OTHER, latents.mixture.codes.astype(np.float16))
        np.save(folder / _MASK, np.rint(latents.mixture.mask * 255).astype(np.uint8))


def read_latents(artifact: Artifact, table: FaceTable, start: int, stop: int) -> Latents:
    """The latents of the faces in ``start <= frame < stop``, as they were written.

    Raises:
        ChunkDamaged: a chunk is missing or damaged.
    """
    codes, first = read_codes(artifact, table, start, stop), table.rows(start, stop).start
    parts = []
    for chunk in artifact.overlapping(start, stop):
        a, b = max(start, chunk.start), min(stop, chunk.stop)
        rows, files = table.rows(a, b), artifact.files(chunk.name)
        at = np.arange(rows.start, rows.stop) - first
        offsets = mixture = None
        if _SHIFTS in files:
            offsets = read_rows(artifact, _SHIFTS, table, a, b, _load_offsets)
        if _OTHER in files:
            other = read_rows(artifact, _OTHER, table, a, b).astype(np.float32)
            mask = read_rows(artifact, _MASK, table, a, b).astype(np.float32) / np.float32(255)
            mixture = Mixture(other, mask)
        parts.append((at, Latents(codes[at], offsets, mixture)))
    return joined(parts, codes)


def _load_offsets(path: Path) -> NDArray[np.float32]:
    with np.load(path, allow_pickle=False) as found:
        offsets = np.zeros((len(found["values"]), int(found["count"])), np.float32)
        offsets[:, found["channels"]] = found["values"]
    return offsets


def code_of(
    artifact: Artifact, table: FaceTable, chunk: str, start: int, frame: int, track: int
) -> NDArray[np.float32] | None:
    """One face's code out of a chunk that begins with frame ``start``, of an artifact that need not
    be finished; None where the track has no face in this frame."""
    faces = table.window(frame, frame + 1)
    at = np.flatnonzero(faces.track == track)
    if not len(at):
        return None
    codes = np.load(artifact.path(chunk, CODES), mmap_mode="r")
    row = faces.first_row + int(at[0]) - table.rows(start, start).start
    return np.asarray(codes[row], np.float32)


def write_offset(
    folder: Path, offset: NDArray[np.float32], descriptor: NDArray[np.float32], own: bool
) -> None:
    """Write what ``refine`` leaves for one track, ``offset.npz``.

    Args:
        offset: (rows, width) what is added to its codes.
        descriptor: (d,) of unit length: who it is.
        own: whether it was found on this track, or is that of another track of the same person.
    """
    np.savez(folder / _OFFSET, offset=offset, descriptor=descriptor, own=own)


def read_offset(
    artifact: StoredArtifact, chunk: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
    """What ``write_offset`` wrote: offset, descriptor, own.

    Raises:
        ChunkDamaged: the chunk is missing or damaged.
    """
    with np.load(artifact.path(chunk, _OFFSET), allow_pickle=False) as found:
        return found["offset"], found["descriptor"], bool(found["own"])


def write_offsets(
    folder: Path, tracks: Sequence[int], offsets: Sequence[NDArray[np.float32]], space: LatentSpace
) -> None:
    """Write all tracks' offsets, ``offsets.npz``, by rising track id."""
    order = np.argsort(np.array(tracks, np.int64))
    table = np.array(offsets, np.float32).reshape(-1, *space.shape)
    np.savez(folder / _OFFSETS, track=np.array(tracks, np.int64)[order], offset=table[order])


class CodeReader:
    """The codes that all later stages work on: with their person's offset, smoothed over time.

    Args:
        encoded, refined: artifacts of ``encode`` and ``refine``, complete.
        table: the faces.
        times: (n,) the frames' times in seconds.
        space: of the codes.
        smoothing: over time.
    """

    def __init__(
        self,
        encoded: Artifact,
        refined: Artifact,
        table: FaceTable,
        times: NDArray[np.float64],
        space: LatentSpace,
        smoothing: CodeSmoothing,
    ) -> None:
        self._encoded = encoded
        self._table = table
        self._times = times
        self._space = space
        self._smoothing = smoothing
        with np.load(refined.path(refined.whole, _OFFSETS), allow_pickle=False) as found:
            self._tracks, self._offsets = found["track"], found["offset"]

    def read(self, start: int, stop: int, *, calm: bool = False) -> NDArray[np.float32]:
        """(k, rows, width) codes of the faces in ``start <= frame < stop``.

        Args:
            calm: all bands smoothed as the calmest one is: of the person, not of the moment.

        Raises:
            ChunkDamaged: a chunk is missing or damaged.
        """
        first, last = window(self._times, start, stop, self._smoothing.pad_s)
        around, wanted = self._table.window(first, last), self._table.rows(start, stop)
        raw = read_codes(self._encoded, self._table, first, last)
        if len(self._tracks):
            raw += self._offsets[np.searchsorted(self._tracks, around.track)]
        out = np.empty((len(wanted), *self._space.shape), np.float32)
        skipped = wanted.start - around.first_row
        keep = slice(skipped, skipped + len(wanted))
        for band, (a, b) in self._space.bands.items():
            sigma = self._smoothing.calmest if calm else getattr(self._smoothing, band)
            out[:, a:b] = smooth_rows(raw[:, a:b], around, self._times, sigma)[keep]
        return out


def code_pictures(
    codes: Sequence[NDArray[Any]], statistics: WStatistics
) -> list[NDArray[np.uint8]]:
    """Pictures of codes, (k, rows, width) each, for previews."""
    import torch

    flat = [code for group in codes for code in group]
    tensors = [torch.from_numpy(np.asarray(code, np.float32)) for code in flat]
    return [code_picture(statistics.whiten(tensor).numpy()) for tensor in tensors]


def latent_pictures(
    found: Sequence[Latents], statistics: WStatistics, space: LatentSpace
) -> list[NDArray[np.uint8]]:
    """Pictures of latents, for previews: each code; then its offsets to styles, a band per layer,
    blue below nothing and red above; then the mask of what is mixed in."""
    pictures = []
    for latents in found:
        for k, code in enumerate(code_pictures([latents.codes], statistics)):
            pictures.append(code)
            if latents.offsets is not None:
                pictures.append(_offset_picture(latents.offsets[k], space))
            if latents.mixture is not None:
                grey = np.rint(latents.mixture.mask[k] * 255).astype(np.uint8)
                pictures.append(np.repeat(grey[:, :, None], 3, 2))
    return pictures


def _offset_picture(offsets: NDArray[np.float32], space: LatentSpace) -> NDArray[np.uint8]:
    largest = float(np.abs(offsets).max()) or 1.0
    layers = np.split(3 * offsets / largest, np.cumsum(space.styles)[:-1])
    width = max(space.styles)
    # The strongest channels of each layer first, or single ones could not be seen.
    rows = [np.pad(one[np.argsort(-np.abs(one))], (0, width - len(one))) for one in layers]
    return code_picture(np.array(rows, np.float32))
