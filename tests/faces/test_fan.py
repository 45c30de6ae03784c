"""The adapter to face-alignment, run end to end with networks of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from face_alignment import utils as library_utils
from face_alignment.api import models_urls
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.detection.sfd.sfd_detector import models_urls as detector_urls
from face_alignment.models import FAN

from videdit.errors import WeightsError
from videdit.faces import fan
from videdit.faces.backend import load_backend
from videdit.faces.fan import FanBackend
from videdit.files import sha256_of

PINNED = dict(fan._SHA256)
FILES = ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PyTorch home with networks of random weights where the library looks for its own."""
    folder = tmp_path_factory.mktemp("torch") / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), folder / FILES[0])
    torch.save(s3fd().state_dict(), folder / FILES[1])
    return folder.parent.parent


def hashes(home: Path) -> dict[str, str]:
    return {name: sha256_of(home / "hub" / "checkpoints" / name) for name in FILES}


@pytest.fixture(scope="module")
def backend(home: Path) -> Iterator[FanBackend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setattr(fan, "_SHA256", hashes(home))
        # The library's inner loops as plain Python: compiling them takes longer than the rest.
        for name in ("_get_preds_fromhm", "transform_np"):
            patch.setattr(library_utils, name, getattr(library_utils, name).py_func)
        made = load_backend("fan", {})
        assert isinstance(made, FanBackend)
        yield made


def test_whole_adapter_with_random_networks(
    backend: FanBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random networks see faces in noise; the first two of them go all the way through."""
    detector = backend._network.face_detector
    everywhere = detector.detect_from_image
    monkeypatch.setattr(detector, "detect_from_image", lambda image: everywhere(image)[:2])
    frame = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    faces = backend.detect(frame)
    assert len(faces) == 2
    for face in faces:
        assert face.points68.shape == (68, 2)
        assert np.isfinite(face.points68).all()
        assert 0 <= face.score <= 1


class Peaks(torch.nn.Module):
    """A stand-in FAN: landmark k's heat map peaks at the brightest spot of its crop."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        light = torch.nn.functional.avg_pool2d(crops.mean(dim=1, keepdim=True), 4)
        return light.expand(-1, 68, -1, -1)


@pytest.mark.parametrize(
    ("hw", "side", "x", "y"),
    [((720, 1280), 150, 500.5, 300.5), ((2160, 3840), 1400, 2000, 1100), ((300, 400), 60, 30, 35)],
)
def test_points_come_back_in_frame_coordinates(
    backend: FanBackend,
    monkeypatch: pytest.MonkeyPatch,
    hw: tuple[int, int],
    side: float,
    x: float,
    y: float,
) -> None:
    """Reduced frame for the detector, region for FAN: both must be undone. Two faces, one spot."""
    frame = np.zeros((*hw, 3), np.uint8)
    spot = max(2, round(side / 40))
    left, top = round(x - spot / 2), round(y - spot / 2)
    frame[top : top + spot, left : left + spot] = 255
    seen: list[tuple[int, ...]] = []

    def detect(picture: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        seen.append(picture.shape)
        s = picture.shape[1] / hw[1]
        box = np.array([x - side * 0.45, y - side * 0.55, x + side * 0.5, y + side * 0.4])
        return [np.array([*box * s, 0.7]), np.array([*(box + side * 0.1) * s, 0.9])]

    monkeypatch.setattr(backend._network.face_detector, "detect_from_image", detect)
    monkeypatch.setattr(backend._network, "face_alignment_net", Peaks())
    monkeypatch.setattr(backend._network, "flip_input", False)
    faces = backend.detect(frame)
    assert max(seen[0]) <= 640
    assert [face.score for face in faces] == pytest.approx([0.9, 0.7])
    # FAN's heat map has 64 cells over 1.5 boxes or so; the library adds about one crop pixel.
    cell = side * 1.6 / 64
    for face in faces:
        np.testing.assert_allclose(face.points68, np.tile((x, y), (68, 1)), atol=1.2 * cell)
    assert faces[1].box == pytest.approx(
        [x - side * 0.45, y - side * 0.55, x + side * 0.5, y + side * 0.4], abs=0.01 * side
    )


def test_no_faces_and_unusable_boxes(backend: FanBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = backend._network.face_detector
    frame = np.zeros((50, 60, 3), np.uint8)
    for rows in ([], [np.array([5, 5, 5, 9, 0.9])], [np.array([np.nan, 5, 5, 9, 0.9])]):
        monkeypatch.setattr(detector, "detect_from_image", lambda _, rows=rows: rows)
        assert backend.detect(frame) == []
    with pytest.raises(ValueError, match="uint8"):
        backend.detect(frame.astype(np.uint16))


def test_without_network_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(WeightsError, match="no route to host") as caught:
        load_backend("fan", {})
    assert FILES[0] in caught.value.remedy
    assert "--backend mesh" in caught.value.remedy
    assert caught.value.exit_code == 5


def test_weights_of_others_are_not_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).symlink_to(home / "hub" / "checkpoints" / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def load(*_: object, **__: object) -> None:
        raise AssertionError("nothing of them is read")

    monkeypatch.setattr(torch, "load", load)
    monkeypatch.setattr(fan, "_SHA256", PINNED)
    with pytest.raises(WeightsError, match="another file"):
        load_backend("fan", {})


def test_the_pinned_files_are_those_that_the_library_names() -> None:
    names = (models_urls["2DFAN-4"], detector_urls["s3fd"])
    assert {url.rsplit("/", 1)[1] for url in names} == set(PINNED)
    for name, digest in PINNED.items():
        # Their names hold the first digits.
        assert name.split("-")[1].split(".")[0] == digest[:10]


def test_damaged_weights(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / FILES[0]).write_bytes(b"\x80\x02damaged")
    (folder / FILES[1]).symlink_to(home / "hub" / "checkpoints" / FILES[1])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fan, "_SHA256", hashes(tmp_path))
    with pytest.raises(WeightsError, match="fan"):
        load_backend("fan", {})
