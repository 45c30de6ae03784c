"""What is measured on source and result, face by face: who it is, what a judge sees, how the
landmarks tremble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.blended import ResultReader
from ..artifacts.faces import Faces
from ..faces.align import cut_crop
from ..faces.detection import Detection
from ..media.reader import FrameReader
from ..models.networks import Networks
from ..previews.pictures import bytes_of
from .pictures import eight_bits

MOST = 240
"""Frames that are measured; of more, groups of three in a row, evenly spread."""

SIDE = 256
"""Of the crops that are compared, pixels: what the recognition network takes."""

_EYES = 4  # times the inter-ocular distance is the crop's side
_NEAR = 0.5  # of the inter-ocular distance: what is further away on average is another face
_TOGETHER = 3  # frames that a second difference needs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """k faces in rising frames; NaN where a value is not known.

    Attributes:
        frame, track: (k,).
        likeness: (k,) cosine of the descriptors of source and result.
        trembling: (k, 2) how far the landmarks of source and result are from where those of the
            frames before and after would have them: root mean square of the second difference,
            share of the inter-ocular distance.
        names: of the m attributes.
        seen: (k, 2, m) their probabilities in the pictures of source and result.
        read: (k, 2, m) the same in the codes before and after.
    """

    frame: NDArray[np.int64]
    track: NDArray[np.int64]
    likeness: Floats
    trembling: Floats
    names: tuple[str, ...]
    seen: Floats
    read: Floats


def groups_of(frames: range, most: int = MOST) -> list[range]:
    """The frames to measure: all, or so many of them in groups of three in a row."""
    if len(frames) <= most:
        return [frames] if len(frames) else []
    starts = np.linspace(frames.start, frames.stop - _TOGETHER, most // _TOGETHER).astype(int)
    return [range(start, start + _TOGETHER) for start in starts.tolist()]


def second_difference(points: Sequence[Floats]) -> float:
    """Root mean square over the points (n, 2) of three moments in a row of how far the middle one
    is from halfway between the others, twice."""
    before, now, after = points
    return float(np.sqrt(np.square(before - 2 * now + after).sum(1).mean()))


def landmarks_near(found: Sequence[Detection], expected: Floats) -> Floats | None:
    """Of faces found in a crop the landmarks (68, 2) of the one that is where it is expected, in
    shares of the inter-ocular distance; None where none is."""
    unit = SIDE / _EYES
    points = [np.asarray(one.points68, np.float64) for one in found]
    apart = [float(np.linalg.norm(one - expected, axis=1).mean()) / unit for one in points]
    if not apart or min(apart) > _NEAR:
        return None
    return points[int(np.argmin(apart))] / unit


def measure(
    reader: FrameReader,
    results: ResultReader,
    faces_of: Callable[[int, int], Faces],
    codes_of: Callable[[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]] | None,
    networks: Networks,
    groups: Sequence[range],
) -> Measured:
    """Measure the faces of some frames.

    Args:
        reader: of the source.
        results: of the result; frames that it does not have are left out.
        faces_of: gives the faces of frames ``start <= index < stop``.
        codes_of: gives their codes (k, rows, width) before and after; None where there are none.
        networks: the bundle's; without a classifier nothing is read off codes.
        groups: of frames, rising.
    """
    import torch

    from ..editing.picture_classifier import load_picture_classifier, looks_of

    judge, _ = load_picture_classifier(networks.bundle.file("judge"))
    classifier = networks.classifier if "classifier" in networks else None
    known = judge.names if classifier is None else classifier.names
    names = tuple(name for name in judge.names if name in known)
    of_judge = [judge.names.index(name) for name in names]
    of_codes = [known.index(name) for name in names]
    rows: list[tuple[int, int, float]] = []
    seen: list[Floats] = []
    read: list[Floats] = []
    trembling: list[list[float]] = []
    for group in groups:
        recent: dict[int, list[tuple[int, int, list[Any]]]] = {}
        faces = faces_of(group.start, group.stop)
        codes = None
        if codes_of is not None and classifier is not None and len(faces):
            found = [classifier.logits(one) for one in codes_of(group.start, group.stop)]
            codes = _sigmoid(np.stack(found, 1)[:, :, of_codes])
        for index, result in results.read(group):
            here = faces.rows(index, index + 1)
            if not here:
                continue
            (frame,) = reader.read(index, index + 1)
            pair = frame.rgb8, eight_bits(result)
            for k in here:
                track = int(faces.track[k])
                crops = np.stack([cut_crop(rgb, faces.quad[k], SIDE) for rgb in pair])
                pictures = torch.from_numpy(crops.transpose(0, 3, 1, 2).copy())
                with torch.no_grad():
                    features = networks.recognition(pictures)
                    who = features.descriptor
                    logits = judge(looks_of(features, pictures))
                rows.append((index, track, float(who[0] @ who[1])))
                seen.append(_sigmoid(logits.numpy()[:, of_judge]))
                read.append(np.full((2, len(names)), np.nan) if codes is None else codes[k])
                expected = faces.points_in_crop(k) * SIDE
                points = [
                    landmarks_near(networks.landmarker.detect(bytes_of(crop)), expected)
                    for crop in crops
                ]
                trembling.append([np.nan, np.nan])
                last = recent.setdefault(track, [])
                last.append((index, len(rows) - 1, points))
                del last[:-_TOGETHER]
                _note_trembling(last, trembling)
    count, shape = len(rows), (len(rows), 2, len(names))
    columns = np.array(rows, np.float64).reshape(count, 3)
    return Measured(
        columns[:, 0].astype(np.int64),
        columns[:, 1].astype(np.int64),
        columns[:, 2],
        np.array(trembling, np.float64).reshape(count, 2),
        names,
        np.array(seen, np.float64).reshape(shape),
        np.array(read, np.float64).reshape(shape),
    )


def _note_trembling(
    last: Sequence[tuple[int, int, list[Any]]], trembling: list[list[float]]
) -> None:
    """Note the middle one's of three frames in a row."""
    if len(last) < _TOGETHER or last[-1][0] - last[0][0] != _TOGETHER - 1:
        return
    for side in range(2):
        points = [moment[2][side] for moment in last]
        if all(one is not None for one in points):
            trembling[last[1][1]][side] = second_difference(points)


def _sigmoid(logits: NDArray[Any]) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))), np.float64)
