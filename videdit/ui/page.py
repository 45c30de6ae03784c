"""The page: what is where, and what happens when something is touched."""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..api import default_output, run_settings
from ..batch.jobs import Job
from ..errors import NoFaceError, UsageError, VideditError, explained
from ..pipeline.progress import Progress
from . import drawing
from .jobs import Run, RunQueue, free_name
from .people import People
from .server import Shelf
from .session import STRETCH_S, Opened, Session, Shown
from .state import Strengths, clock, command_line, title_of

MOST_UPLOADED = 4 << 30
"""Bytes of a file that is handed over through the page."""

_SLOTS = 6
"""Runs that are shown."""

_EVERY_S = 1.0

_WHO = {"Largest face": "largest", "Everyone": "all"}


@dataclass
class Tab:
    """What one tab has open. Only handlers of that tab change it, under its lock; but for the one
    that makes a stretch to play, which takes seconds."""

    key: str
    opened: Opened | None = None
    strengths: Strengths = field(default_factory=Strengths)
    time_s: float = 0.0
    face: str = "largest"
    quality: str = "balanced"
    start_s: float | None = None
    stop_s: float | None = None
    looking: Progress | None = None
    looked: str = ""
    stretch: int | None = None
    wanted: int = 0
    sent: dict[str, object] = field(default_factory=dict)
    slots: list[int] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def people(self) -> People | None:
        """Who is in the stretch, if that is known yet."""
        if self.opened is None:
            return None
        return self.opened.people.get((self.start_s, self.stop_s))

    @property
    def frame(self) -> int:
        """The current frame."""
        return 0 if self.opened is None else self.opened.frame_at(self.time_s)

    @property
    def source(self) -> Opened:
        """What is open.

        Raises:
            UsageError: nothing is.
        """
        if self.opened is None:
            raise UsageError("nothing is open", "Open a clip or a picture first.")
        return self.opened


class Page:
    """Builds the page, and answers it.

    Args:
        session: of all tabs.
        runs: the queue of the runs.
        tries: the queue of the stretches that are tried.
        shelf: gives results out.
        source: is open in each new tab.
        output: folder of results; beside the source, if not said, and of what came through the
            page where `videdit ui` was called.
    """

    def __init__(
        self,
        session: Session,
        runs: RunQueue,
        tries: RunQueue,
        shelf: Shelf,
        source: Opened | None = None,
        output: Path | None = None,
    ) -> None:
        self.session, self.runs, self.tries, self.shelf = session, runs, tries, shelf
        self.offer = session.offer
        self.source = source
        self.output = output
        self._tabs: dict[str, Tab] = {}
        self._lock = threading.Lock()
        self._painter = ThreadPoolExecutor(1, "painter")

    # --- what is where -----------------------------------------------------------------------

    def build(self) -> gr.Blocks:
        """The page."""
        with gr.Blocks(title="videdit", analytics_enabled=False, fill_width=True) as page:
            self.wanted = gr.State(0)
            with gr.Row(elem_classes="v-top"):
                self.title = gr.HTML(_title(None), elem_classes="v-title")
                self.open = gr.UploadButton(
                    "Open another", size="sm", scale=0, visible=False, elem_id="open"
                )
            self.message = gr.HTML("", elem_id="message")
            self.drop = gr.File(
                label="A clip or a picture: drop it here, or press Enter to choose one",
                height=260,
                elem_id="drop",
            )
            with gr.Row(visible=False, elem_classes="v-studio") as self.studio:
                with gr.Column(scale=7, min_width=320, elem_classes="v-look"):
                    self._build_look()
                with gr.Column(scale=5, min_width=320, elem_classes="v-desk"):
                    self._build_desk()
                with gr.Column(scale=7, min_width=320, elem_classes="v-runs"):
                    self._build_runs()
            self.timer = gr.Timer(_EVERY_S)
            self._wire(page)
        made: gr.Blocks = page
        return made

    def _build_look(self) -> None:
        self.preview = gr.ImageSlider(
            label="Before and after: drag the line",
            interactive=False,
            buttons=["fullscreen"],
            max_height=620,
            elem_id="preview",
        )
        self.note = gr.HTML("", elem_id="note")
        self.time = gr.Slider(0, 1, 0, label="Time, seconds", elem_id="time", buttons=[])
        self.timeline = gr.HTML("", elem_id="timeline")
        with gr.Row(elem_classes="v-buttons") as self.moving:
            self.play = gr.Button(f"Play {STRETCH_S:g} seconds from here", size="sm")
            self.key = gr.Button("Set keyframe here", size="sm", elem_id="key")
        self.stretch = gr.HTML("", elem_id="stretch")

    def _build_desk(self) -> None:
        with gr.Accordion("Whose face", open=True):
            self.who = gr.Radio(
                list(_WHO), value="Largest face", show_label=False, container=False, elem_id="who"
            )
            self.looking = gr.HTML("")
            self.faces = gr.Gallery(
                show_label=False,
                columns=6,
                height="auto",
                allow_preview=False,
                visible=False,
                buttons=[],
                elem_id="faces",
            )
            with gr.Accordion("Shots", open=False, visible=False) as self.shots_box:
                self.shots = gr.Gallery(
                    show_label=False,
                    columns=3,
                    height="auto",
                    allow_preview=False,
                    buttons=[],
                    elem_id="shots",
                )
        if self.offer.presets:
            gr.HTML("<h2>Ready-made</h2>", elem_classes="v-heading")
        with gr.Row(elem_classes="v-chips", visible=bool(self.offer.presets)):
            self.presets = [
                (preset, gr.Button(_capital(preset.name), size="sm", scale=0))
                for preset in self.offer.presets
            ]
        with gr.Row(elem_classes="v-heading"):
            self.summary = gr.HTML(_summary(Strengths()), elem_id="summary")
            self.reset = gr.Button("Reset", size="sm", scale=0, min_width=70)
        self.sliders: dict[str, gr.Slider] = {}
        self.groups: dict[str, gr.Accordion] = {}
        for number, (group, offered) in enumerate(self.offer.groups.items()):
            with gr.Accordion(_capital(group), open=number == 0) as self.groups[group]:
                for one in offered:
                    self.sliders[one.name] = gr.Slider(
                        -one.limit,
                        one.limit,
                        0,
                        step=0.05,
                        label=title_of(one.name),
                        info=one.info or None,
                        buttons=[],
                        elem_id=slider_id(one.name),
                        elem_classes="v-doubt" if one.doubt else "",
                    )
        gr.HTML(f'<p class="v-quiet">{escape(self.offer.legend)}</p>')
        with gr.Accordion("Keyframes", open=False, visible=False) as self.keys_box:
            gr.HTML(
                '<p class="v-quiet">Choose an edit, go to a time and set a keyframe; go to another'
                " time and move its slider: that sets the next. In between, the strength goes"
                " evenly from one to the other.</p>"
            )
            self.which = gr.Dropdown([], label="Edit", elem_id="which")
            self.table = gr.HTML("")
            self.keyframes = gr.Dropdown([], label="Keyframe", elem_id="keyframe")
            with gr.Row(elem_classes="v-buttons"):
                self.go = gr.Button("Go to it", size="sm")
                self.unkey = gr.Button("Remove it", size="sm")

    def _build_runs(self) -> None:
        with gr.Accordion("Run", open=True):
            self.how = gr.Radio(
                [("Balanced: closer to the person", "balanced"), ("Fast", "fast")],
                value="balanced",
                label="Quality",
                elem_id="quality",
            )
            with gr.Row() as self.cut_box:
                self.start = gr.Textbox(label="From, seconds", placeholder="the beginning")
                self.stop = gr.Textbox(label="To, seconds", placeholder="the end")
            self.run = gr.Button("Run", variant="primary", elem_id="run")
            self.command = gr.Textbox(
                label="The same as a command",
                lines=2,
                interactive=False,
                buttons=["copy"],
                elem_id="command",
            )
            self.command_note = gr.HTML("")
        gr.HTML("<h2>Runs</h2>", elem_classes="v-heading")
        self.no_runs = gr.HTML('<p class="v-quiet">Nothing is run yet.</p>')
        self.slots: list[tuple[Any, Any, Any, Any]] = []
        for number in range(_SLOTS):
            with gr.Group(visible=False, elem_classes="v-slot") as group:
                card = gr.HTML("", elem_id=f"run-{number}")
                with gr.Row(elem_classes="v-buttons"):
                    stop = gr.Button("Stop", size="sm", visible=False)
                    again = gr.Button("Go on", size="sm", visible=False)
            self.slots.append((group, card, stop, again))

    # --- what happens ------------------------------------------------------------------------

    def _wire(self, page: gr.Blocks) -> None:
        whole = [
            *(self.title, self.open, self.drop, self.studio, self.time, self.moving),
            *(self.keys_box, self.cut_box, self.start, self.stop, self.how),
            *self.sliders.values(),
        ]
        words = [
            *(self.summary, self.command, self.command_note, self.timeline, self.table),
            *(self.keyframes, self.which, *self.groups.values(), self.wanted),
        ]
        ends = [self.message]

        def on(
            trigger: Any,
            function: Callable[..., Iterable[Any]],
            inputs: list[Any],
            outputs: list[Any],
            **more: Any,
        ) -> None:
            # Through Gradio's queue: without it a State's change is not told to the browser.
            more = {"show_progress": "hidden", "concurrency_limit": None} | more
            told = self._told(function, len(outputs))
            trigger(told, inputs, [*outputs, *ends], api_visibility="private", **more)

        on(page.load, self._load, [], [*whole, *words])
        on(self.drop.upload, self._uploaded, [self.drop], [*whole, *words])
        on(self.open.upload, self._uploaded, [self.open], [*whole, *words])
        later = {"trigger_mode": "always_last"}
        for name, slider in self.sliders.items():
            moved = functools.partial(self._moved, name)
            on(slider.input, moved, [slider], words, **later)
        sliders = list(self.sliders.values())
        on(self.time.input, self._timed, [self.time], [*sliders, *words], **later)
        for preset, button in self.presets:
            chosen = functools.partial(self._preset, preset)
            on(button.click, chosen, [], [*sliders, *words])
        on(self.reset.click, functools.partial(self._preset, None), [], [*sliders, *words])
        on(self.key.click, self._key, [self.which], words)
        on(self.go.click, self._go, [self.keyframes], [self.time, *sliders, *words])
        on(self.unkey.click, self._unkey, [self.keyframes], [*sliders, *words])
        on(self.who.input, self._choose, [self.who], words)
        on(self.faces.select, self._choose_picture, [], [self.who, *words])
        on(self.shots.select, self._go_shot, [], [self.time, *sliders, *words])
        on(self.how.input, self._quality, [self.how], words)
        for box in (self.start, self.stop):
            on(box.blur, self._cut, [self.start, self.stop], words)
            on(box.submit, self._cut, [self.start, self.stop], words)
        on(self.play.click, self._play, [], [])
        on(self.run.click, self._run, [], words)
        for number, (_, _, stop, again) in enumerate(self.slots):
            on(stop.click, functools.partial(self._stop_run, number), [], [])
            on(again.click, functools.partial(self._again, number), [], [])
        self.wanted.change(
            self._paint,
            None,
            [self.preview, self.note],
            trigger_mode="always_last",
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        )
        ticking = [self.looking, self.who, self.faces, self.shots_box, self.shots, self.stretch]
        ticking += [self.no_runs, *(each for slot in self.slots for each in slot)]
        self.timer.tick(
            self._tick, None, ticking, show_progress="hidden", queue=False, api_visibility="private"
        )
        page.unload(self._left)

    def _told(self, function: Callable[..., Iterable[Any]], count: int) -> Callable[..., Any]:
        """A handler that gives a function its tab; what goes wrong becomes a line on the page."""

        def handle(request: gr.Request, *values: Any) -> list[Any]:
            tab = self._tab(request)
            alone: AbstractContextManager[Any] = tab.lock
            if function == self._play:
                alone = nullcontext()
            try:
                with alone:
                    return [*function(tab, *values), ""]
            except Exception as error:
                return [*[gr.skip()] * count, _line(error)]

        def select(request: gr.Request, event: gr.SelectData, *values: Any) -> list[Any]:
            return handle(request, event, *values)

        return select if "event" in inspect.signature(function).parameters else handle

    def _tab(self, request: gr.Request) -> Tab:
        key = str(request.session_hash)
        with self._lock:
            return self._tabs.setdefault(key, Tab(key))

    def _left(self, request: gr.Request) -> None:
        with self._lock:
            self._tabs.pop(str(request.session_hash), None)

    def _load(self, tab: Tab) -> list[Any]:
        if self.source is None:
            return [gr.skip()] * (11 + len(self.sliders)) + self._words(tab)
        return self._opened(tab, self.source)

    def _uploaded(self, tab: Tab, file: Any) -> list[Any]:
        path = Path(str(file))
        return self._opened(tab, self.session.open(path, uploaded=True))

    def _opened(self, tab: Tab, opened: Opened) -> list[Any]:
        tab.opened, tab.strengths, tab.time_s = opened, Strengths(), 0.0
        tab.face, tab.start_s, tab.stop_s = "largest", None, None
        tab.sent, tab.stretch = {}, None
        self._look(tab)
        warm = functools.partial(self._warm, opened)
        # No daemon: one that is still in a library's own code when Python ends aborts the process.
        threading.Thread(target=warm, name="warm").start()
        moving = not opened.is_image
        timeline = opened.timeline
        last = float(timeline.times()[-1])
        step = last / max(1, len(timeline) - 1)
        return [
            _title(opened),
            gr.update(visible=True),
            gr.update(visible=False, value=None),
            gr.update(visible=True),
            gr.update(
                value=0, maximum=round(last, 3) or 1, step=round(step, 4) or 1, visible=moving
            ),
            gr.update(visible=moving),
            gr.update(visible=moving),
            gr.update(visible=moving),
            "",
            "",
            tab.quality,
            *[0] * len(self.sliders),
            *self._words(tab),
        ]

    def _warm(self, opened: Opened) -> None:
        with suppress(VideditError):  # the tab is told when it paints
            self.session.warm(opened, 0)

    def _look(self, tab: Tab) -> None:
        """Begin to look for the people of the stretch."""
        opened, stretch = tab.source, (tab.start_s, tab.stop_s)
        progress = Progress()
        tab.looking, tab.looked = progress, ""

        def look() -> None:
            told = ""
            try:
                found = self.session.look(opened, *stretch, progress)
                if not found.faces:
                    told = str(
                        NoFaceError("no face was found", "Faces are at least about 40 pixels wide.")
                    )
            except Exception as error:
                told = str(explained(error, ""))
            with tab.lock:
                if tab.looking is progress:
                    tab.looking, tab.looked = None, told

        threading.Thread(target=look, name="look").start()

    def _moved(self, name: str, tab: Tab, alpha: float) -> list[Any]:
        tab.strengths = tab.strengths.moved(name, round(float(alpha), 2), tab.time_s)
        return self._words(tab)

    def _timed(self, tab: Tab, time_s: float) -> list[Any]:
        tab.time_s = float(time_s)
        return [*self._slid(tab, tab.strengths.animated), *self._words(tab)]

    def _preset(self, preset: Any, tab: Tab) -> list[Any]:
        before = tab.strengths.schedules
        tab.strengths = tab.strengths.preset(preset) if preset else Strengths()
        # No others: what is typed into them before this answer comes would be set back.
        return [*self._slid(tab, [*before, *tab.strengths.schedules]), *self._words(tab)]

    def _key(self, tab: Tab, name: str | None) -> list[Any]:
        names = list(tab.strengths.schedules)
        chosen = name if name in names else names[0] if len(names) == 1 else None
        if chosen is None:
            raise UsageError(
                "it is not said what the keyframe is of",
                "Choose an edit under Keyframes." if names else "Move a slider first.",
            )
        tab.strengths = tab.strengths.keyed(chosen, tab.time_s)
        return self._words(tab)

    def _go(self, tab: Tab, keyframe: str | None) -> list[Any]:
        _, tab.time_s = _keyframe(keyframe)
        return [tab.time_s, *self._slid(tab), *self._words(tab)]

    def _unkey(self, tab: Tab, keyframe: str | None) -> list[Any]:
        tab.strengths = tab.strengths.unkeyed(*_keyframe(keyframe))
        return [*self._slid(tab), *self._words(tab)]

    def _choose(self, tab: Tab, who: str) -> list[Any]:
        tab.face = _WHO.get(who) or f"track:{who.removeprefix('Face ')}"
        return self._words(tab)

    def _choose_picture(self, tab: Tab, event: gr.SelectData) -> list[Any]:
        people = tab.people
        if people is None:
            return [gr.skip(), *self._words(tab)]
        track = [face for face in people.faces if face.picture is not None][event.index].track
        tab.face = f"track:{track.id}"
        return [f"Face {track.id}", *self._words(tab)]

    def _go_shot(self, tab: Tab, event: gr.SelectData) -> list[Any]:
        if tab.people is not None:
            frame = tab.people.shots[event.index][0]
            tab.time_s = round(float(tab.source.timeline.times()[frame]), 3)
        return [tab.time_s, *self._slid(tab), *self._words(tab)]

    def _quality(self, tab: Tab, quality: str) -> list[Any]:
        tab.quality = quality
        return self._words(tab)

    def _cut(self, tab: Tab, start: str, stop: str) -> list[Any]:
        from ..settings import parse_time

        stretch = parse_time(start.strip() or None), parse_time(stop.strip() or None)
        if stretch != (tab.start_s, tab.stop_s):
            here = Path()
            run_settings(here, here, (), {"start_s": stretch[0], "stop_s": stretch[1]})
            if not len(tab.source.timeline.select(*stretch)):
                raise UsageError(
                    "there is no frame in this stretch",
                    f"The clip is {tab.source.seconds:.2f} s long.",
                )
            tab.start_s, tab.stop_s = stretch
            if tab.face.startswith("track:"):  # tracks are counted anew
                tab.face = "largest"
            self._look(tab)
        return self._words(tab)

    def _play(self, tab: Tab) -> list[Any]:
        opened, start = tab.source, tab.frame
        edits = tab.strengths.edits_from(float(opened.timeline.times()[start]))
        job = self.session.stretch(opened, start, edits, tab.face, tab.people)
        if tab.stretch is not None:
            self.tries.stop(tab.stretch)
        tab.stretch = self.tries.add(job, owner=tab.key).number
        return []

    def _run(self, tab: Tab) -> list[Any]:
        job, command = self._job(tab)
        if not job.edits:
            raise UsageError("there is nothing to do", "Move a slider, or take a ready-made edit.")
        self.runs.add(job, owner=tab.key, command=command)
        return self._words(tab)  # the same again has another name

    def _stop_run(self, slot: int, tab: Tab) -> list[Any]:
        self.runs.stop(tab.slots[slot])
        return []

    def _again(self, slot: int, tab: Tab) -> list[Any]:
        self.runs.again(tab.slots[slot])
        return []

    def _job(self, tab: Tab) -> tuple[Job, str]:
        """What a run of the tab would be now, and its command."""
        opened, edits = tab.source, tab.strengths.edits()
        settings: dict[str, object] = {"face": tab.face, "quality": tab.quality}
        settings |= {"start_s": tab.start_s, "stop_s": tab.stop_s} | self.session.settings
        folder = self.output or (Path.cwd() if opened.uploaded else opened.path.parent)
        asked = run_settings(opened.path, folder, edits, settings)
        named = default_output(asked, folder, picture=opened.is_image)
        output = free_name(named, self.runs.outputs)
        command = command_line(
            opened.name if opened.uploaded else opened.path,
            edits,
            picture=opened.is_image,
            bundle=self.offer.bundle,
            editor=self.offer.editor,
            face=tab.face,
            quality=tab.quality,
            start_s=tab.start_s,
            stop_s=tab.stop_s,
            output=output,
        )
        return Job(opened.path, edits, output, settings), command

    def _paint(self, request: gr.Request) -> list[Any]:
        tab = self._tab(request)
        if tab.opened is None:
            return [gr.skip(), ""]
        try:
            shown = self._shown(tab)
        except Exception as error:
            return [gr.skip(), _line(error)]
        note = shown.note or "One frame by itself, the quick way: a run is steadier and closer."
        return [(str(shown.before), str(shown.after)), f'<p class="v-quiet">{note}</p>']

    def _shown(self, tab: Tab) -> Shown:
        edits = tab.strengths.edits_at(tab.time_s)
        return self.session.show(tab.source, tab.frame, edits, tab.face, tab.people)

    def _begin_to_paint(self, tab: Tab) -> None:
        """Work on the picture while the browser takes the words in: it asks for it after them."""
        wanted = tab.wanted

        def paint() -> None:
            if tab.wanted == wanted and tab.opened is not None:
                with suppress(Exception):  # the tab is told when it asks
                    self._shown(tab)

        self._painter.submit(paint)

    # --- what is shown -----------------------------------------------------------------------

    def _slid(self, tab: Tab, names: Iterable[str] | None = None) -> list[Any]:
        """Where the sliders stand at the current time; those of other names stay."""
        now = tab.strengths.at(tab.time_s)
        moved = set(self.sliders if names is None else names)
        return [now.get(name, 0) if name in moved else gr.skip() for name in self.sliders]

    def _words(self, tab: Tab) -> list[Any]:
        """All that follows from what the tab asks for."""
        tab.wanted += 1
        self._begin_to_paint(tab)
        strengths, opened = tab.strengths, tab.opened
        command, note, drawn = "", "", ""
        if opened is not None:
            edits = strengths.edits()
            command = self._job(tab)[1] if edits else ""
            if opened.uploaded and edits:
                note = (
                    '<p class="v-quiet">The clip came through the page: put the path that it has'
                    " on your disk in place of its name.</p>"
                )
            times, people = opened.timeline.times(), tab.people
            cuts = [float(times[shot]) for shot, _ in people.shots[1:]] if people else []
            drawn = drawing.timeline(strengths, opened.seconds, tab.time_s, cuts)
        keys = [
            (f"{title_of(name)}, {clock(time)}: {alpha:+.2f}", f"{name}@{time!r}")
            for name, time, alpha in strengths.keyframes
        ]
        here = next((key for key in keys if key[1].endswith(f"@{round(tab.time_s, 3)!r}")), None)
        edited = [(title_of(name), name) for name in strengths.schedules]
        animated = [name for name in strengths.schedules if name in strengths.animated]
        which = animated[-1] if animated else edited[-1][1] if edited else None
        groups = []
        for group, offered in self.offer.groups.items():
            count = sum(one.name in strengths.schedules for one in offered)
            groups.append(gr.update(label=_capital(group) + (f" · {count}" if count else "")))
        return [
            _summary(strengths),
            command,
            note,
            drawn,
            drawing.keyframe_table(strengths),
            gr.update(choices=keys, value=(here or keys[0])[1] if keys else None),
            gr.update(choices=edited, value=which),
            *groups,
            tab.wanted,
        ]

    def _tick(self, request: gr.Request) -> list[Any]:
        tab = self._tab(request)
        with tab.lock:
            looking = ""
            if tab.looking is not None:
                at = tab.looking.standing()
                share = f" ({at.done} of {at.total} frames)" if at.total else ""
                looking = drawing.message(f"Looking for faces{share} …", "info")
            elif tab.looked:
                looking = drawing.message(tab.looked)
            found = [
                self._fresh(tab, "looking", looking),
                *self._fresh_people(tab),
                self._fresh(tab, "stretch", self._stretch_html(tab)),
            ]
            return found + self._fresh_runs(tab)

    def _fresh(self, tab: Tab, name: str, value: Any) -> Any:
        """A value, if it is not the one that the tab was sent last."""
        if name in tab.sent and tab.sent[name] == value:
            return gr.skip()
        tab.sent[name] = value
        return value

    def _fresh_people(self, tab: Tab) -> list[Any]:
        people = tab.people
        known = (tab.start_s, tab.stop_s) if people is not None else None
        if "people" in tab.sent and tab.sent["people"] == known:
            return [gr.skip()] * 4
        tab.sent["people"] = known
        if people is None:
            default = gr.update(choices=list(_WHO), value=_who(tab.face))
            return [default, gr.update(visible=False), gr.update(visible=False), gr.skip()]
        times = tab.source.timeline.times()
        pictures = [
            (
                face.picture,
                f"Face {face.track.id}"
                + (f", {clock(times[face.track.first])}" if len(people.shots) > 1 else ""),
            )
            for face in people.faces
            if face.picture is not None
        ]
        shots = [
            (picture, f"Shot {number}, {clock(times[shot])}")
            for number, (shot, picture) in enumerate(people.shots)
            if picture is not None
        ]
        who = [*_WHO, *(f"Face {face.track.id}" for face in people.faces)]
        now = _who(tab.face)
        if now not in who:
            tab.face, now = "largest", _who("largest")
        return [
            gr.update(choices=who, value=now),
            gr.update(value=pictures, visible=bool(pictures) and not tab.source.is_image),
            gr.update(visible=len(people.shots) > 1),
            shots,
        ]

    def _stretch_html(self, tab: Tab) -> str:
        if tab.stretch is None:
            return ""
        run = self.tries.runs()[tab.stretch]
        if run.state == "done":
            link = self.shelf.link(run.job.output)
            return (
                f'<video class="v-stretch" src="{link}?v={run.number}" controls loop autoplay'
                ' muted playsinline aria-label="The stretch, edited"></video>'
                '<p class="v-quiet">Small, without sound, by the quick way.</p>'
            )
        if run.outcome is not None and run.state == "failed":
            return drawing.message(f"{run.outcome.message.rstrip('.')}. {run.outcome.remedy}")
        at = run.standing
        share = (at.number - 1) / at.planned if at.planned else 0
        return (
            f'<progress max="1" value="{share:.2f}" aria-label="progress"></progress>'
            f'<p class="v-quiet">Making {STRETCH_S:g} seconds: {at.stage or at.doing or "starting"}'
            "</p>"
        )

    def _fresh_runs(self, tab: Tab) -> list[Any]:
        runs = self.runs.runs()[-_SLOTS:][::-1]
        tab.slots = [run.number for run in runs]
        found = [self._fresh(tab, "none", gr.update(visible=not runs))]
        for number in range(_SLOTS):
            if number < len(runs):
                values = self._slot(runs[number])
            else:
                values = (False, "", False, False)
            group, card, stop, again = values
            found += [
                self._fresh(tab, f"group {number}", gr.update(visible=group)),
                self._fresh(tab, f"card {number}", card),
                self._fresh(tab, f"stop {number}", gr.update(visible=stop)),
                self._fresh(tab, f"again {number}", gr.update(visible=again)),
            ]
        return found

    def _slot(self, run: Run) -> tuple[bool, str, bool, bool]:
        path = run.job.output
        picture = path.suffix.lower() not in (".mp4", ".mov", ".mkv", ".webm")
        link = self.shelf.link(path) if run.state == "done" and path.is_file() else None
        card = drawing.run_card(run, link, picture=picture)
        return True, card, run.pending, run.state in ("failed", "interrupted")


def slider_id(name: str) -> str:
    """The element of an edit's slider."""
    return "slider-" + re.sub(r"[^\w-]", "_", name)


def _who(face: str) -> str:
    """What the page calls a choice of faces."""
    names = {value: name for name, value in _WHO.items()}
    return names.get(face) or f"Face {face.removeprefix('track:')}"


def _keyframe(text: str | None) -> tuple[str, float]:
    if not text:
        raise UsageError("no keyframe is chosen", "Set one first.")
    name, _, time = text.rpartition("@")
    return name, float(time)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(error: Exception) -> str:
    return drawing.message(str(explained(error, "")))


def _title(opened: Opened | None) -> str:
    if opened is None:
        return "<h1>videdit</h1>"
    timeline = opened.timeline
    about = f"{timeline.width}×{timeline.height}"
    if not opened.is_image:
        about += f", {clock(opened.seconds)}, {len(timeline)} frames"
    return f'<h1>{escape(opened.name)}</h1><p class="v-quiet">{about}</p>'


def _summary(strengths: Strengths) -> str:
    parts = []
    for name, schedule in strengths.schedules.items():
        alphas = [alpha for _, alpha in schedule.keyframes]
        text = f"{alphas[0]:+g}" if name not in strengths.animated else f"{len(alphas)} keyframes"
        parts.append(f'<span class="v-chip">{escape(title_of(name))} {text}</span>')
    chips = "".join(parts) or '<span class="v-quiet">Nothing yet. Move a slider.</span>'
    return f'<h2>Edits</h2><div class="v-chosen">{chips}</div>'


def theme() -> gr.themes.Base:
    """How it looks: the system's own fonts, so that none is fetched."""
    return gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )


CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
