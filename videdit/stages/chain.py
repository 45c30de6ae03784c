"""The chain in its order."""

from __future__ import annotations

from ..pipeline.stage import Stage
from .align import AlignStage
from .blend import BlendStage
from .decode import DecodeStage
from .edit import EditStage
from .encode import EncodeStage
from .frames import FramesStage
from .landmarks import LandmarksStage
from .reconstruct import ReconstructStage
from .refine import RefineStage
from .resources import Resources
from .track import TrackStage


def make_chain(resources: Resources) -> list[Stage]:
    """All stages, each after those it takes."""
    return [
        FramesStage(resources),
        LandmarksStage(resources),
        TrackStage(resources),
        AlignStage(resources),
        EncodeStage(resources),
        RefineStage(resources),
        ReconstructStage(resources),
        EditStage(resources),
        DecodeStage(resources),
        BlendStage(resources),
    ]
