"""Crops of the faces of a stretch, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.artifacts.helpers import stored_table
from videdit.artifacts import crops as module
from videdit.artifacts.crops import Crops, read_crops
from videdit.artifacts.faces import Faces, FaceTable
from videdit.device import Device
from videdit.faces.align import cut_crop
from videdit.pipeline.store import Store

SIZE = 32
ON_CPU, ELSEWHERE = Device("cpu", "fp32"), Device("cpu:0", "fp32")
"""The second goes the way of a GPU, on every machine."""


def picture(index: int) -> NDArray[np.uint8]:
    """A frame's pixels: smooth, and like no other's."""
    coarse = np.random.default_rng(index).random((8, 9, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (240, 200), interpolation=cv2.INTER_CUBIC)
    return np.rint(np.clip(smooth, 0, 1) * 255).astype(np.uint8)


class Reader:
    """Remembers which frames were read."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def read(self, start: int, stop: int) -> Iterator[Any]:
        for index in range(start, stop):
            self.frames.append(index)
            yield SimpleNamespace(index=index, rgb=picture(index))


@pytest.fixture
def faces(store: Store) -> Faces:
    """Of the frames 5 to 63: one, two, none, one again."""
    return FaceTable(stored_table(store, 20)).window(5, 64)


def crops_of(
    faces: Faces, start: int, stop: int, device: Device, **how: Any
) -> tuple[list[Crops], list[int]]:
    """The batches, and the frames that were read."""
    reader: Any = Reader()
    return list(read_crops(reader, faces, start, stop, SIZE, device, **how)), reader.frames


def pixels(batch: Crops) -> NDArray[np.float32]:
    """(n, s, s, 3), wherever they are."""
    if isinstance(batch.pictures, np.ndarray):
        return batch.pictures
    assert batch.pictures.shape[1:] == (3, SIZE, SIZE)
    return np.asarray(batch.pictures.permute(0, 2, 3, 1).cpu().numpy())


@pytest.mark.parametrize(("device", "atol"), [(ON_CPU, 0), (ELSEWHERE, 0.5 / 255)])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_crops_in_order(
    faces: Faces,
    monkeypatch: pytest.MonkeyPatch,
    device: Device,
    atol: float,
    size: int,
) -> None:
    asked: list[Device] = []
    monkeypatch.setattr(module, "batch_size", lambda device: asked.append(device) or size)
    batches, read = crops_of(faces, 6, 12, device)
    assert asked == [device]
    assert read == list(range(6, 12))
    # Two faces from frame 8 on; the window begins with frame 5.
    wanted = list(faces.rows(6, 12))
    assert wanted == list(range(1, 11))
    assert [batch.at for batch in batches] == [
        wanted[i : i + size] for i in range(0, len(wanted), size)
    ]
    for batch in batches:
        found = pixels(batch)
        assert found.dtype == np.float32
        expected = [cut_crop(picture(int(faces.frame[k])), faces.quad[k], SIZE) for k in batch.at]
        np.testing.assert_allclose(found, np.stack(expected), atol=atol)


@pytest.mark.parametrize("device", [ON_CPU, ELSEWHERE])
def test_every_frame_that_is_read_ticks_once(
    faces: Faces, monkeypatch: pytest.MonkeyPatch, device: Device
) -> None:
    """Those with two faces or none as well, however they are cut into batches."""
    monkeypatch.setattr(module, "batch_size", lambda device: 3)
    ticks: list[None] = []
    _, read = crops_of(faces, 36, 62, device, tick=lambda: ticks.append(None))
    assert read == list(range(36, 62))
    assert len(ticks) == 26


def test_frames_without_faces_give_no_batch(faces: Faces) -> None:
    ticks: list[None] = []
    batches, read = crops_of(faces, 45, 60, ON_CPU, tick=lambda: ticks.append(None))
    assert batches == []
    assert read == list(range(45, 60))
    assert len(ticks) == 15


def test_a_cpu_takes_one_at_a_time_and_reads_as_far_as_threads_work(
    faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "workers", lambda: 2)
    reader: Any = Reader()
    ticks: list[None] = []
    crops = read_crops(reader, faces, 6, 12, SIZE, ON_CPU, lambda: ticks.append(None))
    assert reader.frames == []
    for k, frame in ((1, 6), (2, 7), (3, 8), (4, 8), (5, 9)):
        assert next(crops).at == [k]
        assert reader.frames == list(range(6, min(frame + 3, 12)))
        assert len(ticks) == frame - 6  # what is in hand is not done
