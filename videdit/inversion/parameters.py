"""The numbers of this room that shape a result, as plain values for a stage's key.

Every class is frozen and ``dataclasses.asdict`` makes plain JSON of it. Numbers that belong to a
trained network are not here: they change with the weights or never.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CodeSmoothing:
    """Standard deviations of the smoothing of codes over time, in seconds, by the band of the
    latent space (``LatentSpace.bands``).

    Attributes:
        pose: follows the head.
        features: must keep blinks and speech.
        colour: belongs to the person and the light.
    """

    pose: float = 0.05
    features: float = 0.03
    colour: float = 0.4

    @property
    def calmest(self) -> float:
        """The largest of them."""
        return max(self.pose, self.features, self.colour)

    @property
    def pad_s(self) -> float:
        """Seconds to read before and after the frames that are smoothed: four times the largest."""
        return 4 * self.calmest


@dataclass(frozen=True)
class Refinement:
    """How a person's offset is found (:mod:`videdit.inversion.refine`).

    Attributes:
        keyframes: frames that are compared.
        sample: among how many frames of a long track they are looked for.
        steps: optimisation steps, at most; one keyframe is looked at in each.
        looks: most steps per keyframe. Of a picture, 8 steps bring two thirds of what 24 do, in a
            third of the time; in a clip each keyframe has 6.
        learning_rate: Adam's, in whitened coordinates; it falls to 0 over the steps. Fewer steps
            are longer, by the root of how many times fewer they are.
        prior: weight of the offset's size.
        identity, parts: weights of what the face recognition network sees differ: who it is, and
            the parts of the face in their places.
        axes: principal axes of W in which the offset may lie: the others hold no person, only ways
            to lose contrast, which is where a pixel loss on faces that don't coincide ends.
        same_person: tracks whose descriptors have at least this cosine show one person. Of 3 321
            pairs of different people none reaches 0.63; parts of one clip never fall below 0.83.
    """

    keyframes: int = 4
    sample: int = 400
    steps: int = 24
    looks: int = 8
    learning_rate: float = 0.08
    prior: float = 0.02
    identity: float = 0.6
    parts: float = 0.2
    axes: int = 100
    same_person: float = 0.75

    def steps_for(self, keyframes: int) -> int:
        """Steps with so many keyframes."""
        return min(self.steps, self.looks * keyframes)


@dataclass(frozen=True)
class Projection:
    """How a single code is optimised (:mod:`videdit.inversion.projector`).

    Attributes:
        steps: Adam steps for a face without a predecessor.
        warm_steps: steps for a face that starts from the frame before.
        learning_rate: Adam's, in whitened coordinates; it falls to 0 over the steps.
        prior: weight of the code's size.
        row_prior: weight of how much its rows differ.
    """

    steps: int = 100
    warm_steps: int = 12
    learning_rate: float = 0.05
    prior: float = 0.02
    row_prior: float = 0.02


@dataclass(frozen=True)
class Strokes:
    """How what was painted on a face is turned into a code (:mod:`videdit.inversion.strokes`).

    Attributes:
        steps: Adam steps.
        learning_rate: Adam's, in whitened coordinates; it falls to 0 over the steps.
        blur: side in pixels of the squares in which colours are compared; odd.
        margin: pixels around the strokes that are free.
        drawn, kept: weights of the strokes and of what is around them.
        prior: weight of how far the code goes.
    """

    steps: int = 60
    learning_rate: float = 0.08
    blur: int = 5
    margin: int = 6
    drawn: float = 4.0
    kept: float = 4.0
    prior: float = 0.01


@dataclass(frozen=True)
class InversionParameters:
    """All of the room's."""

    smoothing: CodeSmoothing = CodeSmoothing()
    strokes: Strokes = Strokes()
    refinement: Refinement = Refinement()
    projection: Projection = Projection()


DEFAULT = InversionParameters()
