"""`videdit doctor`: what works on this machine, and what to install where it doesn't."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from videdit import __version__
from videdit.errors import VideditError

GOOD, NOTE, BAD = "ok", "note", "FAIL"

# Distribution, module: what a run imports.
_LIBRARIES = (
    ("numpy", "numpy"),
    ("scipy", "scipy"),
    ("torch", "torch"),
    ("kornia", "kornia"),
    ("opencv-python", "cv2"),
    ("openvino", "openvino"),
    ("av", "av"),
    ("ffmpeg-python", "ffmpeg"),
    ("imageio-ffmpeg", "imageio_ffmpeg"),
    ("face-alignment", "face_alignment"),
    ("scenedetect", "scenedetect"),
    ("scikit-image", "skimage"),
    ("safetensors", "safetensors"),
    ("platformdirs", "platformdirs"),
    ("rich", "rich"),
    ("typer", "typer"),
)
_SYSTEM_LIBRARY_REMEDY = (
    "OpenCV needs libGL and GLib of the system; on Debian and Ubuntu: "
    "apt-get install libgl1 libglib2.0-0"
)
# What the bundled ffmpeg must bring for writing.
_ENCODERS = ("libx264", "libx265", "ffv1")
_ENOUGH_SPACE = 2e9
_ENOUGH_MEMORY = 4e9


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, in words, and what to do about it."""

    level: str
    what: str
    remedy: str = ""


def doctor() -> None:
    """Check what works on this machine, and say what to install where something doesn't.

    Ends with exit code 1 when something that a run needs does not work.

    Example: videdit doctor
    """
    failed = 0
    for title, check in CHECKS:
        for finding in _guarded(check):
            failed += finding.level == BAD
            print(f"{finding.level:<4}  {title}: {finding.what}", flush=True)
            if finding.remedy:
                print(f"      -> {finding.remedy}", flush=True)
    print(f"\n{failed} problem(s) found" if failed else "\nvidedit can run on this machine")
    if failed:
        raise typer.Exit(1)


def check_python() -> Iterator[Finding]:
    """The interpreter, and the pip that weights are fetched with."""
    version = platform.python_version()
    yield Finding(GOOD, f"{version} at {sys.executable}, videdit {__version__}")
    from videdit.bundles.fetch import pip_command

    # Another process: whether pip runs is the question, not whether it imports here.
    pip = subprocess.run([*pip_command(), "--version"], capture_output=True, text=True)
    if pip.returncode == 0:
        yield Finding(GOOD, " ".join(pip.stdout.split()[:2]))
    else:
        yield Finding(NOTE, "no pip; weights cannot be fetched", "Run `python -m ensurepip`.")


def check_machine() -> Iterator[Finding]:
    """Processor and memory."""
    yield Finding(GOOD, f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return  # a system that doesn't tell
    text = f"{memory / 1e9:.1f} GB of memory"
    if memory >= _ENOUGH_MEMORY:
        yield Finding(GOOD, text)
    else:
        yield Finding(NOTE, text, "A run takes up to 2.5 GB; close other programs.")


def check_libraries() -> Iterator[Finding]:
    """Every library imported once, as a run does."""
    for distribution, module in _LIBRARIES:
        try:
            importlib.import_module(module)
            yield Finding(GOOD, f"{distribution} {importlib.metadata.version(distribution)}")
        except ImportError as error:
            reason = " ".join(str(error).split())
            if module == "cv2" and ".so" in reason:
                remedy = _SYSTEM_LIBRARY_REMEDY
            else:
                remedy = f"pip install {distribution}"
            yield Finding(BAD, f"{distribution} does not load ({reason})", remedy)


def check_devices() -> Iterator[Finding]:
    """Where networks can run."""
    import torch

    from ..compiled import core

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            text = f"cuda:{index} {properties.name}, {properties.total_memory / 1e9:.0f} GB"
            yield Finding(GOOD, text)
    elif torch.version.cuda:
        yield Finding(NOTE, "no CUDA device found; runs use the CPU")
    else:
        yield Finding(NOTE, "this torch is built without CUDA; runs use the CPU")
    yield Finding(GOOD, f"OpenVINO runs on {core().get_property('CPU', 'FULL_DEVICE_NAME')}")


def check_ffmpeg() -> Iterator[Finding]:
    """The bundled ffmpeg and the encoders that writing needs."""
    import av
    import imageio_ffmpeg

    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        answer = subprocess.run(
            [program, "-hide_banner", "-version"], capture_output=True, text=True, check=True
        )
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        yield Finding(BAD, f"ffmpeg does not run ({error})", "pip install imageio-ffmpeg")
        return
    yield Finding(GOOD, f"{' '.join(answer.stdout.split()[:3])} at {program}")
    lacking = [name for name in _ENCODERS if name not in av.codecs_available]
    if lacking:
        yield Finding(BAD, f"PyAV lacks {', '.join(lacking)}", "pip install --force-reinstall av")
    else:
        yield Finding(GOOD, f"PyAV encodes with {', '.join(_ENCODERS)}")


def check_weights() -> Iterator[Finding]:
    """The parts of every bundle, verified."""
    from videdit.bundles import bundle_names, load_bundle

    for name in bundle_names():
        try:
            bundle = load_bundle(name)
        except VideditError as error:  # one of the user's
            yield Finding(BAD, error.message, error.remedy)
            continue
        states = {part: bundle.state(part) for part in bundle.manifest.parts}
        damaged = [part for part, state in states.items() if state == "damaged"]
        missing = [part for part, state in states.items() if state == "missing"]
        if damaged:
            remedy = "Run `videdit weights fetch`."
            yield Finding(BAD, f"bundle {name}: damaged {', '.join(damaged)}", remedy)
        if missing:
            remedy = "The first run fetches them, or `videdit weights fetch` does."
            yield Finding(NOTE, f"bundle {name}: missing {', '.join(missing)}", remedy)
        if not damaged and not missing:
            place = bundle.manifest.folder if bundle.of_user else bundle.folder
            yield Finding(GOOD, f"bundle {name}: {len(states)} parts verified in {place}")


def check_folders() -> Iterator[Finding]:
    """The cache can be written and has space."""
    from videdit.pipeline.store import default_cache_dir

    folder = default_cache_dir()
    existing = _nearest_existing(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        remedy = "Set VIDEDIT_CACHE to a folder that can be written."
        yield Finding(BAD, f"{folder} cannot be written ({error.strerror})", remedy)
        return
    free = shutil.disk_usage(existing).free
    text = f"cache {folder}, {free / 1e9:.1f} GB free"
    if free >= _ENOUGH_SPACE:
        yield Finding(GOOD, text)
    else:
        remedy = "Free space, run `videdit cache prune`, or set VIDEDIT_CACHE to another disk."
        yield Finding(NOTE, text, remedy)


CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("python", check_python),
    ("machine", check_machine),
    ("library", check_libraries),
    ("device", check_devices),
    ("ffmpeg", check_ffmpeg),
    ("weights", check_weights),
    ("folders", check_folders),
)


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The check's findings; what it raises is a finding too, so that the others still run."""
    try:
        yield from check()
    except ImportError as error:
        yield Finding(BAD, f"not checked, {error.name or error} does not load")
    except VideditError as error:
        yield Finding(BAD, error.message, error.remedy)
    except Exception as error:
        # The one place that must survive anything: a broken driver can raise what it likes.
        yield Finding(BAD, f"{type(error).__name__}: {error}")


def _nearest_existing(path: Path) -> Path:
    """The path itself or the closest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
