"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.sheet import GAP, PAGE, code_picture, contact_sheet, page, strip, tile, write


def test_contact_sheet() -> None:
    red = np.tile(np.uint8([255, 0, 0]), (80, 120, 1))
    blue = np.tile(np.uint8([0, 0, 255]), (40, 40, 1))
    sheet = contact_sheet([red, blue, red], height=40, columns=2)
    assert sheet.shape == (2 * 44, 60 + 4 + 40 + 4, 3)
    assert (sheet[20, 30], sheet[20, 80], sheet[60, 30]) == (
        pytest.approx([255, 0, 0]),
        pytest.approx([0, 0, 255]),
        pytest.approx([255, 0, 0]),
    )
    assert sheet[60, 80].tolist() == [128, 128, 128]
    assert contact_sheet([blue] * 4, height=40).shape[0] == 88  # about square


def test_rows_may_differ_in_length() -> None:
    red, blue = np.zeros((2, 8, 8, 3), np.uint8)
    red[:], blue[:] = (255, 0, 0), (0, 0, 255)
    sheet = tile([[red], [blue, red, blue]], height=4)
    assert sheet.shape == (8, 12, 3)
    assert (sheet[:4, :4] == (255, 0, 0)).all()
    assert (sheet[:4, 4:] == 128).all()
    assert (sheet[4:, 4:8] == (255, 0, 0)).all()
    assert (sheet[4:, 8:] == (0, 0, 255)).all()


def test_a_code_as_a_picture() -> None:
    whitened = np.zeros((16, 512), np.float32)
    whitened[3, 0], whitened[3, 1], whitened[5, 255], whitened[5, 256] = 3, -9, 1.5, 3
    picture = code_picture(whitened)
    assert picture.shape == (256, 512, 3)
    assert picture.dtype == np.uint8
    assert (picture[48:64, 0:2] == (255, 0, 0)).all()
    assert (picture[48:64, 2:4] == (0, 0, 255)).all()
    assert (picture[80:96, 510:] == (255, 128, 128)).all()
    # All else is at the mean, or not shown.
    assert (picture != 255).any(2).sum() == 3 * 16 * 2


def test_a_page_breaks_where_it_is_full_and_where_heights_change() -> None:
    def of(width: int, height: int, grey: int) -> np.ndarray:
        return np.full((height, width, 3), grey, np.uint8)

    half = (PAGE - GAP) // 2
    sheet = page([of(half, 20, 1), of(half, 20, 2), of(10, 20, 3), of(10, 30, 4)])
    assert sheet.shape == (20 + GAP + 20 + GAP + 30, PAGE, 3)
    assert (sheet[:20, :half] == 1).all()
    assert (sheet[:20, half + GAP :] == 2).all()
    assert (sheet[20 + GAP : 40 + GAP, :10] == 3).all()
    assert (sheet[40 + 2 * GAP :, :10] == 4).all()
    assert (sheet[40 + 2 * GAP :, 10:] == 128).all()
    assert page([of(PAGE + 50, 5, 7)]).shape == (5, PAGE + 50, 3)


def test_a_strip_has_its_captions_above() -> None:
    red, blue = np.zeros((2, 80, 120, 3), np.uint8)
    red[:], blue[:] = (255, 0, 0), (0, 0, 255)
    shown = strip([("one", red), ("", blue)], height=40)
    assert shown.shape == (60, 60 + GAP + 60, 3)
    assert (shown[20:, :60] == (255, 0, 0)).all()
    assert (shown[20:, 60 + GAP :] == (0, 0, 255)).all()
    assert (shown[:20, :60] < 100).any()  # ink
    assert (shown[:20, 60 + GAP :] == 245).all()


def test_what_is_not_ascii_is_written_as_a_question_mark() -> None:
    pictures = np.full((2, 30, 60, 3), 255, np.uint8)
    write(pictures[0], "aé", (5, 20), (0, 0, 0))
    write(pictures[1], "a?", (5, 20), (0, 0, 0))
    assert (pictures[0] < 100).any()
    assert np.array_equal(*pictures)
