"""What one tab of the page asks for: strengths over time, and the command line that says the same.

Knows no page and no networks.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..bundles.manifest import DEFAULT_BUNDLE
from ..editing.attributes import NAMES, canonical, resolve
from ..editing.presets import Preset
from ..editing.quality import Results
from ..editing.schedule import AlphaSchedule, Edit

LIMIT = 2.0
"""Strengths that sliders reach in either direction: beyond, faces break."""

USUAL = "transformer"
"""The editor that a run takes where none is named."""

_SAME_TIME_S = 0.0005


@dataclass(frozen=True)
class Strengths:
    """How strongly each attribute is edited, over time.

    Attributes:
        schedules: by attribute, in the order in which they were first moved, which is the order in
            which they are edited; none that is 0 throughout without keyframes.
        animated: attributes that have keyframes: moving their slider sets one.
    """

    schedules: Mapping[str, AlphaSchedule] = field(default_factory=dict)
    animated: frozenset[str] = frozenset()

    def at(self, time_s: float) -> dict[str, float]:
        """The strength of each attribute at a time, to a hundredth."""
        return {
            name: round(float(schedule.at([time_s])[0]), 2) + 0.0
            for name, schedule in self.schedules.items()
        }

    def moved(self, name: str, alpha: float, time_s: float) -> Strengths:
        """With the slider of an attribute at ``alpha``: from now on, or, where the attribute has
        keyframes, at this time."""
        if name in self.animated:
            return self._with(name, _keyed(self.schedules[name], time_s, alpha))
        if not alpha:
            rest = {each: s for each, s in self.schedules.items() if each != name}
            return replace(self, schedules=rest)
        return self._with(name, AlphaSchedule.constant(alpha))

    def keyed(self, name: str, time_s: float) -> Strengths:
        """With a keyframe of what the attribute has at this time."""
        alpha = self.at(time_s).get(name, 0.0)
        if name in self.animated:
            return self._with(name, _keyed(self.schedules[name], time_s, alpha))
        made = self._with(name, AlphaSchedule(((_ms(time_s), alpha),)))
        return replace(made, animated=self.animated | {name})

    def unkeyed(self, name: str, time_s: float) -> Strengths:
        """Without the keyframe at this time; with the last one goes the animation, and its strength
        stays."""
        if name not in self.animated:
            return self
        before = self.schedules[name].keyframes
        rest = tuple(key for key in before if abs(key[0] - time_s) > _SAME_TIME_S)
        if rest:
            return self._with(name, AlphaSchedule(rest))
        return replace(self, animated=self.animated - {name}).moved(name, before[0][1], 0)

    def preset(self, preset: Preset) -> Strengths:
        """With a preset's edits in the place of all others."""
        schedules = {edit.attribute: edit.schedule for edit in preset.edits}
        animated = frozenset(
            edit.attribute for edit in preset.edits if not edit.schedule.is_constant
        )
        return Strengths(schedules, animated)

    @property
    def keyframes(self) -> list[tuple[str, float, float]]:
        """Attribute, seconds and strength of each keyframe, by attribute and time."""
        return [
            (name, time, alpha)
            for name, schedule in self.schedules.items()
            if name in self.animated
            for time, alpha in schedule.keyframes
        ]

    def edits(self) -> tuple[Edit, ...]:
        """The edits of a run."""
        return tuple(
            Edit(name, schedule)
            for name, schedule in self.schedules.items()
            if any(alpha for _, alpha in schedule.keyframes)
        )

    def edits_at(self, time_s: float) -> tuple[Edit, ...]:
        """The edits of the frame at a time, for which strengths don't change."""
        now = self.at(time_s)
        return tuple(
            Edit(name, AlphaSchedule.constant(alpha)) for name, alpha in now.items() if alpha
        )

    def edits_from(self, start_s: float) -> tuple[Edit, ...]:
        """The edits of a clip that begins at a time of the source."""
        found = []
        for edit in self.edits():
            schedule = edit.schedule
            later = tuple((t - start_s, a) for t, a in schedule.keyframes if t > start_s)
            first = (0.0, float(schedule.at([start_s])[0]))
            found.append(Edit(edit.attribute, AlphaSchedule((first, *later))))
        return tuple(edit for edit in found if any(a for _, a in edit.schedule.keyframes))

    def _with(self, name: str, schedule: AlphaSchedule) -> Strengths:
        return replace(self, schedules={**self.schedules, name: schedule})


def _ms(time_s: float) -> float:
    return round(time_s, 3)


def _keyed(schedule: AlphaSchedule, time_s: float, alpha: float) -> AlphaSchedule:
    kept = [key for key in schedule.keyframes if abs(key[0] - _ms(time_s)) > _SAME_TIME_S]
    return AlphaSchedule(tuple(sorted([*kept, (_ms(time_s), alpha)])))


def command_line(
    source: Path | str,
    edits: Iterable[Edit],
    *,
    picture: bool,
    bundle: str = DEFAULT_BUNDLE,
    editor: str = USUAL,
    face: str = "largest",
    quality: str = "balanced",
    start_s: float | None = None,
    stop_s: float | None = None,
    output: Path | str | None = None,
) -> str:
    """The command that does what the page would do, quoted for a POSIX shell.

    Args:
        source, output: their names as the shell is to see them.
        picture: whether the source is one.
    """
    words = ["videdit", "image" if picture else "run", _not_an_option(source)]
    for option, value, usual in (("--bundle", bundle, DEFAULT_BUNDLE), ("--editor", editor, USUAL)):
        if value != usual:
            words += [option, value]
    for edit in edits:
        words += ["--attr", edit.attribute, "--alpha", _alpha_text(edit.schedule)]
    if face != "largest":
        words += ["--face", face]
    if quality != "balanced":
        words += ["--quality", quality]
    for option, time in (("--from", start_s), ("--to", stop_s)):
        if time is not None and not picture:
            words += [option, _plain(time)]
    if output is not None:
        words += ["-o", _not_an_option(output)]
    return shlex.join(words)


def _not_an_option(path: Path | str) -> str:
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def _alpha_text(schedule: AlphaSchedule) -> str:
    if schedule.is_constant:
        return _plain(schedule.keyframes[0][1])
    return ",".join(f"{_plain(time)}s:{_plain(alpha)}" for time, alpha in schedule.keyframes)


def _plain(value: float) -> str:
    """A number with three digits behind the point at most, and none that say nothing."""
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"


def title_of(name: str) -> str:
    """An attribute's name as words, ``Mouth slightly open``; one that is not CelebA's, as it is."""
    if canonical(name) not in NAMES:
        return name
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:].lower().replace("o clock", "o'clock")


def reliability(name: str, more: Results, less: Results) -> str:
    """What a slider does in either direction, and in how many results on real people it was seen:
    ``+ adds a smile, 92 %``, one line each."""
    attribute = resolve(name)
    return "\n".join(
        f"{sign} {does}, {_seen(side)}"
        for sign, does, side in (("+", attribute.plus, more), ("−", attribute.minus, less))
    )


def _seen(side: Results) -> str:
    if side.seen != side.seen:
        return "not measured"
    doubt = side.doubt
    return f"{side.seen:.0%}".replace("%", "\N{NO-BREAK SPACE}%") + (f" ({doubt})" if doubt else "")


def clock(time_s: float) -> str:
    """A time as people read it: ``0:02.48``."""
    minutes, seconds = divmod(max(0.0, time_s), 60)
    return f"{int(minutes)}:{seconds:05.2f}"
