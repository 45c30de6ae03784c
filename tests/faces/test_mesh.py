"""The mesh backend: with stand-in networks whose answers are known, and with the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from tests.faces.helpers import face68
from videdit.errors import UsageError, WeightsError
from videdit.faces.align import cut_crop, ffhq_quad
from videdit.faces.backend import load_backend
from videdit.faces.detection import inter_ocular
from videdit.faces.mesh import (
    _MIRROR,
    DETECTOR_FILE,
    MESH_FILE,
    MESH_TO_68,
    MeshBackend,
    points68_of_mesh,
)
from videdit.faces.parameters import Mesh

BOX = 24.0  # side of every box that the stand-in detector gives, its input's pixels


def stand_in_mesh_points() -> NDArray[np.float32]:
    """468 points in the 192-pixel region: iBUG's where they are mapped, else in the middle.

    They span x 66..126 and y 66..126, so the region around them is 90 wide: smaller than the
    network's input, as it is when the detector's box was too large.
    """
    face = face68()
    low, high = face.min(axis=0), face.max(axis=0)
    face = (face - (low + high) / 2) / (high - low).max() * 60 + 96
    points = np.full((468, 3), 96, np.float32)
    for target, vertices in zip(face, MESH_TO_68, strict=True):
        points[list(vertices), :2] = target
    points[:, 2] = 5
    # Vertices that two landmarks share took the last one's place; left and right alike, please.
    mirrored = points[_MIRROR] * (-1, 1, 1) + (192, 0, 0)
    return ((points + mirrored) / 2).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Networks of the real ones' shapes: wherever the picture is bright there is a face."""
    folder = tmp_path_factory.mktemp("networks")
    image = ops.parameter([1, 192, 192, 3], np.float32, name="input")
    planes = ops.transpose(image, np.array([0, 3, 1, 2]))
    cells = ops.avg_pool(planes, [4, 4], [0, 0], [0, 0], [4, 4], True)
    light = ops.reduce_mean(cells, np.array([1]), keep_dims=False)  # (1, 48, 48) in [-1, 1]
    score = ops.reshape(ops.multiply(light, np.float32(8)), np.array([1, 2304, 1]), False)
    raw = np.zeros((1, 2304, 16), np.float32)
    raw[..., 2:4] = BOX
    raw[..., 4:6] = (-5, -4)  # left eye
    raw[..., 6:8] = (5, -4)  # right eye
    boxes = ops.add(ops.constant(raw), ops.multiply(ops.reduce_mean(score, [1, 2], True),
                                                    np.float32(0)))  # fmt: skip
    ov.save_model(ov.Model([boxes, score], [image]), folder / "detector.xml", False)

    face = ops.parameter([1, 192, 192, 3], np.float32, name="input_1")
    mean = ops.reduce_max(face, [1, 2, 3], keep_dims=True)
    zero = ops.multiply(mean, np.float32(0))
    points = ops.add(ops.constant(stand_in_mesh_points().reshape(1, 1, 1, 1404)), zero)
    flag = ops.multiply(ops.subtract(mean, np.float32(0.5)), np.float32(20))
    ov.save_model(ov.Model([points, flag], [face]), folder / "mesh.xml", False)
    return {DETECTOR_FILE: folder / "detector.xml", MESH_FILE: folder / "mesh.xml"}


def lit(height: int, width: int, x: float, y: float, side: float) -> NDArray[np.uint8]:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[round(y - side / 2) : round(y + side / 2), round(x - side / 2) : round(x + side / 2)] = (
        255
    )
    return frame


def test_the_map_to_68_points() -> None:
    assert len(MESH_TO_68) == 68
    # Neighbours on the jaw share one vertex on either side; nothing else is used twice.
    assert len({v for vertices in MESH_TO_68 for v in vertices}) == sum(map(len, MESH_TO_68)) - 2
    mesh = np.random.default_rng(0).random((2, 468, 3)).astype(np.float32)
    points = points68_of_mesh(mesh)
    np.testing.assert_array_equal(points[:, 36], mesh[:, 33, :2])
    np.testing.assert_allclose(points[1, 3], (mesh[1, 132, :2] + mesh[1, 58, :2]) / 2, atol=1e-7)


@pytest.mark.parametrize(
    ("hw", "x", "y", "side"),
    [((720, 1280), 400, 300, 80), ((1280, 720), 500, 900, 80), ((192, 192), 96, 96, 12),
     ((100, 131), 60, 40, 8), ((40, 900), 300, 20, 36)],
)  # fmt: skip
def test_a_face_lands_where_it_is(
    files: dict[str, Path], hw: tuple[int, int], x: float, y: float, side: float
) -> None:
    """Anchors, decoding, merging, letterbox, both looks: all of it moves points if it is wrong."""
    faces = MeshBackend(files).detect(lit(*hw, x, y, side))
    assert len(faces) == 1
    # The first look's region is 1.5 boxes wide; the second 1.5 times the points' 60/192 of it.
    pixel = max(hw) / 192
    region = 1.5 * BOX * pixel
    region *= 1.5 * 60 / 192
    stand_in = stand_in_mesh_points()
    # The network counts pixel centres as whole numbers, and its answer to the mirror image is
    # turned back: the half pixel shows downwards and cancels to the right.
    expected = ((stand_in[:, :2] + (0, 0.5)) / 192 - 0.5) * region + (x, y)
    found = faces[0].mesh
    assert found is not None
    # The detector's cells are 4 of its pixels wide: their weighted mean is good to half of that.
    np.testing.assert_allclose(found[:, :2], expected, atol=2 * pixel)
    np.testing.assert_allclose(found[:, :2] - found[0, :2], expected - expected[0], atol=1e-3)
    np.testing.assert_allclose(found[:, 2], 5 / 192 * region, rtol=1e-4)
    np.testing.assert_allclose(faces[0].points68, points68_of_mesh(found), rtol=1e-6)
    np.testing.assert_allclose(
        faces[0].box, [*found[:, :2].min(axis=0), *found[:, :2].max(axis=0)], rtol=1e-6
    )
    assert 0.5 < faces[0].score <= 1


def test_two_faces_stay_two_and_the_best_comes_first(files: dict[str, Path]) -> None:
    frame = lit(720, 1280, 300, 300, 60)
    frame[380:440, 900:960] = 170
    faces = MeshBackend(files).detect(frame)
    assert [round(float(face.points68[:, 0].mean()), -2) for face in faces] == [300, 900]
    assert faces[0].score > faces[1].score


def test_small_faces_are_found_in_tiles_and_only_once(files: dict[str, Path]) -> None:
    """A spot too faint for the whole frame, and for its halves, lies in several quarters."""
    backend = MeshBackend(files)
    for side, size in ((28, 2), (16, 4)):
        faces = backend.detect(lit(1080, 1920, 1003, 505, side))
        assert len(faces) == 1
        centre = (faces[0].box[:2] + faces[0].box[2:]) / 2
        np.testing.assert_allclose(centre, (1003, 505), atol=1920 / 192 / size * 2)
    assert backend.detect(lit(1080, 1920, 1003, 505, 4)) == []


def test_what_the_mesh_calls_no_face_is_none(files: dict[str, Path]) -> None:
    frame = lit(360, 640, 300, 200, 24)
    assert len(MeshBackend(files).detect(frame)) == 1
    # Bright enough for the detector (mean over -0 .. 1), too dark for the mesh's flag.
    assert MeshBackend(files).detect(np.where(frame > 0, 132, 0).astype(np.uint8))[0].score < 0.7
    assert MeshBackend(files).detect(np.where(frame > 0, 126, 0).astype(np.uint8)) == []


def test_the_mirror_map_of_the_mesh_fits_the_68_points() -> None:
    np.testing.assert_array_equal(_MIRROR[_MIRROR], np.arange(468))
    pairs = [(0, 16), (7, 9), (17, 26), (21, 22), (31, 35), (36, 45), (39, 42), (37, 44), (41, 46)]
    pairs += [(48, 54), (50, 52), (59, 55), (60, 64), (67, 65), (8, 8), (30, 30), (57, 57)]
    for one, other in pairs:
        assert {int(_MIRROR[v]) for v in MESH_TO_68[one]} == set(MESH_TO_68[other])


def test_same_frame_same_answer(files: dict[str, Path]) -> None:
    frame = lit(360, 640, 300, 200, 60)
    one, other = MeshBackend(files), MeshBackend(files)
    one.detect(lit(360, 640, 100, 100, 60))  # what it saw before must not matter
    np.testing.assert_array_equal(one.detect(frame)[0].mesh, other.detect(frame)[0].mesh)


@pytest.mark.parametrize("hw", [(1, 1), (2, 2), (3, 900), (1500, 2)])
def test_tiny_and_narrow_frames(files: dict[str, Path], hw: tuple[int, int]) -> None:
    assert MeshBackend(files).detect(np.zeros((*hw, 3), np.uint8)) == []


def test_frames_of_another_kind_are_refused(files: dict[str, Path]) -> None:
    backend = MeshBackend(files)
    for wrong in (np.zeros((9, 9, 3), np.uint16), np.zeros((9, 9), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            backend.detect(wrong)


def test_thresholds_are_parameters(files: dict[str, Path]) -> None:
    frame = lit(360, 640, 300, 200, 24)
    (face,) = MeshBackend(files).detect(frame)
    strict = Mesh(mesh_threshold=face.score + 1e-3, detector_threshold=face.score + 1e-3)
    assert MeshBackend(files, strict).detect(frame) == []
    far = lit(1080, 1920, 1003, 505, 16)
    assert MeshBackend(files).detect(far)
    assert MeshBackend(files, Mesh(tiles=(2,))).detect(far) == []


def test_missing_damaged_or_wrong_networks(files: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "face_landmark.tflite"
    damaged.write_bytes(b"not a network at all")
    for broken in (
        {},
        {**files, MESH_FILE: tmp_path / "absent.tflite"},
        {**files, MESH_FILE: damaged},
        {**files, MESH_FILE: files[DETECTOR_FILE]},
    ):
        with pytest.raises(WeightsError, match="weights fetch"):
            load_backend("mesh", broken)
    with pytest.raises(UsageError, match="mesh, fan"):
        load_backend("dlib", files)


@pytest.fixture(scope="module")
def portrait(bundle: Any) -> NDArray[np.uint8]:
    """A face that does not exist, from the bundle's own generator, 512x512."""
    core = ov.Core()
    mapping, synthesis = (
        core.compile_model(str(bundle.path(name)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for name in ("mapping.xml", "synthesis.xml")
    )
    seed = np.random.default_rng(3).normal(0, 1, (1, 512)).astype(np.float32)
    style = mapping([seed])[0]
    image = np.clip((synthesis([style])[0][0] + 1) / 2, 0, 1).transpose(1, 2, 0)
    half = image.reshape(512, 2, 512, 2, 3).mean(axis=(1, 3))
    result: NDArray[np.uint8] = np.rint(half * 255).astype(np.uint8)
    return result


@pytest.fixture(scope="module")
def backend(bundle: Any) -> MeshBackend:
    return MeshBackend({name: bundle.path(name) for name in (DETECTOR_FILE, MESH_FILE)})


@pytest.mark.weights
def test_real_networks_find_the_aligned_face(
    backend: MeshBackend, portrait: NDArray[np.uint8]
) -> None:
    """The generator's faces are FFHQ-aligned: their own quad is the whole picture."""
    faces = backend.detect(portrait)
    assert len(faces) == 1
    quad = ffhq_quad(faces[0].points68)
    np.testing.assert_allclose(quad, [[0, 0], [0, 512], [512, 512], [512, 0]], atol=512 * 0.08)
    points = faces[0].points68
    assert points[30, 1] < points[51, 1] < points[57, 1] < points[8, 1]
    assert points[0, 0] < points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]


@pytest.mark.weights
def test_real_networks_move_with_the_picture(
    backend: MeshBackend, portrait: NDArray[np.uint8]
) -> None:
    still = backend.detect(portrait)[0].points68
    unit = float(inter_ocular(still))
    frame = np.full((720, 1280, 3), 90, np.uint8)
    frame[150:662, 401:913] = portrait
    moved = backend.detect(frame)[0].points68
    assert np.abs(moved - still - (401, 150)).mean() < 0.015 * unit
    mirrored = backend.detect(np.ascontiguousarray(portrait[:, ::-1]))[0].points68
    flipped = np.column_stack([512 - mirrored[:, 0], mirrored[:, 1]])
    swapped = still[[45, 36, 54, 48, 16, 0, 35, 8, 30]]
    assert np.abs(flipped[[36, 45, 48, 54, 0, 16, 31, 8, 30]] - swapped).mean() < 0.02 * unit
    # A face 60 pixels high in a 1080p frame, and one 1500 high in a 4K frame.
    for height, width, side in ((1080, 1920, 110), (2160, 3840, 2100)):
        quad = np.array([[0, 0], [0, 512], [512, 512], [512, 0.0]])
        resized = np.rint(cut_crop(portrait, quad, side) * 255).astype(np.uint8)
        frame = np.full((height, width, 3), 90, np.uint8)
        frame[40 : 40 + side, 600 : 600 + side] = resized
        found = backend.detect(frame)
        assert len(found) == 1
        back = (found[0].points68 - (600, 40)) * 512 / side
        assert np.abs(back - still).mean() < 0.04 * unit


@pytest.mark.weights
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_real_networks_find_who_lies_or_stands_on_their_head(
    backend: MeshBackend, portrait: NDArray[np.uint8], turns: int
) -> None:
    frame = np.full((560, 900, 3), 90, np.uint8)
    frame[20:532, 200:712] = portrait
    (still,) = backend.detect(frame)
    (found,) = backend.detect(np.ascontiguousarray(np.rot90(frame, turns)))
    x, y = found.points68.T
    back = {1: (900 - y, x), 2: (900 - x, 560 - y), 3: (y, 560 - x)}[turns]
    unit = float(inter_ocular(still.points68))
    assert np.abs(np.stack(back, 1) - still.points68).mean() < 0.02 * unit
    assert found.mesh is not None
    np.testing.assert_allclose(points68_of_mesh(found.mesh), found.points68, atol=1e-3)
    np.testing.assert_allclose(found.box[:2], found.mesh[:, :2].min(0), atol=1e-3)


@pytest.mark.weights
def test_real_networks_see_no_face_in_noise(backend: MeshBackend) -> None:
    rng = np.random.default_rng(0)
    assert backend.detect(rng.integers(0, 256, (360, 640, 3), dtype=np.uint8)) == []
    assert backend.detect(np.full((360, 640, 3), 128, np.uint8)) == []
