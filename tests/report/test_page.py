"""The page of runs with made-up networks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.stages.test_chain import FACE_FROM, FACE_TO, FRAMES, Chain, clip, frames_of
from videdit.media.probe import probe
from videdit.pipeline.runner import open_contexts
from videdit.pipeline.store import Store
from videdit.pipeline.upkeep import show
from videdit.report.kept import EDITED, NO_FACE, OUTSIDE, STILL, UNKNOWN, UNTOLD, Kept
from videdit.report.make import _pictures, spread
from videdit.report.measures import Measured
from videdit.report.page import POLICY, page, summary

__all__ = ["clip"]  # a fixture

HOSTILE = "\"'><script>alert(1)<!-- & {x}`.mkv"
FACES = FACE_TO - FACE_FROM


def kept_of(chain: Chain) -> Kept:
    with Store(chain.folder / "cache") as store:
        source_id = probe(chain.source).content_id
        contexts = open_contexts(chain.stages, store, source_id)
        keys = {name: context.own.key for name, context in contexts.items()}
        infos = {i.stage: i for i in show(store, source_id) if keys[i.stage] == i.key}
    return Kept(chain.resources.run, chain.resources, chain.stages, contexts, infos)


@pytest.fixture(scope="module", autouse=True)
def near() -> Iterator[None]:
    """The made-up face is large; it is shown from near all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("videdit.report.pictures._SMALL", 0.7)
        yield


@pytest.fixture(scope="module")
def chain(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """After a run in which the strength rises from 0.22 s on, frame 5 has 0.2 s."""
    folder = tmp_path_factory.mktemp("report")
    source = folder / HOSTILE
    shutil.copy(clip, source)
    made = Chain(source, folder)
    made("Smiling=0s:0,0.22s:0,0.4s:2")
    yield made
    made.resources.close()


@pytest.fixture(scope="module")
def kept(chain: Chain) -> Kept:
    return kept_of(chain)


@pytest.fixture(scope="module")
def measured() -> Measured:
    frames = np.arange(FACE_FROM, FACE_TO)
    sure = np.stack([np.full((FACES, 2), 0.1), np.full((FACES, 2), 0.8)], 1)
    sure[:, :, 1] = 0.5  # the other attribute stays
    return Measured(
        frames,
        np.zeros(FACES, np.int64),
        np.linspace(0.99, 0.9, FACES),
        np.tile((0.01, 0.012), (FACES, 1)),
        ("Smiling", "Male"),
        sure,
        sure,
    )


class Reader(HTMLParser):
    """What a browser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("br", "img", "input", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.seen if name == tag]


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def written(kept: Kept, measured: Measured) -> str:
    return page(kept, _pictures(kept, [0, 5, 8]), measured)


def test_what_became_of_each_frame(kept: Kept, chain: Chain, tmp_path: Path) -> None:
    assert kept.finished
    assert kept.frames_that(EDITED) == [(6, FACE_TO)]
    assert kept.frames_that(STILL) == [(FACE_FROM, 6)]
    assert kept.frames_that(NO_FACE) == [(0, FACE_FROM), (FACE_TO, FRAMES)]
    part = Chain(chain.source, chain.folder)
    part("Smiling=0s:0,0.22s:0,0.4s:2", start_s=0.28, output=tmp_path / "part.mkv")
    assert kept_of(part).frames_that(OUTSIDE) == [(0, 7)]
    assert kept_of(part).frames_that(EDITED) == [(7, FACE_TO)]


def test_frames_are_those_of_the_result(kept: Kept, chain: Chain) -> None:
    before, after = frames_of(chain.source), frames_of(chain.folder / "out.mkv")
    for one in _pictures(kept, [0, 5, 8]):
        assert one.result is not None
        assert np.abs(one.source.astype(int) - before[one.index]).max() <= 4
        assert np.abs(one.result.astype(int) - after[one.index]).max() <= 4
        # In frame 0 there is no face.
        assert len(one.faces) == (one.index != 0)
        assert (one.source != one.result).any() == (one.index == 8)
    assert spread(kept) == [0, 2, 3, 5, 6, 8, 9, 11]
    assert [one.index for one in _pictures(kept, [11, 3, 7])] == [11, 3, 7]
    for wanted in ([0, 4, 5, 9, 10], range(3, 11), []):
        seen = list(kept.results.read(wanted))
        assert [index for index, _ in seen] == list(wanted)
        assert all(np.abs(rgb.astype(int) - after[index]).max() <= 4 for index, rgb in seen)


def test_nothing_is_loaded(written: str) -> None:
    reader = read(written)
    policies = [m["content"] for m in reader.all("meta") if m.get("http-equiv")]
    assert policies == [POLICY]
    assert not re.search(r"https?://|//[a-z]+\.", re.sub(r"base64,[^\"]*", "", written))
    for name, attributes in reader.seen:
        for key in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            if key in attributes:
                assert re.match(r"data:image/webp;base64,|#frame-\d+$", attributes[key]), name
        assert not [key for key in attributes if key.startswith("on")]
    assert "url(" not in written
    assert "@import" not in written
    assert not {"link", "iframe", "object", "embed", "base"} & {name for name, _ in reader.seen}


def test_a_hostile_name_is_only_text(written: str) -> None:
    reader = read(written)
    assert len(reader.all("script")) == 1
    assert HOSTILE in reader.text  # the heading
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)", "", written)


def test_pictures_and_plots_have_words(written: str) -> None:
    reader = read(written)
    pictures = reader.all("img")
    # Of three frames source and result, and of the two faces from near; a thumbnail each.
    assert len(pictures) == 2 * 5 + 3
    assert [one["alt"] for one in pictures].count("") == 3
    assert "Result, face of track 0, frame 8" in [one["alt"] for one in pictures]
    dividers = [one for one in reader.all("input") if one["type"] == "range"]
    assert len(dividers) == 5
    assert len({one["aria-label"] for one in dividers}) == 5
    for one in reader.all("svg"):
        assert one.get("aria-hidden") == "true" or len(one["aria-label"]) > 40
    ids = [attributes["id"] for _, attributes in reader.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"] for one in reader.all("a")} == {"#frame-0", "#frame-5", "#frame-8"}


def test_it_says_what_was_done(written: str, kept: Kept) -> None:
    text = " ".join(read(written).text)
    assert "Smiling (α 0 at 0 s, 0 at 0.22 s, 2 at 0.4 s) in 5 of 12 frames; 7 passed" in text
    assert f"4 frames passed through, {STILL}: 2 to 5" in text
    assert f"3 frames passed through, {NO_FACE}: 0 to 1, 11" in text
    assert "10% → 80%" in text
    assert "+70 points" in text
    assert "× 1.20" in text
    assert "Frame 8, 0.320 s; Smiling α 1.11" in text
    for stage in ("landmarks", "reconstruct", "blend"):
        assert stage in text
    assert "id of encoder" in text
    assert "--edit Smiling=0.0s:0.0,0.22s:0.0,0.4s:2.0" in text
    assert "chunk_frames=5" in text
    assert "--quality fast" in text
    assert "has not finished" not in text


def test_a_run_that_has_not_finished(chain: Chain, measured: Measured, tmp_path: Path) -> None:
    shutil.copytree(chain.folder / "cache", tmp_path / "cache")
    copy = Chain(chain.source, tmp_path)
    copy.resources, copy.stages = chain.resources, chain.stages
    blend = kept_of(copy).artifact("blend").folder
    (blend / "manifest.json").unlink()
    shutil.rmtree(blend / "0000005")
    kept = kept_of(copy)
    assert not kept.finished
    assert kept.frames_that(UNKNOWN) == [(5, 10)]
    assert spread(kept) == [0, 1, 2, 3, 4, 10, 11]
    shown = _pictures(kept, [4, 8])
    assert [one.result is None for one in shown] == [False, True]
    text = " ".join(read(page(kept, shown, None)).text)
    assert "has not finished: it stands at the stage blend" in text
    assert "5 are not made yet" in text
    assert "not written: the run has not finished" in text
    assert "5 frames of the result are not made yet: 5 to 9" in text


def test_what_was_removed_is_not_needed(chain: Chain, measured: Measured, tmp_path: Path) -> None:
    shutil.copytree(chain.folder / "cache", tmp_path / "cache")
    copy = Chain(chain.source, tmp_path)
    copy.resources, copy.stages = chain.resources, chain.stages
    for stage in ("frames", "landmarks", "track", "align", "edit"):
        shutil.rmtree(kept_of(copy).artifact(stage).folder)
    kept = kept_of(copy)
    assert kept.finished
    assert kept.frames_that(UNTOLD) == [(0, 6), (FACE_TO, FRAMES)]
    text = " ".join(read(page(kept, _pictures(kept, [8]), None)).text)
    assert "in 5 of 12 frames" in text
    assert "has not finished" not in text
    assert "not there" in text
    assert summary(kept).endswith(".")
