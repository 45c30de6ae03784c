"""How well a bundle edits each attribute: figures that ship beside its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import WeightsError

_LEAST_AUC = 0.85
_LEAST_CHANGE = 0.6
_LEAST_PRESERVATION = 0.9


@dataclass(frozen=True)
class Quality:
    """One attribute, measured by `videdit evaluate attributes` on pictures of held-out generated
    faces, inverted; the judge took no part in making the editor.

    Attributes:
        change: share of the faces that the judge calls otherwise after an alpha of 1 towards what
            they are not, 0 to 1.
        preservation: share of its judgements of all other attributes that stay, 0 to 1.
        identity: similarity to the unedited face, 1 - dlib's distance, mean.
        judge_auc: the judge's AUC for the attribute on faces it never saw; NaN where fewer than ten
            of them have it.
    """

    change: float
    preservation: float
    identity: float
    judge_auc: float

    @property
    def doubt(self) -> str:
        """Why the attribute is not to be relied on; empty where it is."""
        doubts = []
        if math.isnan(self.judge_auc):
            doubts.append("too rare to be measured")
        elif self.judge_auc < _LEAST_AUC:
            doubts.append("hard to measure")
        if self.change < _LEAST_CHANGE:
            doubts.append("often too weak")
        if self.preservation < _LEAST_PRESERVATION:
            doubts.append("changes more than it should")
        return ", ".join(doubts)


def save_quality(path: Path, figures: Mapping[str, Quality]) -> None:
    """Write what `load_quality` reads."""
    table = {}
    for name, quality in figures.items():
        table[name] = {
            key: None if math.isnan(value) else round(value, 4)
            for key, value in asdict(quality).items()
        }
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def load_quality(path: Path) -> dict[str, Quality]:
    """The figures by attribute.

    Raises:
        WeightsError: missing or damaged.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Quality(**{k: math.nan if v is None else float(v) for k, v in values.items()})
            for name, values in table.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"the figures {path.name} cannot be read ({error})", "Run `videdit weights verify`."
        ) from error
