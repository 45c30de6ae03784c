"""What people get: the final picture of an edit against the source that it was made from.

Not the generator's picture against its reconstruction: what the edit changes there can be lost on
the way into the person's own picture, and what it must not touch can get in. The whole chain runs,
and what is judged are the frames as they go to the video's encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..api import prepare
from ..artifacts.faces import FaceTable
from ..artifacts.pictures import has_picture, read_picture
from ..editing.attributes import canonical
from ..editing.hair_colour import COLOURS, HairColours, hair_look, load_hair_colours
from ..editing.picture_classifier import PictureClassifier, load_picture_classifier, look
from ..editing.quality import Quality, Results
from ..editing.schedule import Edit
from ..faces.align import cut_crop, widened
from ..faces.detection import inter_ocular, largest
from ..faces.regions import NEVER, REGIONS
from ..media.compose import Patch
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.runner import open_contexts, run
from ..pipeline.store import Store
from ..settings import RunSettings
from ..stages.blend import BlendStage, pasted
from .identity import IdentityMeter, distance
from .pictures import ghosts, seam, sized
from .report import plain

SIZE = 512
"""Side of the crops that are compared, pixels."""

_LOOK = 256
_AROUND = 1.5
_MOVED = 3 / 255
_SURE = 0.9  # probability of background and clothes
_APART = 5  # pixels of the parser's maps: the background is shrunk by half of it


@dataclass(frozen=True)
class EditedFace:
    """One face, source and result.

    Attributes:
        frame: its frame.
        before, after: logit of the attribute in the source and in the result: the judge's, but for
            colours of hair the hair's own; NaN where no hair is seen, and for an edit that the
            judge has no word for.
        kept: share of its other judgements that stay.
        identity: distance of dlib's descriptors; under 0.6 passes for the same person.
        corners: by how much the corners of the mouth rose against its middle, inter-ocular
            distances.
        opening: by how much the lips parted, inter-ocular distances.
        background: share of the source's background and clothes, as its parser sees them and a
            little way from the person, where the result is another by more than 3 levels of 255.
        ghosts: share of the crop with an edge that neither the source nor the generator's edit has.
        seam: contrast along the rim of what was pasted, over the source's own there; NaN where
            nothing was.
        age, male: the judge's logits of ``Young`` (negative: over about 40) and ``Male`` in the
            source, for figures by group.
        skin: lightness (CIE L*, 0 to 100) of the source's cheeks.
    """

    frame: int
    before: float
    after: float
    kept: float
    identity: float
    corners: float
    opening: float
    background: float
    ghosts: float
    seam: float
    age: float
    male: float
    skin: float


@dataclass
class EditedInput:
    """One picture or clip after one edit.

    Attributes:
        name: the file's.
        edit: attribute and strength.
        faces: those compared.
        failed: results in which no face was found.
    """

    name: str
    edit: str
    faces: list[EditedFace] = field(default_factory=list)
    failed: int = 0


@dataclass(frozen=True)
class Total:
    """All faces after one edit.

    Attributes:
        faces: how many were compared.
        lacked: of these, how many lacked what the edit gives, as the judge sees it.
        seen: share of those in whose result it sees it.
        shift: by how much its logit moved towards it, mean over those.
        kept, identity, ghosts, seam, corners, opening: medians of :class:`EditedFace`'s.
        identity_p90: 90 % of the distances are under this.
        background: mean of :class:`EditedFace`'s.
    """

    faces: int
    lacked: int
    seen: float
    shift: float
    kept: float
    identity: float
    identity_p90: float
    background: float
    ghosts: float
    seam: float
    corners: float
    opening: float


def total(faces: Sequence[EditedFace], sign: int) -> Total:
    """The figures of some faces after an edit with a strength of this sign; NaN where none is."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(face, name) for face in faces], np.float64)

    def middle(name: str) -> float:
        values = column(name)
        values = values[np.isfinite(values)]
        return float(np.median(values)) if len(values) else math.nan

    before, after = column("before") * sign, column("after") * sign
    lacked = before < 0
    any_lacked = bool(lacked.any())
    return Total(
        faces=len(faces),
        lacked=int(lacked.sum()),
        seen=float(np.mean(after[lacked] > 0)) if any_lacked else math.nan,
        shift=float(np.mean((after - before)[lacked])) if any_lacked else math.nan,
        kept=middle("kept"),
        identity=middle("identity"),
        identity_p90=float(np.quantile(column("identity"), 0.9)) if faces else math.nan,
        background=float(column("background").mean()) if faces else math.nan,
        ghosts=middle("ghosts"),
        seam=middle("seam"),
        corners=middle("corners"),
        opening=middle("opening"),
    )


def groups(faces: Sequence[EditedFace]) -> dict[str, list[EditedFace]]:
    """The faces by complexion (thirds), sex and age, as far as they can be told from the source."""
    if not faces:
        return {}
    low, high = np.quantile([face.skin for face in faces], (1 / 3, 2 / 3))
    tests: dict[str, Callable[[EditedFace], bool]] = {
        "dark skin": lambda face: face.skin < low,
        "middle skin": lambda face: low <= face.skin < high,
        "light skin": lambda face: face.skin >= high,
        "men": lambda face: face.male > 0,
        "women": lambda face: face.male <= 0,
        "older": lambda face: face.age < 0,
    }
    return {name: [face for face in faces if test(face)] for name, test in tests.items()}


def sign_of(edit: Edit) -> int:
    """Whether an edit adds or takes away: the sign of its largest strength."""
    strengths = [alpha for _, alpha in edit.schedule.keyframes]
    return 1 if max(strengths, key=abs) >= 0 else -1


class EditMeter:
    """Measures inputs one after the other.

    Args:
        frames: how many frames of a clip are compared, spread evenly.
        store: where the pipeline keeps its artifacts.
        settings: other fields of ``RunSettings``.
    """

    def __init__(
        self,
        frames: int,
        store: Store,
        settings: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.frames = frames
        self.store = store
        self.settings = dict(settings or {})
        self.progress = progress or Progress()
        self.identity = IdentityMeter()
        self.networks: Networks | None = None
        self.judge: PictureClassifier | None = None
        self.about_judge: Mapping[str, Any] = {}
        self._hair: HairColours | None = None
        self.rows: list[list[NDArray[np.uint8]]] = []
        """Source, generator's edit and result of one face per input and edit: for a sheet."""

    def measure(self, source: Path, edit: Edit) -> EditedInput:
        """Run a picture or clip through the chain, and compare.

        Raises:
            VideditError: what the pipeline raises; `NoFaceError` if it shows none.
        """
        asked = RunSettings(source, source, (edit,), **self.settings)
        resources, chain = prepare(asked, self.store, self.progress, self.networks)
        self.networks = resources.networks
        blend = chain[-1]
        assert isinstance(blend, BlendStage)
        with resources:
            source_id = resources.timeline.content_id
            run(chain[:-1], self.store, source_id, source, targets=blend.takes)
            contexts = open_contexts(chain, self.store, source_id)
            decode = contexts["decode"].own
            table = FaceTable(contexts["align"].own)
            result = EditedInput(source.name, str(edit))
            wanted = resources.frames
            chosen = np.unique(
                np.linspace(wanted.start, wanted.stop - 1, min(len(wanted), self.frames)).astype(
                    int
                )
            )
            for index in chosen.tolist():
                faces = table.window(index, index + 1)
                if not len(faces):
                    continue
                ((frame, patches),) = blend.blended(contexts["blend"], index, index + 1)
                before = frame.rgb8
                after = pasted(before, patches)
                mask = _mask(patches, before.shape[:2])
                (chunk,) = decode.overlapping(index, index + 1)
                for k in range(len(faces)):
                    name = faces.name(k)
                    if not has_picture(decode, chunk.name, name):
                        continue
                    edited = read_picture(decode, chunk.name, name)
                    quad = faces.quad[k]
                    face = self._compare(index, edit.attribute, before, after, quad, mask, edited)
                    if face is None:
                        result.failed += 1
                    else:
                        result.faces.append(face)
        return result

    def _compare(
        self,
        index: int,
        attribute: str,
        before: NDArray[np.uint8],
        after: NDArray[np.uint8],
        quad: NDArray[np.float64],
        mask: NDArray[np.float32],
        edited: NDArray[np.float32],
    ) -> EditedFace | None:
        assert self.networks is not None
        crops = [cut_crop(picture, quad, SIZE) for picture in (before, after)]
        bytes_ = [np.rint(crop * 255).astype(np.uint8) for crop in crops]
        edited = sized(edited, SIZE)
        shown = np.rint(edited * 255).astype(np.uint8)
        self.rows.append([bytes_[0], shown, bytes_[1]])
        found = [self._landmarks(picture, quad) for picture in (before, after)]
        points = [points for points in found if points is not None]
        if len(points) < len(found):
            return None
        logits = np.concatenate([self.logits(crop) for crop in crops])
        assert self.judge is not None
        names, name = self.judge.names, canonical(attribute)
        own = [names.index(name)] if name in names else []
        same = np.delete((logits[0] > 0) == (logits[1] > 0), own)
        # An edit moves no head: the source's landmarks say where both faces are.
        who = [self.identity.describe(picture, points[0], jitters=0) for picture in bytes_]
        unit = float(inter_ocular(points[0]))
        mouths = [_mouth(p) / unit for p in points]
        alpha = cut_crop(np.repeat(mask[:, :, None], 3, 2), quad, SIZE)[:, :, 0]
        return EditedFace(
            frame=index,
            before=self.told(attribute, crops[0], logits[0]),
            after=self.told(attribute, crops[1], logits[1]),
            kept=float(same.mean()),
            identity=distance(*who),
            corners=float(mouths[1][0] - mouths[0][0]),
            opening=float(mouths[1][1] - mouths[0][1]),
            background=self._background(*crops),
            ghosts=ghosts(crops[0], edited, crops[1]),
            seam=seam(crops[0], crops[1], alpha),
            age=float(logits[0, names.index("Young")]),
            male=float(logits[0, names.index("Male")]),
            skin=_lightness(bytes_[0], points[0]),
        )

    def _landmarks(
        self, rgb: NDArray[np.uint8], quad: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """(68, 2) pixels of the crop; None where no face is found. It is looked for in a wider one:
        a detector does not expect a face to fill the picture."""
        assert self.networks is not None
        wide = cut_crop(rgb, widened(quad, _AROUND), SIZE)
        faces = self.networks.landmarker.detect(np.rint(wide * 255).astype(np.uint8))
        if not faces:
            return None
        points = largest(faces).points68.astype(np.float64)
        return (points - SIZE / 2) * _AROUND + SIZE / 2

    def _background(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
        assert self.networks is not None
        seen = self.networks.parser.parse(before)
        sure = sum(seen[:, :, REGIONS.index(name)] for name in NEVER) > _SURE
        reach = np.ones((_APART, _APART), np.uint8)
        apart = cv2.erode(np.asarray(sure, np.uint8), reach)
        size = before.shape[:2]
        there = cv2.resize(apart, size, interpolation=cv2.INTER_NEAREST) > 0
        if not there.any():
            return 0.0
        return float((np.abs(after - before).max(2) > _MOVED)[there].mean())

    @property
    def judged(self) -> tuple[str, ...]:
        """The attributes that the judge knows; none before a face was looked at."""
        return () if self.judge is None else self.judge.names

    def told(self, attribute: str, crop: NDArray[np.float32], logits: NDArray[np.float32]) -> float:
        """The logit of one attribute, by the best meter there is for it.

        Args:
            crop: (s, s, 3) in [0, 1].
            logits: (attributes,) the judge's.

        Returns:
            NaN for a colour of hair where no hair is seen, and for what the judge does not know.
        """
        assert self.networks is not None
        assert self.judge is not None
        attribute = canonical(attribute)
        if attribute not in self.judged:
            return math.nan
        if attribute not in COLOURS:
            return float(logits[self.judge.names.index(attribute)])
        if self._hair is None:
            self._hair = load_hair_colours(self.networks.bundle.file("hair"))
        look = hair_look(crop, self.networks.parser.parse(crop))
        return math.nan if look is None else self._hair.logits(look)[attribute]

    def logits(self, crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """(1, attributes) the judge's, of a crop (s, s, 3) in [0, 1]; needs ``networks``."""
        assert self.networks is not None
        if self.judge is None:
            self.judge, self.about_judge = load_picture_classifier(
                self.networks.bundle.file("judge")
            )
        small = torch.from_numpy(sized(crop, _LOOK)).permute(2, 0, 1)[None]
        logits = self.judge(look(self.networks.recognition, small))
        return np.asarray(logits.numpy(), np.float32)


def _mask(patches: Sequence[Patch], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W) how much of each pixel was pasted."""
    mask = np.zeros(shape, np.float32)
    for patch in patches:
        h, w = patch.alpha.shape
        here = mask[patch.y : patch.y + h, patch.x : patch.x + w]
        np.maximum(here, patch.alpha, out=here)
    return mask


def _mouth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the corners lie above the mouth's middle, and how far the inner lips are apart."""
    lips = points[48:60]
    corners = points[[48, 54]].mean(0)
    # Up in the face: from the mouth to the eyes, so that a tilted head changes nothing.
    up = points[36:48].mean(0) - lips.mean(0)
    up /= np.linalg.norm(up)
    middle = points[[51, 57]].mean(0)
    apart = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()
    return np.array([(corners - middle) @ up, apart])


def _lightness(rgb8: NDArray[np.uint8], points: NDArray[np.float64]) -> float:
    """CIE L* of the cheeks, median: between the eyes' outer corners and the mouth's."""
    unit = float(inter_ocular(points))
    lab = cv2.cvtColor(rgb8.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    values = []
    for eye, corner in ((36, 48), (45, 54)):
        inside = np.array(lab.shape[1::-1]) - 1
        x, y = np.clip(np.rint((points[eye] + points[corner]) / 2), 0, inside).astype(int)
        r = max(1, int(0.12 * unit))
        values.append(lab[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1, 0].ravel())
    return float(np.median(np.concatenate(values)))


def figures(results: Sequence[EditedInput], aucs: Mapping[str, float | None]) -> dict[str, Quality]:
    """What `videdit attributes` shows of the edits with a strength of 1 and of -1: of the faces
    that lacked what they give.

    Args:
        results: of any edits.
        aucs: the judge's own, by attribute.
    """

    def side(name: str, sign: int) -> Results:
        edit = str(Edit.parse(f"{name}={sign}"))
        faces = [face for one in results if one.edit == edit for face in one.faces]
        t = total([face for face in faces if face.before * sign < 0], sign)
        return Results(t.lacked, t.seen, t.kept, t.identity)

    names = {Edit.parse(one.edit).attribute for one in results}
    found = {}
    for name in (name for name in aucs if name in names):
        auc = aucs[name]
        found[name] = Quality(side(name, 1), side(name, -1), math.nan if auc is None else auc)
    return found


def to_json(results: Sequence[EditedInput], edits: Sequence[Edit]) -> dict[str, Any]:
    """Everything, as plain JSON; no number where there is none."""
    summary = {str(edit): table for edit, table in _tables(results, edits)}
    everything = {"edits": summary, "inputs": [asdict(one) for one in results]}
    return {name: plain(value) for name, value in everything.items()}


def _tables(
    results: Sequence[EditedInput], edits: Sequence[Edit]
) -> Iterator[tuple[Edit, dict[str, Any]]]:
    for edit in edits:
        faces = [face for one in results if one.edit == str(edit) for face in one.faces]
        by_group = {k: asdict(total(v, sign_of(edit))) for k, v in groups(faces).items()}
        yield edit, asdict(total(faces, sign_of(edit))) | {"groups": by_group}
