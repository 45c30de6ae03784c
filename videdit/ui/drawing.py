"""Pieces of HTML: what the page shows that is no control. All text in them is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..pipeline.tally import duration_text, left_text
from .jobs import STOPPING, WORKING, Run
from .state import LIMIT, Strengths, clock, title_of

_COLOURS = ("#2563eb", "#db2777", "#059669", "#d97706", "#7c3aed", "#0891b2")
_WIDTH, _HEIGHT, _EDGE = 1000, 120, 10
_STATES = {
    "waiting": "waiting",
    WORKING: "working",
    STOPPING: "stopping after the part in hand",
    "done": "done",
    "failed": "failed",
    "interrupted": "stopped; what it worked out is kept",
}


def message(text: str, kind: str = "error") -> str:
    """A line that is read out when it appears."""
    if not text:
        return ""
    role = "alert" if kind == "error" else "status"
    return f'<div class="v-message v-{kind}" role="{role}">{escape(" ".join(text.split()))}</div>'


def timeline(strengths: Strengths, seconds: float, now_s: float, cuts_s: Sequence[float]) -> str:
    """Strengths over time, with keyframes as dots, cuts as dashes, and the current time."""
    shown = list(strengths.animated)
    order = [name for name in strengths.schedules if name in shown]
    if not order or seconds <= 0:
        return ""

    def x(time: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * min(1.0, max(0.0, time / seconds))

    reach = max(LIMIT, *(abs(alpha) for _, _, alpha in strengths.keyframes))

    def y(alpha: float) -> float:
        return _HEIGHT / 2 - alpha / reach * (_HEIGHT / 2 - _EDGE)

    parts = [f'<line class="v-zero" x1="0" x2="{_WIDTH}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>']
    parts += [
        f'<line class="v-cut" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="0" y2="{_HEIGHT}"/>'
        for t in cuts_s
    ]
    legend = []
    for number, name in enumerate(order):
        colour = _COLOURS[number % len(_COLOURS)]
        keys = strengths.schedules[name].keyframes
        path = [(0.0, keys[0][1]), *keys, (seconds, keys[-1][1])]
        points = " ".join(f"{x(t):.1f},{y(a):.1f}" for t, a in path)
        parts.append(f'<polyline class="v-curve" points="{points}" stroke="{colour}"/>')
        parts += [
            f'<circle cx="{x(t):.1f}" cy="{y(a):.1f}" r="6" fill="{colour}">'
            f"<title>{escape(title_of(name))}, {clock(t)}: {a:+g}</title></circle>"
            for t, a in keys
        ]
        legend.append(f'<span><i style="background:{colour}"></i>{escape(title_of(name))}</span>')
    parts.append(
        f'<line class="v-now" x1="{x(now_s):.1f}" x2="{x(now_s):.1f}" y1="0" y2="{_HEIGHT}"/>'
    )
    told = "; ".join(f"{title_of(n)} {a:+g} at {clock(t)}" for n, t, a in strengths.keyframes)
    return (
        f'<div class="v-timeline"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' preserveAspectRatio="none" aria-label="Keyframes: {escape(told)}">{"".join(parts)}</svg>'
        f'<div class="v-legend">{"".join(legend)}</div></div>'
    )


def keyframe_table(strengths: Strengths) -> str:
    """The keyframes as a table."""
    rows = "".join(
        f"<tr><td>{escape(title_of(name))}</td><td>{clock(time)}</td><td>{alpha:+.2f}</td></tr>"
        for name, time, alpha in strengths.keyframes
    )
    if not rows:
        return '<p class="v-quiet">None yet: every edit is the same from beginning to end.</p>'
    head = "<tr><th>Edit</th><th>Time</th><th>Strength</th></tr>"
    return f'<table class="v-keys"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def run_card(run: Run, link: str | None, *, picture: bool) -> str:
    """How a run stands, and its result to play and to download.

    Args:
        link: address of its result, if it is there.
        picture: whether that is a picture.
    """
    name = escape(run.job.output.name)
    edits = ", ".join(f"{title_of(e.attribute)} {e.schedule}" for e in run.job.edits)
    head = (
        f'<div class="v-run-head"><strong>{name}</strong>'
        f'<span class="v-state v-{run.state}">{_STATES.get(run.state, run.state)}</span></div>'
        f'<div class="v-quiet">{escape(edits)}</div>'
    )
    body = ""
    if run.state in (WORKING, STOPPING):
        body = _progress(run)
    elif run.outcome is not None and run.state == "failed":
        body = message(f"{run.outcome.message.rstrip('.')}. {run.outcome.remedy}".strip())
    elif run.outcome is not None and run.state == "done":
        body = _result(run, link, picture=picture)
    command = (
        f"<details><summary>Command</summary><code>{escape(run.command)}</code></details>"
        if run.command
        else ""
    )
    return f'<div class="v-run">{head}{body}{command}</div>'


def _progress(run: Run) -> str:
    at = run.standing
    words, share = run.note or "starting", 0.0
    if at.stage:
        words = f"stage {at.number} of {at.planned}: {at.stage}"
        if at.total:
            words += f", {at.done} of {at.total} {at.unit}"
            share = at.done / at.total
        if at.doing:
            words += f", {at.doing}"
        share = (max(0, at.number - 1) + share) / max(1, at.planned)
        if at.left is not None:
            words += f" · {left_text(at.left)} left"
    elif at.doing:
        words = at.doing
    return (
        f'<progress max="1" value="{share:.3f}" aria-label="progress"></progress>'
        f'<div class="v-quiet">{escape(words)}</div>'
    )


def _result(run: Run, link: str | None, *, picture: bool) -> str:
    assert run.outcome is not None
    if link is None:
        return message("The result is no longer where it was written.")
    outcome = run.outcome
    told = f"{outcome.edited} of {outcome.frames} frames edited"
    if outcome.seconds:
        told += f", {duration_text(outcome.seconds)}"
    notes = "".join(f"<li>{escape(note)}</li>" for note in outcome.notes)
    at, name = escape(link), escape(run.job.output.name)
    shown = (
        f'<img src="{at}" alt="{name}">'
        if picture
        else f'<video src="{at}" controls playsinline preload="metadata"></video>'
    )
    return (
        f'{shown}<div class="v-quiet">{told}</div>'
        f"{f'<ul class=v-quiet>{notes}</ul>' if notes else ''}"
        f'<a class="v-download" href="{at}?download=1" download="{name}">Download</a>'
        f'<div class="v-quiet">{escape(str(run.job.output))}</div>'
    )
