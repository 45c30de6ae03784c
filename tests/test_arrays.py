from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from videdit import arrays


def test_what_is_kept_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "codes.npz"
    arrays.keep_arrays(path, codes=np.arange(3), logits=np.zeros(2))
    with np.load(path) as kept:
        assert kept["codes"].tolist() == [0, 1, 2]
        assert sorted(kept.files) == ["codes", "logits"]

    def interrupted(stream: object, **_: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(arrays, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        arrays.keep_arrays(path, codes=np.arange(9))
    with np.load(path) as kept:
        assert kept["codes"].tolist() == [0, 1, 2]
