"""Scores of pictures with a gradient: what a GANalyze direction is learned from.

An assessor takes pictures (n, 3, h, w), RGB in [0, 1], and gives (n,) scores on a scale of its own;
`training.ganalyze` brings them to standard deviations over generated faces. It must score every
picture by itself, and have a gradient with respect to the pixels.

Four ship: how bright, colourful and sharp a picture is, in closed form, and an attribute as the
picture classifier sees it. Others come out of a user's file.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..faces.recognition import FaceNetwork
from .attributes import unknown
from .picture_classifier import Looks, PictureClassifier

SIDE = 256
"""Side of the pictures that a user's assessor is tried with, and is given."""

ATTRACTIVE = "Attractive"

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_LEVELS = 255.0
_MEAN_SHARE = 0.3
_LEAST_SPREAD = 1e-8
_LEAST_ENERGY = 1e-6
_GRID, _SMALL = 7, 64  # of `Looks`

_TAKES = "It is given (n, 3, 256, 256) RGB in [0, 1], and gives (n,) or (n, 1) scores."
_SUFFIXES = (".pt", ".pts", ".onnx")


class Assessor(Protocol):
    """Pictures (n, 3, h, w), RGB in [0, 1], to scores (n,), with a gradient."""

    def __call__(self, pictures: Tensor, /) -> Tensor:
        """The scores."""


def luma(pictures: Tensor) -> Tensor:
    """(n, h, w) the weighted sum of red, green and blue, ITU-R BT.601."""
    weights = pictures.new_tensor(_LUMA)
    return (pictures * weights[:, None, None]).sum(1)


def brightness(pictures: Tensor) -> Tensor:
    """(n,) mean luma, 0 to 1."""
    return luma(pictures).mean((1, 2))


def colourfulness(pictures: Tensor) -> Tensor:
    """(n,) colourfulness from 0 (grey) to about 110, on the scale of Hasler and Süsstrunk
    (*Measuring colourfulness in natural images*, 2003, their M^(3)).

    With the opponent colours rg = R - G and yb = (R + G) / 2 - B, of levels up to 255:
    ``sqrt(var rg + var yb) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2)``. A root has no gradient at 0, so
    each is ``sqrt(x + e) - sqrt(e)``, which differs by at most 0.03.
    """
    red, green, blue = pictures.unbind(1)
    rg, yb = red - green, (red + green) / 2 - blue

    def root(x: Tensor) -> Tensor:
        found: Tensor = (x + _LEAST_SPREAD).sqrt() - _LEAST_SPREAD**0.5
        return found

    def variance(x: Tensor) -> Tensor:
        return x.var((1, 2), correction=0)

    spread = root(variance(rg) + variance(yb))
    mean = root(rg.mean((1, 2)).square() + yb.mean((1, 2)).square())
    return _LEVELS * (spread + _MEAN_SHARE * mean)


def sharpness(pictures: Tensor) -> Tensor:
    """(n,) the natural logarithm of the mean energy of the luma's Laplacian, a usual measure of
    focus (Subbarao and Tyan, *Selecting the optimal focus measure*, 1998).

    The Laplacian is the sum of the four neighbours less four times the pixel, inside the picture.
    A picture without any detail scores log(1e-6).
    """
    y = luma(pictures)
    sides = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    energy = (sides - 4 * y[:, 1:-1, 1:-1]).square().mean((1, 2))
    return (energy + _LEAST_ENERGY).log()


CLOSED: Mapping[str, Assessor] = {
    "brightness": brightness,
    "colourfulness": colourfulness,
    "sharpness": sharpness,
}
"""The assessors in closed form, by name."""


def attribute_assessor(
    judge: PictureClassifier, face: FaceNetwork, name: str = ATTRACTIVE
) -> Assessor:
    """An attribute's logit, as the picture classifier sees aligned faces (n, 3, 256, 256).

    Args:
        judge: the classifier.
        face: the face network that it sees through.
        name: of the attribute.

    Raises:
        UsageError: the classifier knows no such attribute.
    """
    if name not in judge.names:
        raise unknown(name, judge.names)
    index = judge.names.index(name)
    return lambda pictures: seen_logits(judge, face, pictures)[:, index].to(pictures.device)


def seen_logits(judge: PictureClassifier, face: FaceNetwork, pictures: Tensor) -> Tensor:
    """(n, k) a picture classifier's logits of aligned faces (n, 3, 256, 256), with a gradient.

    What it sees is `picture_classifier.look`, which has no gradient and rounds, done again without
    rounding.
    """
    pictures = pictures.to(next(judge.parameters()).device).clamp(0, 1)
    seen = face(pictures)
    parts = (seen.whole, seen.regions, seen.parts)
    features = torch.cat([F.adaptive_avg_pool2d(part, _GRID) for part in parts], 1)
    small = F.adaptive_avg_pool2d(pictures, _SMALL) * _LEVELS
    logits: Tensor = judge(Looks(features, small))
    return logits


# --- a user's own ---------------------------------------------------------------------------------


def load_assessor(path: Path) -> Assessor:
    """A user's assessor, on the CPU: TorchScript (.pt, .pts), or ONNX (.onnx) by `onnx2torch`.

    It is given pictures (n, 3, 256, 256), RGB in [0, 1], and does all else itself: other sizes,
    means and deviations. It is tried once, and refused where it would fail later.

    What is trusted: a TorchScript file holds a program. Unlike a pickled module it cannot name any
    Python code to be run (``torch.jit.load`` knows TorchScript's types alone, and nothing here
    falls back to ``torch.load``), but its program may call each of PyTorch's own operators, some of
    which read and write files. An ONNX file is a graph of operators out of a fixed list, which may
    name files beside it that hold its weights. Either way, load only what comes from people whose
    programs one would run.

    Raises:
        UsageError: there is no such file; it is of another kind; `onnx2torch` is missing; it takes
            no such pictures; its scores have another shape, or are not finite; they have no
            gradient with respect to the pictures.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"the assessor {path.name} is of an unknown kind",
            "Export it as TorchScript (.pt, .pts) or ONNX (.onnx).",
        )
    if not path.is_file():
        raise UsageError(f"the assessor {path} does not exist", "Check the name.")
    network = _read_onnx(path) if path.suffix.lower() == ".onnx" else _read_script(path)
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    _try(network, path.name)

    def score(pictures: Tensor) -> Tensor:
        scores: Tensor = network(pictures)
        return scores.reshape(len(pictures))

    return score


def _read_script(path: Path) -> nn.Module:
    try:
        network: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    # What is wrong with a file decides which of many exceptions PyTorch raises.
    except Exception as error:
        raise UsageError(
            f"the assessor {path.name} is no TorchScript file ({_reason(error)})",
            "Save it with torch.jit.trace(module, pictures).save(FILE); a file of torch.save holds"
            " weights or pickled code, and is not read.",
        ) from error
    return network


def _read_onnx(path: Path) -> nn.Module:
    try:
        library: Any = importlib.import_module("onnx2torch")
    except ImportError as error:
        raise UsageError(
            f"the assessor {path.name} needs the package onnx2torch",
            "Run `pip install onnx2torch`, or export the assessor as TorchScript (.pt).",
        ) from error
    # It loads torchvision, which breaks in other ways where it was built for another PyTorch.
    except Exception as error:
        raise UsageError(
            f"the package onnx2torch cannot be loaded ({_reason(error)})",
            "Install torchvision from where torch came from, or export the assessor as TorchScript"
            " (.pt).",
        ) from error
    try:
        network: nn.Module = library.convert(str(path))
    except Exception as error:
        raise UsageError(
            f"the assessor {path.name} is no ONNX file that can be read ({_reason(error)})",
            "Export it again, or as TorchScript (.pt).",
        ) from error
    return network


def _try(network: nn.Module, name: str) -> None:
    """Refuse what does not score two pictures with a gradient."""
    # Colours that rise over the picture, and some grain: nothing in it is flat, black or white.
    grain = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    rising = torch.linspace(0.2, 0.7, SIDE)
    pictures = (rising[:, None] * 0.5 + rising * 0.5 + 0.2 * grain).requires_grad_(True)
    shape = tuple(pictures.shape)
    try:
        with torch.enable_grad():
            scores: Any = network(pictures)
    except Exception as error:
        raise UsageError(
            f"the assessor {name} takes no pictures of {shape} ({_reason(error)})", _TAKES
        ) from error
    if not isinstance(scores, Tensor) or scores.shape not in ((2,), (2, 1)):
        found = tuple(scores.shape) if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
        raise UsageError(f"the assessor {name} gives {found} for two pictures", _TAKES)
    if not bool(torch.isfinite(scores).all()):
        raise UsageError(f"the assessor {name} gives scores that are not finite", _TAKES)
    try:
        with torch.no_grad():
            single: Any = network(pictures[:1])
    except Exception as error:
        raise UsageError(
            f"the assessor {name} takes two pictures, but not one ({_reason(error)})", _TAKES
        ) from error
    if not isinstance(single, Tensor) or single.shape not in ((1,), (1, 1)):
        raise UsageError(f"the assessor {name} gives no single score for one picture", _TAKES)
    remedy = "Only an assessor that can be differentiated can be learned from."
    blind = f"the scores of the assessor {name} have no gradient with respect to the picture"
    if not scores.requires_grad:
        raise UsageError(blind, remedy)
    try:
        gradient = torch.autograd.grad(scores.sum(), pictures, allow_unused=True)[0]
    except Exception as error:
        raise UsageError(f"{blind} ({_reason(error)})", remedy) from error
    if gradient is None or not bool((gradient != 0).flatten(1).any(1).all()):
        raise UsageError(blind, remedy)
    if not bool(torch.isfinite(gradient).all()):
        raise UsageError(f"the gradient of the assessor {name} is not finite", remedy)


def _reason(error: Exception) -> str:
    """One line of it. Of a program that failed, PyTorch tells the whole way and says in the last
    line why; else the first line says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if "TorchScript interpreter" in lines[0] else lines[0].split(". This is")[0]
