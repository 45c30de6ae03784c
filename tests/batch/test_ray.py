"""Batches on a Ray cluster of this machine; where the extra ``ray`` is installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import pytest

from videdit.api import edit_image
from videdit.batch.spread import _needs
from videdit.models.networks import Networks


def node(cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, object]:
    has = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return {"Alive": alive, "Resources": has}


def test_a_worker_per_gpu_or_node() -> None:
    nodes = [node(16, 4), node(8), node(32, alive=False), node(0)]
    needs = _needs(nodes, None)
    assert [need["num_cpus"] for need in needs] == [4, 4, 4, 4, 8]
    assert [need.get("num_gpus", 0) for need in needs] == [1, 1, 1, 1, 0]
    assert needs[0]["runtime_env"]["env_vars"]["VIDEDIT_THREADS"] == "4"


def test_as_many_workers_as_said() -> None:
    assert [need["num_cpus"] for need in _needs([node(8), node(8)], 4)] == [4] * 4
    assert [need["num_cpus"] for need in _needs([node(1)], 3)] == [1] * 3


def test_without_ray_the_remedy_is_said(tmp_path: Path, example: Path) -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        run = batch(tmp_path, example.parent, "--attr", "Smiling", "--ray", "local")
        assert run.returncode == 2
        assert "Ray is not installed" in run.stderr
    else:
        pytest.skip("Ray is installed")


def command(folder: Path, *words: str | Path) -> list[str]:
    where = ("--cache", folder / "cache", "-o", folder / "out", "--quality", "fast")
    return [sys.executable, "-m", "videdit", "batch", *map(str, (*words, *where)), "--log-json"]


def batch(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=600)


def actors() -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True).stdout
    return [int(pid) for pid in re.findall(r"^\s*(\d+) ray::BatchActor", listed, re.MULTILINE)]


@pytest.mark.weights
def test_a_killed_actor_loses_nothing(
    example: Path, tmp_path: Path, networks: Networks, default_cache: Path
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    sources = tmp_path / "sources"
    sources.mkdir()
    with av.open(str(example)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number in (0, 30):
                shown = frame.to_ndarray(format="bgr24")
                cv2.imwrite(str(sources / f"{number:02d}.png"), shown)
    how = {"quality": "fast", "cache_dir": tmp_path / "alone"}
    for path in list(sources.iterdir()):
        alone = tmp_path / "alone" / f"{path.stem}-Smiling+1.png"
        alone.parent.mkdir(exist_ok=True)
        edit_image(path, alone, {"Smiling": 1}, settings=how, networks=networks)
    with subprocess.Popen(
        command(tmp_path, sources, "--attr", "Smiling", "--ray", "local", "--jobs", "2"),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        killed = 0
        for line in process.stderr:
            # Both jobs are under way by the first word of progress, however slow the machine.
            if not killed and '"job_progress"' in line:
                killed = actors()[0]
                os.kill(killed, signal.SIGKILL)
            print(line, end="")
        assert process.wait(300) == 0
    assert killed
    said = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [job["state"] for job in said["jobs"]] == ["done"] * 2
    for path in (tmp_path / "alone").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
