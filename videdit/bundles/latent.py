"""The latent space that the parts of a bundle share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LatentSpace:
    """W+ of one generator. A code is an array (rows, width), float32.

    Attributes:
        rows: one for each layer that reads a style.
        width: numbers in a row.
        resolution: side of the generator's pictures, pixels.
        bands: by name, the first and last-plus-one row of each group of rows that does one thing:
            ``pose`` (head pose and shape), ``features`` (expression and parts of the face),
            ``colour`` (colours, light and texture). They follow each other and hold every row.
        styles: how many channels each of the generator's layers scales, in the order in which they
            act: StyleSpace. Empty where nothing is said.

    Raises:
        ValueError: sizes that are not positive, or bands that leave rows out or overlap.
    """

    rows: int
    width: int
    resolution: int
    bands: Mapping[str, tuple[int, int]]
    styles: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = (self.rows, self.width, self.resolution, *self.styles)
        if any(not isinstance(size, int) or size < 1 for size in sizes):
            raise ValueError(f"a latent space has positive whole sizes, not {sizes}")
        edges = sorted(self.bands.values())
        stops = [0, *(stop for _, stop in edges)]
        follow = [start for start, _ in edges] == stops[:-1] and stops == sorted(set(stops))
        if set(self.bands) != set(BANDS) or not follow or stops[-1] != self.rows:
            raise ValueError(f"bands {dict(self.bands)} don't divide {self.rows} rows")

    @property
    def shape(self) -> tuple[int, int]:
        """Of one code."""
        return self.rows, self.width

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """First and last-plus-one row of each band, in their order."""
        return tuple(sorted(self.bands.values()))

    @property
    def channels(self) -> int:
        """Of all layers together."""
        return sum(self.styles)


BANDS = ("pose", "features", "colour")
