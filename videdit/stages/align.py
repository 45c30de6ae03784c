"""``align``: which faces are edited, and the FFHQ quad of each in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.faces import (
    Faces,
    FaceTable,
    FaceTrack,
    frames_with_faces,
    write_faces,
    write_index,
)
from ..artifacts.landmarks import DetectionReader, read_tracks
from ..bundles.manifest import ID_LENGTH
from ..errors import NoFaceError, UsageError
from ..faces.align import cut_crop, ffhq_quad, resolution_for
from ..faces.choice import LIKE, alike, choose, photo_in
from ..faces.paths import calm_landmarks, frames_around, measured_around, smooth_quads, track_path
from ..faces.tracking import Tracks, TrackSummary
from ..files import sha256_of
from ..inversion.predict import INPUT_SIZE
from ..media.pictures import read_picture
from ..pipeline.stage import Chunk, Context, Json, Stage, frame_chunks
from ..previews.pictures import bytes_of, with_points, with_quad
from ..sheet import strip
from .resources import Resources

_PREVIEW = 512  # side of previews, pixels


class AlignStage(Stage):
    """Leaves a ``FaceTable``: its rows per chunk, its index as a whole."""

    name = "align"
    version = 5
    takes = ("landmarks", "track")
    apart = True
    cost = 0.003
    size = 900

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.parameters = resources.parameters.faces.aligning

    def settings(self) -> dict[str, Json]:
        resources, run = self.resources, self.resources.run
        return {
            # Pictures are among the models.
            "faces": [LIKE if photo_in(face) else face for face in run.faces],
            "frames": [[part.start, part.stop] for part in (resources.frames, resources.coded)],
            "chunk": run.chunk_frames,
            "aligning": asdict(self.parameters),
        }

    def models(self) -> dict[str, str]:
        people, networks = self.resources.run.people, self.resources.networks
        if not people:
            return {}
        pictures = {f"person {k}": sha256_of(path)[:ID_LENGTH] for k, path in enumerate(people)}
        return networks.ids("recognition") | networks.landmark_models() | pictures

    def expected(self) -> int:
        return len(self.resources.coded)

    def chunks(self, ctx: Context) -> Sequence[Chunk]:
        parts = [self._part(track) for track, _ in self._chosen(ctx)]
        first, stop = min(part.start for part in parts), max(part.stop for part in parts)
        return frame_chunks(first, stop, self.resources.run.chunk_frames)

    def run_chunk(self, ctx: Context, chunk: Chunk, folder: Path) -> None:
        found = []
        for track, _ in self._chosen(ctx):
            part = self._part(track)
            start, stop = max(chunk.start, part.start), min(chunk.stop, part.stop)
            if start < stop:
                found.append(self._faces(ctx, track, start, stop))
        write_faces(folder, found)
        ctx.tick(chunk.frames)

    def finish(self, ctx: Context, folder: Path) -> None:
        tracks = []
        for track, asked in self._chosen(ctx):
            part, size = self._part(track), self._size(track)
            tracks.append(FaceTrack(track.id, part.start, part.stop - 1, size, asked))
        write_index(folder, tracks)

    def preview(self, ctx: Context, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Faces' quads in their frame; their crops, without and with landmarks."""
        table = FaceTable(ctx.own)
        pictures = []
        for index in frames:
            here = table.window(index, index + 1)
            for frame, faces in frames_with_faces(self.resources.reader, here, index, index + 1):
                for k, rgb in faces:
                    crop = bytes_of(cut_crop(rgb, here.quad[k], _PREVIEW))
                    marked = with_points(crop, here.points_in_crop(k) * _PREVIEW)
                    side = float(np.linalg.norm(here.quad[k][3] - here.quad[k][0]))
                    panels = [
                        (f"frame {index}, quad", with_quad(frame.rgb8, here.quad[k])),
                        (f"track {here.track[k]}: {side:.0f} px as {here.size[k]}", crop),
                        ("smoothed landmarks", marked),
                    ]
                    pictures.append(strip(panels))
        return pictures

    def _tracks(self, ctx: Context) -> Tracks:
        return ctx.once("tracks", lambda: read_tracks(ctx.input("track")))

    def _chosen(self, ctx: Context) -> list[tuple[TrackSummary, int]]:
        """The tracks to edit, by id: chosen among those that are in the stretch; each with which of
        the run's faces it is, as bits.

        Raises:
            NoFaceError: there is no track.
            UsageError: there is no such one.
        """
        return ctx.once("chosen", lambda: self._choose(ctx, self._tracks(ctx)))

    def _choose(self, ctx: Context, found: Tracks) -> list[tuple[TrackSummary, int]]:
        frames, run = self.resources.frames, self.resources.run
        tracks = [
            track
            for track in found.summaries
            if track.first < frames.stop and frames.start <= track.last
        ]
        if not tracks:
            raise NoFaceError(
                f"no face was found in {run.source.name}",
                "Faces must be at least about 40 pixels wide; see `videdit inspect`.",
            )
        people = self._people(ctx, tracks) if run.people else {}
        asked = {track.id: 0 for track in tracks}
        for bit, face in enumerate(run.faces):
            theirs = people.get(face)
            if theirs is None:
                theirs = choose(tracks, face, self.parameters.choosing)
            for track in theirs:
                asked[track.id] |= 1 << bit
        return [(track, asked[track.id]) for track in tracks if asked[track.id]]

    def _people(
        self, ctx: Context, tracks: Sequence[TrackSummary]
    ) -> dict[str, list[TrackSummary]]:
        """The tracks of the people in pictures, under what the run calls them; a track is that of
        the person whom it is most like.

        Raises:
            NoFaceError: none of them is there, or a picture shows no face.
            UsageError: one shows several, or is a video.
        """
        run, how = self.resources.run, self.parameters.choosing
        likeness = self._likeness(ctx, tracks)
        most = {track.id: max(each[track.id] for each in likeness.values()) for track in tracks}
        found = {}
        for face, each in likeness.items():
            theirs = [track for track in tracks if each[track.id] == most[track.id]]
            found[face] = alike(theirs, each, how.same_person)
        if not any(found.values()):
            track = max(most, key=lambda track: most[track])
            who = " or ".join(photo.name for photo in run.people)
            raise NoFaceError(
                f"nobody in {run.source.name} is like {who}: track {track} comes nearest, with "
                f"{most[track]:.2f} of {how.same_person}",
                f"Give another picture of the person, or say --face track:{track}.",
            )
        return found

    def _likeness(
        self, ctx: Context, tracks: Sequence[TrackSummary]
    ) -> dict[str, dict[int, float]]:
        """How like each track is to the person in each picture: cosines by the picture, as the run
        calls it, and the track's id."""
        with ctx.loading("PyTorch"):
            from ..inversion.refine import describe

        network = self.resources.network(ctx, "recognition")
        wanted = {}
        for person in self.resources.run.people:
            picture = read_picture(person)
            faces = self.resources.network(ctx, "landmarker").detect(picture)
            if not faces:
                raise NoFaceError(f"no face was found in {person.name}", "Give another picture.")
            if len(faces) > 1:
                raise UsageError(
                    f"{len(faces)} faces are to be seen in {person.name}",
                    "Give a picture of one person's face, from the front.",
                )
            crop = cut_crop(picture, ffhq_quad(faces[0].points68), INPUT_SIZE)
            wanted[f"{LIKE}{person}"] = describe(network, crop[None])
        seen = {track.id: describe(network, self._looks(ctx, track)) for track in tracks}
        return {
            face: {track: float(look @ person) for track, look in seen.items()}
            for face, person in wanted.items()
        }

    def _looks(self, ctx: Context, track: TrackSummary) -> NDArray[np.float32]:
        """(k, 256, 256, 3) some crops of a track."""
        part = self._part(track)
        count = min(len(part), self.parameters.choosing.looks)
        crops = []
        for frame in np.linspace(part.start, part.stop - 1, count).round().astype(int).tolist():
            faces, reader = self._faces(ctx, track, frame, frame + 1), self.resources.reader
            for _, here in frames_with_faces(reader, faces, frame, frame + 1):
                crops += [cut_crop(rgb, faces.quad[k], INPUT_SIZE) for k, rgb in here]
        return np.stack(crops)

    def _part(self, track: TrackSummary) -> range:
        """The track's frames in the table."""
        coded = self.resources.coded
        return range(max(track.first, coded.start), min(track.last + 1, coded.stop))

    def _size(self, track: TrackSummary) -> int:
        return resolution_for(track.inter_ocular, self.parameters.sizes)

    def _faces(self, ctx: Context, track: TrackSummary, start: int, stop: int) -> Faces:
        """A track's rows of the table in ``start <= frame < stop``, where it has a face."""

        def reader() -> DetectionReader:
            landmarks = ctx.input("landmarks")
            return DetectionReader(landmarks, landmarks.chunks)

        tracks, times = self._tracks(ctx), self.resources.times
        around = frames_around(times, start, stop, self.parameters)
        detections = ctx.once("detections", reader).window(*measured_around(tracks, track, *around))
        path = track_path(tracks, track, detections, times)
        points = calm_landmarks(path, times, self.parameters)
        aspect = float(self.resources.timeline.sample_aspect)
        quads = smooth_quads(points, times[path.frames], self.parameters, aspect)
        here = slice(*np.searchsorted(path.frames, (start, stop)))
        frames = path.frames[here]
        ids = np.full(len(frames), track.id, np.int64)
        sizes = np.full(len(frames), self._size(track), np.int64)
        return Faces(0, frames, ids, quads[here], points[here], sizes)
