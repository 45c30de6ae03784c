"""What a frame costs where the method runs as papers run it: each network by itself, in plain
PyTorch, a detector over the whole frame."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from ..device import threads

_TRUNK = (64, 64, 128, 256, 512)


@dataclass(frozen=True)
class PlainCost:
    """Seconds a frame on the CPU, of networks with random weights, which cost what others do.

    Attributes:
        detector: S3FD (Zhang et al. 2017), as face-alignment has it, on the whole frame.
        encoder: pSp (Richardson et al. 2021), 18 rows.
        generator: StyleGAN2 (Karras et al. 2020), configuration f, 1024 pixels.
    """

    detector: float
    encoder: float
    generator: float

    @property
    def total(self) -> float:
        """Of all three. Landmarks and the latent transformation come to little more."""
        return self.detector + self.encoder + self.generator


def measure_plain(height: int, width: int, calls: int = 1) -> PlainCost:
    """Measure, in a process of its own: half a minute for 1080p on two cores, 3 GB.

    Args:
        height, width: of the frame, pixels.
        calls: how often each network is timed, after a first one; the least counts.
    """
    alone = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, alone) as process:
        return process.submit(_measured, height, width, calls).result()


def _measured(height: int, width: int, calls: int) -> PlainCost:
    import torch
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from torch import Tensor, nn

    from ..generators.stylegan2 import CONFIG_F, Synthesis
    from ..inversion.psp import EncoderShape, PyramidEncoder

    torch.set_num_threads(threads())
    torch.manual_seed(0)

    def seconds(network: nn.Module, given: Tensor) -> float:
        network.eval()
        least = float("inf")
        with torch.inference_mode():
            for number in range(calls + 1):
                started = time.perf_counter()
                network(given)
                if number:
                    least = min(least, time.perf_counter() - started)
        return least

    rows, width = CONFIG_F.rows, CONFIG_F.width
    pools = tuple(4 if row < 3 else 5 if row < 7 else 6 for row in range(rows))
    shape = EncoderShape(_TRUNK, rows, width, pools)
    encoder = PyramidEncoder(shape, progressive=False)
    return PlainCost(
        seconds(s3fd(), torch.rand(1, 3, height, width) * 255),
        seconds(encoder, torch.rand(1, 3, shape.side, shape.side)),
        seconds(Synthesis(CONFIG_F), torch.randn(1, rows, width)),
    )
