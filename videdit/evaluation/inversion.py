"""How well inversion keeps the person: what `videdit evaluate inversion` reports.

Every number is taken from what the pipeline itself leaves in its cache, smoothing and refinement
included: frames to `reconstruct` are run (or reused) and their artifacts compared with the source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..api import prepare
from ..artifacts.codes import CodeReader
from ..artifacts.faces import Faces, FaceTable, frames_with_faces
from ..artifacts.pictures import POINTS, read_picture
from ..artifacts.rows import read_rows
from ..bundles.manifest import DEFAULT_BUNDLE
from ..errors import NoFaceError
from ..faces.align import cut_crop
from ..faces.detection import Landmarker, inter_ocular, largest
from ..inversion.predict import INPUT_SIZE
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.runner import run
from ..pipeline.stage import Artifact
from ..pipeline.store import Store
from ..pipeline.upkeep import show
from ..settings import RunSettings
from ..stages.resources import Resources
from .identity import SAME_PERSON, IdentityMeter, distance
from .motion import follow, jitter, openings
from .pictures import face_mask, psnr, sized, ssim
from .report import plain

_SIZE = 512
"""Side at which source and reconstruction are compared, pixels."""

_REACH = 6
"""Lags that are looked for, frames."""


@dataclass(frozen=True)
class FaceScore:
    """One face of one frame.

    Attributes:
        identity: dlib's distance between source crop and reconstruction.
        psnr: decibels inside the face.
        ssim: structural similarity inside the face.
        landmarks: mean distance of the 68 landmarks, share of the inter-ocular distance.
        norm: mean over rows of the code's whitened norm (a sample of W: about 22).
        inside: share of rows whose whitened norm is within 99 % of W's samples.
    """

    frame: int
    identity: float
    psnr: float
    ssim: float
    landmarks: float
    norm: float
    inside: float


@dataclass
class InputScore:
    """One picture or clip.

    Attributes:
        name: file name.
        faces: scores of the sampled frames' faces.
        failed: sampled faces that no landmarks were found on, in crop or reconstruction.
        seconds_per_crop: what the stage ``encode`` took when it ran, reading included.
        code_jitter: second difference of the codes over time, whitened units; None for pictures.
        landmark_jitter: of the reconstruction's landmarks, over that of the source's own, found in
            the same way on the aligned crop; None for pictures.
        eyes, mouth: how their opening follows the source's over time: correlation, and the lag in
            frames; None for pictures.
    """

    name: str
    faces: list[FaceScore] = field(default_factory=list)
    failed: int = 0
    seconds_per_crop: float = float("nan")
    code_jitter: float | None = None
    landmark_jitter: float | None = None
    eyes: tuple[float, int] | None = None
    mouth: tuple[float, int] | None = None


@dataclass(frozen=True)
class Summary:
    """Over faces: medians, the 90th percentile and the share of one person's (under 0.6)."""

    faces: int
    failed: int
    identity_median: float
    identity_p90: float
    same_person: float
    psnr: float
    ssim: float
    landmarks: float
    norm: float
    inside: float


def summarise(inputs: Sequence[InputScore]) -> Summary:
    """Put the faces of several inputs together.

    Raises:
        NoFaceError: there is none.
    """
    faces = [face for one in inputs for face in one.faces]
    if not faces:
        raise NoFaceError("no face could be measured", "Give pictures or clips that show one.")

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(face, name) for face in faces], np.float64)

    identity = column("identity")
    return Summary(
        faces=len(faces),
        failed=sum(one.failed for one in inputs),
        identity_median=float(np.median(identity)),
        identity_p90=float(np.quantile(identity, 0.9)),
        same_person=float(np.mean(identity < SAME_PERSON)),
        psnr=float(np.median(column("psnr"))),
        ssim=float(np.median(column("ssim"))),
        landmarks=float(np.median(column("landmarks"))),
        norm=float(np.median(column("norm"))),
        inside=float(np.mean(column("inside"))),
    )


def to_json(inputs: Sequence[InputScore], method: str) -> dict[str, Any]:
    """Everything, as plain JSON; an input whose faces all failed has no summary of its own, and
    there is no number where nothing was to be measured (the jitter of a still clip)."""
    everything = {
        "method": method,
        "summary": asdict(summarise(inputs)),
        "inputs": [
            asdict(one) | {"summary": asdict(summarise([one])) if one.faces else None}
            for one in inputs
        ],
    }
    return {name: plain(value) for name, value in everything.items()}


class InversionMeter:
    """Measures inputs one after the other.

    Args:
        method: as in ``RunSettings``.
        frames: how many frames of a clip are compared, spread evenly (jitter takes all).
        store: where the pipeline keeps its artifacts.
        bundle: whose encoder and generator.
    """

    def __init__(
        self,
        method: str,
        frames: int,
        store: Store,
        progress: Progress | None = None,
        bundle: str = DEFAULT_BUNDLE,
    ) -> None:
        self.method = method
        self.bundle = bundle
        self.frames = frames
        self.store = store
        self.progress = progress or Progress()
        self.identity = IdentityMeter()
        self.networks: Networks | None = None
        self._limit = 0.0
        self.pairs: list[NDArray[np.uint8]] = []
        """Source and reconstruction side by side, at most four per input: for a sheet."""

    def measure(self, source: Path) -> InputScore:
        """Run a picture or clip as far as its reconstruction, and compare.

        Raises:
            VideditError: what the pipeline raises; `NoFaceError` if it shows none.
        """
        settings = RunSettings(source, source, method=self.method, bundle=self.bundle)
        resources, chain = prepare(settings, self.store, self.progress, self.networks)
        self.networks = resources.networks
        names = [stage.name for stage in chain]
        chain = chain[: names.index("reconstruct") + 1]
        with resources:
            source_id = resources.timeline.content_id
            read = ("align", "encode", "refine", "reconstruct")
            artifacts = run(chain, self.store, source_id, source, targets=read).artifacts
            return self._measured(source, resources, artifacts)

    def _measured(
        self, source: Path, resources: Resources, artifacts: Mapping[str, Artifact]
    ) -> InputScore:
        timeline, networks = resources.timeline, resources.networks
        shown, encoded = artifacts["reconstruct"], artifacts["encode"]
        faces_of = FaceTable(artifacts["align"])
        start, stop = faces_of.first_frame, faces_of.stop_frame
        table = faces_of.window(start, stop)
        score = InputScore(source.name)
        took = {info.key: info.seconds for info in show(self.store, timeline.content_id)}
        score.seconds_per_crop = took[encoded.key] / len(table)
        self._limit = self._limit or w_norm_limit(networks)
        codes = CodeReader(
            encoded,
            artifacts["refine"],
            faces_of,
            resources.times,
            networks.space,
            resources.parameters.inversion.smoothing,
        ).read(start, stop)
        norms = networks.statistics.whiten(torch.from_numpy(codes)).norm(dim=2).numpy()
        chosen = np.unique(np.linspace(0, len(table) - 1, min(len(table), self.frames)).astype(int))
        sampled = {int(table.frame[row]) for row in chosen}
        own_points = np.full((len(table), 68, 2), np.nan)
        for frame, faces in frames_with_faces(resources.reader, table, start, stop):
            for row, rgb in faces:
                small = cut_crop(rgb, table.quad[row], INPUT_SIZE)
                points = _points(networks.landmarker, small)
                if points is not None:
                    own_points[row] = points
                if frame.index not in sampled:
                    continue
                (chunk,) = shown.overlapping(frame.index, frame.index + 1)
                picture = read_picture(shown, chunk.name, table.name(row))
                ours = sized(picture, _SIZE)
                theirs = cut_crop(rgb, table.quad[row], _SIZE)
                face = self._compare(networks.landmarker, frame.index, theirs, ours)
                if face is None:
                    score.failed += 1
                    continue
                face["norm"] = float(norms[row].mean())
                face["inside"] = float(np.mean(norms[row] <= self._limit))
                score.faces.append(FaceScore(**face))
                if len(score.faces) <= 4:
                    both = np.concatenate((theirs, ours), 1)
                    self.pairs.append(np.rint(both * 255).astype(np.uint8))
        if not timeline.is_image:
            whitened = networks.statistics.whiten(torch.from_numpy(codes)).numpy()
            theirs_points = read_rows(shown, POINTS, faces_of, start, stop)
            self._jitter(score, table, whitened, theirs_points, own_points)
        return score

    def _compare(
        self,
        backend: Landmarker,
        frame: int,
        source: NDArray[np.float32],
        shown: NDArray[np.float32],
    ) -> dict[str, Any] | None:
        points = [_points(backend, picture) for picture in (source, shown)]
        if points[0] is None or points[1] is None:
            return None
        described = [
            self.identity.describe(np.rint(picture * 255).astype(np.uint8), at * _SIZE)
            for picture, at in zip((source, shown), (points[0], points[1]), strict=True)
        ]
        mask = face_mask(points[0], _SIZE)
        error = np.linalg.norm(points[0] - points[1], axis=1).mean()
        return {
            "frame": frame,
            "identity": distance(described[0], described[1]),
            "psnr": psnr(source, shown, mask),
            "ssim": ssim(source, shown, mask),
            "landmarks": float(error / inter_ocular(points[0])),
        }

    def _jitter(
        self,
        score: InputScore,
        table: Faces,
        codes: NDArray[np.float32],
        shown: NDArray[np.floating[Any]],
        own: NDArray[np.float64],
    ) -> None:
        """The longest track's."""
        tracks, counts = np.unique(table.track, return_counts=True)
        rows = table.track == tracks[counts.argmax()]
        rows &= np.isfinite(own).all((1, 2))
        frames = table.frame[rows]
        score.code_jitter = jitter(codes[rows], frames)
        still = jitter(own[rows], frames)
        score.landmark_jitter = jitter(shown[rows], frames) / still if still else math.nan
        theirs, ours = openings(own[rows]), openings(shown[rows])
        score.eyes = follow(theirs[:, 0], ours[:, 0], _REACH)
        score.mouth = follow(theirs[:, 1], ours[:, 1], _REACH)


def w_norm_limit(networks: Networks) -> float:
    """The 99th percentile of W's own whitened norms (4096 samples); without a mapping network, of
    as many normal ones."""
    z = torch.randn(4096, networks.space.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own = networks.statistics.whiten(networks.mapping(z)) if "mapping" in networks else z
        return float(np.quantile(own.norm(dim=1).numpy(), 0.99))


def _points(backend: Landmarker, crop: NDArray[np.floating[Any]]) -> NDArray[np.float64] | None:
    """(68, 2) landmarks of the largest face of a crop, in crop units; None if there is none."""
    found = backend.detect(np.rint(crop * 255).astype(np.uint8))
    if not found:
        return None
    return np.asarray(largest(found).points68 / crop.shape[0], np.float64)
