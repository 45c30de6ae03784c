"""The numbers of this room that shape a result, as plain values for a stage's key.

Every class is frozen and ``dataclasses.asdict`` makes plain JSON of it. Functions of the room, in
NumPy and in torch, take the one that they need, :data:`DEFAULT`'s unless told otherwise. They are
grouped by the step that they act in, so that a changed number makes that step and those after it
anew and nothing before. The size of the maps is not here
(:data:`videdit.blending.masks.MAP_SIZE`): it is their format. Lengths are in crop units, colours
and their differences in RGB from 0 to 1, where nothing else is said.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colours:
    """How an edit takes over the source's light and colour (``match_colours``).

    Attributes:
        reduction: the picture is looked at this many times smaller ...
        least_side: ... but no smaller than this, pixels.
        limit: no difference counts for more. Where source and reconstruction disagree strongly they
            show different things (a hand, glasses, a strand of hair), and it is no colour.
        reach: standard deviation of the blur that separates colour and light from texture.
    """

    reduction: int = 8
    least_side: int = 32
    limit: float = 0.25
    reach: float = 0.03


@dataclass(frozen=True)
class Mapping:
    """How pictures are compared: for the maps of what an edit changed and what an inversion missed.

    Attributes:
        blur_sigma: of the maps (``difference_map``), their pixels.
        colours: what the misfit leaves out, because the blend takes it over: ``composite`` uses
            the same.
    """

    blur_sigma: float = 1.2
    colours: Colours = Colours()


@dataclass(frozen=True)
class Smoothing:
    """Standard deviations of the smoothing over time, seconds.

    Attributes:
        map_sigma_s: of the maps of change and misfit.
        bending_sigma_s: of how far the reconstruction's landmarks lie from the source's.
    """

    map_sigma_s: float = 0.15
    bending_sigma_s: float = 0.1

    @property
    def padding_s(self) -> float:
        """Seconds to read before and after the frames that are smoothed: four times the larger."""
        return 4 * max(self.map_sigma_s, self.bending_sigma_s)


@dataclass(frozen=True)
class Bending:
    """How a reconstruction's features come under the source's (``bending_field``).

    Attributes:
        grid: side of the field, nodes.
        reach: radius of one landmark's influence: about half the distance between the eyes.
        ground: weight of 'no displacement' against the landmarks; makes the field fade away from
            the face.
        limit: longest displacement: beyond it the landmarks are wrong, not the reconstruction.
    """

    grid: int = 48
    reach: float = 0.055
    ground: float = 0.35
    limit: float = 0.06


@dataclass(frozen=True)
class FaceRegion:
    """Which part of a crop is the face (``face_region``).

    Attributes:
        forehead: the forehead's outline, which has no landmarks, is the brows moved up by this part
            of the distance between eyes and mouth.
        inset: the outline is drawn this much smaller: the mesh's jaw spills over the far cheek of a
            turned head.
        oversampling: the region is drawn this many times larger than the maps.
        softness: standard deviation of the blur of its border.
    """

    forehead: float = 0.7
    inset: float = 0.94
    oversampling: int = 4
    softness: float = 0.03


@dataclass(frozen=True)
class EditMask:
    """Where the edit replaces the source (``edit_mask``). Pairs say where something begins and
    where it is full. The mask rises between the largest of three thresholds.

    Attributes:
        inside: the first threshold, a mean absolute change, inside the face ...
        outside: ... and outside it.
        share: the second, a share of the largest change.
        gain: the third, a multiple of the misfit at the place.
        peak: the quantile of the change, over the crop, that counts as the largest.
        misfit: mean absolute misfit at which the source begins to win outside the face, and wins.
        closing: diameter of the gaps that are closed, pixels of the maps, odd.
        dilation: diameter by which the mask then grows, pixels of the maps, odd.
        blur_sigma: of the mask, pixels of the maps.
        margin: so far from the crop's border there is no mask ...
        border: ... and over this width it fades out towards there.
        floor: the mask is 0 below this and 1 above 1 minus this: blurs and cubics have far tails
            that would touch the whole crop.
    """

    inside: tuple[float, float] = (0.018, 0.055)
    outside: tuple[float, float] = (0.07, 0.16)
    share: tuple[float, float] = (0.4, 0.7)
    gain: tuple[float, float] = (0.8, 1.6)
    peak: float = 0.985
    misfit: tuple[float, float] = (0.045, 0.1)
    closing: int = 7
    dilation: int = 5
    blur_sigma: float = 1.3
    margin: float = 0.01
    border: float = 0.07
    floor: float = 0.01


@dataclass(frozen=True)
class Membrane:
    """How exactly the membrane's equation is solved (``membrane``).

    Attributes:
        cycles: multigrid cycles; six leave an error of at most 0.3 % of the input's range.
        sweeps: of damped Jacobi smoothing before and after each step to a coarser grid.
        damping: weight of a sweep's new values against the old.
        coarsest: grids up to this side are solved exactly.
    """

    cycles: int = 6
    sweeps: int = 3
    damping: float = 0.8
    coarsest: int = 8


@dataclass(frozen=True)
class Seam:
    """How colours are carried in from the mask's rim (``composite``).

    Attributes:
        side: of the grid that this is computed on, pixels; a power of two times at most
            ``membrane.coarsest``.
        limit: no difference of colours counts for more.
        known: confidence in the difference where nothing is pasted ...
        unknown: ... and within the mask, where the difference is the edit itself.
        falloff: the confidence falls to ``unknown`` where the mask reaches 1 over this.
        membrane: how the colours are carried.
    """

    side: int = 64
    limit: float = 0.3
    known: float = 0.5
    unknown: float = 1e-4
    falloff: float = 1.5
    membrane: Membrane = Membrane()


@dataclass(frozen=True)
class Compositing:
    """What decides, of the maps, pictures and landmarks, what is pasted."""

    smoothing: Smoothing = Smoothing()
    bending: Bending = Bending()
    face: FaceRegion = FaceRegion()
    mask: EditMask = EditMask()
    seam: Seam = Seam()


@dataclass(frozen=True)
class BlendingParameters:
    """All of the room's.

    Attributes:
        maps: for the maps of change and misfit; ``maps.colours`` acts in the composite as well.
        compositing: for the composite alone.
    """

    maps: Mapping = Mapping()
    compositing: Compositing = Compositing()


DEFAULT = BlendingParameters()
