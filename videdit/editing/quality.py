"""How well a bundle edits each attribute: figures that ship beside its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import WeightsError

_LEAST_AUC = 0.85
_LEAST_SEEN = 0.7
_LEAST_KEPT = 0.9
_FEW = 5
_UNKNOWN = math.nan


@dataclass(frozen=True)
class Results:
    """What people got from one strength.

    Attributes:
        lacked: how many of the portraits lacked what it gives, as the judge sees it.
        seen: share of those in whose result it sees it; NaN if none lacked it.
        kept: share of the judge's other judgements that stay in them, median.
        identity: distance of dlib's descriptors, result to source, median; under 0.6 passes for
            the same person.
    """

    lacked: int
    seen: float = _UNKNOWN
    kept: float = _UNKNOWN
    identity: float = _UNKNOWN

    @property
    def doubt(self) -> str:
        """Why not to rely on it; empty where one may."""
        if self.lacked < _FEW:
            return "too few lacked it to be measured"
        doubts = []
        if self.seen < _LEAST_SEEN:
            doubts.append("often too weak")
        if self.kept < _LEAST_KEPT:
            doubts.append("changes more than it should")
        return ", ".join(doubts)


@dataclass(frozen=True)
class Quality:
    """One attribute, measured by `videdit evaluate edits --figures` on portraits of real people
    that nothing was trained or tuned on: the final pictures against their sources.

    Attributes:
        more, less: at an alpha of 1, and of -1.
        judge_auc: the judge's AUC for the attribute on generated faces it never saw; NaN where
            fewer than ten of them have it.
    """

    more: Results
    less: Results
    judge_auc: float

    @property
    def doubt(self) -> str:
        """Why the attribute is not to be relied on; empty where it is."""
        doubts = []
        if math.isnan(self.judge_auc):
            doubts.append("too rare to be judged")
        elif self.judge_auc < _LEAST_AUC:
            doubts.append("hard to judge")
        doubts += [f"{sign}: {one.doubt}" for sign, one in self.sides.items() if one.doubt]
        return "; ".join(doubts)

    @property
    def sides(self) -> dict[str, Results]:
        """By the sign of alpha."""
        return {"+": self.more, "-": self.less}


def save_quality(path: Path, figures: Mapping[str, Quality]) -> None:
    """Write what `load_quality` reads."""
    table = {name: plain_figures(quality) for name, quality in figures.items()}
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def plain_figures(quality: Quality) -> dict[str, Any]:
    """As plain JSON; no number where there is none."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(one) for key, one in value.items()}
        return None if math.isnan(value) else round(value, 4)

    found: dict[str, Any] = rounded(asdict(quality))
    return found


def load_quality(path: Path) -> dict[str, Quality]:
    """The figures by attribute.

    Raises:
        WeightsError: missing or damaged.
    """

    def results(values: dict[str, Any]) -> Results:
        return Results(
            lacked=int(values["lacked"]),
            **{k: _number(v) for k, v in values.items() if k != "lacked"},
        )

    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Quality(
                results(values["more"]), results(values["less"]), _number(values["judge_auc"])
            )
            for name, values in table.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise WeightsError(
            f"the figures {path.name} cannot be read ({error})", "Run `videdit weights verify`."
        ) from error


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
