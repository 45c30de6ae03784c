"""The whole chain on a small clip, with made-up networks: what the stages do with each other."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.faces.helpers import detection
from videdit import __version__
from videdit.blending.maps import put
from videdit.blending.parameters import BlendingParameters, Seen
from videdit.device import Device
from videdit.editing.editor import Editor
from videdit.editing.schedule import Edit
from videdit.errors import Interrupted, NoFaceError, VideditError
from videdit.faces.detection import Detection
from videdit.faces.regions import REGIONS, SIDE
from videdit.generators.latents import Latents
from videdit.generators.mobile import SPACE
from videdit.inversion.parameters import CodeSmoothing, InversionParameters
from videdit.media.compare import GAIN, comparison_path
from videdit.media.compose import Patch
from videdit.media.probe import probe
from videdit.media.tag import Tag
from videdit.media.xmp import read_xmp
from videdit.models.networks import Networks
from videdit.pipeline.runner import RunReport, run
from videdit.pipeline.store import Store
from videdit.settings import Parameters, RunSettings
from videdit.stages.assemble import Assembled, assemble_output
from videdit.stages.blend import pasted
from videdit.stages.chain import make_chain
from videdit.stages.resources import Resources

WIDTH, HEIGHT, FRAMES, RATE = 192, 160, 12, 25
FACE_FROM, FACE_TO = 2, 11  # a face in these frames


def clip_picture(index: int) -> np.ndarray:
    """A frame of the clip: a gradient that drifts."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    waves = [np.sin(x / 19 + index / 9), np.cos(y / 23), np.sin((x + y) / 31 - index / 11)]
    return (128 + 60 * np.stack(waves, 2)).astype(np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(clip_picture(index), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


class FakeLandmarker:
    """Finds a face in the middle of the clip's later frames, and in every decoded picture."""

    threads = 1

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        if rgb.shape == (256, 256, 3):
            return [detection(128, 110, 52)]
        drawn = rgb.astype(float)
        # Which frame it is, told by its corner: frames are not always looked at in order.
        index = int(
            np.argmin(
                [np.abs(drawn[:8, :8] - clip_picture(i)[:8, :8]).sum() for i in range(FRAMES)]
            )
        )
        return [detection(WIDTH / 2, 60, 24)] if FACE_FROM <= index < FACE_TO else []


class FakeEncoder:
    """Each crop's mean in all of its code. Remembers how many it was given at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, crops: np.ndarray) -> np.ndarray:
        self.batches.append(len(crops))
        # A tensor where the device is not the CPU.
        crops = np.asarray(crops if isinstance(crops, np.ndarray) else crops.permute(0, 2, 3, 1))
        assert crops.shape[1:] == (256, 256, 3)
        assert 0 <= crops.min() <= crops.max() <= 1
        return np.stack([np.full((16, 512), crop.mean(), np.float32) for crop in crops])


class FakeGenerator:
    """Grey; the first row beyond a grey's range paints a mouth."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def decode(self, latents: np.ndarray | Latents) -> np.ndarray:
        codes = Latents.of(latents).codes
        self.batches.append(len(codes))
        pictures = np.empty((len(codes), 512, 512, 3), np.float32)
        for picture, code in zip(pictures, codes, strict=True):
            picture[:] = code[15].mean()
            picture[310:380, 200:312] += 0.1 * code[0].mean() - 0.1 * code[15].mean()
        return np.clip(pictures, 0, 1)


# What the fakes make looks like no face.
SEEN = Seen(alike=(-2.0, -1.5))
USUAL: dict[str, Any] = {
    "codec": "ffv1",
    "chunk_frames": 5,
    "method": "encoder",
    "parameters": Parameters(blending=BlendingParameters(seen=SEEN)),
}


class FakeParser:
    """Sees lips around the mouth and hair elsewhere, whatever it is shown; and glasses, if told."""

    def __init__(self) -> None:
        self.glasses = False

    def parse(self, crop: np.ndarray) -> np.ndarray:
        """Of a tensor, a tensor."""
        assert crop.ndim == 3
        maps = np.zeros((SIDE, SIDE, len(REGIONS)), np.float32)
        maps[:, :, REGIONS.index("hair")] = 1
        if self.glasses:
            maps[40:60] = 0
            maps[40:60, :, REGIONS.index("glasses")] = 1
        mouth = slice(int(0.6 * SIDE), int(0.76 * SIDE)), slice(int(0.38 * SIDE), int(0.62 * SIDE))
        maps[mouth] = 0
        maps[mouth][:, :, REGIONS.index("lips")] = 1
        return put(crop, maps)


class FakeEditor(Editor):
    names = ("Smiling", "Young", "Eyeglasses")

    def move(self, codes: np.ndarray, name: str, strengths: np.ndarray) -> np.ndarray:
        edited = codes.copy()
        edited[:, 0] += 3 * strengths[:, None]
        return edited


class Chain:
    """Runs the chain; remembers what the last run did."""

    def __init__(self, source: Path, folder: Path, device: str = "cpu") -> None:
        self.source, self.folder, self.device = source, folder, Device(device, "fp32")
        self.report: RunReport | None = None
        self.encoder, self.generator, self.parser = FakeEncoder(), FakeGenerator(), FakeParser()

    def __call__(self, *edits: str, signer: Any = None, **settings: Any) -> Assembled:
        asked = RunSettings(
            self.source,
            settings.pop("output", self.folder / "out.mkv"),
            tuple(Edit.parse(text) for text in edits),
            **{**USUAL, **settings},
        )
        timeline = probe(self.source)
        bundle: Any = SimpleNamespace(
            ids=lambda *roles: {role: f"id of {role}" for role in roles},
            file=lambda role: Path("file of") / role,
            latent=SPACE,
            manifest=SimpleNamespace(roles=["editor-transformer", "classifier"]),
        )
        networks = Networks(bundle, self.device, asked.backend)
        vars(networks).update(
            landmarker=FakeLandmarker(),
            encoder=self.encoder,
            generator=self.generator,
            parser=self.parser,
            editor=lambda *_: FakeEditor(),
            **dict.fromkeys(("recognition", "synthesis", "statistics")),
        )
        with Resources(asked, timeline, networks) as resources:
            self.resources = resources
            self.stages = make_chain(resources)
            compared = asked.compare and comparison_path(asked.output, asked.compare)
            targets = ("blend", "compare") if "compare" in self.names() else ()
            with Store(self.folder / "cache") as store:
                self.report = run(
                    self.stages, store, timeline.content_id, self.source, targets=targets
                )
                return assemble_output(
                    resources, self.report.artifacts, signer=signer, comparison=compared or None
                )

    def names(self) -> set[str]:
        return {stage.name for stage in self.stages}

    def made(self) -> tuple[int, int]:
        """How many faces were encoded and how many pictures decoded since this was last asked."""
        counts = sum(self.encoder.batches), sum(self.generator.batches)
        self.encoder.batches.clear()
        self.generator.batches.clear()
        return counts

    def reused(self) -> set[str]:
        assert self.report is not None
        return {name for name, stage in self.report.stages.items() if not stage.chunks_done}


@pytest.fixture
def chain(clip: Path, tmp_path: Path) -> Chain:
    return Chain(clip, tmp_path)


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_an_edit_from_end_to_end(chain: Chain, clip: Path) -> None:
    done = chain("Smiling=1")
    assert done.edited == list(range(FACE_FROM, FACE_TO))
    before, after = frames_of(clip), frames_of(done.output)
    assert len(after) == FRAMES
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        changed = (one != other).any(2)
        assert changed.any() == (index in done.edited), index
        # Only around the mouth: well inside the quad, below the eyes.
        if changed.any():
            rows, columns = np.nonzero(changed)
            assert rows.min() > 60
            assert columns.min() > WIDTH // 2 - 40
            assert columns.max() < WIDTH // 2 + 40
            assert changed.sum() > 200


def test_another_strength_reuses_everything_up_to_the_codes(chain: Chain) -> None:
    first = chain("Smiling=1")
    shown = frames_of(first.output)
    second = chain("Smiling=0.8")
    assert chain.reused() == {
        *("frames", "landmarks", "track", "align", "encode", "refine", "reconstruct")
    }
    assert any((a != b).any() for a, b in zip(shown, frames_of(second.output), strict=True))
    chain("Smiling=1")
    assert chain.reused() == {stage.name for stage in chain.stages}
    chain("Smiling=1", codec="h264", crf=30)
    assert chain.reused() == {stage.name for stage in chain.stages} - {"blend"}


def test_strength_zero_leaves_frames_alone(chain: Chain, clip: Path) -> None:
    before = frames_of(clip)
    done = chain("Smiling=0s:0,0.22s:0,0.4s:2")
    assert done.edited
    assert min(done.edited) == 6  # strength rises from 0.22 s on, frame 5 at 25 fps has 0.2 s
    for index, shown in enumerate(frames_of(done.output)):
        assert np.array_equal(shown, before[index]) == (index not in done.edited)
    assert chain("Smiling=0").edited == []


def test_what_is_not_there_is_not_taken_away(chain: Chain, clip: Path) -> None:
    source = frames_of(clip)
    done = chain("Eyeglasses=-1")
    assert done.edited == []
    assert all(np.array_equal(a, b) for a, b in zip(frames_of(done.output), source, strict=True))
    (note,) = done.notes
    assert note.startswith("Eyeglasses=-1.0 left out: the reconstruction shows no glasses")
    both = chain("Eyeglasses=-1", "Smiling=1")
    assert both.edited == list(range(FACE_FROM, FACE_TO))
    assert both.notes == (note,)
    (alone, with_it) = (frames_of(chain("Smiling=1").output), frames_of(both.output))
    assert all(np.array_equal(a, b) for a, b in zip(alone, with_it, strict=True))


def test_what_is_there_is_taken_away(chain: Chain) -> None:
    chain.parser.glasses = True
    done = chain("Eyeglasses=-1")
    assert done.notes == ()
    assert chain.report is not None
    codes = chain.report.artifacts["edit"]
    active = [np.load(codes.path(chunk.name, "active.npy")) for chunk in codes.chunks]
    assert np.concatenate(active).all()


def test_edited_pictures_come_with_their_landmarks(chain: Chain) -> None:
    chain("Smiling=0s:0,0.22s:0,0.4s:2")
    assert chain.report is not None
    artifact = chain.report.artifacts["decode"]
    points = np.concatenate(
        [np.load(artifact.path(chunk.name, "points.npy")) for chunk in artifact.chunks]
    )
    assert points.shape == (FACE_TO - FACE_FROM, 68, 2)
    # None where the strength is 0; elsewhere those of the face that is always in the middle.
    assert np.isnan(points[: 6 - FACE_FROM]).all()
    np.testing.assert_allclose(points[6 - FACE_FROM :].mean((0, 1)), (0.5, 0.54), atol=0.02)


def comment_of(path: Path) -> str | None:
    with av.open(str(path)) as container:
        return {k.lower(): v for k, v in container.metadata.items()}.get("comment")


def test_the_result_says_what_was_edited_and_when(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    before = int(time.time())
    first = chain("Smiling=1", "Young=0.5").output.read_bytes()
    said = comment_of(chain.folder / "out.mkv")
    assert said is not None
    for word in (f"videdit {__version__}", "Smiling=1", "Young=0.5"):
        assert word in said
    (when,) = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said)
    seconds = datetime.fromisoformat(when.replace("Z", "+00:00")).timestamp()
    assert before <= seconds <= time.time()
    # The time is the edited frames': written once more, the file is the same, and one without the
    # tag is made of what is there.
    monkeypatch.setattr(time, "time", lambda: seconds + 1000)
    assert chain("Smiling=1", "Young=0.5").output.read_bytes() == first
    assert comment_of(chain("Smiling=1", "Young=0.5", tag=False).output) is None
    assert chain.reused() == {stage.name for stage in chain.stages}


def test_what_was_not_edited_does_not_say_that_it_was(chain: Chain) -> None:
    assert comment_of(chain("Smiling=0").output) is None


class FakeSigner:
    """Copies, with a word at the end; or fails."""

    fails = False

    def sign(self, source: Path, unsigned: Path, signed: Path, tag: Tag) -> None:
        assert source.name == "clip.mkv"
        assert unsigned.suffix == signed.suffix == ".mkv"
        signed.write_bytes(unsigned.read_bytes() + "|".join(tag.edits).encode())
        if self.fails:
            raise VideditError("it cannot be signed")


def test_what_is_signed_is_there_whole_or_not_at_all(chain: Chain) -> None:
    unsigned = chain("Smiling=1", tag=False).output.read_bytes()
    signer = FakeSigner()
    done = chain("Smiling=1", tag=False, signer=signer)
    assert done.output.read_bytes() == unsigned + b"Smiling=1.0"
    signer.fails = True
    with pytest.raises(VideditError, match="signed"):
        chain("Smiling=0.5", signer=signer)
    assert done.output.read_bytes() == unsigned + b"Smiling=1.0"
    assert {path.name for path in chain.folder.iterdir()} == {"out.mkv", "cache"}
    # So is what compares it with its source.
    with pytest.raises(VideditError, match="signed"):
        chain("Smiling=0.5", signer=signer, compare="side")
    assert {path.name for path in chain.folder.iterdir()} == {"out.mkv", "cache"}
    chain("Smiling=1", signer=FakeSigner(), compare="side")
    assert (chain.folder / "out-side.mkv").read_bytes().endswith(b"Smiling=1.0")
    # What was not edited is not signed as if it were.
    assert not chain("Smiling=0", signer=FakeSigner()).output.read_bytes().endswith(b"Smiling=0.0")


def test_a_comparison_is_made_of_what_is_kept(chain: Chain, clip: Path) -> None:
    alone = chain("Smiling=1").output.read_bytes()
    source, result = frames_of(clip), frames_of(chain.folder / "out.mkv")
    for kind in ("side", "split", "difference"):
        done = chain("Smiling=1", compare=kind)
        assert done.output.read_bytes() == alone
        assert chain.reused() == chain.names() - {"compare"}
        shown = frames_of(chain.folder / f"out-{kind}.mkv")
        assert comment_of(chain.folder / f"out-{kind}.mkv") == comment_of(done.output)
        for index, (picture, one, other) in enumerate(zip(shown, source, result, strict=True)):
            if kind == "side":
                assert np.array_equal(picture, np.hstack([one, other]))
            elif kind == "split":
                assert np.array_equal(picture[:, : WIDTH // 2 - 1], one[:, : WIDTH // 2 - 1])
                assert np.array_equal(picture[:, WIDTH // 2 + 1 :], other[:, WIDTH // 2 + 1 :])
            else:
                changed = (one != other).any(2)
                far = np.abs(picture.astype(int) - picture[0, 0]).max(2)
                assert changed.any() == (index in done.edited)
                assert (far[~changed] <= GAIN).all()  # by a rounding of the colours
                assert not far[:, :40].any()
                assert changed.any() == (far.max() > 10)
    chain("Smiling=1", compare="side")
    assert chain.reused() == chain.names()


def test_a_comparison_goes_on_where_it_was_stopped(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videdit.stages import compare

    made = []
    real = compare.write_segment

    def stopped(path: Path, *more: Any) -> int:
        made.append(path)
        if len(made) == 2:
            raise Interrupted("stopped", "")
        return real(path, *more)

    monkeypatch.setattr(compare, "write_segment", stopped)
    with pytest.raises(Interrupted):
        chain("Smiling=1", compare="side")
    monkeypatch.setattr(compare, "write_segment", real)
    assert {path.name for path in chain.folder.iterdir()} == {"cache"}
    chain("Smiling=1", compare="side")
    assert chain.report is not None
    report = chain.report.stages["compare"]
    assert (report.chunks_reused, report.chunks_done) == (1, 2)
    assert {path.name for path in chain.folder.iterdir()} == {"cache", "out.mkv", "out-side.mkv"}


def test_a_damaged_result_is_made_anew_for_the_comparison(chain: Chain) -> None:
    alone = chain("Smiling=1").output.read_bytes()
    assert chain.report is not None
    (first, *_) = sorted(chain.report.artifacts["blend"].folder.rglob("touched.npz"))
    first.write_bytes(b"")
    assert chain("Smiling=1", compare="difference").output.read_bytes() == alone
    assert (chain.folder / "out-difference.mkv").is_file()


def test_a_picture_is_compared(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    cv2.imwrite(str(source), frames_of(clip)[FACE_FROM][..., ::-1])
    chain = Chain(source, tmp_path)
    alone = chain("Smiling=1", output=tmp_path / "out.png").output.read_bytes()
    for kind in ("side", "difference"):
        done = chain("Smiling=1", output=tmp_path / "out.png", compare=kind)
        assert "compare" not in chain.names()
        assert done.output.read_bytes() == alone
    one, other = (cv2.imread(str(p)) for p in (source, done.output))
    side = cv2.imread(str(tmp_path / "out-side.png"))
    assert np.array_equal(side, np.hstack([one, other]))
    shown = cv2.imread(str(tmp_path / "out-difference.png"))
    assert np.array_equal(shown != 128, one != other)
    assert read_xmp((tmp_path / "out-side.png").read_bytes()) is not None


def test_an_edited_picture_says_so(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    cv2.imwrite(str(source), frames_of(clip)[FACE_FROM][..., ::-1])
    chain = Chain(source, tmp_path)
    for tag in (True, False):
        chain("Smiling=1", output=tmp_path / "out.png", tag=tag)
        packet = read_xmp((tmp_path / "out.png").read_bytes())
        assert packet is not None if tag else packet is None
        assert not tag or b"Smiling=1" in packet


def test_a_stretch(chain: Chain) -> None:
    done = chain("Smiling=1", start_s=4 / RATE, stop_s=9 / RATE)
    assert done.edited == [4, 5, 6, 7, 8]
    # The face comes two frames after this one begins.
    assert chain("Smiling=1", start_s=0, stop_s=5 / RATE).edited == [2, 3, 4]


UNSMOOTHED = replace(
    USUAL["parameters"], inversion=InversionParameters(smoothing=CodeSmoothing(0, 0, 0))
)


def test_what_was_made_for_a_stretch_is_not_made_again(chain: Chain, tmp_path: Path) -> None:
    stretch = {"start_s": 4 / RATE, "stop_s": 9 / RATE, "parameters": UNSMOOTHED}
    chain("Smiling=1", **stretch)
    assert chain.made() == (7, 10)  # a frame more on either side is encoded
    whole = chain("Smiling=1", parameters=UNSMOOTHED)
    assert chain.made() == (2, 8)
    fresh = Chain(chain.source, tmp_path / "fresh")
    fresh.folder.mkdir()
    for shown in (whole, fresh("Smiling=1", parameters=UNSMOOTHED)):
        assert shown.edited == list(range(FACE_FROM, FACE_TO))
    assert fresh.made() == (9, 18)
    assert whole.output.read_bytes() == (fresh.folder / "out.mkv").read_bytes()
    # The other way round, and for another strength that is the same for a while.
    chain("Smiling=1", start_s=5 / RATE, stop_s=7 / RATE, parameters=UNSMOOTHED)
    assert chain.made() == (0, 0)
    chain("Smiling=0s:1,0.16s:1,0.3s:2", parameters=UNSMOOTHED)
    assert chain.made() == (0, 6)


def test_damaged_chunks_of_another_stretch_are_not_taken_over(chain: Chain) -> None:
    stretch = {"start_s": 4 / RATE, "stop_s": 9 / RATE, "parameters": UNSMOOTHED}
    chain("Smiling=1", **stretch)
    chain.made()
    assert chain.report is not None
    pictures = sorted(chain.report.artifacts["reconstruct"].folder.rglob("*.jpg"))
    assert len(pictures) == 5
    pictures[0].write_bytes(bytes(pictures[0].stat().st_size))
    codes = sorted(chain.report.artifacts["encode"].folder.rglob("marks.npz"))
    assert len(codes) == 2
    codes[1].write_bytes(bytes(codes[1].stat().st_size))
    assert chain("Smiling=1", parameters=UNSMOOTHED).edited == list(range(FACE_FROM, FACE_TO))
    # Frame 4 is alone in its chunk. Its edited picture is whole; codes from frame 5 on are not.
    assert chain.made() == (7, 9)


def test_codes_follow_the_face_table(chain: Chain) -> None:
    chain("Smiling=1")
    assert chain.report is not None
    encode, edit = chain.report.artifacts["encode"], chain.report.artifacts["edit"]
    count = 0
    for chunk in encode.chunks:
        codes = np.load(encode.path(chunk.name, "codes.npy"))
        moved = np.load(edit.path(chunk.name, "codes.npy"))
        assert codes.dtype == moved.dtype == np.float16
        assert codes.shape == moved.shape == (chunk.frames, 16, 512)
        np.testing.assert_allclose(moved[:, 0].astype(float) - codes[:, 0], 3, atol=0.02)
        np.testing.assert_allclose(moved[:, 1:].astype(float) - codes[:, 1:], 0, atol=0.02)
        count += len(codes)
    assert count == FACE_TO - FACE_FROM
    assert [chunk.start for chunk in encode.chunks] == [2, 5, 10]
    frames = chain.report.artifacts["frames"]
    shots = frames.path(frames.whole, "shots.json")
    assert json.loads(shots.read_text()) == [0]


def test_no_face(clip: Path, tmp_path: Path) -> None:
    chain = Chain(clip, tmp_path)
    with pytest.raises(NoFaceError, match=r"no face was found in clip\.mkv"):
        chain("Smiling=1", start_s=0.0, stop_s=2 / RATE)
    assert not (tmp_path / "out.mkv").exists()


def test_times_rise_where_a_source_repeats_them(clip: Path) -> None:
    pts = np.array([10, 20, 20, 20, 40])

    class Repeating:
        time_base = Fraction(1, 10)

        def __init__(self) -> None:
            self.pts = pts

        def select(self, *_: object) -> range:
            return range(len(pts))

    timeline: Any = Repeating()
    bundle: Any = None
    asked = RunSettings(clip, clip)
    times = Resources(asked, timeline, Networks(bundle, Device("cpu", "fp32"), "mesh")).times
    np.testing.assert_allclose(times, [0, 1, 1.1, 1.2, 3])


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_pasted_touches_nothing_outside_the_patch(depth: type) -> None:
    rng = np.random.default_rng(0)
    full = np.iinfo(depth).max
    picture = rng.integers(0, full, (40, 50, 3), endpoint=True).astype(depth)
    kept = picture.copy()
    alpha = np.zeros((10, 12), np.float32)
    alpha[2:8, 3:9] = 0.25
    alpha[4, 4] = 1
    patch = Patch(20, 15, rng.random((10, 12, 3)).astype(np.float32), alpha)
    result = pasted(picture, [patch])
    assert result.dtype == depth
    assert np.array_equal(picture, kept)
    touched = np.zeros((40, 50), bool)
    touched[15:25, 20:32] = alpha > 0
    assert np.array_equal(result[~touched], picture[~touched])
    assert result[19, 24].tolist() == np.rint(patch.rgb[4, 4] * full).astype(int).tolist()
    expected = 0.75 * picture[17, 23] + 0.25 * patch.rgb[2, 3] * full
    np.testing.assert_allclose(result[17, 23], expected, atol=0.51)
    assert np.array_equal(pasted(picture, []), picture)


def test_the_torch_path_gives_the_same(chain: Chain, clip: Path, tmp_path: Path) -> None:
    """What a GPU does, on the CPU: crops and the blend by torch and kornia."""
    expected = frames_of(chain("Smiling=1").output)
    (tmp_path / "torch").mkdir()
    other = Chain(clip, tmp_path / "torch", "cpu:0")
    done = other("Smiling=1")
    assert done.edited == list(range(FACE_FROM, FACE_TO))
    for one, two in zip(expected, frames_of(done.output), strict=True):
        away = np.abs(one.astype(int) - two)
        assert away.max() <= 2  # a level of luma or chroma, seen as RGB
        assert away.mean() < 0.01


def left_by(chain: Chain, *stages: str) -> dict[str, np.ndarray | bytes]:
    """Every file that these stages left in the last run."""
    assert chain.report is not None
    found: dict[str, np.ndarray | bytes] = {}
    for name in stages:
        artifact = chain.report.artifacts[name]
        for chunk in artifact.chunks:
            for file in artifact.files(chunk.name):
                path = artifact.path(chunk.name, file)
                whole = np.load(path) if path.suffix == ".npy" else path.read_bytes()
                found[f"{name}/{chunk.name}/{file}"] = whole
    return found


@pytest.mark.parametrize(("device", "atol"), [("cpu", 0), ("cpu:0", 1e-3)])
def test_batches_give_what_single_faces_give(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, atol: float
) -> None:
    """As on a GPU, where several faces are encoded and decoded together."""

    def run_of(size: int) -> Chain:
        for module in ("videdit.artifacts.crops", "videdit.stages.resources"):
            monkeypatch.setattr(f"{module}.batch_size", lambda device: size)
        (tmp_path / str(size)).mkdir()
        made = Chain(clip, tmp_path / str(size), device)
        # A stretch first: of the whole, some faces of a batch are known then.
        stretch = {"start_s": 4 / RATE, "stop_s": 6 / RATE}
        made("Smiling=0s:1,0.44s:0", **stretch, parameters=UNSMOOTHED)
        done = made("Smiling=0s:1,0.44s:0", parameters=UNSMOOTHED)
        assert done.edited == list(range(FACE_FROM, FACE_TO))
        return made

    one, three = run_of(1), run_of(3)
    assert set(one.encoder.batches) == set(one.generator.batches) == {1}
    # Frames 3 to 6 for the stretch, in two chunks; then what the whole's three chunks lack.
    assert three.encoder.batches == [2, 2, 1, 3, 1]
    assert set(three.generator.batches) == {1, 2, 3}
    assert one.made() == three.made()
    stages = ("encode", "edit", "reconstruct", "decode")
    expected, found = left_by(one, *stages), left_by(three, *stages)
    assert expected.keys() == found.keys()
    assert sum(name.endswith("codes.npy") for name in found) == 6
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(found[name], value, atol=atol, err_msg=name)
        elif atol == 0:
            assert found[name] == value, name
    for a, b in zip(*(frames_of(c.folder / "out.mkv") for c in (one, three)), strict=True):
        assert np.abs(a.astype(int) - b).max() <= (2 if atol else 0)
