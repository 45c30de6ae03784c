"""``landmarks``: the faces of every frame, and how they are joined to tracks within their shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..artifacts.landmarks import DetectionReader, read_tracks, write_detections, write_tracks
from ..artifacts.shots import read_shots
from ..faces.detection import Detection
from ..faces.flow import flow_points
from ..faces.paths import measured_around, track_path
from ..faces.tracking import link_faces
from ..pipeline.stage import Chunk, Context, Json, Stage
from .resources import Resources


class LandmarksStage(Stage):
    """Leaves per chunk the raw faces of each frame and where optical flow takes each face's points
    in the next frame; as a whole which of them are one track."""

    name = "landmarks"
    version = 3
    takes = ("frames",)
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
            "tracking": asdict(self.parameters.tracking),
        }

    def plan(self) -> str:
        return self.resources.stretch

    def expected(self) -> int:
        return len(self.resources.frames)

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
                found.append(landmarker.detect(rgb))
                ctx.tick()
        # No frame follows the source's last one.
        for face in found[-1] if last == chunk.stop else []:
            moved.append(face.points68)
            trusted.append(np.zeros(68, bool))
        write_detections(folder, found, moved, trusted)

    def finish(self, ctx: Context, folder: Path) -> None:
        reader = DetectionReader(ctx.own, self.chunks(ctx))
        tracks = link_faces(
            reader.pieces(self.resources.frames),
            self.resources.frames,
            read_shots(ctx.input("frames")),
            self.resources.times,
            self.parameters.tracking,
        )
        write_tracks(folder, tracks)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        tracks = read_tracks(ctx.own)
        reader = DetectionReader(ctx.own, self.chunks(ctx))
        times = self.resources.times
        pictures = []
        for index in frames:
            for frame in self.resources.reader.read(index, index + 1):
                picture = frame.rgb8.copy()
                for track in tracks.summaries:
                    if not track.first <= index <= track.last:
                        continue
                    faces = reader.window(*measured_around(tracks, track, index, index + 1))
                    path = track_path(tracks, track, faces, times).between(index, index + 1)
                    radius = max(1, round(picture.shape[0] / 300))
                    colour = (0, 255, 0) if path.measured[0] else (255, 160, 0)
                    for x, y in path.points68[0]:
                        cv2.circle(picture, (int(x), int(y)), radius, colour, -1)
                    corner = path.points68[0].min(axis=0).astype(int)
                    text, font = f"track {track.id}", cv2.FONT_HERSHEY_SIMPLEX
                    place = (int(corner[0]), max(20, int(corner[1]) - 6))
                    cv2.putText(picture, text, place, font, 0.25 * radius + 0.3, colour, radius)
                pictures.append(picture)
        return pictures
