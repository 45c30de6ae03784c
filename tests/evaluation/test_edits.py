"""What people get of an edit: the sums, and one picture through the chain and the command line."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.faces.helpers import face68
from videdit.cli.main import main
from videdit.editing.schedule import Edit
from videdit.errors import NoFaceError
from videdit.evaluation.edits import (
    SIZE,
    EditedFace,
    EditedInput,
    EditMeter,
    Total,
    _lightness,
    _mouth,
    figures,
    groups,
    sign_of,
    to_json,
    total,
)
from videdit.evaluation.pictures import ghosts
from videdit.models.networks import Networks
from videdit.pipeline.store import Store

SMILE = Edit.parse("Smiling=1")
PLAIN = EditedFace(
    frame=0,
    before=-1.0,
    after=1.0,
    kept=0.9,
    identity=0.3,
    corners=0.05,
    opening=0.02,
    background=0.02,
    ghosts=0.001,
    seam=1.1,
    age=2.0,
    male=-3.0,
    skin=60.0,
)


def moved(before: float, after: float) -> EditedFace:
    return replace(PLAIN, before=before, after=after)


# --- sums -----------------------------------------------------------------------------------------


def test_the_rate_is_among_those_who_lacked_it() -> None:
    lacking = [moved(-1, 2), moved(-2, -1), moved(-4, 1), moved(-3, -3.5)]
    having = [moved(3, 4), moved(2, -9), moved(5, 1)]
    faces = [*lacking, *having]
    added = total(faces, 1)
    assert (added.faces, added.lacked) == (7, 4)
    assert added.seen == 2 / 4
    assert added.shift == pytest.approx((3 + 1 + 5 - 0.5) / 4)
    # The same, had it been taken away: only the three who had it count.
    taken = total(faces, -1)
    assert (taken.faces, taken.lacked) == (7, 3)
    assert taken.seen == 1 / 3
    assert taken.shift == pytest.approx((-1 + 11 + 4) / 3)


def test_where_nobody_lacked_it_there_is_no_rate() -> None:
    had = total([moved(1, 2), moved(3, -1)], 1)
    assert (had.faces, had.lacked, had.kept) == (2, 0, 0.9)
    assert math.isnan(had.seen)
    assert math.isnan(had.shift)


def test_medians_are_of_the_values_that_there_are() -> None:
    faces = [
        replace(PLAIN, kept=0.7, identity=0.1, ghosts=0.0, seam=math.nan, corners=0.3, opening=-1),
        replace(PLAIN, kept=0.8, identity=0.2, ghosts=0.1, seam=1.5, corners=0.1, opening=0),
        replace(PLAIN, kept=1.0, identity=0.6, ghosts=0.9, seam=1.1, corners=-0.2, opening=5),
    ]
    found = total(faces, 1)
    assert (found.kept, found.identity, found.ghosts) == (0.8, 0.2, 0.1)
    assert found.seam == pytest.approx(1.3)
    assert (found.corners, found.opening) == (0.1, 0)
    assert found.identity_p90 == pytest.approx(0.2 + 0.8 * 0.4)
    assert math.isnan(total(faces[:1], 1).seam)


def test_no_faces_have_no_figures() -> None:
    none = asdict(total([], 1))
    assert (none.pop("faces"), none.pop("lacked")) == (0, 0)
    assert len(none) == len(fields(Total)) - 2
    assert all(math.isnan(value) for value in none.values())


def test_groups() -> None:
    skins = (50, 10, 80, 30, 60, 20, 90, 40, 70)
    faces = [
        replace(PLAIN, frame=i, skin=float(skin), male=(-1.0, 0.0, 2.0)[i % 3], age=2.5 - i)
        for i, skin in enumerate(skins)
    ]
    found = groups(faces)
    parts = {name: [face.frame for face in part] for name, part in found.items()}
    assert parts == {
        "dark skin": [1, 3, 5],
        "middle skin": [0, 4, 7],
        "light skin": [2, 6, 8],
        "men": [2, 5, 8],
        "women": [0, 1, 3, 4, 6, 7],
        "older": [3, 4, 5, 6, 7, 8],
    }
    assert groups([]) == {}


@pytest.mark.parametrize("skins", [(40,), (40, 40, 40), (10, 20, 30, 40), (1, 2, 2, 2, 3, 4, 5)])
def test_every_face_is_in_one_third(skins: tuple[int, ...]) -> None:
    found = groups([replace(PLAIN, frame=i, skin=float(skin)) for i, skin in enumerate(skins)])
    thirds = [found[f"{name} skin"] for name in ("dark", "middle", "light")]
    frames = sorted(face.frame for third in thirds for face in third)
    assert frames == list(range(len(skins)))


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("1.5", 1),
        ("-0.5", -1),
        ("0", 1),
        ("0s:0,2s:1", 1),
        ("0s:0,2s:-1", -1),
        ("0s:0.5,1s:-2,2s:1", -1),
        ("0s:-0.5,1s:2,2s:-1", 1),
    ],
)
def test_the_sign_is_that_of_the_largest_strength(text: str, sign: int) -> None:
    assert sign_of(Edit.parse(f"Smiling={text}")) == sign


def test_figures_are_of_both_signs() -> None:
    results = [
        EditedInput("a.jpg", "Smiling=1.0", [moved(-1, 2), moved(-2, -1), moved(3, 4)]),
        EditedInput("a.jpg", "Smiling=-1.0", [moved(3, -1)]),
        EditedInput("b.jpg", "Smiling=2.0", [moved(-1, 5)]),
        EditedInput("b.jpg", "Bald=1.0", [moved(1, 5)]),
    ]
    found = figures(results, {"Bald": None, "Young": 0.9, "Smiling": 0.97})
    assert list(found) == ["Bald", "Smiling"]
    smile, bald = found["Smiling"], found["Bald"]
    assert (smile.more.lacked, smile.more.seen) == (2, 0.5)
    assert (smile.less.lacked, smile.less.seen) == (1, 1.0)
    assert smile.judge_auc == 0.97
    assert math.isnan(bald.judge_auc)
    assert bald.more.lacked == bald.less.lacked == 0


def test_json_is_plain() -> None:
    frown, never = Edit.parse("Smiling=-1"), Edit.parse("Bald=1")
    results = [
        EditedInput("a.jpg", str(SMILE), [moved(-1, 1), replace(moved(-1, -2), seam=math.nan)]),
        EditedInput("a.jpg", str(frown), [moved(-1, -2)], failed=1),
    ]
    found = json.loads(json.dumps(to_json(results, [SMILE, frown, never]), allow_nan=False))
    assert set(found) == {"edits", "inputs"}
    assert list(found["edits"]) == ["Smiling=1.0", "Smiling=-1.0", "Bald=1.0"]
    smile, taken, none = found["edits"].values()
    assert (smile["faces"], smile["lacked"], smile["seen"], smile["shift"]) == (2, 2, 0.5, 0.5)
    assert smile["groups"]["women"]["seen"] == 0.5
    assert smile["groups"]["men"]["faces"] == 0
    assert smile["groups"]["men"]["kept"] is None
    # None had a smile to lose.
    assert (taken["faces"], taken["lacked"], taken["seen"]) == (1, 0, None)
    assert taken["groups"]["women"]["lacked"] == 0
    assert (none["faces"], none["identity"], none["groups"]) == (0, None, {})
    one, other = found["inputs"]
    assert (one["name"], one["edit"], one["failed"]) == ("a.jpg", "Smiling=1.0", 0)
    assert one["faces"][0] == asdict(moved(-1, 1))
    assert one["faces"][1]["seam"] is None
    assert (other["edit"], other["failed"]) == ("Smiling=-1.0", 1)


# --- the face -------------------------------------------------------------------------------------


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Tilted in the picture's plane, and somewhere in it."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.asarray(points @ np.array([[c, s], [-s, c]]) + (300, 200))


@pytest.mark.parametrize("degrees", [0, 35, -100])
def test_the_mouth_of_a_tilted_head(degrees: float) -> None:
    calm, smile, talk = face68(), face68(), face68()
    smile[[48, 54], 1] -= 0.1  # up
    talk[[65, 66, 67], 1] += 0.08  # the lower lip's inner line, down
    before, smiling, talking = (_mouth(turned(face, degrees)) for face in (calm, smile, talk))
    # The made-up mouth is an ellipse: its corners lie at half its height.
    lips = 0.06 * 2 * (1 + 2 * np.sqrt(0.5)) / 3
    np.testing.assert_allclose(before, (0, lips), atol=1e-9)
    np.testing.assert_allclose(smiling, (0.1, lips), atol=1e-9)
    np.testing.assert_allclose(talking, (0, lips + 0.08), atol=1e-9)
    drooping = calm.copy()
    drooping[48, 1] += 0.1  # one corner, down
    assert _mouth(turned(drooping, degrees))[0] == pytest.approx(-0.05, abs=2e-3)


def test_lightness() -> None:
    points = face68() * 40 + (100, 80)

    def flat(*rgb: int) -> np.ndarray:
        return np.full((200, 200, 3), rgb, np.uint8)

    assert _lightness(flat(0, 0, 0), points) == pytest.approx(0, abs=0.1)
    assert _lightness(flat(255, 255, 255), points) == pytest.approx(100, abs=0.1)
    # CIE's own definition: a luminance of Y = ((L + 16) / 116)^3; sRGB's 119 is Y = 0.184.
    assert _lightness(flat(119, 119, 119), points) == pytest.approx(50.0, abs=0.2)
    # Red is Y = 0.2126 whatever its colour.
    assert _lightness(flat(255, 0, 0), points) == pytest.approx(53.2, abs=0.2)
    # Only the cheeks count, the patches beside the nose: not eyes, lips or what is around.
    cheeks = flat(0, 0, 0)
    for x in (-0.54, 0.54):
        cv2.circle(cheeks, (round(100 + 40 * x), round(80 + 40 * 0.525)), 8, (119, 119, 119), -1)
    assert _lightness(cheeks, points) == pytest.approx(50.0, abs=0.2)
    # Light from one side: the middle of both.
    lit = flat(0, 0, 0)
    lit[:, :100] = 255
    assert _lightness(lit, points) == pytest.approx(50.0, abs=0.2)
    assert _lightness(lit[:, ::-1], points) == pytest.approx(50.0, abs=0.2)


# --- a picture through the chain ------------------------------------------------------------------

SEED = 20  # a young man with a closed mouth


@dataclass(frozen=True)
class Measured:
    folder: Path
    cache: Path
    result: EditedInput
    rows: list[list[np.ndarray]]


@pytest.fixture(scope="module")
def measured(
    networks: Networks, default_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Measured:
    """A generated face and a wall in a folder; the face with a smile, measured."""
    pytest.importorskip("dlib")
    if importlib.util.find_spec("face_recognition_models") is None:
        pytest.skip("needs the extra eval")
    folder = tmp_path_factory.mktemp("pictures")
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(SEED))
    mean = networks.statistics.mean
    with torch.no_grad():
        code = mean + 0.7 * (networks.mapping(z) - mean)
    codes = np.repeat(code.numpy()[:, None], networks.space.rows, 1)
    picture = cv2.resize(
        networks.generator.decode(codes)[0], (512, 512), interpolation=cv2.INTER_AREA
    )
    cv2.imwrite(str(folder / "face.png"), np.rint(picture * 255).astype(np.uint8)[:, :, ::-1])
    wall = np.random.default_rng(0).integers(90, 110, (256, 256, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "wall.png"), wall)
    cache = tmp_path_factory.mktemp("cache")
    with Store(cache) as store:
        meter = EditMeter(4, store, {"method": "encoder"})
        meter.networks = networks
        result = meter.measure(folder / "face.png", SMILE)
        with pytest.raises(NoFaceError):
            meter.measure(folder / "wall.png", SMILE)
    return Measured(folder, cache, result, meter.rows)


@pytest.mark.weights
def test_a_smile_is_seen_on_the_same_person(measured: Measured) -> None:
    result = measured.result
    assert (result.name, result.edit, result.failed) == ("face.png", "Smiling=1.0", 0)
    (face,) = result.faces
    assert face.frame == 0
    assert face.before < 0
    assert face.after > face.before + 0.5
    assert face.corners > 0.01
    assert 0.02 < face.identity < 0.6
    assert face.kept > 0.85
    assert 0 <= face.ghosts < 0.01
    assert 0 <= face.background < 0.005
    assert 0.8 < face.seam < 1.5
    assert face.male > 0
    assert face.age > 0
    assert 40 < face.skin < 80


@pytest.mark.weights
def test_a_row_shows_source_edit_and_result(measured: Measured) -> None:
    (row,) = measured.rows
    assert [picture.shape for picture in row] == [(SIZE, SIZE, 3)] * 3
    source, edited, result = (picture.astype(int) for picture in row)
    changed = np.abs(result - source).max(2)
    assert changed.max() > 20
    assert np.mean(changed == 0) > 0.3  # what is not the face is the source's, not the edit's
    assert np.mean(np.abs(edited - source).max(2) == 0) < 0.3
    own = ghosts(*(picture / 255 for picture in row))
    assert measured.result.faces[0].ghosts == pytest.approx(own, abs=2e-4)


@pytest.mark.weights
def test_the_command_line_says_the_same(
    measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, sheet = tmp_path / "report.json", tmp_path / "sheet.jpg"
    words = [measured.folder, "--attr", "smiling", "--method", "encoder"]
    words += ["--json", report, "--sheet", sheet, "--cache", measured.cache]
    assert main(["evaluate", "edits", *map(str, words)]) == 0
    found = json.loads(report.read_text())
    assert found["no_face"] == ["wall.png"]
    expected = json.loads(json.dumps(to_json([measured.result], [SMILE]), allow_nan=False))
    assert list(found["edits"]) == ["Smiling=1.0"]
    table, own = found["edits"]["Smiling=1.0"], expected["edits"]["Smiling=1.0"]
    assert set(table) == {field.name for field in fields(Total)} | {"groups"}
    by_group, own_by_group = table.pop("groups"), own.pop("groups")
    assert table == pytest.approx(own, rel=0.02, abs=1e-3)
    assert set(by_group) == set(own_by_group)
    assert by_group["men"] == pytest.approx(own_by_group["men"], rel=0.02, abs=1e-3)
    assert by_group["women"]["faces"] == 0
    (one,) = found["inputs"]
    (face,) = one["faces"]
    assert face == pytest.approx(asdict(measured.result.faces[0]), rel=0.02, abs=1e-3)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["1/2 face.png", "2/2 wall.png"]
    heads, values = lines[2].replace("(90 %)", "P90").split(), lines[3].split()
    shown = dict(zip(heads, values, strict=True))
    assert shown == {
        "EDIT": "Smiling=1.0",
        "FACES": "1",
        "LACKED": "1",
        "SEEN": f"{table['seen']:.0%}",
        "SHIFT": f"{table['shift']:.1f}",
        "KEPT": f"{table['kept']:.1%}",
        "IDENTITY": f"{table['identity']:.3f}",
        "P90": f"{table['identity_p90']:.3f}",
        "BACKGROUND": f"{table['background']:.2%}",
        "GHOSTS": f"{1000 * table['ghosts']:.2f}",
        "SEAM": f"{table['seam']:.2f}",
        "CORNERS": f"{table['corners']:+.3f}",
        "OPENING": f"{table['opening']:+.3f}",
    }
    assert lines[4:] == ["1 inputs without a face, 0 results without one"]
    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape == (256, 3 * 256, 3)
    first = cv2.resize(measured.rows[0][0], (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(picture[:, :256, ::-1].astype(int) - first).mean() < 6
