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

    def looks(self, codes: np.ndarray) -> Looks:
        if self.looked == self.lasts:
            raise KeyboardInterrupt
        self.looked += 1
        features = torch.from_numpy(codes[:, 0, :1].copy()).half()
        return Looks(features, features.byte())


def test_looks_are_kept_as_they_come(tmp_path: Path) -> None:
    codes = np.arange(700, dtype=np.float32).reshape(700, 1, 1) % 256
    first: Any = Looker(lasts=2)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        kept_looks(tmp_path, codes, first, lines.append)
    assert [line.split(",")[0] for line in lines] == [
        "looked at 250/700 labelled faces",
        "looked at 500/700 labelled faces",
    ]
    again: Any = Looker()
    looks = kept_looks(tmp_path, codes, again, lines.append)
    assert again.looked == 1
    np.testing.assert_array_equal(looks.features[:, 0].numpy(), codes[:, 0, 0])
    np.testing.assert_array_equal(looks.picture[:, 0].numpy(), codes[:, 0, 0])
