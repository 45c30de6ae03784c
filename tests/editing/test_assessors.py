"""Scores of pictures: closed forms, gradients, and what is refused of a user's files."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from videdit.editing.assessors import (
    CLOSED,
    attribute_assessor,
    brightness,
    colourfulness,
    load_assessor,
    sharpness,
)
from videdit.editing.picture_classifier import PictureClassifier, look
from videdit.errors import UsageError
from videdit.faces.recognition import FaceFeatures

# The format is deprecated in favour of others that hold pickled code.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def noise(count: int = 2, side: int = 24) -> Tensor:
    """(count, 3, side, side) in double precision, away from black and white."""
    generator = torch.Generator().manual_seed(0)
    return 0.2 + 0.6 * torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64)


def test_brightness_is_the_mean_luma() -> None:
    plain = torch.ones(4, 3, 8, 6)
    plain[1:] = 0
    for colour in range(2):
        plain[1 + colour, colour] = 1
    torch.testing.assert_close(brightness(plain), torch.tensor([1, 0.299, 0.587, 0]))
    halves = torch.zeros(1, 3, 4, 4)
    halves[..., :2] = 0.5
    torch.testing.assert_close(brightness(halves), torch.tensor([0.25]))


def test_colourfulness_is_the_published_formula() -> None:
    pictures = noise()
    pictures[1, 0] = pictures[1, 0] ** 2
    for picture, found in zip(pictures.numpy(), colourfulness(pictures), strict=True):
        rg, yb = [], []
        for r, g, b in (255 * picture).reshape(3, -1).T:
            rg.append(r - g)
            yb.append(0.5 * (r + g) - b)
        spread = np.sqrt(np.std(rg) ** 2 + np.std(yb) ** 2)
        mean = np.sqrt(np.mean(rg) ** 2 + np.mean(yb) ** 2)
        assert float(found) == pytest.approx(spread + 0.3 * mean, abs=0.04)


def test_grey_has_no_colour_and_yet_a_gradient() -> None:
    grey = noise()[:, :1].expand(-1, 3, -1, -1).clone().requires_grad_(True)
    scores = colourfulness(grey)
    torch.testing.assert_close(scores, torch.zeros_like(scores), atol=1e-6, rtol=0)
    assert bool(torch.isfinite(torch.autograd.grad(scores.sum(), grey)[0]).all())


def test_sharpness_falls_with_blur_and_not_with_light() -> None:
    picture = noise(1, 64)
    scores = []
    for size in (1, 3, 5, 9):
        scores.append(float(sharpness(nn.functional.avg_pool2d(picture, size, 1))))
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 3
    assert float(sharpness(picture + 0.1)) == pytest.approx(scores[0])
    # Twice the contrast is four times the energy.
    assert float(sharpness(2 * picture)) == pytest.approx(scores[0] + np.log(4), abs=1e-3)
    assert float(sharpness(torch.full((1, 3, 9, 9), 0.4))) == pytest.approx(np.log(1e-6), abs=1e-3)


def test_sharpness_is_the_energy_of_the_laplacian() -> None:
    spot = torch.zeros(1, 3, 7, 7)
    spot[..., 3, 3] = 1  # -4 there, 1 at the four beside it, over 25 pixels inside
    assert float(sharpness(spot)) == pytest.approx(np.log(20 / 25), rel=1e-4)


@pytest.mark.parametrize("name", CLOSED)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    pictures = noise(2, 6).requires_grad_(True)
    assert torch.autograd.gradcheck(CLOSED[name], (pictures,))
    together = CLOSED[name](pictures)
    one_by_one = torch.cat([CLOSED[name](picture[None]) for picture in pictures])
    torch.testing.assert_close(together, one_by_one)


# --- an attribute --------------------------------------------------------------------------------


class Face:
    """Stands in for the face network: each of its three grids is one colour of the crop."""

    def __call__(self, crops: Tensor) -> FaceFeatures:
        def grid(colour: int, channels: int, side: int) -> Tensor:
            shrunk = nn.functional.adaptive_avg_pool2d(crops[:, colour, None], side)
            return shrunk.expand(-1, channels, -1, -1)

        return FaceFeatures(grid(0, 256, 28), grid(1, 512, 14), grid(2, 1024, 7))


FACE: Any = Face()


@pytest.fixture(scope="module")
def judge() -> PictureClassifier:
    torch.manual_seed(0)
    return PictureClassifier(("Smiling", "Attractive"), 1).eval().requires_grad_(False)


def test_an_attribute_is_scored_as_the_classifier_sees_it(judge: PictureClassifier) -> None:
    pictures = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 1.4 - 0.2
    score = attribute_assessor(judge, FACE)
    with torch.no_grad():
        expected = judge(look(FACE, pictures))
    pictures.requires_grad_(True)
    torch.testing.assert_close(score(pictures), expected[:, 1], atol=1e-3, rtol=0)
    smiling = attribute_assessor(judge, FACE, "Smiling")
    torch.testing.assert_close(smiling(pictures), expected[:, 0], atol=1e-3, rtol=0)
    gradient = torch.autograd.grad(score(pictures).sum(), pictures)[0]
    inside = ((pictures > 0) & (pictures < 1)).detach()
    assert bool((gradient[~inside] == 0).all())
    # Along the gradient, the score changes as the gradient says.
    step = 2e-3 * gradient / gradient.norm()
    up, down = (score((pictures + sign * step).detach()).sum() for sign in (1, -1))
    assert float((up - down) / 2) == pytest.approx(float((gradient * step).sum()), rel=0.05)


def test_an_unknown_attribute_is_refused(judge: PictureClassifier) -> None:
    with pytest.raises(UsageError, match="Attractive"):
        attribute_assessor(judge, FACE, "Atractive")


# --- a user's own --------------------------------------------------------------------------------


class Redness(nn.Module):
    """Shown a picture, says how red it is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -0.5, -0.5]))

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures.mean((2, 3)) * self.weight).sum(1)


class Column(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures.mean((2, 3)) * self.weight).sum(1, keepdim=True)


class Wide(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3)) * self.weight


class One(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean()


class Pair(Redness):
    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return pictures.mean((1, 2, 3)), pictures


class Grey(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return torch.conv2d(pictures, self.weight.reshape(3, 1, 1, 1)).mean((1, 2, 3))


class Small(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.reshape(len(pictures), 3, 224 * 224).mean((1, 2))


class Infinite(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures.mean((1, 2, 3)) - 2).log()


class Rounded(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((1, 2, 3)).round()


class Aloof(Redness):
    def forward(self, pictures: Tensor) -> Tensor:
        return torch.arange(len(pictures)).float()


class Steep(Redness):
    """Finite everywhere; its slope is not, at 0."""

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures - pictures).sqrt().sum((1, 2, 3)) + pictures.mean((1, 2, 3))


def script(module: nn.Module, path: Path) -> Path:
    torch.jit.script(module).save(str(path))
    return path


@pytest.mark.parametrize("kind", [Redness, Column])
def test_a_users_file_scores_pictures(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    score = load_assessor(script(kind(), tmp_path / "redness.pt"))
    pictures = noise(3).float().requires_grad_(True)
    red, green, blue = pictures.mean((2, 3)).unbind(1)
    found = score(pictures)
    torch.testing.assert_close(found, red - 0.5 * green - 0.5 * blue)
    gradient = torch.autograd.grad(found.sum(), pictures)[0]
    torch.testing.assert_close(gradient[:, 0], torch.full((3, 24, 24), 1 / 24**2))


def test_a_traced_file_does_as_well(tmp_path: Path) -> None:
    traced = torch.jit.trace(Redness(), torch.rand(2, 3, 256, 256))
    traced.save(str(tmp_path / "redness.pts"))
    score = load_assessor(tmp_path / "redness.pts")
    assert score(torch.rand(4, 3, 256, 256)).shape == (4,)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Wide, r"gives \(2, 3\) for two pictures"),
        (One, r"gives \(\) for two pictures"),
        (Pair, "gives a tuple for two pictures"),
        (Grey, r"takes no pictures of \(2, 3, 256, 256\).*RuntimeError"),
        (Small, r"takes no pictures of \(2, 3, 256, 256\)"),
        (Infinite, "not finite"),
        (Rounded, "no gradient"),
        (Aloof, "no gradient"),
        (Steep, "gradient .* is not finite"),
    ],
)
def test_bad_assessors_are_refused(
    kind: Callable[[], nn.Module], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load_assessor(script(kind(), tmp_path / "bad.pt"))
    assert "bad.pt" in caught.value.message
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_files_that_hold_no_program_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_assessor(tmp_path / "missing.pt")
    with pytest.raises(UsageError, match="unknown kind"):
        load_assessor(tmp_path / "score.py")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "noise.pt").write_bytes(b"no archive" * 100)
    torch.save(Redness().state_dict(), tmp_path / "weights.pt")
    for name in ("empty", "noise", "weights"):
        with pytest.raises(UsageError, match="no TorchScript file") as caught:
            load_assessor(tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "sprung")
    torch.save(trap, tmp_path / "saved.pt")
    # The same within an archive that is otherwise TorchScript.
    script(Redness(), tmp_path / "good.pt")
    with (
        zipfile.ZipFile(tmp_path / "good.pt") as good,
        zipfile.ZipFile(tmp_path / "planted.pt", "w") as planted,
    ):
        for name in good.namelist():
            kept = not name.endswith("data.pkl")
            planted.writestr(name, good.read(name) if kept else pickle.dumps(trap, 2))
    for name in ("saved", "planted"):
        with pytest.raises(UsageError, match="no TorchScript file"):
            load_assessor(tmp_path / f"{name}.pt")
    assert not trap.folder.exists()


# --- ONNX ----------------------------------------------------------------------------------------


def test_onnx_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(UsageError, match="pip install onnx2torch"):
        load_assessor(tmp_path / "a.onnx")


def test_an_onnx_file_is_converted_and_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(path: str) -> nn.Module:
        content = Path(path).read_bytes()
        if content == b"bad":
            raise NotImplementedError("Onnx IR is too old")
        return Column() if content == b"good" else Rounded()

    monkeypatch.setitem(sys.modules, "onnx2torch", SimpleNamespace(convert=convert))  # type: ignore[arg-type]
    for content in ("good", "bad", "round"):
        (tmp_path / f"{content}.onnx").write_bytes(content.encode())
    assert load_assessor(tmp_path / "good.onnx")(torch.rand(3, 3, 8, 8)).shape == (3,)
    with pytest.raises(UsageError, match="IR is too old"):
        load_assessor(tmp_path / "bad.onnx")
    with pytest.raises(UsageError, match="no gradient"):
        load_assessor(tmp_path / "round.onnx")


def test_a_library_that_cannot_be_loaded_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "library").mkdir()
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    (tmp_path / "library" / "onnx2torch.py").write_text(broken)
    monkeypatch.delitem(sys.modules, "onnx2torch", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match="torchvision::nms does not exist"):
        load_assessor(tmp_path / "a.onnx")
