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
