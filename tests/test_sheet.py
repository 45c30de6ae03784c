"""Contact sheets."""

from __future__ import annotations

import numpy as np
import pytest

from videdit.sheet import code_picture, contact_sheet, tile


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


def test_a_code_is_red_above_the_mean_and_blue_below() -> None:
    whitened = np.zeros((16, 512))
    whitened[3, 0], whitened[3, 1] = 3, -5
    picture = code_picture(whitened)
    assert picture.shape == (256, 512, 3)
    assert picture[3 * 16, :6:2].tolist() == [[255, 0, 0], [0, 0, 255], [255, 255, 255]]
