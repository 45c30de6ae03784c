"""How far alpha 1 goes along each map: found on what people get.

The maps are trained on generated faces, and much of an edit stays behind on its way into a real
picture. So their lengths are chosen last, on results: real portraits through the whole chain, seen
by the judge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..api import prepare
from ..artifacts.pictures import POINTS, read_picture
from ..artifacts.rows import read_rows
from ..blending.change import applied
from ..blending.face import find_changes
from ..blending.transfer import Landmarks
from ..bundles import DEFAULT_BUNDLE, load_bundle
from ..device import Device
from ..editing.attributes import follows_expression, unknown
from ..editing.picture_classifier import load_picture_classifier
from ..editing.schedule import Edit
from ..editing.touch import touch_of
from ..editing.transformer import LatentTransformers
from ..errors import InputError, NoFaceError, UsageError
from ..faces.align import cut_crop
from ..faces.detection import landmarks_in
from ..files import write_atomically
from ..media.compose import Patch
from ..models.networks import Networks
from ..pipeline.progress import Progress
from ..pipeline.runner import open_contexts, run
from ..pipeline.store import Store
from ..settings import RunSettings
from ..stages.blend import pasted
from ..stages.resources import FaceStage
from .edits import SIZE, EditMeter
from .identity import distance


@dataclass(frozen=True)
class LengthSearch:
    """What is looked for.

    Attributes:
        ladder: lengths that are tried, of the maps' own steps; 1 among them.
        seen: the judge is to see the attribute in the results of this share of those who lack it.
        close: without one that reaches this, the shortest that is so close to the best.
        identity: dlib's distance to the source, median, beyond which nothing longer than 1 goes ...
        expression: ... of an expression, which leaves the person the same ...
        sex: ... and of ``Male``, which does not.
        least: fewer people who lack it say nothing, and the length stays 1.
    """

    ladder: tuple[float, ...] = (0.6, 0.8, 1.0, 1.3, 1.65, 1.85, 2.1, 2.7)
    seen: float = 0.82
    close: float = 0.02
    identity: float = 0.46
    expression: float = 0.4
    sex: float = 0.6
    least: int = 5

    def limit(self, name: str) -> float:
        """Of an attribute's distance to the source."""
        if follows_expression(name):
            return self.expression
        return self.sex if name == "Male" else self.identity


@dataclass(frozen=True)
class Tried:
    """One length on all who lack an attribute.

    Attributes:
        faces: how many lack it.
        seen: share of those in whose result the judge sees it.
        kept: share of its other judgements that stay, median.
        identity: distance of dlib's descriptors, median.
    """

    faces: int
    seen: float
    kept: float
    identity: float


@dataclass(frozen=True)
class _Person:
    rgb: NDArray[np.uint8]
    quad: NDArray[np.float64]
    code: NDArray[np.float32]
    crop: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    points: NDArray[np.float64]
    theirs: NDArray[np.float64]
    logits: NDArray[np.float32]
    who: NDArray[np.float64]


def find_lengths(
    folder: Path,
    pictures: Sequence[Path],
    names: Sequence[str],
    store: Store,
    search: LengthSearch,
    report: Callable[[str], None],
    bundle: str = DEFAULT_BUNDLE,
) -> dict[str, tuple[float, float]]:
    """The lengths of a bundle's maps, ``(at -1, at 1)`` by attribute; goes on where it stopped.

    Leaves ``lengths.json`` and, with all that was tried, ``tried.json`` in the folder.

    Args:
        folder: see above; it is there.
        pictures: portraits.
        names: of attributes; all that the bundle's maps have, if none is given.
        store: where the pipeline keeps its artifacts.
        search: what is looked for.
        report: takes lines of progress.
        bundle: its name.

    Raises:
        UsageError: the maps have no such attribute.
        WeightsError: the bundle has no maps.
        InputError: no picture shows a face.
    """
    names = _names(bundle, names)
    settings = {"bundle": bundle}
    meter = EditMeter(1, store, settings)
    # Any edit: the chain runs as far as where edits begin.
    edit = Edit.parse(f"{names[0]}=1")
    asked = [RunSettings(path, path, (edit,), bundle=bundle) for path in pictures]
    people = list(_people(asked, store, meter, report))
    if not people or meter.networks is None:
        raise InputError("no picture shows a face", "Give portraits.")
    networks = meter.networks
    shipped = networks.editor("transformer")
    assert isinstance(shipped, LatentTransformers)
    maps = LatentTransformers(shipped.mean, shipped.maps, shipped.less)
    notes = folder / "tried.json"
    weights = networks.editor_ids("transformer") | networks.ids("judge")
    # The lengths that ship are no part of what is tried.
    weights = {file: one for file, one in weights.items() if not file.startswith("lengths")}
    key = {"people": [p.name for p in pictures], "weights": weights}
    tried: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
    if tried.get("key") != json.loads(json.dumps(key)):
        tried = {"key": key, "tried": {}}
    lengths = {}
    for name in names:
        pair = []
        for sign in (-1, 1):
            rows = tried["tried"].setdefault(f"{name}{sign:+d}", {})

            def at(
                length: float, name: str = name, sign: int = sign, rows: dict[str, Any] = rows
            ) -> Tried:
                if str(length) not in rows:
                    one = _try(people, name, sign * length, maps, meter, networks)
                    rows[str(length)] = asdict(one)
                    write_atomically(notes, json.dumps(tried, indent=1).encode())
                return Tried(**rows[str(length)])

            limit = search.limit(name)
            length = chosen_length(at, search, limit)
            pair.append(length)
            one = at(length)
            report(
                f"{name} {sign:+d}: {length} (lacked {one.faces}, seen {one.seen:.0%},"
                f" identity {one.identity:.3f}, kept {one.kept:.1%})"
            )
        lengths[name] = (pair[0], pair[1])
        write_atomically(folder / "lengths.json", json.dumps(lengths, indent=1).encode() + b"\n")
    return lengths


def chosen_length(
    at: Callable[[float], Tried], search: LengthSearch, limit: float = math.inf
) -> float:
    """The shortest length that is seen often enough; see :class:`LengthSearch`.

    Args:
        at: measures one; is asked for no more of them than needed.
        search: what is looked for.
        limit: of the distance to the source.
    """
    ladder = sorted(search.ladder)
    start = ladder.index(1.0)
    first = at(1.0)
    if first.faces < search.least:
        return 1.0
    if first.seen >= search.seen:
        length = 1.0
        for shorter in reversed(ladder[:start]):
            if at(shorter).seen < search.seen:
                break
            length = shorter
        return length
    found = {1.0: first.seen}
    for longer in ladder[start + 1 :]:
        one = at(longer)
        if one.identity > limit:
            break
        found[longer] = one.seen
        if one.seen >= search.seen:
            return longer
        if one.seen < max(found.values()) - search.close:  # it breaks
            break
    best = max(found.values())
    return min(length for length, seen in found.items() if seen >= best - search.close)


def _names(bundle: str, names: Sequence[str]) -> list[str]:
    """Attributes whose lengths are sought; see `find_lengths`."""
    known = load_bundle(bundle)
    made = Networks(known, Device("cpu", "fp32"), "mesh").editor("transformer").names
    judged = load_picture_classifier(known.file("judge"))[0].names
    for name in names:
        if name not in made:
            raise unknown(name, made)
    found = [name for name in names or made if name in judged]
    if not found:
        raise UsageError(
            f"the judge knows none of {', '.join(names or made)}",
            f"It knows {', '.join(judged)}.",
        )
    return found


def _people(
    runs: Sequence[RunSettings], store: Store, meter: EditMeter, report: Callable[[str], None]
) -> Iterator[_Person]:
    for asked in runs:
        path = asked.source
        try:
            resources, chain = prepare(asked, store, Progress(), meter.networks)
        except InputError as error:
            report(f"{path.name} is left out: {error}")
            continue
        meter.networks = resources.networks
        with resources:
            stages = chain[: [stage.name for stage in chain].index("reconstruct") + 1]
            source_id = resources.timeline.content_id
            try:
                run(stages, store, source_id, path, targets=("reconstruct", *stages[-1].takes))
            except NoFaceError:
                report(f"{path.name} is left out: no face")
                continue
            contexts = open_contexts(stages, store, source_id)
            made, ctx = stages[-1], contexts["reconstruct"]
            assert isinstance(made, FaceStage)
            shown, table = ctx.own, made.table(ctx)
            faces = made.to_edit(ctx, 0, 1)
            codes = made.codes(ctx).read(0, 1)
            theirs = read_rows(shown, POINTS, table, 0, 1)
            (frame,) = resources.reader.read(0, 1)
            (chunk,) = shown.overlapping(0, 1)
            for k in range(min(1, len(faces))):
                quad = faces.quad[k]
                own = cut_crop(frame.rgb8, quad, SIZE)
                picture = read_picture(shown, chunk.name, faces.name(k))
                points = faces.points_in_crop(k)
                bytes_ = np.rint(own * 255).astype(np.uint8)
                yield _Person(
                    rgb=frame.rgb8,
                    quad=quad,
                    code=codes[k : k + 1],
                    crop=own,
                    reconstruction=picture,
                    points=points,
                    theirs=np.asarray(theirs[k], np.float64),
                    logits=meter.logits(own)[0],
                    who=meter.identity.describe(bytes_, points * SIZE, jitters=0),
                )


def _try(
    people: Sequence[_Person],
    name: str,
    alpha: float,
    maps: LatentTransformers,
    meter: EditMeter,
    networks: Networks,
) -> Tried:
    """One strength, in the maps' own steps, on all who lack what it gives."""
    assert meter.judge is not None
    at = meter.judge.names.index(name)
    sign = 1 if alpha > 0 else -1
    seen, kept, apart = [], [], []
    for person in people:
        if not meter.told(name, person.crop, person.logits) * sign < 0:
            continue
        code = maps.move(person.code, name, np.array([alpha], np.float32))
        edited = networks.generator.decode(code)[0]
        shown = np.asarray(np.rint(edited * 255), np.uint8)
        after = landmarks_in(networks.landmarker, shown)
        after = person.theirs if after is None else after
        points = Landmarks(person.points, person.theirs, after)
        changes = find_changes(
            person.rgb,
            person.quad,
            SIZE,
            person.reconstruction,
            edited,
            networks.parser.parse,
            points,
            touch_of(name, alpha),
        )
        patches = [Patch(*applied(person.rgb, quad, change)) for quad, change in changes.values()]
        result = pasted(person.rgb, patches)
        crop = cut_crop(result, person.quad, SIZE)
        logits = meter.logits(crop)[0]
        seen.append(meter.told(name, crop, logits) * sign > 0)
        kept.append(np.delete((logits > 0) == (person.logits > 0), at).mean())
        bytes_ = np.rint(crop * 255).astype(np.uint8)
        who = meter.identity.describe(bytes_, person.points * SIZE, jitters=0)
        apart.append(distance(person.who, who))
    if not seen:
        return Tried(0, 0.0, 1.0, 0.0)
    return Tried(len(seen), float(np.mean(seen)), float(np.median(kept)), float(np.median(apart)))
