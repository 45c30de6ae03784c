"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.blended import made_at
from ..previews.over_time import lane_name, lanes
from . import charts, words
from .charts import Axis, Curve, Row, Span, pieces_of, times_of
from .command import command_of
from .kept import EDITED, FATES, UNKNOWN, Kept
from .markup import Html, tag
from .measures import Measured
from .pictures import Shown, fitted, thumbnail

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What the page may load: nothing."""

_MOST_ROWS = 60  # of a table
_MOST_PLOTTED = 4  # attributes
_MOST_OTHERS = 6  # attributes that changed besides
_LEAST_CHANGE = 0.03  # of a probability, to be told
_MOST_LANES = 5  # of faces in the timeline


@dataclass(frozen=True)
class Lane:
    """Faces that follow each other in time.

    Attributes:
        name: which tracks.
        rows: positions in what was measured.
    """

    name: str
    rows: NDArray[np.intp]


def page(kept: Kept, shown: Sequence[Shown], measured: Measured | None) -> str:
    """The page of a run.

    Args:
        kept: the run.
        shown: frames before and after.
        measured: on source and result; None where there is nothing to measure.
    """
    name = kept.settings.source.name
    still = len(kept.resources.frames) < 2
    sections = [
        _figures(kept, measured),
        _notes(kept),
        _viewer(kept, shown),
        None if kept.resources.timeline.is_image else _timeline(kept, shown),
        None if still or measured is None else _plots(kept, shown, measured),
        None if measured is None else _attributes(kept, measured),
        _edits(kept),
        _settings(kept),
        _stages(kept),
        _models(kept),
        _repeat(kept),
    ]
    here = files(__package__)
    style, script = ((here / f).read_text(encoding="utf-8") for f in ("page.css", "page.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{name}: videdit report"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        _header(kept),
        tag("main", sections),
        tag("footer", _versions()),
        tag("script", Html(script)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _section(title: str, *content: object, kind: str | None = None) -> Html:
    return tag("section", tag("h2", title), content, class_=kind)


def _table(head: Sequence[object], rows: Sequence[Sequence[object]], kind: str = "") -> Html:
    """A table that scrolls by itself where the screen is narrow; a keyboard can reach it."""
    heads = tag("tr", [tag("th", one, scope="col") for one in head])
    body = [
        tag("tr", tag("th", row[0], scope="row"), [tag("td", one) for one in row[1:]])
        for row in rows
    ]
    table = tag("table", tag("thead", heads), tag("tbody", body), class_=kind or None)
    label = f"Table of {str(head[0]).lower()}s"
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)


def _pairs(facts: Sequence[tuple[str, object]]) -> Html:
    return tag("dl", [tag("div", tag("dt", a), tag("dd", b)) for a, b in facts], class_="facts")


# --- the head ------------------------------------------------------------------------------------


def _header(kept: Kept) -> Html:
    return tag(
        "header",
        tag("p", "videdit report", class_="eyebrow"),
        tag("h1", kept.settings.source.name),
        tag("p", summary(kept), class_="lead"),
        None if kept.finished else tag("p", standing(kept), class_="banner", role="status"),
    )


def summary(kept: Kept) -> str:
    """The run in a sentence or two."""
    edits, count = words.edits_text(kept.settings.edits), len(kept.resources.timeline)
    spent = words.seconds_text(sum(facts.seconds for facts in kept.facts))
    if kept.resources.timeline.is_image:
        done = kept.count(EDITED)
        what = "edited" if done else "asked for, and nothing was changed"
        end = f" on {words.day(made_at(kept.artifact('blend')))}" if kept.finished else ""
        return f"{edits} {what}{end}. The stages took {spent}."
    edited, unknown = kept.count(EDITED), kept.count(UNKNOWN)
    passed = count - edited - unknown
    text = f"{edits} in {edited} of {count} frames; {passed} passed through unchanged"
    text += f", {unknown} are not made yet. " if unknown else ". "
    text += f"The stages took {spent}"
    if kept.finished:
        text += f"; the last frame was made on {words.day(made_at(kept.artifact('blend')))}"
    return f"{text}."


def standing(kept: Kept) -> str:
    """Where a run that has not finished stands."""
    done = max((k for k, facts in enumerate(kept.facts) if facts.state == "complete"), default=-1)
    waiting = kept.facts[done + 1]
    return (
        f"This run has not finished: it stands at the stage {waiting.name}. Below is what is"
        " there. The same command again goes on from there."
    )


def _figures(kept: Kept, measured: Measured | None) -> Html:
    """What matters most, large."""
    tiles: list[tuple[str, str, str]] = []
    count = len(kept.resources.timeline)
    if not kept.resources.timeline.is_image:
        edited = kept.count(EDITED)
        tiles.append(("Frames edited", f"{edited}", f"of {count}, {edited / count:.0%}"))
    spent = sum(facts.seconds for facts in kept.facts)
    per = f"{spent / count:.2f} s a frame" if count > 1 else "by all stages together"
    if measured is not None and len(measured.frame):
        lowest = f"lowest {measured.likeness.min():.2f}" if len(measured.frame) > 1 else "one face"
        tiles.append(("Same person", f"{np.median(measured.likeness):.2f}", f"cosine; {lowest}"))
        for attribute in _known(kept, measured)[:3]:
            before, after = _means(kept, measured)[:, measured.names.index(attribute)]
            name = words.readable(attribute)
            tiles.append((name, f"{before:.0%} → {after:.0%}", "as a judge sees source and result"))
        shaking = _ratio(measured.trembling)
        if np.isfinite(shaking):
            tiles.append(("Landmark jitter", f"× {shaking:.2f}", "of the source's"))
    tiles.append(("Time", words.seconds_text(spent), per))
    made = [
        tag("div", tag("dt", name), tag("dd", tag("b", value), tag("small", about)))
        for name, value, about in tiles
    ]
    return tag("section", tag("h2", "In short", class_="unseen"), tag("dl", made, class_="tiles"))


def _ratio(trembling: NDArray[np.float64]) -> float:
    known = trembling[np.isfinite(trembling).all(1)]
    source, result = np.sqrt(np.square(known).mean(0)) if len(known) else (0.0, 0.0)
    return float(result / source) if source > 0 else float("nan")


def _known(kept: Kept, measured: Measured) -> list[str]:
    """The edited attributes that were measured."""
    wanted = dict.fromkeys(edit.attribute for edit in kept.settings.edits)
    return [name for name in wanted if name in measured.names]


def _means(kept: Kept, measured: Measured) -> NDArray[np.float64]:
    """(2, m) mean probabilities in the pictures of source and result, over the edited frames."""
    edited = kept.fates[measured.frame] == FATES.index(EDITED)
    rows = edited if edited.any() else np.ones(len(edited), bool)
    return np.asarray(measured.seen[rows].mean(0))


def _notes(kept: Kept) -> Html | None:
    """What was left out, and what passed through for which reason."""
    lines: list[object] = list(kept.notes)
    if not kept.resources.timeline.is_image:
        for fate in FATES:
            stretches = kept.frames_that(fate)
            if fate != EDITED and stretches:
                count = sum(stop - start for start, stop in stretches)
                done = f"passed through, {fate}" if fate != UNKNOWN else f"of the result are {fate}"
                frames = f"{count} frame{'s' * (count != 1)}"
                text = f"{frames} {done}: {words.frames_text(stretches)}"
                lines.append(text)
    elif kept.finished and not kept.count(EDITED):
        lines += [FATES[int(fate)] for fate in np.unique(kept.fates)]
    if not lines:
        return None
    return _section("Notes", tag("ul", [tag("li", line) for line in lines], class_="notes"))


# --- before and after ----------------------------------------------------------------------------


def _viewer(kept: Kept, shown: Sequence[Shown]) -> Html | None:
    if not shown:
        return None
    uris = iter(fitted([picture for one in shown for picture in one.pictures]))
    compares, choices = [], []
    times = kept.resources.times
    several = len(shown) > 1
    for number, one in enumerate(shown):
        frame = f"frame {one.index}"
        pair = [next(uris) for _ in range(1 + (one.result is not None))]
        near = [
            _compared(f"face of track {track}, {frame}", [next(uris), next(uris)], picture, True)
            for track, picture, _ in one.faces
        ]
        words_ = _caption(kept, one.index) if several else ""
        compares.append(
            tag(
                "figure",
                tag(
                    "div",
                    _compared(frame, pair, one.source, False),
                    tag("div", near, class_="near") if near else None,
                    class_="side" if near else None,
                ),
                tag("figcaption", words_) if words_ else None,
                class_="compare",
                id=_id(one.index),
                data_at=f"{100 * one.middle:.1f}",
                style=f"--at:{100 * one.middle:.1f}%",
            )
        )
        if several:
            small = one.source if one.result is None else one.result
            choices.append(
                tag(
                    "label",
                    tag(
                        "input",
                        type="radio",
                        name="frame",
                        value=_id(one.index),
                        checked=not number,
                    ),
                    tag("img", src=thumbnail(small), alt=""),
                    tag("span", f"{times[one.index]:.2f} s"),
                )
            )
    how = "Move the divider with the mouse, a finger, or the arrow keys: source on its left, result"
    how += " on its right."
    if all(one.result is None for one in shown):
        how = "The source; there is no result of these frames yet."
    picker = tag(
        "fieldset",
        tag("legend", "Frame", class_="unseen"),
        choices,
        class_="picker",
    )
    return _section(
        "Before and after",
        tag("p", how, class_="about how"),
        tag("div", compares, picker if several else None, class_="viewer"),
    )


def _id(index: int) -> str:
    return f"frame-{index}"


def _caption(kept: Kept, index: int) -> str:
    """What is known of a frame that is shown."""
    time_ = float(kept.resources.times[index])
    parts = [f"Frame {index}, {time_:.3f} s"]
    if len(kept.shots) > 1:
        shot = sum(first <= index for first in kept.shots)
        parts.append(f"shot {shot} of {len(kept.shots)}")
    fate = FATES[int(kept.fates[index])]
    if fate == EDITED:
        parts += [
            f"{words.readable(edit.attribute)} α {words.number(alpha, '.2f')}"
            for edit in kept.settings.edits
            for alpha in edit.schedule.at([time_]).tolist()
        ]
    else:
        parts.append(f"not edited: {fate}" if fate != UNKNOWN else fate)
    return "; ".join(parts)


def _compared(name: str, uris: Sequence[str], picture: NDArray[np.uint8], near: bool) -> Html:
    """Two pictures in one place and the divider between them; one alone as it is."""
    height, width = picture.shape[:2]
    size = {"width": width, "height": height}
    source = tag("img", src=uris[0], alt=f"Source, {name}", **size)
    style = f"--ratio:{width / height:.4f}"
    if len(uris) == 1:
        return tag("div", source, class_="pair alone", style=style)
    return tag(
        "div",
        source,
        tag("img", src=uris[1], alt=f"Result, {name}", class_="after", **size),
        tag(
            "input",
            type="range",
            min=0,
            max=100,
            step="any",
            value=50,
            aria_label=f"Divider between source and result, {name}",
        ),
        tag("span", tag("span", class_="knob"), class_="divider"),
        tag("span", "Source", class_="word", aria_hidden="true"),
        tag("span", "Result", class_="word after", aria_hidden="true"),
        class_="pair near" if near else "pair",
        style=style,
    )


# --- time ----------------------------------------------------------------------------------------


def _marks(kept: Kept, shown: Sequence[Shown]) -> list[tuple[float, str, str]]:
    times = kept.resources.times
    return [
        (float(times[one.index]), f"frame {one.index}, {times[one.index]:.2f} s", _id(one.index))
        for one in shown
    ]


def _timeline(kept: Kept, shown: Sequence[Shown]) -> Html:
    edges, count, frames = kept.edges, len(kept.resources.timeline), kept.resources.frames
    rows: list[Row] = []
    seen = kept.resources.seen
    firsts = kept.shots
    shots = list(pairwise([*firsts, seen.stop]))
    if shots:
        spans = [
            replace(span, name=f"shot {number}")
            for number, span in enumerate(times_of(shots, edges), 1)
        ]
        rows.append(Row("Shots", [("shot", spans[::2]), ("other", spans[1::2])]))
    if len(frames) < count:
        stretch = [Span(float(edges[frames.start]), float(edges[frames.stop]), "to edit")]
        rows.append(Row("To edit", [("stretch", stretch)]))
    rows += _face_rows(kept)
    fates: list[tuple[str, Sequence[Span]]] = [
        ("passed", times_of(kept.frames_that(*FATES[2:]), edges)),
        ("edited", times_of(kept.frames_that(EDITED), edges)),
        ("waiting", times_of(kept.frames_that(UNKNOWN), edges)),
    ]
    rows.append(Row("Result", [(kind, _called(kind, spans)) for kind, spans in fates]))
    axis = Axis(
        0.0,
        float(edges[-1]),
        [float(edges[first]) for first in firsts[1:]],
        marks=_marks(kept, shown),
    )
    kinds = [("edited", "edited"), ("passed", "passed through")]
    kinds += [("waiting", "not made yet")] if kept.count(UNKNOWN) else []
    kinds += [("face", "face to edit")] if kept.table is not None else []
    bare = [track for track in _tracks(kept) if track.id not in _chosen(kept)]
    kinds += [("bystander", "other face")] if bare else []
    kinds += [("lost", "face lost for a moment")] if any(kept.lost().values()) else []
    legend = tag(
        "ul",
        [tag("li", tag("i", class_=f"key {kind}"), tag("span", name)) for kind, name in kinds],
        class_="legend",
    )
    spoken = f"Timeline of {words.seconds_text(float(edges[-1]))}, {count} frames."
    return _section(
        "Timeline",
        tag("figure", charts.timeline(axis, rows, spoken), legend, class_="wide"),
        _shot_table(kept, shots),
        _track_table(kept),
    )


def _called(kind: str, spans: Sequence[Span]) -> list[Span]:
    name = {"edited": "edited", "passed": "passed through", "waiting": "not made yet"}[kind]
    return [replace(span, name=f"{name}, {span.name}") for span in spans]


def _tracks(kept: Kept) -> Sequence[Any]:
    return () if kept.tracks is None else kept.tracks.summaries


def _chosen(kept: Kept) -> set[int]:
    return set() if kept.table is None else {track.id for track in kept.table.tracks}


def _face_rows(kept: Kept) -> list[Row]:
    """A row for each of the faces that are there at a time."""
    edges, lost, chosen = kept.edges, kept.lost(), _chosen(kept)
    free: list[list[Any]] = []
    for track in sorted(_tracks(kept), key=lambda t: (t.id not in chosen, t.first, t.id)):
        for row in free:
            if all(track.last < other.first or other.last < track.first for other in row):
                row.append(track)
                break
        else:
            free.append([track])
    rows = []
    for held in free[:_MOST_LANES]:
        held.sort(key=lambda track: track.first)

        def spans(tracks: Sequence[Any]) -> list[Span]:
            return [
                Span(float(edges[t.first]), float(edges[t.last + 1]), f"track {t.id}")
                for t in tracks
            ]

        kinds: list[tuple[str, Sequence[Span]]] = [
            ("face", spans([t for t in held if t.id in chosen])),
            ("bystander", spans([t for t in held if t.id not in chosen])),
        ]
        gaps = [gap for track in held for gap in lost.get(track.id, [])]
        kinds.append(("lost", [replace(s, name="lost") for s in times_of(gaps, edges)]))
        rows.append(Row(lane_name(held).capitalize(), kinds))
    return rows


def _shot_table(kept: Kept, shots: Sequence[tuple[int, int]]) -> Html | None:
    if len(shots) < 2:
        return None
    edges, made = kept.edges, []
    edited = kept.fates == FATES.index(EDITED)
    for number, (first, stop) in enumerate(shots[:_MOST_ROWS], 1):
        between = f"{edges[first]:.2f} to {edges[stop]:.2f} s"
        faces = sum(first <= track.first < stop for track in _tracks(kept))
        made.append(
            [number, between, f"{first} to {stop - 1}", faces, int(edited[first:stop].sum())]
        )
    head = ("Shot", "Time", "Frames", "Faces", "Frames edited")
    return _folded(f"{len(shots)} shots", _table(head, made), len(shots))


def _track_table(kept: Kept) -> Html | None:
    tracks, lost, chosen = _tracks(kept), kept.lost(), _chosen(kept)
    if not tracks:
        return None
    edges, made = kept.edges, []
    for track in tracks[:_MOST_ROWS]:
        gone = sum(stop - start for start, stop in lost[track.id])
        made.append(
            [
                track.id,
                f"{edges[track.first]:.2f} to {edges[track.last + 1]:.2f} s",
                f"{track.first} to {track.last}",
                f"{track.inter_ocular:.0f} px",
                f"{gone} frames" if gone else "never",
                "yes" if track.id in chosen else "no",
            ]
        )
    head = ("Track", "Time", "Frames", "Eyes apart", "Lost", "To edit")
    name = f"{len(tracks)} track{'s' * (len(tracks) != 1)} of faces"
    return _folded(name, _table(head, made), len(tracks))


def _folded(name: str, table: Html, count: int) -> Html:
    more = f"The first {_MOST_ROWS} of {count}." if count > _MOST_ROWS else None
    return tag("details", tag("summary", name), table, tag("p", more) if more else None)


# --- plots ---------------------------------------------------------------------------------------


def lanes_of(kept: Kept, measured: Measured) -> list[Lane]:
    """Measured faces in as few groups as can be in which none is beside another."""
    assert kept.table is not None
    frames = kept.resources.frames
    tracks = [t for t in kept.table.tracks if t.first < frames.stop and frames.start <= t.last]
    found = []
    for lane in lanes(tracks):
        rows = np.flatnonzero(np.isin(measured.track, [track.id for track in lane]))
        if len(rows):
            found.append(Lane(lane_name(lane), rows))
    return found


def _plots(kept: Kept, shown: Sequence[Shown], measured: Measured) -> Html | None:
    frames, edges, times = kept.resources.frames, kept.edges, kept.resources.times
    passed = [
        (max(a, frames.start), min(b, frames.stop))
        for a, b in kept.frames_that(*FATES[2:])
        if a < frames.stop and frames.start < b
    ]
    axis = Axis(
        float(edges[frames.start]),
        float(edges[frames.stop]),
        [float(edges[first]) for first in kept.shots if first in frames[1:]],
        times_of(passed, edges),
        _marks(kept, [one for one in shown if one.index in frames]),
    )
    groups = lanes_of(kept, measured)

    def curves(source: NDArray[Any] | None, result: NDArray[Any]) -> list[Curve]:
        made = []
        for number, lane in enumerate(groups):
            one = measured.frame[lane.rows], measured.track[lane.rows], times
            before = "" if len(groups) == 1 else f"{lane.name}: "
            if source is not None:
                pieces = pieces_of(*one, source[lane.rows])
                made.append(Curve(f"{before}source", pieces, number, thin=True))
            made.append(Curve(f"{before}result", pieces_of(*one, result[lane.rows]), number))
        return made

    at = times[frames.start : frames.stop]
    strengths = [
        Curve(words.readable(edit.attribute), [(at, edit.schedule.at(at))], number)
        for number, edit in enumerate(kept.settings.edits[: charts.COLOURS])
    ]
    known = np.concatenate([curve.values for curve in strengths])
    drawn = [
        charts.plot(
            "Strength α",
            axis,
            strengths,
            about="0 leaves the face as it is, 1 makes the attribute clearly there.",
            limits=charts.limits_of(known, ends=(0.0, 1.0)),
            form="{:.2f}".format,
        )
    ]
    if not groups:
        return _section("Over time", tag("div", drawn, class_="plots"))
    same = kept.resources.parameters.inversion.refinement.same_person
    likeness = measured.likeness
    drawn.append(
        charts.plot(
            "Same person",
            axis,
            curves(None, likeness),
            about="Cosine of the face descriptors of source and result.",
            limits=charts.limits_of(likeness, ends=(same - 0.05, 1.0)),
            levels=[(same, "one person from here up")],
        )
    )
    for name in _known(kept, measured)[:_MOST_PLOTTED]:
        k = measured.names.index(name)
        for values, where, whose in (
            (measured.seen, "in the pictures", "As a judge sees it"),
            (measured.read, "in the codes", "As the classifier reads it off the codes"),
        ):
            if np.isfinite(values[:, :, k]).any():
                drawn.append(
                    charts.plot(
                        f"{words.readable(name)} {where}",
                        axis,
                        curves(100 * values[:, 0, k], 100 * values[:, 1, k]),
                        about=f"{whose}; probability, %.",
                        limits=(-4, 104),
                        form="{:.0f} %".format,
                    )
                )
    shaking = measured.trembling * 100
    if np.isfinite(shaking).any():
        drawn.append(
            charts.plot(
                "Landmark jitter",
                axis,
                curves(shaking[:, 0], shaking[:, 1]),
                about="How far landmarks leave the way from the frame before to the one after;"
                " % of the distance between the eyes.",
                limits=charts.limits_of(shaking[np.isfinite(shaking)], ends=(0.0, None)),
                form="{:.1f} %".format,
            )
        )
    how = "Dashed lines are the frames shown above, solid ones cuts; frames on grey passed through."
    return _section("Over time", tag("p", how, class_="about"), tag("div", drawn, class_="plots"))


def _attributes(kept: Kept, measured: Measured) -> Html | None:
    """What the judge sees change: the edited attributes, and what went along."""
    if not len(measured.frame):
        return None
    means = _means(kept, measured)
    change = means[1] - means[0]
    edited = _known(kept, measured)
    order = [measured.names[i] for i in np.argsort(-np.abs(change)).tolist()]
    others = [
        name
        for name in order
        if name not in edited and abs(change[measured.names.index(name)]) >= _LEAST_CHANGE
    ][:_MOST_OTHERS]
    if not edited + others:
        return None
    rows = []
    for name in (*edited, *others):
        before, after = means[:, measured.names.index(name)]
        rows.append(
            [
                words.readable(name),
                f"{before:.0%}",
                f"{after:.0%}",
                f"{words.number(100 * (after - before), '+.0f')} points",
                "edited" if name in edited else "went along",
            ]
        )
    about = "Mean probability in the edited frames, as a network sees them that had no part in the"
    about += " edit: what was edited, and what changed most besides."
    head = ("Attribute", "Source", "Result", "Change", "")
    return _section("What changed", tag("p", about, class_="about"), _table(head, rows, "figures"))


# --- the run -------------------------------------------------------------------------------------


def _edits(kept: Kept) -> Html:
    rows = [
        [words.readable(edit.attribute), words.strength(edit.schedule), words.meaning(edit)]
        for edit in kept.settings.edits
    ]
    return _section("Edits", _table(("Edit", "Strength", "What it does"), rows))


def _settings(kept: Kept) -> Html:
    groups = (
        ("Source", words.source_facts(kept)),
        ("Result", words.output_facts(kept)),
        ("How", words.settings_facts(kept)),
    )
    made = [tag("div", tag("h3", name), _pairs(facts)) for name, facts in groups]
    return _section("Settings", tag("div", made, class_="columns"))


def _stages(kept: Kept) -> Html:
    longest = max((facts.seconds for facts in kept.facts), default=0.0) or 1.0
    rows = [
        [
            facts.name,
            charts.bar(facts.seconds / longest),
            words.seconds_text(facts.seconds),
            facts.frames or "",
            words.bytes_text(facts.bytes),
            facts.state,
            tag("code", facts.key),
        ]
        for facts in kept.facts
    ]
    seconds = sum(facts.seconds for facts in kept.facts)
    size = sum(facts.bytes for facts in kept.facts)
    rows.append(["all", "", words.seconds_text(seconds), "", words.bytes_text(size), "", ""])
    about = "Time that was spent on what is kept, in this run or in an earlier one that it took"
    about += " work over from. Writing the file comes on top."
    head = ("Stage", "", "Time", "Frames", "Kept", "State", "Key")
    return _section("Stages", tag("p", about, class_="about"), _table(head, rows, "stages"))


def _models(kept: Kept) -> Html:
    users: dict[tuple[str, str], list[str]] = {}
    for facts in kept.facts:
        for name, content in facts.models.items():
            users.setdefault((name, content), []).append(facts.name)
    rows = [
        [name, tag("code", content), ", ".join(stages)] for (name, content), stages in users.items()
    ]
    head = ("Model", "Content id", "Used by")
    return _section("Models", _table(head, rows))


def _repeat(kept: Kept) -> Html:
    command = command_of(kept.settings, picture=kept.resources.timeline.is_image)
    parts: list[object] = [
        tag(
            "div",
            tag("pre", tag("code", command.text, id="command"), tabindex=0),
            tag("button", "Copy", type="button", class_="copy", data_from="command", hidden=True),
            class_="command",
        )
    ]
    if command.unsaid:
        said = ", ".join(f"{name}={value!r}" for name, value in command.unsaid.items())
        text = f"The command line has no option for {said}; edit_video takes it in settings."
        parts.append(tag("p", text, class_="about"))
    return _section("The same again", parts)


def _versions() -> Html:
    made = words.day(time.time())
    found = ", ".join(f"{name} {number}" for name, number in words.versions())
    return tag("p", f"Written on {made}. {found}. Nothing in this page is loaded from elsewhere.")
