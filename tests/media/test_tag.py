from __future__ import annotations

import pytest

from videdit.errors import UsageError
from videdit.media.tag import DIGITAL_SOURCE_TYPE, LONGEST_COMMENT, Tag, tag_time

TAG = Tag("videdit", "0.1.0", ("Smiling=1.5", "Young=-0.5"), "2026-01-02T03:04:05Z")


def test_all_of_it_is_in_one_line() -> None:
    for word in ("videdit 0.1.0", "Smiling=1.5", "Young=-0.5", TAG.time, DIGITAL_SOURCE_TYPE):
        assert word in TAG.text
    assert "\n" not in TAG.text


def test_a_comment_stays_and_comes_first() -> None:
    assert TAG.after("") == TAG.after(" \n") == TAG.text
    assert TAG.after("Holiday, 1999\n") == f"Holiday, 1999\n{TAG.text}"
    assert TAG.after(TAG.after("x")) == f"x\n{TAG.text}\n{TAG.text}"


def test_a_huge_comment_is_cut_at_a_whole_letter() -> None:
    cut = TAG.after("a" + "ä" * LONGEST_COMMENT).removesuffix(f"\n{TAG.text}")
    assert len(cut.encode()) == LONGEST_COMMENT - 1
    assert set(cut[1:]) == {"ä"}


def test_the_time_is_the_frames_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert tag_time(1_000_000_000.9) == "2001-09-09T01:46:40Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert tag_time(1_000_000_000) == "1970-01-01T00:00:01Z"
    for wrong in ("", "yesterday", "1.5", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
            tag_time(0)
