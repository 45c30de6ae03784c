"""What every generator in PyTorch can do, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from torch import Tensor, nn

from .mixed import Mixed


class GeneratorNetwork(nn.Module, ABC):
    """W+ codes to pictures.

    Attributes:
        small_steps: how many of the first :meth:`steps` take and leave little memory.
    """

    small_steps: int

    @abstractmethod
    def forward(
        self, codes: Tensor, offsets: Tensor | None = None, mixed: Mixed | None = None
    ) -> Tensor:
        """Decode codes.

        Args:
            codes: (n, rows, width), float32.
            offsets: (n, channels) are added to the codes' styles.
            mixed: features of another face that are shown in places.

        Returns:
            (n, 3, size, size), RGB, about [-1, 1]; to be clamped before it is shown.
        """

    @abstractmethod
    def styles(self, codes: Tensor) -> Tensor:
        """StyleSpace: (n, channels) of codes (n, rows, width), the layers side by side in the order
        in which they act."""

    @abstractmethod
    def stepwise(self, codes: Tensor) -> Iterator[Tensor]:
        """Features of codes (n, rows, width) after no block, one, two, ...: (n, c, s, s), s
        doubling from 4; each is made when it is asked for."""

    def features(self, codes: Tensor, blocks: int) -> Tensor:
        """Features after the first ``blocks`` blocks, (n, c, 4 * 2**blocks, 4 * 2**blocks)."""
        # One at a time: all depths together are large.
        for features in islice(self.stepwise(codes), blocks + 1):
            last = features
        return last

    @abstractmethod
    def scaled(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What the styles of codes (n, rows, width) act on: of each layer, in the order of
        :meth:`styles`, its input (n or 1, c, s, s) and its styles (n, c)."""

    @abstractmethod
    def steps(self, codes: Tensor) -> Iterator[Callable[[Any], Any]]:
        """The way from codes (n, rows, width) to their pictures, in pieces: each takes what the one
        before gave, the first takes None, the last gives the pictures. For a way back that works
        pieces out again instead of keeping all."""
