"""Settings of the encoder's and the corrector's training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderTraining:
    """Settings of a training; the committed ones are ``training_data/encoder.json``.

    Attributes:
        steps: optimisation steps.
        batch: generated faces a step.
        real: real crops a step, half of which are mirrored.
        morphed: of these, how many are morphs of two people.
        pairs: of these, how many are seen a second time, degraded in another way.
        shown: generated faces a step that are compared as pictures, too.
        learning_rate: peak of the cosine schedule.
        warm_up: steps until the peak.
        code_weight: weight of the codes' error.
        feature_weight: weight of the generator's features.
        picture_weight: weight of pixels and gradients.
        part_weight: weight of the face network's features.
        identity_weight: weight of 1 - cosine of the descriptors.
        consistency_weight: weight of the difference of two degradations' codes.
        spread_weight: weight of the real codes' squared whitened coordinates beyond 1.
        averaging: decay of the averaged weights, which are the result.
        held_out_shards: shards of generated faces that are never trained on.
        seed: decides everything random.
    """

    steps: int = 6000
    batch: int = 12
    real: int = 16
    morphed: int = 8
    pairs: int = 4
    shown: int = 8
    learning_rate: float = 4e-4
    weight_decay: float = 0.02
    warm_up: int = 100
    code_weight: float = 0.3
    feature_weight: float = 0.3
    picture_weight: float = 6.0
    part_weight: float = 0.3
    identity_weight: float = 4.0
    consistency_weight: float = 0.5
    spread_weight: float = 0.05
    averaging: float = 0.998
    held_out_shards: int = 1
    seed: int = 0
