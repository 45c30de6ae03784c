"""Tables and plots of what was measured."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .curves import Curve, mean_curve

CHANGES = (0.5, 0.8, 0.9, 0.95)

MOVED = (1.0, 2.0)
"""Deviations of the edited attribute at which the others' are read off."""


def table_of(methods: Mapping[str, Mapping[str, Curve]]) -> dict[str, Any]:
    """Everything measured, as JSON: curves, and their values at equal change."""
    means = {method: mean_curve(list(curves.values())) for method, curves in methods.items()}
    common = min(max(curve.change) for curve in means.values())
    out: dict[str, Any] = {}
    for method, curves in methods.items():
        out[method] = {"mean": _figures(means[method], common)}
        out[method] |= {name: _figures(curve, None) for name, curve in curves.items()}
    return out


def _figures(curve: Curve, common: float | None) -> dict[str, Any]:
    out: dict[str, Any] = asdict(curve)
    out["at_change"] = {
        f"{change:g}": dict(
            zip(("preservation", "identity"), _rounded(curve.at(change)), strict=True)
        )
        for change in CHANGES
    }
    out["dependency_at"] = {
        f"{moved:g}": value
        for moved, value in zip(
            MOVED, _rounded([curve.dependency_at(m) for m in MOVED]), strict=True
        )
    }
    if common is not None:
        areas = _rounded(curve.areas(common))
        out["area"] = {"up_to_change": common, "preservation": areas[0], "identity": areas[1]}
    return out


def plain(value: Any) -> Any:
    """Nested dicts and lists without NaN and infinities, which JSON does not know: None instead."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(v) else round(v, 5) for v in values]


def write_tables(
    folder: Path,
    methods: Mapping[str, Mapping[str, Curve]],
    about: Mapping[str, object],
    sequences: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """Write ``report.json``, ``curves.csv``; returns the report.

    Args:
        folder: takes them.
        methods: curves by editor and attribute.
        about: what was measured, and with what.
        sequences: by editor, what is left of edits made one after the other.
    """
    report = {"about": dict(about), "methods": table_of(methods)}
    if sequences:
        report["sequences"] = dict(sequences)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ("change", "preservation", "identity", "moved", "dependency")
        writer.writerow(("method", "attribute", "alpha", *columns))
        for method, curves in methods.items():
            for name, curve in curves.items():
                values = (getattr(curve, column) for column in columns)
                rows = zip(curve.strengths, *values, strict=True)
                for row in rows:
                    writer.writerow((method, name, *(f"{v:.5g}" for v in row)))
    return report


def draw_curves(folder: Path, methods: Mapping[str, Mapping[str, Curve]]) -> None:
    """Write the paper's two plots: change against preservation, and against identity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for what in ("preservation", "identity"):
        figure, axes = pyplot.subplots(figsize=(6, 4.5))
        for method, curves in methods.items():
            mean = mean_curve(list(curves.values()))
            start = 1 if what == "preservation" else 0
            axes.plot((0, *mean.change), (start, *getattr(mean, what)), marker="o", label=method)
        axes.set_xlabel("target change rate")
        axes.set_ylabel("attribute preservation" if what == "preservation" else "distance (dlib)")
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.3)
        axes.legend()
        figure.tight_layout()
        figure.savefig(folder / f"change-{what}.png", dpi=120)
        pyplot.close(figure)
