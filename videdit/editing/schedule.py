"""How strong an edit is at each moment of the video.

A strength (alpha) is a number: 0 leaves the face as it is, 1 makes the attribute clearly there, a
negative one takes it away. A schedule is one strength for the whole video (``1.5``) or keyframes
over time (``0s:0,2s:1.5``): linear between keyframes, held before the first and after the last.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from videdit.errors import UsageError

ALPHA_LIMIT = 10.0
"""Largest strength that is taken; anything larger is a slip of the keyboard, not an edit.

Directions are calibrated for |alpha| up to 2; beyond about 3 the picture breaks.
"""

_FORMS = "Give one number, like 1.5, or keyframes with rising times, like 0s:0,2s:1.5."
_TIME = re.compile(r"(?P<number>[^sS]+)[sS]?")


def _number(text: str, what: str, schedule: str) -> float:
    """``text`` as a finite float.

    Raises:
        UsageError: it is no number, or infinite or NaN.
    """
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{what} {text.strip()!r} in {schedule!r} is not a number", _FORMS)
    return value


@dataclass(frozen=True)
class AlphaSchedule:
    """Edit strength over time.

    Attributes:
        keyframes: one or more (time in seconds, alpha) pairs, times finite, not negative and
            strictly rising. Times count from the first frame of the video, as
            ``Timeline.times()`` does. A single pair is a constant strength.

    Raises:
        UsageError: on construction, when the keyframes break these rules or an alpha is not
            finite or beyond ``ALPHA_LIMIT``.
    """

    keyframes: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.keyframes:
            raise UsageError("an alpha schedule has no keyframe", _FORMS)
        # Plain floats, and no negative zero: equal schedules must have equal texts and keys.
        plain = tuple((float(time) + 0.0, float(alpha) + 0.0) for time, alpha in self.keyframes)
        object.__setattr__(self, "keyframes", plain)
        before = -math.inf
        for time, alpha in self.keyframes:
            if not math.isfinite(time) or time < 0:
                raise UsageError(
                    f"alpha keyframe time {time:g} s is not a time in the video", _FORMS
                )
            if time <= before:
                raise UsageError(
                    f"alpha keyframe at {time:g} s does not come after the one at {before:g} s",
                    _FORMS,
                )
            if not math.isfinite(alpha) or abs(alpha) > ALPHA_LIMIT:
                raise UsageError(
                    f"alpha {alpha:g} is out of range",
                    f"Use -{ALPHA_LIMIT:g} to {ALPHA_LIMIT:g}; 1 is a clear edit, 2 a strong one.",
                )
            before = time

    @classmethod
    def constant(cls, alpha: float) -> AlphaSchedule:
        """The same strength for the whole video."""
        return cls(((0.0, alpha),))

    @classmethod
    def parse(cls, text: str) -> AlphaSchedule:
        """Reads ``1.5`` or ``0s:0,2s:1.5`` (the ``s`` may be left out).

        Raises:
            UsageError: the text is neither form, holds something that is no number, or breaks the
                rules of ``keyframes``.
        """
        parts = text.split(",")
        if len(parts) == 1 and ":" not in text:
            return cls.constant(_number(text, "alpha", text))
        keyframes = []
        for part in parts:
            time, colon, alpha = part.partition(":")
            match = _TIME.fullmatch(time.strip())
            if not colon or match is None:
                raise UsageError(
                    f"alpha keyframe {part.strip()!r} in {text!r} is not TIME:ALPHA", _FORMS
                )
            keyframes.append(
                (_number(match["number"], "time", text), _number(alpha, "alpha", text))
            )
        return cls(tuple(keyframes))

    def at(self, times_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Strength at each time.

        Args:
            times_s: seconds from the first frame, any shape, in any order.

        Returns:
            float64 of the same shape: linear between keyframes, held at both ends.
        """
        times, alphas = np.array(self.keyframes, np.float64).T
        strengths: npt.NDArray[np.float64] = np.interp(
            np.asarray(times_s, np.float64), times, alphas
        )
        return strengths

    @property
    def is_constant(self) -> bool:
        """Whether the strength is the same at all times."""
        return len({alpha for _, alpha in self.keyframes}) == 1

    def __str__(self) -> str:
        """The text that ``parse`` reads back to an equal schedule of the same strengths."""
        if self.is_constant:
            return repr(self.keyframes[0][1])
        return ",".join(f"{time!r}s:{alpha!r}" for time, alpha in self.keyframes)


@dataclass(frozen=True)
class Edit:
    """One attribute and how strongly to edit it.

    Attributes:
        attribute: its name. One of CelebA's stands in its canonical form, like ``Smiling``; which
            others there are, the editor knows.
        schedule: strength over time.
        face: whose, as ``--face`` has it; empty for the faces that the run is about.
    """

    attribute: str
    schedule: AlphaSchedule
    face: str = ""

    @classmethod
    def parse(cls, text: str) -> Edit:
        """Reads ``Smiling=1.5``, ``smiling=0s:0,2s:1.5`` or ``Smiling=1@track:2``; a bare name
        means alpha 1.

        Raises:
            UsageError: no name, a bad schedule, or nobody after the ``@``.
        """
        from videdit.editing.attributes import canonical

        what, at, face = text.partition("@")
        name, equals, alpha = what.partition("=")
        if not name.strip():
            raise UsageError(f"{text!r} names no attribute", "Write it like Smiling=1.5.")
        if at and not face.strip():
            raise UsageError(f"{text!r} does not say whose", "Write it like Smiling=1.5@track:2.")
        schedule = AlphaSchedule.parse(alpha if equals else "1")
        return cls(canonical(name.strip()), schedule, face.strip())

    @property
    def what(self) -> str:
        """The text without whose it is."""
        return f"{self.attribute}={self.schedule}"

    def __str__(self) -> str:
        return f"{self.what}@{self.face}" if self.face else self.what
