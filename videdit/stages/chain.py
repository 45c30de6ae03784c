"""The chain in its order."""

from __future__ import annotations

from ..pipeline.stage import Stage
from .align import AlignStage
from .blend import BlendStage
from .compare import CompareStage
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
    """All stages, each after those it takes; ``compare`` where a video is to be compared."""
    kind = None if resources.timeline.is_image else resources.run.compare
    compared = [] if kind is None else [CompareStage(resources, kind)]
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
        *compared,
    ]
