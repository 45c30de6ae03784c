from __future__ import annotations

import errno
from pathlib import Path

import pytest

from videdit.errors import StorageError
from videdit.files import storage_errors


@pytest.mark.parametrize(
    ("code", "word"), [(errno.ENOSPC, "space"), (errno.EROFS, "written"), (errno.EACCES, "written")]
)
def test_storage_errors(tmp_path: Path, code: int, word: str) -> None:
    with pytest.raises(StorageError, match=word), storage_errors(tmp_path / "a"):
        raise OSError(code, "refused")
