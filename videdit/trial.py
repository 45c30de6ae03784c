"""Some frames of a video, edited as pictures: a look before the long run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .api import Edits, edit_image, networks_for, parse_edits, run_settings, timeline_of
from .editing.schedule import AlphaSchedule, Edit
from .errors import NoFaceError, UsageError
from .media.output import check_place, check_suffix
from .media.pictures import read_picture, write_picture
from .media.reader import FrameReader
from .media.source import check_source
from .pipeline.progress import Progress, as_progress
from .pipeline.store import Store
from .sheet import page, strip

MOST = 60
"""Frames of a sheet."""

_OF_VIDEOS = ("start_s", "stop_s", "codec", "crf", "sign", "key", "compare")


def preview_sheet(
    source: Path | str,
    sheet: Path | str,
    edits: Edits,
    count: int,
    *,
    overwrite: bool = False,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Edit some frames of a video, evenly spread over the stretch, each as a picture of its own,
    and lay them out beside what they were.

    It is what the encoder alone makes of each frame, without smoothing over time: quicker than the
    run, about two seconds a frame on two cores, and a little less like the person.

    Args:
        source: a video.
        sheet: the picture to write.
        edits: as ``edit_video`` takes them; each frame has the strengths of its time.
        count: frames, 1 to :data:`MOST`.
        overwrite: whether a sheet that is there may be replaced.
        settings: as ``edit_video`` takes them.
        progress: told how it goes.

    Returns:
        The sheet.

    Raises:
        NoFaceError: none of the frames shows a face.
        UsageError: the source is a picture, or the settings don't suit single frames.
        VideditError: as ``edit_image``.
    """
    source, sheet = Path(source), Path(sheet)
    if not 1 <= count <= MOST:
        raise UsageError(f"a preview has 1 to {MOST} frames, not {count}", "Give another number.")
    asked = run_settings(source, sheet, parse_edits(edits), settings)
    if any(face.startswith("track:") for face in asked.faces):
        raise UsageError(
            "a preview looks at single frames, which have no tracks", "Use --face all, or largest."
        )
    check_source(source)
    check_suffix(sheet, None)
    check_place(source, sheet, overwrite=overwrite)
    shown = as_progress(progress)
    with Store(asked.cache_dir) as store:
        timeline = timeline_of(source, store)
    if timeline.is_image:
        raise UsageError(f"{source.name} is a picture", "Use `videdit image`.")
    frames = timeline.select(asked.start_s, asked.stop_s)
    if not len(frames):
        raise UsageError("there is no frame between --from and --to", "Give another stretch.")
    count = min(count, len(frames))
    at = [frames[int((k + 0.5) * len(frames) / count)] for k in range(count)]
    networks = networks_for(asked, shown)
    plain = {name: value for name, value in (settings or {}).items() if name not in _OF_VIDEOS}
    plain |= {"method": "encoder", "tag": False}
    plain.pop("quality", None)
    strips: list[NDArray[np.uint8]] = []
    found = 0
    times = timeline.times()
    with tempfile.TemporaryDirectory(prefix="videdit-") as name, FrameReader(timeline) as reader:
        folder = Path(name)
        for number, index in enumerate(at, 1):
            shown.note(f"frame {index}, {number} of {count}")
            (frame,) = reader.read(index, index + 1)
            picture, result = folder / "frame.png", folder / "edited.png"
            write_picture(picture, frame.rgb8)
            caption = f"frame {index}, {times[index]:.3f} s"
            panels = [(caption, frame.rgb8)]
            now = tuple(_at(edit, float(times[index])) for edit in asked.edits)
            try:
                edit_image(
                    picture,
                    result,
                    now,
                    overwrite=True,
                    settings={**plain, "cache_dir": folder / "cache"},
                    networks=networks,
                )
                panels.append((", ".join(map(str, now)), read_picture(result)))
                found += 1
            except NoFaceError:
                panels.append(("no face", frame.rgb8))
            strips.append(strip(panels))
    if not found:
        raise NoFaceError(
            f"no face was found in {count} frames of {source.name}",
            "Look at more of them, or see `videdit inspect`.",
        )
    write_picture(sheet, page(strips))
    return sheet


def _at(edit: Edit, time: float) -> Edit:
    """An edit with the strength that it has at a time, to a hundredth."""
    alpha = round(float(edit.schedule.at([time])[0]), 2)
    return replace(edit, schedule=AlphaSchedule.constant(alpha))
