"""Hair that goes where the face's crop ends: it does not end there."""

from __future__ import annotations

from videdit.blending.change import Change
from videdit.blending.maps import FloatArray, centres, larger, ramp, smaller, zeros
from videdit.blending.parameters import DEFAULT, BlendingParameters
from videdit.blending.recolour import matte_of
from videdit.blending.transfer import Parsed, behind, share_of

HAIR = frozenset({"hair"})


def hair_goes(parsed: Parsed, parameters: BlendingParameters = DEFAULT) -> float:
    """How surely an edit takes away the hair that reaches the crop's upper border, 0 to 1; 0 where
    none does.

    Args:
        parsed: regions of the crop.
        parameters: of the room.
    """
    how = parameters.motion
    rows = max(1, round((how.margin + how.border) * parsed.source.shape[0] / 2))
    hair = share_of(parsed.source[:rows], HAIR)
    bare = share_of(parsed.edited[:rows], frozenset({"background"}))
    goes = (hair * bare).sum() / max(float(hair.sum()), 1e-6)
    any_ = ramp(hair.mean(), parameters.beyond.least)
    return float(any_ * ramp(goes, parameters.beyond.bare))


def find_beyond(
    wide: FloatArray,
    wide_regions: FloatArray,
    goes: float,
    parameters: BlendingParameters = DEFAULT,
) -> Change | None:
    """The background instead of the hair around the face's crop.

    To be applied before the crop's own change, which fades out towards its border.

    Args:
        wide: (size, size, 3) crop of the source, ``zoom`` times as wide as the face's, with
            the same middle.
        wide_regions: its regions.
        goes: how much of it is taken away, 0 to 1.
        parameters: of the room.

    Returns:
        A change of the wide crop; None where no background is seen.
    """
    found = behind(wide, wide_regions, parameters)
    if found is None or not goes:
        return None
    size = wide.shape[0]
    where = matte_of(wide, wide_regions, HAIR, parameters.hair) * goes
    # From 0 to 1 over the face's crop.
    across = (centres(size, wide) - 0.5) * parameters.zoom + 0.5
    how = parameters.motion
    ends = (how.margin + how.border, how.margin + 2 * how.border)
    edge = 1 - ramp(smaller(across, 1 - across), ends)
    where = where * larger(edge[:, None], edge[None])
    # Farther down hair lies over shoulders.
    where = where * (1 - ramp(across, parameters.beyond.down))[:, None]
    return Change(
        motion=zeros(wide, 8, 8, 2),
        offset=zeros(wide, 8, 8, 3),
        where=where,
        matter=zeros(wide, 8, 8) + 1,
        painted=found,
    )
