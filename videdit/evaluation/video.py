"""How steady an edited video is, against its source: the measures of the field, per track.

Both videos are cut by the source's quads, so that what differs is the edit alone. A face in a track
is compared with itself over time; nothing is compared across a cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..api import prepare, timeline_of
from ..artifacts.faces import FaceTable
from ..editing.picture_classifier import PictureClassifier, load_picture_classifier, look
from ..errors import UsageError
from ..faces.align import cut_crop
from ..faces.detection import largest
from ..media.reader import FrameReader
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.runner import run
from ..pipeline.store import Store
from ..settings import RunSettings
from .identity import IdentityMeter
from .motion import jitter, openings, survives
from .report import plain

SIZE = 256
"""Side of the crops that are compared, pixels."""

_LEAST_LIKENESS = 0.2  # a pair of the source that is less alike says nothing of consistency
_PAIRS = 600  # frames of a track that are compared with all others, at most
_STILL = 0.5  # standard deviation of lids and lips that don't move, pixels
_OCCLUDED = 1.0  # pixels by which flow there and back again may miss

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TrackSteadiness:
    """One track of the edited video against the source's. Ratios of 1 are as steady as the source.

    Attributes:
        track: its id.
        first, last: its frames.
        tl_id: mean over neighbouring frames of the likeness of their descriptors (cosine, dlib's
            network), over the source's (Tzaban et al. 2022).
        tg_id: the same over all pairs of frames.
        identity: distance of dlib's descriptors, edited to source, median over the frames.
        identity_p90: 90 % of the distances are under this.
        warp: mean squared difference of neighbouring frames after the source's flow, over the
            source's own (Lai et al. 2018).
        jitter: root mean square of the landmarks' second difference, over the source's.
        blinks, speech: how much of the source's lids' and lips' opening and closing is left, 1 for
            all (``motion.survives``); NaN where they don't move.
        attribute: mean probability of the attribute, as the judge sees it; NaN if none is asked.
        attribute_source: the source's.
        attribute_deviation: standard deviation over the frames.
    """

    track: int
    first: int
    last: int
    tl_id: float
    tg_id: float
    identity: float
    identity_p90: float
    warp: float
    jitter: float
    blinks: float
    speech: float
    attribute: float
    attribute_source: float
    attribute_deviation: float


@dataclass
class _Seen:
    """What is kept of a track's frames, source's and edited: lists with an entry per frame."""

    frames: list[int]
    descriptors: list[list[Floats]]
    points: list[list[Floats]]
    warps: list[list[float]]
    logits: list[list[float]]
    rows: list[list[NDArray[np.uint8]]]
    last: list[NDArray[np.uint8]] | None = None

    @classmethod
    def nothing(cls) -> _Seen:
        return cls([], [[], []], [[], []], [[], []], [[], []], [[], []])


def identity_consistency(source: Floats, edited: Floats) -> tuple[float, float]:
    """TL-ID and TG-ID of descriptors (n, d) over time: means of the ratios of their likenesses.

    Pairs of the source that are hardly alike are left out: their ratio says nothing. NaN where no
    pair is left.
    """
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (source, edited))
    theirs, ours = a @ a.T, b @ b.T
    alike = np.abs(theirs) >= _LEAST_LIKENESS
    ratios = np.where(alike, ours / np.where(alike, theirs, 1), np.nan)
    off = ~np.eye(len(ratios), dtype=bool)
    return _mean(np.diagonal(ratios, 1)), _mean(ratios[off])


def warp_error(
    before: Sequence[NDArray[np.uint8]], after: Sequence[NDArray[np.uint8]]
) -> list[float]:
    """Of each video, the mean squared difference of two frames in a row after the first one's flow.

    Args:
        before, after: (h, w, 3) crops of two frames, of the source and of other videos alike.

    Returns:
        For each video the mean over the pixels that the source's flow follows there and back.
    """
    one, other = (cv2.cvtColor(np.asarray(p[0]), cv2.COLOR_RGB2GRAY) for p in (before, after))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((*one.shape, 2), np.float32)
    there = np.asarray(flow.calc(one, other, start.copy()), np.float32)
    back = np.asarray(flow.calc(other, one, start.copy()), np.float32)
    y, x = np.mgrid[: one.shape[0], : one.shape[1]].astype(np.float32)
    at = x + there[:, :, 0], y + there[:, :, 1]

    def moved(picture: NDArray[Any]) -> NDArray[np.float32]:
        found = cv2.remap(picture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)

    seen = np.linalg.norm(there + moved(back), axis=2) < _OCCLUDED
    seen &= (at[0] >= 0) & (at[0] < one.shape[1]) & (at[1] >= 0) & (at[1] < one.shape[0])
    if not seen.any():
        return [math.nan] * len(before)
    return [
        float(np.square((moved(q) - p.astype(np.float32)) / 255)[seen].mean())
        for p, q in zip(before, after, strict=True)
    ]


class VideoMeter:
    """Compares edited videos with their sources.

    Args:
        store: where the pipeline keeps its artifacts.
        face: whose faces: as in ``RunSettings``.
        attribute: of the judge's, followed over time; None for none.
    """

    def __init__(
        self,
        store: Store,
        face: str = "largest",
        attribute: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.store = store
        self.face = face
        self.attribute = attribute
        self.progress = progress or Progress()
        self.identity = IdentityMeter()
        self.strip: NDArray[np.uint8] | None = None
        """Of the longest track, one row of pixels over time: source on the left, edited right."""

    def measure(self, source: Path, edited: Path) -> list[TrackSteadiness]:
        """The tracks, by id.

        Raises:
            UsageError: the two don't have the same frames.
            VideditError: what reading them raises; `NoFaceError` if the source shows none.
        """
        asked = RunSettings(source, source, face=self.face)
        resources, chain = prepare(asked, self.store, self.progress)
        networks = resources.networks
        judge, _ = load_picture_classifier(networks.bundle.file("judge"))
        with resources:
            timeline = resources.timeline
            other = timeline_of(edited, self.store)
            sizes = [(len(t), t.width, t.height) for t in (timeline, other)]
            if sizes[0] != sizes[1]:
                raise UsageError(
                    f"{edited.name} is no edit of {source.name}: it has {sizes[1][0]} frames of"
                    f" {sizes[1][1]}x{sizes[1][2]}, not {sizes[0][0]} of"
                    f" {sizes[0][1]}x{sizes[0][2]}",
                    "Name the source first, then its edit.",
                )
            names = [stage.name for stage in chain]
            chain = chain[: names.index("align") + 1]
            artifacts = run(chain, self.store, timeline.content_id, source).artifacts
            table = FaceTable(artifacts["align"])
            tracks = {track.id: _Seen.nothing() for track in table.tracks}
            with FrameReader(other) as reader:
                for frame, pair in _pairs(resources.reader, reader, table):
                    faces = table.window(frame, frame + 1)
                    for k, track in enumerate(faces.track.tolist()):
                        crops = [
                            np.rint(cut_crop(rgb, faces.quad[k], SIZE) * 255).astype(np.uint8)
                            for rgb in pair
                        ]
                        self._look(tracks[track], frame, crops, networks, judge)
        longest = max(tracks.values(), key=lambda seen: len(seen.frames))
        if longest.frames:
            self.strip = np.concatenate([np.stack(rows) for rows in longest.rows], 1)
        return [_steadiness(track, seen) for track, seen in tracks.items() if seen.frames]

    def _look(
        self,
        seen: _Seen,
        frame: int,
        crops: list[NDArray[np.uint8]],
        networks: Networks,
        judge: PictureClassifier,
    ) -> None:
        """Note what a frame's two crops show; nothing where one shows no face."""
        found = [networks.landmarker.detect(crop) for crop in crops]
        if not all(found):
            seen.last = None
            return
        points = [largest(faces).points68.astype(np.float64) for faces in found]
        if seen.last is not None and seen.frames[-1] == frame - 1:
            for one, value in zip(seen.warps, warp_error(seen.last, crops), strict=True):
                one.append(value)
        seen.last = crops
        seen.frames.append(frame)
        row = min(int(points[0][48:60, 1].mean()), SIZE - 1)
        for i, crop in enumerate(crops):
            seen.points[i].append(points[i])
            # An edit moves no head: the source's landmarks say where both faces are.
            seen.descriptors[i].append(self.identity.describe(crop, points[0], jitters=0))
            seen.rows[i].append(crop[row])
            if self.attribute is not None:
                tensor = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
                logits = judge(look(networks.recognition, tensor))[0]
                seen.logits[i].append(float(logits[judge.names.index(self.attribute)]))


def _pairs(
    one: FrameReader, other: FrameReader, table: FaceTable
) -> Iterator[tuple[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    start, stop = table.first_frame, table.stop_frame
    for a, b in zip(one.read(start, stop), other.read(start, stop), strict=True):
        yield a.index, (a.rgb8, b.rgb8)


def _steadiness(track: int, seen: _Seen) -> TrackSteadiness:
    frames = np.array(seen.frames)
    source, edited = (np.stack(descriptors) for descriptors in seen.descriptors)
    few = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _PAIRS)).astype(int))
    tl_id, _ = identity_consistency(source, edited)
    _, tg_id = identity_consistency(source[few], edited[few])
    apart = np.linalg.norm(source - edited, axis=1)
    shaking = [jitter(np.stack(points), frames) for points in seen.points]
    opened = [openings(np.stack(points)) for points in seen.points]
    blinks, speech = (
        survives(*(theirs[:, i] for theirs in opened))
        if opened[0][:, i].std() > _STILL
        else math.nan
        for i in range(2)
    )
    warps = [_mean(np.array(values)) for values in seen.warps]
    sure = [1 / (1 + np.exp(-np.array(values))) for values in seen.logits]
    return TrackSteadiness(
        track=track,
        first=int(frames[0]),
        last=int(frames[-1]),
        tl_id=tl_id,
        tg_id=tg_id,
        identity=float(np.median(apart)),
        identity_p90=float(np.quantile(apart, 0.9)),
        warp=_ratio(warps[1], warps[0]),
        jitter=_ratio(shaking[1], shaking[0]),
        blinks=blinks,
        speech=speech,
        attribute=_mean(sure[1]),
        attribute_source=_mean(sure[0]),
        attribute_deviation=float(sure[1].std()) if len(sure[1]) else math.nan,
    )


def _mean(values: NDArray[Any]) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0 else math.nan


def to_json(tracks: Sequence[TrackSteadiness]) -> list[dict[str, Any]]:
    """The tracks as plain JSON; no number where there is none."""
    return [plain(asdict(track)) for track in tracks]
