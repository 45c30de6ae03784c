"""What real video does to a face, applied to clean generated pictures.

Vectorised over a batch where torch can, per picture where a codec is needed. Every function takes
and returns (n, 3, h, w) float32 in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from av import CodecContext, VideoFrame
from torch import Tensor


def _chance(n: int, probability: float, rng: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=rng) < probability)[:, None, None, None]


def jitter(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Alignment errors: shifts up to 3 %, rotation up to 3 degrees, scale up to 4 %."""
    n = len(pictures)
    angle = (torch.rand(n, generator=rng) * 2 - 1) * math.radians(3)
    scale = 1 + (torch.rand(n, generator=rng) * 2 - 1) * 0.04
    shift = (torch.rand(n, 2, generator=rng) * 2 - 1) * 0.06
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack((cos, -sin, shift[:, 0], sin, cos, shift[:, 1]), 1).reshape(n, 2, 3)
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def soften(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Small faces scaled up: reduce by 1.5 to 6 and enlarge again."""
    size = pictures.shape[-1]
    factor = 1.5 * 4 ** float(torch.rand(1, generator=rng))
    small = max(int(size / factor), 8)
    reduced = F.interpolate(pictures, (small, small), mode="area")
    return F.interpolate(reduced, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def relight(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Exposure, contrast, gamma and colour casts."""
    n = len(pictures)

    def spread(width: float, channels: int = 1) -> Tensor:
        values = torch.randn(n, channels, generator=rng) * width
        return values.clamp(-2.5 * width, 2.5 * width)[:, :, None, None]

    out = pictures.clamp(1e-4, 1) ** torch.exp(spread(0.15))
    out = (out - 0.5) * torch.exp(spread(0.12)) + 0.5 + spread(0.05)
    return (out * torch.exp(spread(0.05, 3))).clamp(0, 1)


def grain(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Sensor noise of 0 to 6 % of the range."""
    strength = torch.rand(len(pictures), 1, 1, 1, generator=rng) * 0.06
    return (pictures + torch.randn(pictures.shape, generator=rng) * strength).clamp(0, 1)


def occlude(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """A patch of another picture of the batch covers part of the face."""
    n, _, h, w = pictures.shape
    out = pictures.clone()
    for i in range(n):
        ph, pw = (int(h * (0.1 + 0.25 * float(torch.rand(1, generator=rng)))) for _ in range(2))
        y, x, y2, x2 = (
            int(float(torch.rand(1, generator=rng)) * (limit))
            for limit in (h - ph, w - pw, h - ph, w - pw)
        )
        out[i, :, y : y + ph, x : x + pw] = pictures[(i + 1) % n, :, y2 : y2 + ph, x2 : x2 + pw]
    return out


def compress(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """A codec's artefacts: every other picture H.264 (a keyframe at CRF 24 to 40), the rest JPEG
    (quality 25 to 90)."""
    out = np.empty((len(pictures), *pictures.shape[2:], 3), np.uint8)
    bytes_ = (pictures.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    for i, picture in enumerate(bytes_):
        strength = float(torch.rand(1, generator=rng))
        if i % 2:
            quality = 90 - int(65 * strength)
            ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
            assert ok
            out[i] = cv2.imdecode(data, cv2.IMREAD_COLOR)
        else:
            out[i] = _through_h264(picture, 24 + int(16 * strength))
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255


def _through_h264(picture: np.ndarray, crf: int) -> np.ndarray:
    """One picture, of even size, encoded as a keyframe and decoded."""
    encoder = CodecContext.create("libx264", "w")
    encoder.width, encoder.height = picture.shape[1], picture.shape[0]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"}
    packets = encoder.encode(VideoFrame.from_ndarray(picture, "rgb24")) + encoder.encode(None)
    decoder = CodecContext.create("h264", "r")
    frames = [f for packet in packets for f in decoder.decode(packet)] + decoder.decode(None)
    return frames[0].to_ndarray(format="rgb24")


def degrade(pictures: Tensor, rng: torch.Generator, *, relit: bool = True) -> Tensor:
    """Moved and made worse; ``relit`` says whether the light changes, too."""
    moved = jitter(pictures, rng)
    return _some(moved, rng, ((occlude, 0.15), (relight, 0.7 if relit else 0.0), *_WORSE))


def worsen(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Made worse, with all where it was."""
    return _some(pictures, rng, ((relight, 0.7), *_WORSE))


_Step = Callable[[Tensor, torch.Generator], Tensor]
_WORSE: tuple[tuple[_Step, float], ...] = ((soften, 0.4), (grain, 0.4), (compress, 0.4))


def _some(pictures: Tensor, rng: torch.Generator, steps: Sequence[tuple[_Step, float]]) -> Tensor:
    """Each step on a random part of the batch."""
    out = pictures
    for step, probability in steps:
        chosen = _chance(len(out), probability, rng).flatten().nonzero().flatten()
        if len(chosen) > 1:
            out = out.index_copy(0, chosen, step(out[chosen], rng))
    return out
