"""``landmarks``: the faces of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..artifacts.landmarks import DetectionReader, write_detections
from ..faces.detection import Detection, Landmarker
from ..faces.flow import flow_points
from ..pipeline.stage import Chunk, Context, Json, Stage
from .resources import Resources


class LandmarksStage(Stage):
    """Leaves per chunk the raw faces of each frame and where optical flow takes each face's points
    in the next frame. A chunk depends on its frames alone, whatever stretch is asked for."""

    name = "landmarks"
    version = 4
    cost = 0.03

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.parameters = resources.parameters.faces

    def settings(self) -> dict[str, Json]:
        run = self.resources.run
        detecting = asdict(self.parameters.detecting)
        acting = (run.backend, "flow")
        return {
            "backend": run.backend,
            "chunk": run.chunk_frames,
            "detecting": {name: group for name, group in detecting.items() if name in acting},
        }

    def plan(self) -> str:
        return self.resources.stretch

    def expected(self) -> int:
        return len(self.resources.seen)

    def models(self) -> dict[str, str]:
        return self.resources.networks.landmark_models()

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return self.resources.whole_chunks()

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        found: list[list[Detection]] = []
        moved: list[NDArray[np.float32]] = []
        trusted: list[NDArray[np.bool_]] = []
        luma = None
        landmarker = self.resources.network(ctx, "landmarker")
        # One frame more than the chunk's, if the source has one: the last frame's flow leads into
        # it, whatever the stretch, so that a chunk depends on its frames alone.
        last = min(chunk.stop + 1, len(self.resources.timeline))
        for frame in self.resources.reader.read(chunk.start, last):
            rgb = frame.rgb8
            after = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            if luma is not None:
                for face in found[-1]:
                    points, ok = flow_points(
                        luma, after, face.points68, self.parameters.detecting.flow
                    )
                    moved.append(points)
                    trusted.append(ok)
            luma = after
            if frame.index < chunk.stop:
                found.append(self._faces(landmarker, rgb))
                ctx.tick()
        # No frame follows the source's last one.
        for face in found[-1] if last == chunk.stop else []:
            moved.append(face.points68)
            trusted.append(np.zeros(68, bool))
        write_detections(folder, found, moved, trusted)

    def _faces(self, landmarker: Landmarker, rgb: NDArray[np.uint8]) -> list[Detection]:
        """The faces of a frame, looked for as it is shown: with square pixels."""
        aspect = float(self.resources.timeline.sample_aspect)
        if aspect == 1:
            return landmarker.detect(rgb)
        height, width = rgb.shape[:2]
        shown = (max(1, round(width * aspect)), height)
        wide = np.asarray(cv2.resize(rgb, shown, interpolation=cv2.INTER_LINEAR), np.uint8)
        return [face.stretched(width / shown[0]) for face in landmarker.detect(wide)]

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        detections = DetectionReader(ctx.own, ctx.own.chunks)
        pictures = []
        for index in frames:
            if not ctx.own.overlapping(index, index + 1):
                continue
            found = detections.window(index, index + 1)
            for frame in self.resources.reader.read(index, index + 1):
                picture = frame.rgb8.copy()
                radius = max(1, round(picture.shape[0] / 300))
                for x, y in found.points68.reshape(-1, 2):
                    cv2.circle(picture, (int(x), int(y)), radius, (0, 255, 0), -1)
                pictures.append(picture)
        return pictures
