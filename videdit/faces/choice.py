"""Which of the tracks are edited."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from videdit.errors import NoFaceError, UsageError
from videdit.faces.parameters import DEFAULT, Choosing

if TYPE_CHECKING:
    from videdit.faces.tracking import TrackSummary


LIKE = "like:"


def check_face(face: str) -> None:
    """Refuse what cannot name faces of any source: needs no tracks and no libraries.

    Raises:
        UsageError: it is none of ``largest``, ``all``, ``track:N`` and ``like:PICTURE``.
    """
    if not re.fullmatch(r"largest|all|track:[0-9]+|like:.+", face, re.DOTALL):
        raise UsageError(
            f"--face does not know {face!r}", "Use largest, all, track:N, or like:photo.jpg."
        )


def photo_in(face: str) -> Path | None:
    """The picture of the person that ``--face like:PICTURE`` names; None for all else."""
    return Path(face.removeprefix(LIKE)) if face.startswith(LIKE) else None


def alike(
    tracks: Sequence[TrackSummary], likeness: Mapping[int, float], least: float
) -> list[TrackSummary]:
    """The tracks of one person.

    Args:
        likeness: of each track by its id, to the person: a cosine.
        least: that it takes.

    Returns:
        By id: of tracks that share a frame, which are two people, the one that is most alike.
    """
    found: list[TrackSummary] = []
    for track in sorted(tracks, key=lambda track: (-likeness[track.id], track.id)):
        apart = all(track.last < other.first or other.last < track.first for other in found)
        if likeness[track.id] >= least and apart:
            found.append(track)
    return sorted(found, key=lambda track: track.id)


def choose(
    tracks: Sequence[TrackSummary], face: str, parameters: Choosing = DEFAULT.aligning.choosing
) -> list[TrackSummary]:
    """The tracks to edit.

    Args:
        tracks: those of a stretch.
        face: ``"all"``; ``"track:N"``, the one with that id; or ``"largest"``: in every shot the
            track with the largest area summed over its frames, and then, in the order of that
            sum, further ones that share no frame with those taken and whose median size is at
            least ``same_size`` of the first one's. So a person who is lost for a while goes on
            being edited, and never two at once.
        parameters: ``same_size``.

    Returns:
        The chosen tracks by id, at least one.

    Raises:
        NoFaceError: there are no tracks.
        UsageError: the request is malformed, or there is no such track.
    """
    if not face.startswith("track:"):
        check_face(face)
    if not tracks:
        raise NoFaceError("no face was found", "Check the stretch, or try another --backend.")
    if face == "all":
        return sorted(tracks, key=lambda track: track.id)
    if face.startswith("track:"):
        number = face.removeprefix("track:")
        chosen = [track for track in tracks if str(track.id) == number]
        if not chosen:
            known = ", ".join(str(track.id) for track in sorted(tracks, key=lambda t: t.id))
            raise UsageError(f"there is no face track {number!r}", f"There are: {known}.")
        return chosen
    result: list[TrackSummary] = []
    by_size = sorted(tracks, key=lambda track: (track.shot, -track.area, track.id))
    for _, group in groupby(by_size, key=lambda track: track.shot):
        ranked = list(group)
        least = parameters.same_size * ranked[0].inter_ocular
        taken: list[TrackSummary] = []
        for track in ranked:
            apart = all(track.last < other.first or other.last < track.first for other in taken)
            if apart and track.inter_ocular >= least:
                taken.append(track)
        result += taken
    return sorted(result, key=lambda track: track.id)
