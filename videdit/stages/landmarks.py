"""``landmarks``: the faces of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..artifacts.landmarks import DetectionReader, read_tracks, write_detections
from ..artifacts.shots import read_shots
from ..batches import ahead
from ..faces.detection import Detection, Landmarker
from ..faces.flow import flow_points
from ..media.reader import Frame
from ..pipeline.stage import Chunk, Context, Json, Stage
from ..previews.over_time import Axis
from ..previews.pictures import closeup, with_points
from ..previews.tracks import track_plots
from ..sheet import PANEL, strip
from .resources import Resources


class LandmarksStage(Stage):
    """Leaves per chunk the raw faces of each frame and where optical flow takes each face's points
    in the next frame. A chunk depends on its frames alone, whatever stretch is asked for."""

    name = "landmarks"
    version = 4
    shows = ("frames", "track")
    apart = True
    cost = 0.03
    size = 7_000

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
        landmarker: Landmarker = self.resources.network(ctx, "landmarker")
        # One frame more than the chunk's, if the source has one: the last frame's flow leads into
        # it, whatever the stretch, so that a chunk depends on its frames alone.
        last = min(chunk.stop + 1, len(self.resources.timeline))

        def look(frame: Frame) -> tuple[NDArray[np.uint8], list[Detection]]:
            rgb = frame.rgb8
            grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            return grey, self._faces(landmarker, rgb) if frame.index < chunk.stop else []

        frames = self.resources.reader.read(chunk.start, last)
        for frame, (after, faces) in ahead(frames, look, landmarker.threads):
            if luma is not None:
                for face in found[-1]:
                    points, ok = flow_points(
                        luma, after, face.points68, self.parameters.detecting.flow
                    )
                    moved.append(points)
                    trusted.append(ok)
            luma = after
            if frame.index < chunk.stop:
                found.append(faces)
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
        """Raw against smoothed tracks over time; frames with their landmarks, and faces from
        near."""
        detections = DetectionReader(ctx.own, ctx.own.chunks)
        axis = Axis(
            self.resources.seen, self.resources.times, frames, read_shots(ctx.input("frames"))
        )
        tracks = read_tracks(ctx.input("track"))
        pictures = track_plots(tracks, detections, axis, self.parameters.aligning)
        for index in frames:
            if not ctx.own.overlapping(index, index + 1):
                continue
            found = detections.window(index, index + 1)
            for frame in self.resources.reader.read(index, index + 1):
                rgb = frame.rgb8
                caption = f"frame {index}: faces found: {len(found.score)}"
                panels = [(caption, with_points(rgb, found.points68.reshape(-1, 2)))]
                for points, score in zip(found.points68, found.score, strict=True):
                    panels.append((f"score {score:.2f}", closeup(rgb, points, PANEL)))
                pictures.append(strip(panels))
        return pictures
