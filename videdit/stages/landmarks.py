"""``landmarks``: the faces of every frame, joined into tracks and smoothed within their shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..faces.backend import Detection
from ..faces.flow import flow_points, stabilise
from ..faces.smoothing import LANDMARK_SIGMA_S, smooth
from ..faces.tracking import (
    Track,
    build_tracks,
    load_detections,
    load_tracks,
    save_detections,
    save_tracks,
)
from ..media.reader import read_frames
from ..pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from .frames import read_shots
from .resources import Resources


class LandmarksStage(Stage):
    """Leaves per chunk ``detections.npz`` (raw faces of each frame) and ``flow.npz`` (where optical
    flow takes each face's points in the next frame); as a whole ``tracks.npz``, smoothed."""

    name = "landmarks"
    version = 1
    takes = ("frames",)

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        return {"backend": self.resources.run.backend, "chunk": self.resources.run.chunk_frames}

    def models(self) -> dict[str, str]:
        return self.resources.networks.landmark_models()

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        frames = self.resources.frames
        return frame_chunks(frames.start, frames.stop, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        found: list[list[Detection]] = []
        moved: list[NDArray[np.float32]] = []
        trusted: list[NDArray[np.bool_]] = []
        luma = None
        # One frame more than the chunk's: the last frame's flow leads into it.
        last = min(chunk.stop + 1, self.resources.frames.stop)
        for frame in read_frames(self.resources.timeline, chunk.start, last):
            rgb = frame.rgb8
            after = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
            if luma is not None:
                for face in found[-1]:
                    points, ok = flow_points(luma, after, face.points68)
                    moved.append(points)
                    trusted.append(ok)
            luma = after
            if frame.index < chunk.stop:
                found.append(self.resources.networks.backend.detect(rgb))
                ctx.tick()
        # No frame follows the very last one.
        for face in found[-1] if last == chunk.stop else []:
            moved.append(face.points68)
            trusted.append(np.zeros(68, bool))
        save_detections(folder / "detections.npz", found)
        np.savez(
            folder / "flow.npz",
            moved=np.array(moved, np.float32).reshape(-1, 68, 2),
            ok=np.array(trusted, bool).reshape(-1, 68),
        )

    def finish(self, ctx: Context, folder: Path) -> None:
        frames = self.resources.frames
        times = self.resources.times[frames.start : frames.stop]
        shots = [shot - frames.start for shot in read_shots(ctx)]
        detections: list[list[Detection]] = []
        moved, ok = [], []
        for chunk in self.chunks(ctx):
            path = ctx.own.path(chunk.name, "detections.npz")
            detections += load_detections(path, meshes=False)
            with np.load(ctx.own.path(chunk.name, "flow.npz")) as flow:
                moved.append(flow["moved"])
                ok.append(flow["ok"])
        counts = np.array([len(faces) for faces in detections])
        flow_of = (np.concatenate(moved), np.concatenate(ok))
        tracks = [
            _smoothed(track, counts, *flow_of, times, frames.start)
            for track in build_tracks(detections, shots, times)
        ]
        save_tracks(folder / "tracks.npz", tracks)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        tracks = load_tracks(ctx.own.path(ctx.own.whole, "tracks.npz"))
        pictures = []
        for index in frames:
            for frame in read_frames(self.resources.timeline, index, index + 1):
                picture = frame.rgb8.copy()
                for track in tracks:
                    at = np.flatnonzero(track.frames == index)
                    if not len(at):
                        continue
                    radius = max(1, round(picture.shape[0] / 300))
                    colour = (0, 255, 0) if track.measured[at[0]] else (255, 160, 0)
                    for x, y in track.points68[at[0]]:
                        cv2.circle(picture, (int(x), int(y)), radius, colour, -1)
                    corner = track.box[at[0]][:2].astype(int)
                    text, font = f"track {track.id}", cv2.FONT_HERSHEY_SIMPLEX
                    place = (int(corner[0]), max(20, int(corner[1]) - 6))
                    cv2.putText(picture, text, place, font, 0.25 * radius + 0.3, colour, radius)
                pictures.append(picture)
        return pictures


def _smoothed(
    track: Track,
    counts: NDArray[np.int64],
    moved: NDArray[np.float32],
    ok: NDArray[np.bool_],
    times: NDArray[np.float64],
    first: int,
) -> Track:
    """The track with stabilised, smoothed points and frame numbers of the whole video."""
    rows = track.rows(counts)
    # A filled gap has no detection, so no flow of its own.
    flow = np.where(track.measured[:, None, None], moved[rows], track.points68)
    trusted = ok[rows] & track.measured[:, None]
    at = times[track.frames]
    calm = stabilise(track.points68, flow, trusted, at)
    points = smooth(calm, at, LANDMARK_SIGMA_S)
    return replace(track, frames=track.frames + first, points68=points.astype(np.float32))
