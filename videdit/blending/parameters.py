"""The numbers of this room that shape a result, as plain values for a stage's key.

Every class is frozen and ``dataclasses.asdict`` makes plain JSON of it. Functions of the room take
the one that they need, :data:`DEFAULT`'s unless told otherwise. Lengths are in crop units, colours
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
        sure: share of what is near that has to be the same thing to say all of what it misses.
        fewest: less of a thing, pixels of the picture that is looked at, says nothing.
    """

    reduction: int = 8
    least_side: int = 32
    limit: float = 0.25
    reach: float = 0.03
    sure: float = 0.2
    fewest: float = 4.0


@dataclass(frozen=True)
class Smoothing:
    """Standard deviations of the smoothing over time, seconds.

    Attributes:
        bending_sigma_s: of how far the reconstruction's landmarks lie from the source's.
        change_sigma_s: of the changes that are applied to the frames.
    """

    bending_sigma_s: float = 0.1
    change_sigma_s: float = 0.08

    @property
    def bending_padding_s(self) -> float:
        """Seconds to read before and after the frames whose bending is smoothed."""
        return 4 * self.bending_sigma_s

    @property
    def change_padding_s(self) -> float:
        """The same for what is applied to the frames: so far weights count."""
        return 2.5 * self.change_sigma_s


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
class Motion:
    """How the source's own pixels are moved and shaded (``transfer``).

    Attributes:
        side: largest side of the pictures in which motion, light and colours are looked for,
            pixels.
        smoothness: standard deviation of the smoothing of motion.
        closure: by how much there and back again may miss before motion is trusted less.
        detail: standard deviation of the blur that leaves light, folds and wrinkles, and takes the
            generator's finest texture away.
        tone: share that is taken over of light and colour of the face as a whole ...
        tone_reach: ... which is what a blur of this standard deviation leaves.
        as_light: a source that is darker than its reconstruction times this changes by less.
        snap: radius within which a mask's border finds the source's edges ...
        snap_noise: ... where they are stronger than this variance of the luma.
        growth: how far a region may grow over others, pixels of the parser's maps.
        floor, gain: alpha is ``gain`` times what is touched, less ``floor``: small traces touch
            nothing, and all else is there in full.
        margin: so far from the crop's border nothing is touched ...
        border: ... and over this width it fades out towards there.
    """

    side: int = 256
    smoothness: float = 0.006
    closure: float = 0.004
    detail: float = 0.0015
    tone: float = 0.3
    tone_reach: float = 0.05
    as_light: float = 0.9
    snap: float = 0.008
    snap_noise: float = 1e-3
    growth: int = 2
    floor: float = 0.1
    gain: float = 6.0
    margin: float = 0.005
    border: float = 0.04


@dataclass(frozen=True)
class Seen:
    """What of a face is to be seen in the source (``face``). Pairs say where nothing is changed and
    where all is.

    Attributes:
        hidden: share of the hull of the landmarks that is any part of a head.
        outside: share of it that lies in the frame.
        alike: correlation of the luma of source and reconstruction in it. Real faces: 0.8 to 0.99.
        grey: mean difference of the largest and the smallest channel, [0, 1].
    """

    hidden: tuple[float, float] = (0.35, 0.6)
    outside: tuple[float, float] = (0.6, 0.85)
    alike: tuple[float, float] = (0.25, 0.5)
    grey: tuple[float, float] = (0.008, 0.03)


@dataclass(frozen=True)
class Matter:
    """Where the generator's own pixels are shown (``transfer``). Pairs say where something begins
    and where it is full.

    Attributes:
        comes: by how much a region's probability rises or falls where it comes or goes.
        slack: a region of the source that the reconstruction shows less of by this is the same.
        reach: radius by which the regions are widened, pixels of the parser's maps.
        traces: radius by which what goes is widened, the same.
        background: between these probabilities what the edit shows as background is the source's
            own, and the source's is known.
        coarse: standard deviation of the blur whose difference is structure.
        structure: mean absolute difference that neither motion nor light explains.
        torn: by how much motion there and back again misses where it explains nothing.
        blur: standard deviation of the mask's blur.
        renewed: share of the generator's pixels that are shown where all is renewed ...
        change: ... which it is from this mean absolute difference of edit and reconstruction on.
    """

    comes: tuple[float, float] = (0.25, 0.7)
    slack: float = 0.2
    reach: int = 3
    traces: int = 4
    background: tuple[float, float] = (0.4, 0.8)
    coarse: float = 0.016
    structure: tuple[float, float] = (0.03, 0.075)
    torn: tuple[float, float] = (0.004, 0.01)
    blur: float = 0.004
    renewed: float = 0.7
    change: float = 0.02


@dataclass(frozen=True)
class Speech:
    """How a mouth is kept open (``speech``).

    Attributes:
        open: between these distances of the inner lips, in inter-ocular ones, a mouth is open.
        reach: standard deviation of how far chin and upper lip follow the inner lips.
    """

    open: tuple[float, float] = (0.02, 0.05)
    reach: float = 0.08


@dataclass(frozen=True)
class Recolouring:
    """How hair or lips take another colour (``find_colour``); the defaults are hair's. Lengths are
    in units of the wider crop.

    Attributes:
        sure: a pixel belongs to a region for sure from this probability on.
        gain: smallest and largest factor of the strands' contrast.
        border: so far beyond the border to the rest of the face colours tell what is hair ...
        strands: ... so far beyond that to anything else ...
        roots: ... and so far into the hair.
        apart: colours of both sides that differ by this tell it half, and the parser the rest.
        shadow: from the other side's colour (0) to the regions' own (1): so far a pixel is none of
            theirs.
        floor: less of it than this is none.
        fade: height over which the colour fades out towards the crop's lower border.
    """

    sure: float = 0.7
    gain: tuple[float, float] = (0.4, 2.5)
    border: float = 0.008
    strands: float = 0.04
    roots: float = 0.025
    apart: float = 0.12
    shadow: float = 0.25
    floor: float = 0.06
    fade: float = 0.2


@dataclass(frozen=True)
class Beyond:
    """How hair beyond the face's crop goes (``beyond``).

    Attributes:
        least: between these mean probabilities of hair along the upper border there is any.
        bare: between these shares of it that the edit shows background instead, it goes.
        down: between these heights of the face's crop, from 0 at its top, it stays.
    """

    least: tuple[float, float] = (0.02, 0.08)
    bare: tuple[float, float] = (0.5, 0.8)
    down: tuple[float, float] = (0.55, 0.7)


@dataclass(frozen=True)
class Grain:
    """How the source's grain comes onto the generator's pixels (``applied``).

    Attributes:
        sigma: standard deviation of the blur that takes grain away, pixels of the frame.
        reach: side of the square in which there may be twice as much as usual, pixels of the frame.
        most: larger than so many of its own standard deviations it is no grain but an edge.
    """

    sigma: float = 1.0
    reach: int = 9
    most: float = 2.5


@dataclass(frozen=True)
class BlendingParameters:
    """All of the room's.

    Attributes:
        bending: of reconstruction and edit to the source.
        guide: of the edit to the reconstruction, where its motion is looked for.
        zoom: so many times as large as the face's crop is the one in which hair is looked for: it
            ends where it ends, not where the face's crop does.
    """

    colours: Colours = Colours()
    smoothing: Smoothing = Smoothing()
    bending: Bending = Bending()
    guide: Bending = Bending(reach=0.03, ground=0.1, limit=0.12)
    motion: Motion = Motion()
    matter: Matter = Matter()
    speech: Speech = Speech()
    hair: Recolouring = Recolouring()
    lips: Recolouring = Recolouring(
        sure=0.5, border=0.006, strands=0.008, roots=0.008, apart=0.06, shadow=0.1
    )
    beyond: Beyond = Beyond()
    grain: Grain = Grain()
    zoom: float = 1.45
    seen: Seen = Seen()


DEFAULT = BlendingParameters()
