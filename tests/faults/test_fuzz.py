"""Damaged files of every kind: a clear line each, no traceback, no hang, nothing left over.

``VIDEDIT_FUZZ`` says how many; ``make faults`` takes 500.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.faults.seeds import mutants, write_seeds
from videdit.errors import InputError, NoFaceError

COUNT = int(os.environ.get("VIDEDIT_FUZZ", "11"))
FRAMES = 2 if COUNT < 100 else 3
LONGEST_S = 60.0


@pytest.fixture(scope="module")
def pictures(example: Path) -> list[np.ndarray]:
    """Small frames with a face."""
    with av.open(str(example)) as clip:
        frames = [
            frame.to_ndarray(format="rgb24")
            for _, frame in zip(range(FRAMES), clip.decode(video=0), strict=False)
        ]
    return [cv2.resize(frame, (320, 180), interpolation=cv2.INTER_AREA) for frame in frames]


@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.usefixtures("default_cache")
def test_damaged_files(pictures: list[np.ndarray], tmp_path: Path) -> None:
    seeds, sources, results = (tmp_path / name for name in ("seeds", "sources", "results"))
    for folder in (seeds, sources, results):
        folder.mkdir()
    whole = write_seeds(seeds, pictures)
    files = list(mutants(whole, sources, COUNT))
    for path in whole:  # that they are good shows that it is the damage which is refused
        (sources / f"whole-{path.name}").write_bytes(path.read_bytes())
    run = subprocess.run(
        [
            *(sys.executable, "-m", "videdit", "batch", str(sources), "--attr", "Smiling"),
            *("-o", str(results), "--quality", "fast", "--cache", str(tmp_path / "cache")),
            *("--log-json",),
        ],
        capture_output=True,
        text=True,
        timeout=COUNT * LONGEST_S,
    )
    assert run.returncode in (0, InputError.exit_code, NoFaceError.exit_code), run.stderr[-2000:]
    jobs = json.loads((results / "summary.json").read_text())["jobs"]
    assert len(jobs) == len(files) + len(whole)
    for job in jobs:
        name = Path(job["input"]).name
        if name.startswith("whole-"):
            assert job["state"] == "done", job
        assert job["exit_code"] in (0, InputError.exit_code, NoFaceError.exit_code), job
        assert job["seconds"] < LONGEST_S, job
        if job["state"] == "failed":
            assert job["message"], job
            assert "internal error" not in job["message"], job
        else:
            readable(Path(job["output"]))
    assert "Traceback" not in run.stderr
    done = {Path(job["output"]).name for job in jobs if job["state"] == "done"}
    assert {path.name for path in results.iterdir()} == done | {"summary.json"}
    left = {path.name for path in sources.iterdir()}
    assert left == {path.name for path in files} | {f"whole-{path.name}" for path in whole}


def readable(path: Path) -> None:
    with av.open(str(path)) as result:
        assert sum(1 for _ in result.decode(video=0)) > 0, path
