"""`videdit bench`: what each stage costs on this machine, against the bare networks."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videdit.cli.options import PrintJson

if TYPE_CHECKING:
    from videdit.api import Result


def bench(
    source: Annotated[Path, typer.Argument(help="A clip with a face.", show_default=False)],
    as_json: PrintJson = False,
) -> None:
    """Measure a whole run: videdit bench examples/input.mp4

    Runs the main job twice in an empty cache, the second time with another strength, and compares
    with the time the networks alone take. Ratios of one report belong together; seconds of two
    reports need not.
    """
    from videdit.api import edit_video
    from videdit.pipeline.progress import make_progress

    with tempfile.TemporaryDirectory(prefix="videdit-bench-") as folder:
        settings = {"cache_dir": Path(folder) / "cache"}
        output = Path(folder) / "output.mp4"
        progress = make_progress()
        first = edit_video(source, output, {"Smiling": 1.5}, settings=settings, progress=progress)
        second = edit_video(
            source, output, {"Smiling": 0.8}, overwrite=True, settings=settings, progress=progress
        )
        cache_bytes = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = summarise(first, second, bare_networks(), cache_bytes, peak)
    print(json.dumps(report, indent=1) if as_json else table(report))


def bare_networks(calls: int = 10) -> dict[str, float]:
    """Seconds per call of each network alone, the mean after a warm-up."""
    import numpy as np

    from videdit.inversion.predict import INPUT_SIZE
    from videdit.models.networks import open_networks

    networks = open_networks("mobile", "cpu")
    encoder, generator, landmarker = networks.encoder, networks.generator, networks.landmarker
    crop = np.full((1, INPUT_SIZE, INPUT_SIZE, 3), 0.5, np.float32)
    code = encoder.encode(crop)
    face = np.rint(generator.decode(code)[0] * 255).astype(np.uint8)

    def seconds(call: Callable[[], Any]) -> float:
        call()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - started) / calls

    return {
        "landmarks": seconds(lambda: landmarker.detect(face)),
        "encoder": seconds(lambda: encoder.encode(crop)),
        "generator": seconds(lambda: generator.decode(code)),
    }


def summarise(
    first: Result, second: Result, bare: dict[str, float], cache_bytes: int, peak: int
) -> dict[str, Any]:
    """The report as plain JSON: seconds per frame, shares, memory in MB."""
    frames = first.frames
    # Each frame is searched for faces once and its reconstruction once; decoded twice.
    networks = 2 * bare["landmarks"] + bare["encoder"] + 2 * bare["generator"]
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}",
        "frames": frames,
        "seconds_per_frame": first.seconds / frames,
        "stages": {n: s.seconds / frames for n, s in first.report.stages.items()},
        "networks_alone": {**bare, "per_frame": networks},
        "run_over_networks": first.seconds / frames / networks,
        "second_over_first": second.seconds / first.seconds,
        "peak_memory_mb": peak * unit / 1e6,
        "cache_mb_per_minute_at_30fps": cache_bytes / 1e6 / frames * 1800,
    }


def table(report: dict[str, Any]) -> str:
    """The report for reading."""
    lines = [f"{report['machine']}; {report['frames']} frames", ""]
    lines += [f"  {name:<12} {s * 1000:8.1f} ms/frame" for name, s in report["stages"].items()]
    alone = report["networks_alone"]
    lines += [
        "",
        f"whole run         {report['seconds_per_frame'] * 1000:8.1f} ms/frame",
        f"networks alone    {alone['per_frame'] * 1000:8.1f} ms/frame (landmarks"
        f" {alone['landmarks'] * 1000:.0f}, encoder {alone['encoder'] * 1000:.0f}, generator"
        f" {alone['generator'] * 1000:.0f} ms a call)",
        f"run / networks    {report['run_over_networks']:8.2f}",
        f"second / first    {report['second_over_first']:8.2f} (another alpha)",
        f"peak memory       {report['peak_memory_mb']:8.0f} MB",
        f"cache             {report['cache_mb_per_minute_at_30fps']:8.0f} MB per minute at 30 fps",
    ]
    return "\n".join(lines)
