"""Files that are there whole or not at all, and the system's refusals as StorageError."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from videdit.errors import StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write `path` into StorageError."""
    try:
        yield
    except OSError as error:
        code = error.errno
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"no space left to write {path}", "Free space or choose another folder"
            ) from None
        if code in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(
                f"{path.parent} cannot be written to", "Choose another folder or change its rights"
            ) from None
        if code in (errno.ENOENT, errno.ENOTDIR):
            raise StorageError(
                f"the folder {path.parent} does not exist", "Create it or choose another"
            ) from None
        if code in (errno.EIO, errno.EFBIG, errno.ENAMETOOLONG, errno.EISDIR):
            raise StorageError(
                f"{path} cannot be written: {error.strerror}", "Choose another place"
            ) from None
        raise


def finish_file(part: Path, path: Path) -> None:
    """Make a finished temporary file durable and give it its name, replacing what is there."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file.

    Raises:
        StorageError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    with storage_errors(path):
        try:
            part.write_bytes(data)
            finish_file(part, path)
        finally:
            with suppress(OSError):
                part.unlink()
