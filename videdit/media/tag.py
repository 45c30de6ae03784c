"""What an edited file says of itself: that it was edited, with what, how and when."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone

from videdit.errors import UsageError

DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC's term for a picture of which parts were made by a trained model."""

LONGEST_COMMENT = 60_000
"""Most bytes of a source's comment that are kept: a word of a command line has a limit."""

_EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True)
class Tag:
    """What is written into an edited file.

    Attributes:
        tool: name of the program.
        version: its version.
        edits: what was done, as `videdit run` has it: ``Smiling=1.5``.
        time: when the frames were edited, UTC, ISO 8601 to the second.
    """

    tool: str
    version: str
    edits: tuple[str, ...]
    time: str

    @property
    def agent(self) -> str:
        """The program with its version."""
        return f"{self.tool} {self.version}"

    @property
    def text(self) -> str:
        """All of it in a line, for people."""
        edits = ", ".join(self.edits)
        return f"Edited with {self.agent}: {edits} ({self.time}). {DIGITAL_SOURCE_TYPE}"

    def after(self, comment: str) -> str:
        """The text on a line of its own after a comment that is there, of which
        `LONGEST_COMMENT` bytes are kept."""
        kept = comment.encode()[:LONGEST_COMMENT].decode(errors="ignore").rstrip()
        return f"{kept}\n{self.text}" if kept else self.text


def tag_time(made: float) -> str:
    """The time of a tag.

    Args:
        made: when the edited frames were made, seconds since 1970. So a file that is written again
            from the same frames has the same bytes; ``SOURCE_DATE_EPOCH`` in its place makes those
            of independent runs the same.
    Raises:
        UsageError: ``SOURCE_DATE_EPOCH`` is set and no such time.
    """
    said = os.environ.get(_EPOCH)
    try:
        moment = datetime.fromtimestamp(int(made) if said is None else int(said), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{_EPOCH} is {said!r}", "Give whole seconds since 1970, or unset it."
        ) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
