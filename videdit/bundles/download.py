"""Fetching one part from its address: what has arrived is kept, and the next try goes on there.

The address is https (plain http to this machine alone), also where it leads on to another. No more
is taken than the part's size, and the file gets its name only when its checksum is right.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO

from videdit import __version__
from videdit.bundles.manifest import Part, allowed_address
from videdit.errors import WeightsError
from videdit.files import finish_file, sha256_of

Progress = Callable[[str, int, int], None]
"""Called with a name, the bytes that have arrived and the bytes that will."""

_PIECE = 1 << 20
_WAIT_S = 60.0
_AGAIN = "Run `videdit weights fetch` again: it goes on where it was."


class _Guarded(urllib.request.HTTPRedirectHandler):
    """Follows an address to another that may be asked as well."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not allowed_address(newurl):
            raise WeightsError(
                f"{req.full_url} leads to {newurl}, which is no https address",
                "Get an address that is.",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(part: Part, path: Path, progress: Progress) -> None:
    """Fetch a part to ``path``.

    Args:
        part: with an address.
        progress: hears of what has arrived.

    Raises:
        WeightsError: the address cannot be reached, or does not have what the manifest says; what
            has arrived of it is kept where it may be right.
        OSError: it cannot be written.
    """
    # Of this content alone: a part that changes begins anew.
    arriving = path.with_name(f".{part.name}.{part.id}.part")
    flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(arriving, flags, 0o600), "r+b") as file:
        have = file.seek(0, os.SEEK_END)
        if have > part.size:
            have = file.truncate(0)
        if have < part.size:
            _append(part, file, have, progress)
    if sha256_of(arriving) != part.sha256:
        arriving.unlink()
        raise WeightsError(
            f"{part.address} has another content than the manifest of its bundle says",
            "Nothing was kept. Ask whoever gave you the manifest.",
        )
    finish_file(arriving, path)
    progress(part.name, part.size, part.size)


def _append(part: Part, file: IO[bytes], have: int, progress: Progress) -> None:
    """Ask for what is missing behind the first ``have`` bytes, and write it."""
    headers = {"User-Agent": f"videdit/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(part.address, headers=headers)
    opener = urllib.request.build_opener(_Guarded)
    try:
        with opener.open(request, timeout=_WAIT_S) as answer:
            if answer.status != 206:  # it gives the whole file
                have = 0
            elif not str(answer.headers.get("Content-Range")).startswith(f"bytes {have}-"):
                raise WeightsError(f"{part.address} gives another range than was asked", _AGAIN)
            file.seek(have)
            file.truncate()
            # One byte more than it should have is enough to see that it is another.
            while have <= part.size:
                piece = answer.read(min(_PIECE, part.size + 1 - have))
                if not piece:
                    break
                file.write(piece)
                have += len(piece)
                progress(part.name, min(have, part.size - 1), part.size)
    except urllib.error.HTTPError as error:
        raise WeightsError(
            f"{part.address} answers {error.code} ({error.reason})",
            "Check the address in the bundle's manifest.",
        ) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(f"{part.address} cannot be reached ({reason})", _AGAIN) from error
    if have < part.size:
        raise WeightsError(f"{part.address} broke off after {have} of {part.size} bytes", _AGAIN)
