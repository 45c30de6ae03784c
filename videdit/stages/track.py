"""``track``: the faces of single frames joined to tracks, each one person's through one shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.landmarks import DetectionReader, read_tracks, write_tracks
from ..artifacts.shots import read_shots
from ..faces.paths import measured_around, track_path
from ..faces.tracking import link_faces
from ..pipeline.stage import Chunk, Context, Json, Stage
from ..previews.over_time import Axis
from ..previews.pictures import GREEN, ORANGE, named, with_points
from ..previews.tracks import extent_plot
from ..sheet import strip
from .resources import Resources


class TrackStage(Stage):
    """Leaves which of the faces are one track, as a whole."""

    name = "track"
    version = 1
    takes = ("frames", "landmarks")
    cost = 0.001
    finishing = "following faces from frame to frame"

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def settings(self) -> dict[str, Json]:
        frames = self.resources.seen
        return {
            "frames": [frames.start, frames.stop],
            "tracking": asdict(self.resources.parameters.faces.tracking),
        }

    def expected(self) -> int:
        return 0

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        return []

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        raise AssertionError("tracks are made as a whole")

    def finish(self, ctx: Context, folder: Path) -> None:
        landmarks = ctx.input("landmarks")
        tracks = link_faces(
            DetectionReader(landmarks, landmarks.chunks).pieces(self.resources.seen),
            self.resources.seen,
            read_shots(ctx.input("frames")),
            self.resources.times,
            self.resources.parameters.faces.tracking,
        )
        write_tracks(folder, tracks)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Which track is when; frames with their tracks' landmarks, orange where they fill a
        gap."""
        tracks, landmarks = read_tracks(ctx.own), ctx.input("landmarks")
        reader = DetectionReader(landmarks, landmarks.chunks)
        times = self.resources.times
        axis = Axis(self.resources.seen, times, frames, read_shots(ctx.input("frames")))
        pictures = [extent_plot(tracks, axis)]
        for index in frames:
            for frame in self.resources.reader.read(index, index + 1):
                picture, told = frame.rgb8, []
                for track in tracks.summaries:
                    if not track.first <= index <= track.last:
                        continue
                    faces = reader.window(*measured_around(tracks, track, index, index + 1))
                    path = track_path(tracks, track, faces, times).between(index, index + 1)
                    colour = GREEN if path.measured[0] else ORANGE
                    picture = with_points(picture, path.points68[0], colour)
                    picture = named(picture, f"track {track.id}", path.points68[0], colour)
                    told.append(f"{track.id}" if path.measured[0] else f"{track.id} (lost)")
                caption = f"frame {index}, tracks: {', '.join(told) or 'none'}"
                pictures.append(strip([(caption, picture)]))
        return pictures
