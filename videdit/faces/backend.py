"""The choice between landmark backends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from videdit.errors import UsageError
from videdit.faces.detection import Landmarker
from videdit.faces.parameters import DEFAULT, Detecting

BACKENDS = ("mesh", "fan")


def load_backend(
    name: str,
    files: Mapping[str, Path],
    device: str = "cpu",
    parameters: Detecting = DEFAULT.detecting,
) -> Landmarker:
    """Make a backend ready for use.

    Args:
        name: ``"mesh"`` or ``"fan"``.
        files: what ``mesh`` needs, from a bundle: ``face_detection_full_range.tflite`` and
            ``face_landmark.tflite``. ``fan`` takes none, its library fetches its own weights.
        device: ``"cpu"`` or ``"cuda"``, where ``fan`` runs; ``mesh`` always runs on the CPU.
        parameters: those of both backends.

    Raises:
        UsageError: no such backend.
        WeightsError: a file is missing, is no such network, or could not be fetched.
    """
    # Late: each brings libraries that the other doesn't need.
    if name == "mesh":
        from videdit.faces.mesh import MeshBackend

        return MeshBackend(files, parameters.mesh)
    if name == "fan":
        from videdit.faces.fan import FanBackend

        return FanBackend(device, parameters.fan)
    raise UsageError(f"no face backend is called {name!r}", f"Choose one of {', '.join(BACKENDS)}.")
