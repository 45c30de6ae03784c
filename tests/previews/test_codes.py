"""What is measured of codes, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videdit.editing.classifier import LatentClassifier
from videdit.editing.schedule import Edit
from videdit.generators.mobile import SPACE
from videdit.generators.wspace import WStatistics
from videdit.plot import COLOURS
from videdit.previews.codes import CodePlots, norms, score_names, scores, strength_plot
from videdit.previews.over_time import Axis

STATISTICS = WStatistics(torch.full((512,), 2.0), torch.eye(512), torch.full((512,), 3.0))


@pytest.fixture(scope="module")
def classifier() -> LatentClassifier:
    """Reads off the first number of all rows; what is not Smiling is sure to be absent."""
    made = LatentClassifier(("Male", "Young", "Smiling"), 1).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        (member,) = made.members
        member.linear.weight[2, ::512] = 1.0
        member.last.bias[:2] = -9.0
    return made


def test_norms_are_one_for_codes_of_w() -> None:
    rng = np.random.default_rng(0)
    codes = (2 + 3 * rng.standard_normal((4, 16, 512))).astype(np.float32)
    np.testing.assert_allclose(norms(codes, STATISTICS, SPACE), 1, atol=0.06)
    a, b = SPACE.bands["features"]
    codes[1, a:b] = 2 + 3 * 5  # five standard deviations everywhere
    assert norms(codes, STATISTICS, SPACE)[1, list(SPACE.bands).index("features")] == 5
    assert norms(codes[:0], STATISTICS, SPACE).shape == (0, 3)


def test_scores_are_probabilities(classifier: LatentClassifier) -> None:
    codes = np.zeros((2, 16, 512), np.float32)
    codes[1, :, 0] = 1
    found = scores(codes, classifier, ["Smiling", "Male"])
    assert found[0, 0] == 0.5
    assert found[1, 0] > 0.9
    assert found[:, 1].max() < 0.001


def test_edited_attributes_come_first() -> None:
    known = ("Male", "Young", "Smiling", "Bangs", "Eyeglasses", "No_Beard", "Mouth_Slightly_Open")
    assert score_names(["Bangs", "my_own"], known)[0] == "Bangs"
    assert len(score_names(["Bangs"], known)) == 6
    assert score_names([], ("Male", "Bangs")) == ["Male"]
    assert len(score_names(list(known), known)) <= len(COLOURS)


def test_two_versions_are_drawn_one_over_the_other(classifier: LatentClassifier) -> None:
    plots = CodePlots(STATISTICS, classifier, SPACE, ["Smiling"])
    before = np.zeros((30, 16, 512), np.float32)
    after = before.copy()
    after[:, :, 0] = 1
    axis = Axis(range(30), np.arange(30) / 25, ())
    _, both = plots.draw(axis, [("x", plots.measure(before, after))])
    _, only = plots.draw(axis, [("x", plots.measure(after))])
    column = slice(26, 208), 500
    blue = np.abs(only[column].astype(int) - COLOURS[0]).max(1) < 30
    assert blue.any()
    assert np.flatnonzero(blue).max() < 50  # Smiling is nearly sure
    assert np.array_equal(both[column][blue], only[column][blue])
    added = np.flatnonzero((both[column] != only[column]).any(1))
    assert 1 <= len(added) <= 3
    assert added.min() > 80  # it was half as sure


def test_without_a_classifier_norms_alone_are_drawn() -> None:
    plots = CodePlots(STATISTICS, None, SPACE, ["Smiling"])
    measured = plots.measure(np.ones((5, 16, 512), np.float32))
    assert measured.shape == (5, len(SPACE.bands))
    axis = Axis(range(5), np.arange(5) / 25, ())
    assert len(plots.draw(axis, [("x", measured)])) == 1


def test_a_lane_without_a_face_is_drawn_empty(classifier: LatentClassifier) -> None:
    plots = CodePlots(STATISTICS, classifier, SPACE, [])
    axis = Axis(range(5), np.arange(5) / 25, ())
    assert len(plots.draw(axis, [("x", np.full((5, 6), np.nan))])) == 2
    assert plots.draw(axis, []) == []


def test_strengths_over_time() -> None:
    axis = Axis(range(26), np.arange(26) / 25, ())
    edits = [Edit.parse("Smiling=0s:0,1s:2"), Edit.parse("Young=-1")]
    picture = strength_plot(axis, edits, []).astype(int)
    for colour, rising in zip(COLOURS[:2], (True, False), strict=True):
        rows, columns = np.nonzero(np.abs(picture[27:206, 60:990] - colour).max(2) < 20)
        slope = rows[columns > 900].mean() - rows[columns < 30].mean()
        assert (slope < -80) if rising else abs(slope) < 2
    told = strength_plot(axis, edits, ["Young left out"]).astype(int)
    assert (told[:25] != picture[:25]).any()
