"""Edits of regions, channels and activations through the whole chain: what they change, and where
not one pixel does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from videdit.api import Result, edit_image, edit_images, edit_video
from videdit.editing.stylespace import StyleChannels
from videdit.errors import InputError, NoFaceError, UsageError, WeightsError
from videdit.faces.regions import REGIONS
from videdit.inversion.parameters import InversionParameters, Strokes
from videdit.models.networks import Networks
from videdit.settings import Parameters

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("default_cache")]

NOSE, EYES, MOUTH = slice(27, 36), slice(36, 48), slice(48, 68)


@pytest.fixture(scope="module")
def frame(example: Path) -> np.ndarray:
    """A frame of the example at half size."""
    with av.open(str(example)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            if number == 20:
                return np.ascontiguousarray(picture.to_ndarray(format="rgb24")[::2, ::2])
    raise AssertionError("the example is too short")


def write(path: Path, rgb: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])
    return path


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path)))[:, :, ::-1]


@pytest.fixture(scope="module")
def source(frame: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("source") / "portrait.png", frame)


@pytest.fixture(scope="module")
def other(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of someone else who does not exist."""
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(11))
    w = networks.mapping(z)
    mean = networks.statistics.mean
    codes = (mean + 0.7 * (w - mean)).detach().numpy()[:, None].repeat(networks.space.rows, 1)
    shown = np.rint(networks.generator.decode(codes)[0] * 255).astype(np.uint8)
    return write(tmp_path_factory.mktemp("other") / "other.png", shown)


@pytest.fixture(scope="module")
def points(networks: Networks, frame: np.ndarray) -> np.ndarray:
    """(68, 2) landmarks of the source."""
    (face,) = networks.landmarker.detect(frame)
    return face.points68


def edit(
    source: Path,
    output: Path,
    networks: Networks,
    edits: dict[str, float | str],
    quality: str = "fast",
    **settings: Any,
) -> Result:
    asked = {"quality": quality, **settings}
    how = edit_image if source.suffix == ".png" else edit_video
    return how(source, output, edits, overwrite=True, settings=asked, networks=networks)


def changed(frame: np.ndarray, output: Path) -> np.ndarray:
    """(H, W) by how much pixels differ."""
    return np.abs(read(output).astype(int) - frame).max(2)


def box(points: np.ndarray, part: slice, shape: tuple[int, ...], grown: float) -> np.ndarray:
    """(H, W) bool: the landmarks' box, wider by a share of the distance of the eyes."""
    apart = float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))
    low, high = (points[part].min(0) - grown * apart, points[part].max(0) + grown * apart)
    rows, columns = np.indices(shape[:2])
    inside = (columns >= low[0]) & (columns <= high[0]) & (rows >= low[1]) & (rows <= high[1])
    return np.asarray(inside)


def test_a_region_comes_from_another_face_and_nothing_else_changes(
    source: Path,
    other: Path,
    frame: np.ndarray,
    points: np.ndarray,
    networks: Networks,
    tmp_path: Path,
) -> None:
    output = tmp_path / "nose.png"
    edit(source, output, networks, {"nose": 1}, editor="activations", like=other)
    differs, near = changed(frame, output), box(points, NOSE, frame.shape, 0.5)
    assert differs[near].max() > 20
    assert not differs[~near].any()
    half = tmp_path / "half.png"
    edit(source, half, networks, {"nose": 0.3}, editor="activations", like=other)
    assert 0 < changed(frame, half).mean() < differs.mean()
    none = tmp_path / "none.png"
    assert edit(source, none, networks, {"nose": 0}, editor="activations", like=other).edited == []
    assert not changed(frame, none).any()


def test_another_picture_is_another_result(
    source: Path,
    other: Path,
    frame: np.ndarray,
    networks: Networks,
    tmp_path: Path,
) -> None:
    """Also of the same name: what counts is what is in it."""
    like, results = tmp_path / "like.png", []
    for picture in (read(other), np.ascontiguousarray(frame[:, ::-1])):
        write(like, picture)
        output = tmp_path / "out.png"
        edit(source, output, networks, {"nose": 1}, editor="activations", like=str(like))
        results.append(read(output).astype(int))
    assert np.abs(results[0] - results[1]).max() > 10


def test_edits_that_may_touch_nothing_and_masks_that_mark_nothing_are_refused(
    source: Path, frame: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    output = tmp_path / "result.png"
    with pytest.raises(UsageError, match=r"Blond_Hair.* may touch nothing"):
        edit(source, output, networks, {"Blond_Hair": 1}, within=("nose",))
    black = write(tmp_path / "black.png", frame * 0)
    with pytest.raises(UsageError, match=r"black.* marks nothing"):
        edit(source, output, networks, {"Smiling": 1}, within=("mask",), mask=black)
    same = write(tmp_path / "same.png", frame)
    with pytest.raises(UsageError, match=r"same.* marks nothing"):
        edit(source, output, networks, {"mask": 1}, editor="scribble", like=same)
    with pytest.raises(UsageError, match="not a mask"):
        edit(source, output, networks, {"mask": 1}, editor="local", like=same, mask=black)
    gone = tmp_path / "missing.png"
    with pytest.raises(InputError, match="missing"):
        edit(source, output, networks, {"nose": 1}, editor="activations", like=gone)
    assert not output.exists()


def test_several_regions_come_together(
    source: Path,
    other: Path,
    frame: np.ndarray,
    points: np.ndarray,
    networks: Networks,
    tmp_path: Path,
) -> None:
    output = tmp_path / "both.png"
    edit(source, output, networks, {"eyes": 1, "lips": 1}, editor="activations", like=other)
    differs = changed(frame, output)
    eyes, mouth = (box(points, part, frame.shape, 0.5) for part in (EYES, MOUTH))
    assert differs[eyes].max() > 20
    assert differs[mouth].max() > 20
    assert not differs[~(eyes | mouth)].any()


def test_an_edit_is_held_in_its_region(
    source: Path, frame: np.ndarray, points: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    output = tmp_path / "smile.png"
    edit(source, output, networks, {"Smiling": 1.5}, within="Lips, mouth")
    differs, near = changed(frame, output), box(points, MOUTH, frame.shape, 0.5)
    assert differs[near].max() > 20
    assert not differs[~near].any()


@pytest.mark.parametrize("like", [False, True])
def test_nothing_changes_outside_a_mask(
    like: bool, source: Path, other: Path, frame: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    shape = (frame.shape[0], frame.shape[1], 3)
    marked = np.zeros(shape, np.uint8)
    height, width = frame.shape[:2]
    marked[:, width // 2 :] = 255
    mask = write(tmp_path / "mask.png", marked)
    output = tmp_path / "out.png"
    if like:
        asked: dict[str, Any] = {"editor": "activations", "like": other}
        edit(source, output, networks, {"mask": 1}, mask=mask, **asked)
    else:
        edit(source, output, networks, {"Smiling": 1.5}, within=("mask",), mask=mask)
    differs = changed(frame, output)
    assert differs[:, width // 2 :].max() > 20
    assert not differs[:, : width // 2].any()
    small = write(tmp_path / "small.png", marked[:-2])
    with pytest.raises(UsageError, match=rf"small.png has {width}x{height - 2} pixels"):
        edit(source, output, networks, {"Smiling": 1}, within=("mask",), mask=small)


def test_strokes_become_what_a_face_could_have(
    source: Path, frame: np.ndarray, points: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    painted = frame.copy()
    lips = np.rint(points[48:60]).astype(np.int32)
    cv2.fillPoly(painted, [lips], (170, 20, 40))
    output = tmp_path / "out.png"
    strokes = write(tmp_path / "painted.png", painted)
    few = Parameters(inversion=InversionParameters(strokes=Strokes(steps=7, learning_rate=0.15)))
    asked: dict[str, Any] = {"editor": "scribble", "like": strokes, "parameters": few}
    edit(source, output, networks, {"mask": 1}, **asked)
    differs, near = changed(frame, output), box(points, MOUTH, frame.shape, 0.3)
    assert differs[near].max() > 8
    assert not differs[~near].any()
    # Redder, as they were painted.
    inside = np.zeros(frame.shape[:2], np.uint8)
    cv2.fillPoly(inside, [lips], 1)
    before, after = (p[inside > 0].astype(float).mean(0) for p in (frame, read(output)))
    assert (after[0] - after[1]) > (before[0] - before[1])


def test_a_painted_picture_need_show_no_face_of_its_own(
    source: Path, frame: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    """It is the source: whose face it is, the source says."""
    strokes = write(tmp_path / "painted.png", np.full_like(frame, 120))
    few = Parameters(inversion=InversionParameters(strokes=Strokes(steps=1)))
    asked = {"editor": "scribble", "like": strokes, "parameters": few, "quality": "fast"}
    output = tmp_path / "out.png"
    ((_, done),) = edit_images([source], output, {"mask": 1}, settings=asked)
    assert isinstance(done, Result), done
    assert output.exists()


def test_a_clip_takes_a_region_from_a_picture_and_another_strength_reuses_the_rest(
    frame: np.ndarray, other: Path, points: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width = frame.shape[:2]
        stream.pix_fmt = "bgr0"
        for _ in range(4):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    output = tmp_path / "out.mkv"
    how: dict[str, Any] = {"editor": "activations", "like": other, "codec": "ffv1"}
    done = edit(clip, output, networks, {"nose": "0s:0,0.12s:1"}, **how)
    assert done.edited == [1, 2, 3]
    with av.open(str(output)) as container:
        shown = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    near = box(points, NOSE, frame.shape, 0.5)
    apart = [np.abs(one - shown[0]).max(2) for one in shown]
    # The container's own rounding of colours is in the first frame, too.
    assert [int(one[near].max()) > 12 for one in apart] == [False, True, True, True]
    assert apart[3][near].mean() > apart[1][near].mean()
    assert not apart[3][~near].any()
    again = edit(clip, output, networks, {"nose": 0.5}, **how)
    assert again.report.stages["edit"].chunks_done == 1
    assert "reconstruct" not in again.report.stages or (
        again.report.stages["reconstruct"].chunks_done == 0
    )
    mask = write(tmp_path / "mask.png", frame)
    with pytest.raises(UsageError, match="marks one picture"):
        edit(clip, output, networks, {"Smiling": 1}, within=("mask",), mask=mask)


def test_style_channels_out_of_a_file(
    source: Path, frame: np.ndarray, networks: Networks, tmp_path: Path
) -> None:
    layers = networks.space.styles
    count = sum(layers)
    shares = np.full((len(REGIONS), count), 1 / len(REGIONS), np.float32)
    start = sum(layers[:9])
    moved = np.arange(start, start + 40), np.full(40, 6, np.float32)
    steps = {"Mouth": ((moved[0], -moved[1]), moved)}
    channels = StyleChannels(layers, np.ones(count, np.float32), steps, shares, shares)
    file = tmp_path / "own.safetensors"
    channels.save(file, {})
    output = tmp_path / "out.png"
    done = edit(source, output, networks, {"Mouth": 1}, editor=str(file))
    assert done.edited == [0]
    assert changed(frame, output).max() > 8
    edit(source, output, networks, {"9:3": 9}, editor=str(file))
    assert changed(frame, output).max() > 0
    assert edit(source, output, networks, {"9:3": 0}, editor=str(file)).edited == []
    with pytest.raises(UsageError, match="no style layer 77"):
        edit(source, output, networks, {"77:3": 1}, editor=str(file))
    with pytest.raises(UsageError, match="held in no region"):
        edit(source, output, networks, {"Mouth": 1}, editor=str(file), within=("mouth",))
    StyleChannels((3,), np.ones(3, np.float32), {}, shares[:, :3], shares[:, :3]).save(file, {})
    with pytest.raises(WeightsError, match="another generator's"):
        edit(source, output, networks, {"9:3": 1}, editor=str(file))


def test_pictures_that_regions_cannot_be_taken_from(
    source: Path,
    other: Path,
    frame: np.ndarray,
    networks: Networks,
    example: Path,
    tmp_path: Path,
) -> None:
    def refuse(kind: type[Exception], said: str, like: Path) -> None:
        with pytest.raises(kind, match=said):
            edit(
                source,
                tmp_path / "result.png",
                networks,
                {"nose": 1},
                editor="activations",
                like=like,
            )

    twice = np.concatenate([frame, frame[:, ::-1]], 1)
    refuse(UsageError, "2 faces", write(tmp_path / "two.png", twice))
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    refuse(NoFaceError, "noise.png", write(tmp_path / "noise.png", noise))
    refuse(UsageError, "is a video", example)
    assert not (tmp_path / "result.png").exists()
