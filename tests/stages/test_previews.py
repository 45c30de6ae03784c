"""What `videdit inspect` draws of each stage, after a run with made-up networks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.stages.test_chain import FACE_FROM, FACE_TO, HEIGHT, WIDTH, Chain, clip, frames_of
from videdit.editing.classifier import LatentClassifier
from videdit.generators.wspace import WStatistics
from videdit.media.probe import probe
from videdit.pipeline.runner import open_contexts
from videdit.pipeline.stage import Context
from videdit.pipeline.store import Store
from videdit.sheet import GAP, PANEL

__all__ = ["clip"]  # a fixture

FRAME = round(WIDTH * PANEL / HEIGHT)  # width of a frame on the sheet
CAPTION = 20
PLOT = (230, 1008, 3)
GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def chain(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """After a run over the whole clip."""
    made = Chain(clip, tmp_path_factory.mktemp("previews"))
    made("Smiling=0s:1,0.44s:2")
    vars(made.resources.networks).update(
        statistics=WStatistics(torch.zeros(512), torch.eye(512), torch.ones(512)),
        classifier=LatentClassifier(("Male", "Smiling"), 1).eval(),
    )
    return made


def drawn(chain: Chain, name: str, *frames: int) -> list[np.ndarray]:
    """A stage's preview, given no more than it asks for."""
    (stage,) = (stage for stage in chain.stages if stage.name == name)
    with Store(chain.folder / "cache") as store:
        contexts = open_contexts(chain.stages, store, probe(chain.source).content_id)
        inputs = {other: contexts[other].own for other in (*stage.takes, *stage.shows)}
        return stage.preview(Context(contexts[name].own, inputs), frames)


def panels(picture: np.ndarray, *widths: int) -> list[np.ndarray]:
    """The pictures of a strip, without their captions."""
    assert picture.shape == (PANEL + CAPTION, sum(widths) + GAP * (len(widths) - 1), 3)
    ends = np.cumsum([width + GAP for width in widths])
    return [
        picture[CAPTION:, end - GAP - width : end - GAP].astype(int)
        for end, width in zip(ends, widths, strict=True)
    ]


def near(picture: np.ndarray, colour: tuple[int, int, int], apart: int = 40) -> np.ndarray:
    return np.asarray(np.abs(picture - colour).max(2) < apart)


def sized(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (FRAME, PANEL), interpolation=cv2.INTER_CUBIC).astype(int)


def test_frames(chain: Chain) -> None:
    first, other = drawn(chain, "frames", 0, 7)
    frames = frames_of(chain.source)
    for picture, frame in ((first, frames[0]), (other, frames[7])):
        (shown,) = panels(picture, FRAME)
        # The source's YUV as RGB, rounded in another way than here.
        assert np.abs(shown - sized(frame)).max() <= 4
    assert (first[:CAPTION] != other[:CAPTION]).any()


def test_landmarks(chain: Chain) -> None:
    *plots, without, with_face = drawn(chain, "landmarks", 0, 5)
    assert [plot.shape for plot in plots] == [PLOT] * 6
    # There is a face in part of the clip only.
    lines = ~near(plots[0][:, 60:990].astype(int), (255, 255, 255), 150)
    columns = np.flatnonzero(lines[30:200].mean(0) > 0)
    assert 0.1 < columns.min() / 930 < FACE_FROM / 11 + 0.02
    assert not near(panels(without, FRAME)[0], GREEN).any()
    frame, face = panels(with_face, FRAME, PANEL)
    eyes = frame[round(PANEL * 55 / HEIGHT) : round(PANEL * 65 / HEIGHT)]
    assert near(eyes, GREEN).sum() > 20
    # From near: the points fill the picture.
    assert np.ptp(np.flatnonzero(near(face, GREEN).any(0))) > 0.7 * PANEL
    assert np.ptp(np.flatnonzero(near(frame, GREEN).any(0))) < 0.5 * PANEL


def test_track(chain: Chain) -> None:
    extent, without, shown = drawn(chain, "track", 0, 5)
    assert extent.shape == (130, 1008, 3)
    blue = near(extent.astype(int), (0, 114, 178))
    assert blue.any(0).sum() == pytest.approx((FACE_TO - 1 - FACE_FROM) / 11 * 936, abs=8)
    assert not near(panels(without, FRAME)[0], GREEN).any()
    assert near(panels(shown, FRAME)[0], GREEN, 90).sum() > 68


def test_align(chain: Chain) -> None:
    (picture,) = drawn(chain, "align", 0, 5)
    frame, crop, marked = panels(picture, FRAME, PANEL, PANEL)
    outline = near(frame, GREEN, 90)
    assert outline[:, FRAME // 2 - 5 : FRAME // 2 + 5].any()
    assert not near(crop, GREEN, 90).any()
    assert near(marked, GREEN, 90).sum() > 68
    assert np.abs(marked - crop)[near(marked, GREEN, 90)].mean() > 50
    assert (np.abs(marked - crop).max(2) > 10).mean() < 0.1


def test_encode_and_refine(chain: Chain) -> None:
    *plots, code = drawn(chain, "encode", 0, 5)
    assert [plot.shape for plot in plots] == [PLOT] * 2
    assert code.shape[0] == PANEL + CAPTION
    *plots, keyframes = drawn(chain, "refine", 5)
    assert [plot.shape for plot in plots] == [PLOT] * 2
    assert len(panels(keyframes, *[PANEL] * 4)) == 4
    assert drawn(chain, "refine", 0)[2:] == []  # no track there


def test_reconstruct(chain: Chain) -> None:
    (picture,) = drawn(chain, "reconstruct", 0, 5)
    crop, shown, regions, other, legend = panels(picture, *[PANEL] * 4, 96)
    assert np.ptp(crop, (0, 1)).min() > 50
    assert np.ptp(shown[:100], (0, 1)).max() < 5  # grey
    # The made-up parser sees the same everywhere: half of each picture is what shows.
    luma = np.array([0.299, 0.587, 0.114])
    for channel in range(3):
        apart = (regions - other)[:, :, channel] * 2
        np.testing.assert_allclose(apart, (crop - shown) @ luma, atol=6)
    swatches = legend[6:, 12].astype(int)
    assert (swatches.min(1) < 200).sum() == 2 * 14  # hair and lips


def test_edit(chain: Chain) -> None:
    alpha, size, probability, code = drawn(chain, "edit", 0, 5)
    assert alpha.shape == size.shape == probability.shape == PLOT
    rows, columns = np.nonzero(near(alpha[26:208, 60:990].astype(int), (0, 114, 178)))
    assert rows[columns < 10].mean() > rows[columns > 920].mean() + 50  # it rises
    # The edit makes rows of the pose band larger, and leaves the others: the thin line shows.
    inside = size[26:208, 60:990].astype(int)
    assert near(inside, (140, 192, 220)).sum() > 100
    assert near(inside, (235, 183, 140)).sum() < 30
    assert code.shape[0] == PANEL + CAPTION


def test_decode(chain: Chain) -> None:
    (picture,) = drawn(chain, "decode", 0, 5)
    own, edited, apart = panels(picture, *[PANEL] * 3)
    mouth = slice(190, 215), slice(125, 175)
    assert (edited - own)[mouth].mean() > 30
    assert (apart[mouth] > 180).all()
    assert np.abs(apart[:150] - 128).max() <= 2


def test_blend(chain: Chain) -> None:
    without, frame, change = drawn(chain, "blend", 0, 5)
    (untouched,) = panels(without, FRAME)
    assert np.abs(untouched - sized(frames_of(chain.source)[0])).max() <= 4
    source, result, apart, _, _ = panels(frame, FRAME, FRAME, FRAME, PANEL, 96)
    assert np.abs(result - sized(frames_of(chain.folder / "out.mkv")[5])).max() <= 4
    changed = np.abs(apart - 128).max(2) > 3
    assert np.array_equal(changed[: PANEL // 4], np.zeros((PANEL // 4, FRAME), bool))
    assert changed.sum() > 200
    assert ((np.abs(result - source).max(2) > 3) <= (np.abs(apart - 128).max(2) > 5)).mean() > 0.99
    before, after, flow, _, matter, touched = panels(change, *[PANEL] * 6)
    inside = touched[:, :, 0] > 128
    assert inside[200:215, 140:160].any()
    assert not inside[:150].any()
    assert (np.abs(after - before).max(2) > 12)[touched[:, :, 0] == 0].sum() == 0
    assert np.ptp(flow[:150], 2).max() <= 2  # grey where nothing is touched
    assert matter.shape == touched.shape


def test_previews_leave_everything_as_it_was(chain: Chain) -> None:
    def kept() -> dict[str, bytes]:
        folder = chain.folder / "cache"
        return {
            str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }

    before = kept()
    for stage in chain.stages:
        assert drawn(chain, stage.name, 5), stage.name
    assert kept() == before
