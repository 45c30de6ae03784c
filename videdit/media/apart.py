"""Probing in a process of its own: what makes a decoder crash must not take a run along."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from videdit.errors import InputError
from videdit.media.probe import probe
from videdit.media.timeline import Timeline

MEMORY = 16 << 30
"""Bytes that looking at a source may take: four times what the largest picture does. A file of a
few kilobytes can declare an index of any size."""

_STARTED = "import sys; sys.path[:] = {!r}; from videdit.media.apart import answer; answer()"


def probe_apart(path: Path) -> Timeline:
    """`probe` in a process of its own, a fraction of a second slower.

    Raises:
        InputError: as `probe`, or a library crashed on the file.
    """
    if not sys.executable:
        return probe(path)
    started = _STARTED.format(sys.path)
    command = [sys.executable, "-c", started, os.fspath(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not done.stdout:
        if done.returncode < 0 or done.returncode > 255:  # a signal, or Windows' word for one
            raise InputError(
                f"a decoder crashed on {path} (signal {-done.returncode})",
                "Convert it to another format first",
            )
        return probe(path)  # it could not be started, or an error of the tool's: seen here
    said = json.loads(done.stdout)
    if "timeline" in said:
        return Timeline.from_json(said["timeline"])
    raise InputError(said["error"], said["remedy"])


def answer() -> None:
    """Print the timeline of the file that the command line names, or what is wrong with it."""
    said: dict[str, object]
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    try:
        said = {"timeline": probe(Path(sys.argv[1])).to_json()}
    except InputError as error:
        said = {"error": error.message, "remedy": error.remedy}
    except MemoryError:
        said = {
            "error": f"{sys.argv[1]} declares more than fits into {MEMORY >> 30} GiB of memory",
            "remedy": "Convert it with another program first",
        }
    print(json.dumps(said), flush=True)
    # What a library does to its own memory at the end no longer matters.
    os._exit(0)
