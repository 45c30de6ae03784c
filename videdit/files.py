"""Files that are there whole or not at all, and the system's refusals as :class:`StorageError`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from videdit.errors import InputError, StorageError, VideditError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BLOCK = 1 << 20
_FULL_BYTES = 256 << 10  # a disk with less free than this counts as full


class Refusal(NamedTuple):
    """Why the system refuses to write, and what helps (a sentence without its full stop)."""

    what: str
    remedy: str


_NO_ROOM = "Free some space (`videdit cache prune` removes kept work)"
_NO_PERMISSION = Refusal("its folder cannot be written (no permission)", "Change its permissions")
_FILE_IN_THE_WAY = Refusal("a file stands where a folder should be", "Move that file away")

REFUSALS = {
    errno.ENOSPC: Refusal("the disk is full", _NO_ROOM),
    errno.EDQUOT: Refusal("the disk quota is used up", _NO_ROOM),
    errno.EFBIG: Refusal("a file grew over the allowed size", "Raise the limit on file sizes"),
    errno.EIO: Refusal("the disk reports an error", "Check the disk"),
    errno.EROFS: Refusal("the file system is read-only and cannot be written", "Make it writable"),
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.ENOTDIR: _FILE_IN_THE_WAY,
    errno.EEXIST: _FILE_IN_THE_WAY,
    errno.EISDIR: Refusal("a folder stands where a file should be", "Move that folder away"),
    errno.ENOENT: Refusal("its folder does not exist and cannot be made", "Make the folder"),
    errno.ENAMETOOLONG: Refusal("the path is too long", "Shorten it"),
    errno.EMFILE: Refusal("too many files are open", "Raise the limit on open files"),
}
"""The refusals that are the user's to mend, by ``errno``."""

# These speak of a disk whether or not they name a file.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def storage_error(
    error: BaseException, path: Path, otherwise: str, *, mixed: bool = False
) -> StorageError | None:
    """The :class:`StorageError` that ``error``, raised while writing ``path``, stands for.

    Args:
        path: the file or folder that was written to.
        otherwise: what helps besides mending the refusal itself: "choose another folder".
        mixed: other work was done as well: an error that names no file may be about that.

    Returns:
        None where the error is about something else: a bug, or a file elsewhere.
    """
    if isinstance(error, VideditError):
        return error if isinstance(error, StorageError) else None
    number = error.errno if isinstance(error, OSError) else None
    # Libraries report a full disk in their own words (NumPy "4 requested and 2 written",
    # safetensors, libav), so the disk itself is asked.
    if number not in REFUSALS and isinstance(error, Exception) and _is_full(path):
        number = errno.ENOSPC
    if number is None or number not in REFUSALS:
        return None
    if number not in _OF_THE_DISK:
        named = getattr(error, "filename", None)
        if isinstance(named, (str, os.PathLike)):
            if not _is_related(Path(named), path):
                return None
        elif mixed:
            return None
    what, remedy = REFUSALS[number]
    return StorageError(f"cannot write to {path}: {what}", f"{remedy}, or {otherwise}.")


@contextlib.contextmanager
def storage_errors(
    path: Path, otherwise: str = "choose another folder", *, mixed: bool = False
) -> Iterator[None]:
    """Turns the system's refusals to write ``path`` into StorageError; see :func:`storage_error`.

    Raises:
        StorageError: ``path`` cannot be written.
    """
    try:
        yield
    except Exception as error:
        translated = storage_error(error, path, otherwise, mixed=mixed)
        if translated is None or translated is error:
            raise
        raise translated from error


@contextlib.contextmanager
def temporary_file(path: Path, suffix: str = "") -> Iterator[Path]:
    """A new empty file beside ``path`` that is to become it (:func:`finish_file`), else it goes.

    Its name cannot be foreseen and no link is followed, so that in a folder which others may write
    to nobody can have it lead elsewhere; until it is finished only its owner may read it.

    Args:
        suffix: what its name ends with, where a library goes by that.

    Raises:
        OSError: it cannot be made.
    """
    temporary = path.with_name(_temporary_name(path, suffix))
    os.close(_create(temporary))
    try:
        yield temporary
    finally:
        _discard(temporary)


def finish_file(temporary: Path, path: Path) -> None:
    """Makes a complete temporary file durable and gives it its name, replacing what is there.

    Raises:
        OSError: it cannot be written; what was at ``path`` is still there.
    """
    with temporary.open("rb") as stream:
        os.fchmod(stream.fileno(), _usual_mode())
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A new file beside ``path`` that becomes it when the block ends well, and else goes.

    For what a library writes by itself, given a name.

    Raises:
        OSError: it cannot be written; what was at ``path`` is still there.
    """
    with temporary_file(path, path.suffix) as temporary:
        yield temporary
        finish_file(temporary, path)


def make_private(folder: Path) -> None:
    """Make a folder, and those that it is to be in, so that only its owner may look into them.
    Those that are there stay as they are.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


LARGEST_TEXT = 64 << 20
"""Most bytes of a text file that is read as a whole."""


def read_text(path: Path, most: int | None = None) -> str:
    """The text of a file that a user names.

    Args:
        most: bytes that it may have; :data:`LARGEST_TEXT` by default.

    Raises:
        InputError: it cannot be read, is larger, or is no UTF-8.
    """
    most = LARGEST_TEXT if most is None else most
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "Check the path.") from error
    if len(data) > most:
        raise InputError(f"{path.name} is larger than {most >> 20} MiB", "Split it.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text", "Save it as UTF-8.") from error


def read_toml(path: Path, most: int | None = None) -> dict[str, Any]:
    """The tables of a TOML file that a user names.

    Raises:
        InputError: as :func:`read_text`, or it is no TOML.
    """
    try:
        return tomllib.loads(read_text(path, most))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path.name} is no TOML: {error}", "Correct it.") from error


def write_atomically(
    path: Path,
    data: bytes,
    otherwise: str = "choose another folder",
    *,
    temporary_folder: Path | None = None,
) -> None:
    """Writes a small file durably and all at once.

    Args:
        otherwise: as for :func:`storage_error`.
        temporary_folder: where it is written first; beside ``path`` by default.

    Raises:
        StorageError: it cannot be written; what was at ``path`` is still there.
    """
    temporary = (temporary_folder or path.parent) / _temporary_name(path)
    with storage_errors(path, otherwise):
        write_synced(temporary, data)
        try:
            os.replace(temporary, path)
        except BaseException:
            _discard(temporary)
            raise
        sync_folder(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Writes a small new file durably.

    Raises:
        OSError: it cannot be written, or something of this name is there.
    """
    descriptor = _create(path)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fchmod(descriptor, _usual_mode())
        os.fsync(descriptor)
    except BaseException:
        _discard(path)
        raise
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable, where the file system can.

    Raises:
        OSError: the disk reports an error.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(descriptor)


def measure(path: Path, *, sync: bool = False) -> tuple[int, str]:
    """A file's size in bytes and the hex sha256 of its content, read in pieces of 1 MiB.

    Args:
        sync: makes its content durable as well.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
        if sync:
            os.fsync(stream.fileno())
    return size, digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's content.

    Raises:
        OSError: it cannot be read.
    """
    return measure(path)[1]


def _temporary_name(path: Path, suffix: str = "") -> str:
    tail = f"-{secrets.token_hex(8)}{suffix}"
    # A name has at most 255 bytes on the usual file systems.
    name = os.fsencode(f".{path.name}")[: 255 - len(os.fsencode(tail))]
    return os.fsdecode(name) + tail


def _create(path: Path) -> int:
    # O_EXCL follows no link.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _usual_mode() -> int:
    """The permissions of any new file of the user's, which a result has as well."""
    mask = os.umask(0o077)  # the only way to ask; a file made meanwhile is too private at most
    os.umask(mask)
    return 0o666 & ~mask


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _is_related(path: Path, target: Path) -> bool:
    """Whether an error about ``path`` is about writing ``target``: it, below, above, or a temporary
    file beside it."""
    path, target = path.absolute(), target.absolute()
    if path == target or target in path.parents or path in target.parents:
        return True
    return path.parent == target.parent and path.name.startswith(f".{target.stem}")


def _is_full(path: Path) -> bool:
    for place in (path, *path.parents):
        try:
            state = os.statvfs(place)
        except OSError:
            continue
        return state.f_blocks > 0 and state.f_bavail * state.f_frsize < _FULL_BYTES
    return False
