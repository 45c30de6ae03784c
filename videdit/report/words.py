"""Settings and figures of a run in words."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .. import __version__
from ..editing.attributes import ATTRIBUTES
from ..editing.schedule import AlphaSchedule, Edit
from ..settings import QUALITIES
from .kept import Kept

_LIBRARIES = ("torch", "openvino", "numpy", "opencv-python", "av")
_MOST_STRETCHES = 12  # of frames, in a sentence


def readable(name: str) -> str:
    """An attribute's name without underscores."""
    return name.replace("_", " ")


def strength(schedule: AlphaSchedule) -> str:
    """A schedule in words: ``α 1.5``, or ``α 0 at 0 s, 1.5 at 2 s``."""
    if schedule.is_constant:
        return f"α {number(schedule.keyframes[0][1])}"
    return "α " + ", ".join(f"{number(alpha)} at {time:g} s" for time, alpha in schedule.keyframes)


def number(value: float, digits: str = "g") -> str:
    """A number with a minus sign, not a hyphen."""
    return f"{value:{digits}}".replace("-", "\N{MINUS SIGN}")


def edits_text(edits: Sequence[Edit]) -> str:
    """Edits in a sentence."""
    parts = [f"{readable(edit.attribute)} ({strength(edit.schedule)})" for edit in edits]
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def meaning(edit: Edit) -> str:
    """What an edit does, where its attribute says so."""
    for attribute in ATTRIBUTES:
        if attribute.name == edit.attribute:
            signs = {np.sign(alpha) for _, alpha in edit.schedule.keyframes} - {0}
            said = [attribute.plus] if 1 in signs else []
            said += [attribute.minus] if -1 in signs else []
            return "; ".join(said)
    return ""


def seconds_text(seconds: float) -> str:
    """A duration: ``4.2 s``, ``3 min 20 s``, ``1 h 5 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"


def bytes_text(count: float) -> str:
    """A size: ``1.2 MB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def frames_text(stretches: Sequence[tuple[int, int]]) -> str:
    """Stretches of frames, one past the last each: ``0 to 12, 30``."""
    parts = [f"{a} to {b - 1}" if b - a > 1 else str(a) for a, b in stretches[:_MOST_STRETCHES]]
    more = len(stretches) - _MOST_STRETCHES
    return ", ".join(parts) + (f" and {more} more stretches" if more > 0 else "")


def day(seconds: float) -> str:
    """A moment, Unix seconds, as local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def source_facts(kept: Kept) -> list[tuple[str, str]]:
    """What the source is."""
    timeline = kept.resources.timeline
    facts = [
        ("File", str(kept.settings.source.absolute())),
        ("Size", bytes_text(timeline.path.stat().st_size)),
        ("Picture", f"{timeline.width} × {timeline.height}, {timeline.pix_fmt}"),
    ]
    if not timeline.is_image:
        facts += [
            ("Frames", f"{len(timeline)}, {float(timeline.average_rate):.6g} a second on average"),
            ("Duration", seconds_text(float(kept.edges[-1]))),
        ]
    others = ", ".join(f"{one.type} ({one.codec})" for one in timeline.streams)
    facts.append(("Codec", timeline.codec + (f"; besides {others}" if others else "")))
    return facts


def output_facts(kept: Kept) -> list[tuple[str, str]]:
    """What was written."""
    output, resources = kept.settings.output, kept.resources
    facts = [("File", str(output))]
    if not kept.finished:
        facts.append(("State", "not written: the run has not finished"))
    elif output.is_file():
        info = output.stat()
        facts += [("Size", bytes_text(info.st_size)), ("Written", day(info.st_mtime))]
    else:
        gone = "not there any more" if output.is_absolute() else "not to be found from here"
        facts.append(("State", gone))
    if not resources.timeline.is_image:
        spec = resources.encode_spec
        quality = "" if spec.crf is None else f", constant rate factor {spec.crf}"
        facts.append(("Codec", f"{spec.codec}{quality}, {spec.pix_fmt}"))
    tagged = "says that it was edited" if kept.settings.tag else "says nothing of the edit"
    signed = ", signed (C2PA)" if kept.settings.sign else ""
    facts.append(("Metadata", tagged + signed))
    return facts


def settings_facts(kept: Kept) -> list[tuple[str, str]]:
    """How it was edited, besides the edits."""
    run, resources = kept.settings, kept.resources
    frames, edges = resources.frames, kept.edges
    qualities = {method: quality for quality, method in QUALITIES.items()}
    facts = [("Editor", run.editor), ("Whose face", ", ".join(run.faces))]
    if not resources.timeline.is_image:
        whole = len(frames) == len(resources.timeline)
        stretch = f"{edges[frames.start]:.2f} to {edges[frames.stop]:.2f} s"
        numbers = f"frames {frames.start} to {frames.stop - 1}"
        facts.append(("Stretch", "all of it" if whole else f"{stretch} ({numbers})"))
    facts += [
        ("Quality", f"{qualities[run.method]} (method {run.method})")
        if run.method in qualities
        else ("Method", run.method),
        (
            "May change",
            ", ".join(sorted(frozenset().union(*(each.all for each in resources.touch)))),
        ),
    ]
    named: list[tuple[str, str | Path | None]] = [
        ("Held in regions", ", ".join(run.within)),
        ("Regions added or taken away", run.touch),
        ("Taken from", run.like),
        ("Mask", run.mask),
        ("Kept as they are", ", ".join(map(readable, run.keep))),
    ]
    facts += [(name, str(value)) for name, value in named if value]
    device = resources.networks.device
    facts += [
        ("Landmarks", f"backend {run.backend}"),
        ("Device", f"{device.name}, {device.precision}"),
        ("Weights", f"bundle {run.bundle}"),
        ("Chunks", f"{run.chunk_frames} frames"),
    ]
    return facts


def versions() -> list[tuple[str, str]]:
    """What this report was made with."""
    found = [("videdit", __version__), ("Python", platform.python_version())]
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed under this name"))
    return [*found, ("System", f"{platform.system()} {platform.machine()}")]
