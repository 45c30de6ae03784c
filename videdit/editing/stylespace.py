"""StyleSpace: edits of single style channels (*StyleSpace Analysis*, Wu et al., CVPR 2021).

What a generator makes of a code is one number per channel of each layer, its styles s. Many of them
do one thing in one place: a channel for the corners of the mouth, one for the grey of the hair. An
edit adds ``alpha * step`` to a few of them, ``s + alpha * step``, and leaves the code as it is. A
channel is called ``LAYER:CHANNEL``, and alpha 1 of a single one is a standard deviation of it over
the generator's faces.

Where two faces' styles are mixed region by region, this is *Editing in Style* (Collins et al., CVPR
2020): ``s + alpha * q (s' - s)``, where q, between 0 and 1, says how far a channel is the region's:
see `LocalEditor`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ..errors import UsageError
from ..faces.regions import REGIONS
from ..files import replaced
from .editor import Codes, Editor, Floats
from .files import described, read_described, readable
from .touch import EDITABLE, check_region

FORMAT = "videdit.stylespace.1"

_CHANNEL = re.compile(r"(\d+):(\d+)")

_BUDGET = 0.2
"""How much of its activation's energy a channel that is wholly the region's may have elsewhere; see
`region_query`."""


@dataclass(frozen=True)
class StyleChannels:
    """What is known of a generator's style channels.

    Attributes:
        layers: how many channels each layer has.
        scale: (channels,) standard deviations over the generator's faces.
        steps: by attribute, for alphas of -1 and of 1, the channels (k,) that move and by how much
            (k,), in standard deviations.
        shares: (regions, channels) in which region a channel's activations have their energy;
            summing to one over the regions.
        local: (regions, channels) in which region the picture changes with a channel, as a share of
            all change (energy of its gradient); summing to one over the regions.
    """

    layers: tuple[int, ...]
    scale: Floats
    steps: Mapping[str, tuple[tuple[np.ndarray, Floats], tuple[np.ndarray, Floats]]]
    shares: Floats
    local: Floats

    def __post_init__(self) -> None:
        count = sum(self.layers)
        shapes = [(count,), (len(REGIONS), count), (len(REGIONS), count)]
        arrays = (self.scale, self.shares, self.local)
        if [a.shape for a in arrays] != shapes or not all(np.isfinite(a).all() for a in arrays):
            raise ValueError(f"arrays of the shapes {[a.shape for a in arrays]}, or not finite")
        for name, sides in self.steps.items():
            for which, sizes in sides:
                if which.shape != sizes.shape or which.ndim != 1 or not np.isfinite(sizes).all():
                    raise ValueError(f"no steps for {name}")
                if len(which) and not 0 <= which.min() <= which.max() < count:
                    raise ValueError(f"{name} moves channels that there are not")

    def place(self, name: str) -> int | None:
        """Where the channel ``LAYER:CHANNEL`` is among all; None if it is no such name.

        Raises:
            UsageError: there is no such layer or channel.
        """
        match = _CHANNEL.fullmatch(name.strip())
        if match is None:
            return None
        layer, channel = (int(text) for text in match.groups())
        if layer >= len(self.layers):
            raise UsageError(
                f"there is no style layer {layer}", f"Layers go from 0 to {len(self.layers) - 1}."
            )
        if channel >= self.layers[layer]:
            raise UsageError(
                f"style layer {layer} has no channel {channel}",
                f"Its channels go from 0 to {self.layers[layer] - 1}.",
            )
        return sum(self.layers[:layer]) + channel

    def called(self, place: int) -> str:
        """``LAYER:CHANNEL`` of a place among all channels."""
        starts = np.cumsum([0, *self.layers])
        layer = int(np.searchsorted(starts, place, "right")) - 1
        return f"{layer}:{place - starts[layer]}"

    def save(self, path: Path, notes: Mapping[str, object]) -> None:
        """Write half precision; ``notes`` say how it was made."""
        tensors: dict[str, np.ndarray] = {
            "scale": self.scale.astype(np.float32),
            "shares": self.shares.astype(np.float16),
            "local": self.local.astype(np.float16),
        }
        for name, sides in self.steps.items():
            for sign, (which, sizes) in zip("-+", sides, strict=True):
                tensors[f"{name}{sign}.channels"] = which.astype(np.int32)
                tensors[f"{name}{sign}.sizes"] = sizes.astype(np.float32)
        about = {"format": FORMAT, "layers": self.layers, "names": list(self.steps)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as temporary:
            temporary.write_bytes(save(tensors, described(about | {"notes": dict(notes)})))


def load_channels(path: Path) -> StyleChannels:
    """What `StyleChannels.save` wrote.

    Raises:
        WeightsError: missing, damaged, or not such a file.
    """
    with readable(path, "the style channels"):
        about, tensors = read_described(path)
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")

        def side(name: str, sign: str) -> tuple[np.ndarray, Floats]:
            which = tensors[f"{name}{sign}.channels"].astype(np.int64)
            return which, tensors[f"{name}{sign}.sizes"]

        return StyleChannels(
            tuple(about["layers"]),
            tensors["scale"],
            {name: (side(name, "-"), side(name, "+")) for name in about["names"]},
            tensors["shares"],
            tensors["local"],
        )


class StyleSpaceEditor(Editor):
    """Adds to style channels; knows attributes, and every single channel by ``LAYER:CHANNEL``.

    Args:
        channels: what is known of them.
    """

    def __init__(self, channels: StyleChannels) -> None:
        self.channels = channels
        self.names = tuple(channels.steps)

    def name(self, text: str) -> str:
        """See ``Editor.name``; of a channel, with its numbers as they are."""
        place = self.channels.place(text)
        return super().name(text) if place is None else self.channels.called(place)

    def shift(self, codes: Codes, name: str, strengths: Floats) -> Floats:
        """See ``Editor.shift``."""
        scale = self.channels.scale
        offsets = np.zeros((len(codes), len(scale)), np.float32)
        place = self.channels.place(name)
        if place is not None:
            offsets[:, place] = strengths * scale[place]
            return offsets
        for sign, (which, sizes) in zip((-1, 1), self.channels.steps[name], strict=True):
            alphas = np.maximum(sign * strengths, 0)
            offsets[:, which] += alphas[:, None] * (sizes * scale[which])
        return offsets


class LocalEditor(Editor):
    """Gives regions the style that they have in another face: ``s + alpha * q (s' - s)``.

    The channels' shares q of each region: see `region_query`.

    Args:
        channels: what is known of the generator's channels.
        styles: gives the styles (n, channels) of codes.
        other: (channels,) styles of the other face.
    """

    names = EDITABLE

    def __init__(
        self, channels: StyleChannels, styles: Callable[[Codes], Floats], other: Floats
    ) -> None:
        self.channels = channels
        self._styles = styles
        self._other = other

    def name(self, text: str) -> str:
        """See ``Editor.name``; of a region."""
        return check_region(text)

    def shift(self, codes: Codes, name: str, strengths: Floats) -> Floats:
        """See ``Editor.shift``."""
        query = region_query(self.channels.shares, REGIONS.index(name))
        # By itself: the rounding of a product depends on how many codes there are.
        own = [self._styles(codes[k : k + 1])[0] for k in range(len(codes))]
        apart = self._other - np.array(own, np.float32).reshape(-1, len(query))
        return np.asarray(strengths[:, None] * query * apart, np.float32)


def region_query(shares: Floats, region: int, budget: float = _BUDGET) -> Floats:
    """(channels,) from 0 to 1: how far each channel is a region's.

    Collins et al. choose the q that changes a region most while what it changes elsewhere stays
    within a budget. Here each channel has its own: with m its share in the region, it is taken as
    far as what it changes elsewhere, ``q (1 - m)``, stays within the budget's share of what is
    changed in the region, ``budget * m / (1 - budget)``, so ``q = min(1, budget / (1 - budget) * m
    / (1 - m))``: 1 where at most the budget lies elsewhere, little for channels of everything.

    Args:
        shares: (regions, channels), see `StyleChannels`.
        region: which.
        budget: 0 to 1.
    """
    inside = shares[region].astype(np.float64)
    elsewhere = np.maximum(1 - inside, 1e-6)
    return np.asarray(np.minimum(1, budget / (1 - budget) * inside / elsewhere), np.float32)
