"""`videdit bench`: what each stage costs on this machine, against the bare networks."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videdit.cli.options import BundleName, DeviceName, Precision, PrintJson
from videdit.errors import NoFaceError

if TYPE_CHECKING:
    from videdit.api import Result
    from videdit.evaluation.plain import PlainCost
    from videdit.generators.cost import Costs
    from videdit.media.timeline import Timeline


def bench(
    source: Annotated[Path, typer.Argument(help="A clip with a face.", show_default=False)],
    quality: Annotated[str, typer.Option(help="As `videdit run --quality`.")] = "balanced",
    device: DeviceName = "auto",
    precision: Precision = "auto",
    bundle: BundleName = "mobile",
    attr: Annotated[str, typer.Option(help="What is edited.")] = "Smiling",
    editor: Annotated[str, typer.Option(help="As `videdit run --editor`.")] = "transformer",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Processes that share the work.")
    ] = 1,
    as_json: PrintJson = False,
) -> None:
    """Measure a whole run: videdit bench examples/input.mp4

    Runs the main job twice in an empty cache, the second time with another strength, and compares
    with the time the networks alone take on that device. On the CPU, too: one frame of a StyleGAN2
    of 1024 pixels, with its bare convolutions; and what a frame costs where the method runs as
    papers run it, each network in plain PyTorch. Ratios of one report belong together; seconds of
    two reports need not.
    """
    from videdit.api import edit_video
    from videdit.batch.film import local_hands
    from videdit.evaluation.plain import measure_plain
    from videdit.generators.cost import measure_costs
    from videdit.media.probe import probe
    from videdit.pipeline.progress import make_progress
    from videdit.settings import method_of

    with tempfile.TemporaryDirectory(prefix="videdit-bench-") as folder:
        cache = Path(folder) / "cache"
        output = Path(folder) / "output.mp4"
        settings = {
            "method": method_of(quality),
            "device": device,
            "precision": precision,
            "bundle": bundle,
            "editor": editor,
        }
        progress = make_progress()
        with local_hands(jobs, cache, progress.note) as hands:
            first, second = (
                edit_video(
                    source,
                    output,
                    {attr: alpha},
                    overwrite=True,
                    settings={**settings, "cache_dir": cache},
                    progress=progress,
                    hands=hands,
                )
                for alpha in (1.5, 0.8)
            )
        cache_bytes = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timeline = probe(source)
    bare = bare_networks(timeline, first.edited, bundle, device, precision)
    plain = measure_plain(timeline.height, timeline.width)
    report = summarise(first, second, bare, cache_bytes, peak, measure_costs(), plain)
    print(json.dumps(report, indent=1) if as_json else table(report))


def bare_networks(
    timeline: Timeline,
    edited: Sequence[int],
    bundle: str = "mobile",
    device: str = "auto",
    precision: str = "auto",
    calls: int = 10,
) -> dict[str, float]:
    """Seconds that each network alone takes for a face, the mean after a warm-up; as many faces at
    a time as a run gives it.

    Args:
        timeline: of the clip.
        edited: its frames with a face.
        bundle, device, precision: as `videdit run`.
        calls: how often each is timed.

    Raises:
        NoFaceError: there are none.
    """
    import numpy as np

    from videdit.device import batch_size
    from videdit.faces.align import cut_crop, ffhq_quad
    from videdit.faces.detection import landmarks_in, largest
    from videdit.inversion.predict import INPUT_SIZE
    from videdit.media.reader import read_frames
    from videdit.models.networks import open_networks

    networks = open_networks(bundle, device, precision)
    encoder, generator, landmarker = networks.encoder, networks.generator, networks.landmarker
    count = batch_size(networks.device)
    found = []
    for index in edited:
        (frame,) = read_frames(timeline, index, index + 1)
        rgb = frame.rgb8
        found = landmarker.detect(rgb)
        if found:
            break
    if not found:
        raise NoFaceError(f"{timeline.path.name}: no frame with a face", "Take another clip.")
    crop = cut_crop(rgb, ffhq_quad(largest(found).points68), INPUT_SIZE)
    crops = np.repeat(crop[None], count, 0)
    codes = encoder.encode(crops)
    face = np.rint(crop * 255).astype(np.uint8)

    def seconds(call: Callable[[], Any]) -> float:
        call()
        started = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - started) / calls

    return {
        "landmarks": seconds(lambda: landmarker.detect(rgb)),
        "landmarks_of_crop": seconds(lambda: landmarks_in(landmarker, face)),
        "encoder": seconds(lambda: encoder.encode(crops)) / count,
        "generator": seconds(lambda: generator.decode(codes)) / count,
    }


def summarise(
    first: Result,
    second: Result,
    bare: dict[str, float],
    cache_bytes: int,
    peak: int,
    costs: Costs,
    plain: PlainCost,
) -> dict[str, Any]:
    """The report as plain JSON: seconds per frame, shares, memory in MB."""
    frames = first.frames
    # Each frame is searched for faces once; a reconstruction and an edit are decoded and looked at.
    networks = bare["landmarks"] + bare["encoder"]
    networks += 2 * (bare["generator"] + bare["landmarks_of_crop"])
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
        "stylegan2": {
            "size": costs.size,
            "seconds": costs.whole.seconds,
            "memory_mb": costs.whole.memory / 1e6,
            "time_over_convolutions": costs.whole.seconds / costs.convolutions.seconds,
            "memory_over_convolutions": costs.whole.memory / costs.convolutions.memory,
        },
        "plain_pytorch": {
            **asdict(plain),
            "per_frame": plain.total,
            "over_run": plain.total / (first.seconds / frames),
        },
    }


def table(report: dict[str, Any]) -> str:
    """The report for reading."""
    lines = [f"{report['machine']}; {report['frames']} frames", ""]
    lines += [
        f"  {name:<12} {s * 1000:8.1f} ms/frame {1 / max(s, 1e-6):8.1f} frames/s"
        for name, s in report["stages"].items()
    ]
    alone, large = report["networks_alone"], report["stylegan2"]
    plain = report["plain_pytorch"]
    lines += [
        "",
        f"whole run         {report['seconds_per_frame'] * 1000:8.1f} ms/frame"
        f" {1 / report['seconds_per_frame']:8.1f} frames/s",
        f"networks alone    {alone['per_frame'] * 1000:8.1f} ms/frame (landmarks"
        f" {alone['landmarks'] * 1000:.0f}, in a crop {alone['landmarks_of_crop'] * 1000:.0f},"
        f" encoder {alone['encoder'] * 1000:.0f}, generator"
        f" {alone['generator'] * 1000:.0f} ms a call)",
        f"run / networks    {report['run_over_networks']:8.2f}",
        f"second / first    {report['second_over_first']:8.2f} (another alpha)",
        f"peak memory       {report['peak_memory_mb']:8.0f} MB",
        f"cache             {report['cache_mb_per_minute_at_30fps']:8.0f} MB per minute at 30 fps",
        f"StyleGAN2, CPU    {large['seconds'] * 1000:8.0f} ms and {large['memory_mb']:.0f} MB a"
        f" frame of {large['size']} pixels: {large['time_over_convolutions']:.2f} and"
        f" {large['memory_over_convolutions']:.2f} of its bare convolutions'",
        f"plain PyTorch, CPU{plain['per_frame'] * 1000:8.0f} ms a frame (S3FD"
        f" {plain['detector'] * 1000:.0f}, pSp {plain['encoder'] * 1000:.0f}, StyleGAN2"
        f" {plain['generator'] * 1000:.0f}): {plain['over_run']:.1f} times this run's",
    ]
    return "\n".join(lines)
