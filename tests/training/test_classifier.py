from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from videdit.editing.picture_classifier import Looks
from videdit.training.classifier import kept_looks


class Looker:
    """Looks like the code's first number; stops after a few looks, if told."""

    def __init__(self, lasts: int = 100) -> None:
        self.looked, self.lasts = 0, lasts

    def pictures(self, codes: np.ndarray) -> torch.Tensor:
        if self.looked == self.lasts:
            raise KeyboardInterrupt
        self.looked += 1
        return torch.from_numpy(codes[:, 0, :1].copy())[:, None, None].expand(-1, 3, 16, 16)

    def look(self, pictures: torch.Tensor) -> Looks:
        features = pictures[:, 0, 8, :1].half()
        return Looks(features, features.byte())


def test_looks_are_kept_as_they_come(tmp_path: Path) -> None:
    codes = np.arange(700, dtype=np.float32).reshape(700, 1, 1) % 256
    first: Any = Looker(lasts=2)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        kept_looks(tmp_path, codes, first, lines.append)
    assert [line.split(",")[0] for line in lines] == [
        "looked at part 1/3",
        "looked at part 2/3",
    ]
    again: Any = Looker()
    looks = kept_looks(tmp_path, codes, again, lines.append)
    assert again.looked == 1
    np.testing.assert_array_equal(looks.features[:, 0].numpy(), codes[:, 0, 0])
    np.testing.assert_array_equal(looks.picture[:, 0].numpy(), codes[:, 0, 0])


def test_looks_at_other_faces_are_not_taken_for_these(tmp_path: Path) -> None:
    codes = np.arange(300, dtype=np.float32).reshape(300, 1, 1) % 256
    looker: Any = Looker()
    kept_looks(tmp_path, codes, looker, lambda line: None)
    other = codes.copy()
    other[299] = 7
    looks = kept_looks(tmp_path, other, looker, lambda line: None)
    assert looker.looked == 3  # both parts, and the second one once more
    np.testing.assert_array_equal(looks.features[:, 0].numpy(), other[:, 0, 0])


def test_a_face_is_looked_at_several_times_each_time_otherwise(tmp_path: Path) -> None:
    codes = np.full((10, 1, 1), 100, np.float32)
    looker: Any = Looker()
    looks = kept_looks(tmp_path, codes, looker, lambda line: None, views=3)
    assert len(looks.features) == 30
    assert looker.looked == 3
    assert (looks.features[:10] == 100).all()
    assert (looks.features[10:] != 100).any()
    assert ((looks.features[10:] >= 90) & (looks.features[10:] <= 110)).all()
