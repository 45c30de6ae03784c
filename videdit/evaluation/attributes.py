"""How well editors edit: the protocol and the three metrics of the latent transformer's paper.

Held-out faces are inverted to W+; each is edited towards the opposite of what the judge says of its
reconstruction, at several strengths, decoded, and compared with the reconstruction (not with the
picture that was inverted):

- change: share of faces whose judgement of the edited attribute is another one;
- preservation: share of the judgements of all other attributes that stay;
- identity: mean distance of dlib's descriptors (under 0.6 passes for the same person).

Judgements that the judge itself cannot make (AUC under 0.9 on faces left out, or too few to tell)
are not counted among those to be preserved. Editors are compared at equal change: preservation and
identity are read off the curves where change is 50, 80, 90 and 95 %, and the area under each curve
is taken over the changes that all reach.

What the judge says of one and the same face differs from look to look, so 100 % can't be reached.
The *ceiling* is what it keeps of unedited faces seen a second time: recompressed, and inverted once
more.
"""

from __future__ import annotations

import copy
import hashlib
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ..arrays import keep_arrays
from ..editing.editor import Codes, Editor
from ..editing.picture_classifier import PictureClassifier, look
from ..editing.touch import touch_of
from ..faces.detection import Landmarker, largest
from ..faces.recognition import FaceNetwork
from ..faces.regions import REGIONS
from ..generators.latents import Latents
from ..generators.wspace import WStatistics
from ..inversion.predict import INPUT_SIZE
from ..models.protocols import Encoder, Generator
from .curves import Curve, Seen, curve_of, mean_distance
from .identity import IdentityMeter

MAIN = (
    *("Smiling", "Young", "Male", "Eyeglasses", "Mouth_Slightly_Open", "Blond_Hair"),
    *("Black_Hair", "Gray_Hair", "Bangs", "Wearing_Lipstick", "No_Beard", "Wearing_Hat"),
)
"""The attributes of the default report."""

Floats = npt.NDArray[np.float32]


_BATCH = 50
"""Pictures at a time on a GPU."""

SHEET_CHANGE = 0.8
"""Share of faces that are changed, at which pictures are shown and localities taken."""

_LOCAL = 12
"""Faces that localities are taken on."""

_JPEG = 75
"""Quality at which faces are compressed for the ceiling."""


class Eye:
    """Decodes codes and looks at the pictures. The networks move to the device.

    Args:
        decoder: the generator.
        face: the face network, for the judge's looks.
        judge: of attributes.
        backend: gives what finds the landmarks that dlib's box is made of.
        device: where the networks run.
    """

    def __init__(
        self,
        decoder: Generator,
        face: FaceNetwork,
        judge: PictureClassifier,
        backend: Callable[[], Landmarker],
        device: str = "cpu",
    ) -> None:
        self.decoder = decoder
        self.face = face.to(device)
        self.judge = judge.to(device)
        self.backend = backend
        self.device = device
        self.meter = IdentityMeter()
        self._batch = 1 if device == "cpu" else _BATCH

    def of(self, decoder: Generator) -> Eye:
        """The same with another generator."""
        other = copy.copy(self)
        other.decoder = decoder
        return other

    def show(self, code: Codes | Latents) -> npt.NDArray[np.uint8]:
        """(256, 256, 3) picture of a (rows, width) code, or of the latents of one face."""
        return self.pictures(code if isinstance(code, Latents) else code[None])[0]

    def pictures(self, codes: Codes | Latents) -> list[npt.NDArray[np.uint8]]:
        """Pictures (256, 256, 3) of codes (n, rows, width), or of latents."""
        shown, latents = [], Latents.of(codes)
        for start in range(0, len(latents), self._batch):
            for picture in self.decoder.decode(latents[start : start + self._batch]):
                small = cv2.resize(picture, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)
                shown.append(np.asarray(np.rint(small * 255), np.uint8))
        return shown

    def landmarks(self, picture: npt.NDArray[np.uint8]) -> Floats | None:
        """(68, 2) in pixels, or None where no face is found."""
        found = self.backend().detect(picture)
        return largest(found).points68.astype(np.float32) if found else None

    def see(self, codes: Codes | Latents, points: Sequence[Floats]) -> Seen:
        """Judgements and descriptors of codes (n, rows, width), or of latents. An edit moves no
        head: the reconstruction's landmarks say where the face is."""
        return self.see_pictures(self.pictures(codes), points)

    def see_pictures(
        self, pictures: Sequence[npt.NDArray[np.uint8]], points: Sequence[Floats]
    ) -> Seen:
        """Judgements and descriptors of pictures (256, 256, 3)."""
        logits = []
        for start in range(0, len(pictures), self._batch):
            piece = np.stack(pictures[start : start + self._batch])
            tensor = torch.from_numpy(piece).to(self.device).permute(0, 3, 1, 2).float() / 255
            logits.append(self.judge(look(self.face, tensor)).cpu().numpy())
        descriptors = self.meter.describe_all(pictures, points)
        return Seen(np.concatenate(logits), np.stack(descriptors))


@dataclass(frozen=True)
class Block:
    """Some of the faces, seen together: what is kept of a measurement is kept by blocks, so that
    one of more faces takes over what one of fewer has seen.

    Attributes:
        name: says which faces they are.
        codes: (n, rows, width) as the encoder gave them.
        points: n times (68, 2), the landmarks of the reconstructions, pixels.
    """

    name: str
    codes: Codes
    points: Sequence[Floats]


def invert(
    pictures: Sequence[npt.NDArray[np.uint8]], eye: Eye, encoder: Encoder, name: str
) -> Block:
    """Codes of faces' pictures (256, 256, 3) as the encoder gives them, and the landmarks of the
    reconstructions; faces whose reconstruction shows none are left out."""
    kept, points, shape = [], [], (0, 0)
    for picture in pictures:
        found = encoder.encode(picture[None].astype(np.float32) / np.float32(255))[0]
        at, shape = eye.landmarks(eye.show(found)), found.shape
        if at is not None:
            kept.append(found)
            points.append(at)
    return Block(name, np.array(kept, np.float32).reshape(-1, *shape), points)


@dataclass(frozen=True)
class Protocol:
    """What is measured.

    Attributes:
        attributes: that are edited.
        strengths: |alpha|, rising.
        faces: held-out faces.
    """

    attributes: tuple[str, ...] = MAIN
    strengths: tuple[float, ...] = (0.33, 0.67, 1.0, 1.5, 2.0, 3.0)
    faces: int = 50


SEQUENCE = ("Smiling", "Eyeglasses", "Bangs", "Young", "Black_Hair")
"""Edits that are made one after the other."""


@dataclass(frozen=True)
class Sequential:
    """Edits made one after the other, each at an alpha of 1 towards the other label.

    Attributes:
        attributes: in their order.
        there: of each, the share of faces on which it is seen right after it was made ...
        left: ... and still is after the last one.
        preservation, identity: after each edit, of the judgements of all attributes that are not in
            the sequence, and dlib's distance, both against the reconstruction.
    """

    attributes: tuple[str, ...]
    there: tuple[float, ...]
    left: tuple[float, ...]
    preservation: tuple[float, ...]
    identity: tuple[float, ...]


class AttributeMeter:
    """Runs the protocol; what is done is kept in a folder, so that a stopped run goes on.

    Args:
        folder: takes parts, tables and pictures.
        eye: sees.
        blocks: the faces, inverted.
        protocol: what is measured.
        report: takes lines of progress.
        counted: (k,) which of the judge's attributes count among those to be preserved; all, if not
            said.
    """

    def __init__(
        self,
        folder: Path,
        eye: Eye,
        blocks: Sequence[Block],
        protocol: Protocol,
        report: Callable[[str], None] = print,
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.folder = folder
        self.eye = eye
        self.blocks = blocks
        self.codes = np.concatenate([block.codes for block in blocks])
        self.protocol = protocol
        self.report = report
        self.counted = np.ones(len(eye.judge.names), bool) if counted is None else counted
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        self.before = self._kept(
            "reconstruction", lambda block, _: eye.see(block.codes, block.points)
        )

    def _kept(self, name: str, make: Callable[[Block, slice], Seen]) -> Seen:
        """What is seen of all faces.

        Args:
            name: of what is looked at.
            make: looks at a block; where its faces are among all is said, too.
        """
        parts, start = [], 0
        for block in self.blocks:
            path = self.folder / "parts" / f"{file_name(name)}.{block.name}.npz"
            at = slice(start, start + len(block.codes))
            start = at.stop
            if path.exists():
                with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    parts.append(Seen(arrays["logits"], arrays["descriptors"]))
                continue
            seen = make(block, at)
            keep_arrays(path, logits=seen.logits, descriptors=seen.descriptors)
            parts.append(seen)
        return Seen(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.descriptors for part in parts]),
        )

    def signs(self, index: int) -> Floats:
        """(n,) towards the opposite of what the judge says."""
        return np.where(self.before.logits[:, index] > 0, -1, 1).astype(np.float32)

    def measure(self, method: str, editor: Editor) -> dict[str, Curve]:
        """An editor's curves by attribute; attributes that it does not know are left out."""
        names, curves = self.eye.judge.names, {}
        for attribute in self.protocol.attributes:
            if attribute not in editor.names:
                self.report(f"{method} does not know {attribute}")
                continue
            started = time.monotonic()
            index = names.index(attribute)
            after, signs = [], self.signs(index)
            for strength in self.protocol.strengths:
                towards = signs * np.float32(strength)

                def see(
                    block: Block,
                    at: slice,
                    alphas: Floats = towards,
                    index: int = index,
                ) -> Seen:
                    edited = editor.edited(Latents(block.codes), names[index], alphas[at])
                    return self.eye.see(edited, block.points)

                after.append(self._kept(f"{method}-{attribute}-{strength:g}", see))
            curves[attribute] = curve_of(
                self.before, after, index, self.protocol.strengths, self.counted
            )
            line = " ".join(
                f"{c:.0%}/{p:.1%}/{i:.2f}"
                for c, p, i in zip(
                    curves[attribute].change,
                    curves[attribute].preservation,
                    curves[attribute].identity,
                    strict=True,
                )
            )
            self.report(f"{method} {attribute}: {line} ({time.monotonic() - started:.0f} s)")
        return curves

    def locality(
        self,
        method: str,
        editor: Editor,
        curves: Mapping[str, Curve],
        parse: Callable[[npt.NDArray[np.floating[Any]]], Floats],
    ) -> dict[str, float]:
        """Share of the change of the pictures that falls into the regions that an attribute may
        touch, in the unedited face or the edited one; by attribute, mean over some faces, at the
        strength where the editor's change is `SHEET_CHANGE`.

        Args:
            method: the editor's name.
            editor: it.
            curves: as measured.
            parse: regions (128, 128, regions) of a picture (256, 256, 3) in [0, 1].
        """
        found = {}
        for attribute, curve in curves.items():
            strength = curve.strength_at(SHEET_CHANGE)
            index = self.eye.judge.names.index(attribute)
            name = file_name(f"{method}-{attribute}-locality-{strength:.4g}-{len(self.codes)}")
            path = self.folder / "parts" / f"{name}.npz"
            if not path.exists():
                alphas = self.signs(index)[:_LOCAL] * np.float32(strength)
                codes = self.codes[:_LOCAL]
                edited = editor.edited(Latents(codes), attribute, alphas)
                pairs = zip(self.eye.pictures(codes), self.eye.pictures(edited), strict=True)
                touched = touch_of(attribute).all
                shares = [_share_inside(a, b, touched, parse) for a, b in pairs]
                keep_arrays(path, share=np.array(shares))
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found[attribute] = float(np.nanmean(arrays["share"]))
        return found

    def spread(self, stats: WStatistics, editor: Editor | None = None) -> tuple[float, ...]:
        """How far codes lie out in W at each strength: the root of the mean square of whitened
        coordinates, mean over the faces and over the attributes that the editor knows. Samples of W
        have 1, or less the more they are truncated; what lies farther out the generator has never
        been asked for.

        Args:
            stats: of W.
            editor: moves the codes; without one, a single figure of the unedited ones.
        """

        def spread_of(codes: Codes) -> float:
            whitened = stats.whiten(torch.from_numpy(codes))
            return float(whitened.square().mean((1, 2)).sqrt().mean())

        if editor is None:
            return (spread_of(self.codes),)
        names = [name for name in self.protocol.attributes if name in editor.names]
        signs = [self.signs(self.eye.judge.names.index(name)) for name in names]
        return tuple(
            float(
                np.mean(
                    [
                        spread_of(editor.move(self.codes, name, sign * np.float32(strength)))
                        for name, sign in zip(names, signs, strict=True)
                    ]
                )
            )
            for strength in self.protocol.strengths
        )

    def ceiling(self, encoder: Callable[[], Encoder]) -> dict[str, float]:
        """What the judge keeps of the unedited faces: recompressed, and inverted once more."""

        def recompressed(block: Block, _: slice) -> Seen:
            options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG]
            shown = []
            for picture in self.eye.pictures(block.codes):
                # OpenCV's order is blue, green, red.
                packed = cv2.imencode(".jpg", picture[:, :, ::-1], options)[1]
                again = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
                shown.append(np.ascontiguousarray(again[:, :, ::-1]))
            return self.eye.see_pictures(shown, block.points)

        def inverted(block: Block, _: slice) -> Seen:
            crops = np.stack(self.eye.pictures(block.codes)).astype(np.float32) / np.float32(255)
            codes = [encoder().encode(crop[None])[0] for crop in crops]
            return self.eye.see(np.stack(codes), block.points)

        said = self.before.logits[:, self.counted] > 0
        return {
            name: float(((seen.logits[:, self.counted] > 0) == said).mean())
            for name, seen in (
                ("recompressed", self._kept("recompressed", recompressed)),
                ("inverted again", self._kept("inverted", inverted)),
            )
        }

    def sequence(self, method: str, editor: Editor) -> Sequential | None:
        """Several edits one after the other; None where the editor does not know them all."""
        names, latents = self.eye.judge.names, Latents(self.codes)
        if not set(SEQUENCE) <= set(editor.names) & set(names):
            return None
        columns = [names.index(name) for name in SEQUENCE]
        others = self.counted.copy()
        others[columns] = False
        said = self.before.logits > 0
        seen = []
        for number, (name, index) in enumerate(zip(SEQUENCE, columns, strict=True)):
            latents = editor.edited(latents, name, self.signs(index))

            def see(block: Block, at: slice, edited: Latents = latents) -> Seen:
                return self.eye.see(edited[at], block.points)

            seen.append(self._kept(f"{method}-sequence-{number}", see))

        def given(after: Seen, index: int) -> float:
            return float(((after.logits[:, index] > 0) != said[:, index]).mean())

        return Sequential(
            SEQUENCE,
            tuple(given(one, index) for one, index in zip(seen, columns, strict=True)),
            tuple(given(seen[-1], index) for index in columns),
            tuple(float(((s.logits > 0) == said)[:, others].mean()) for s in seen),
            tuple(mean_distance(self.before, one) for one in seen),
        )


def _share_inside(
    before: npt.NDArray[np.uint8],
    after: npt.NDArray[np.uint8],
    touched: AbstractSet[str],
    parse: Callable[[npt.NDArray[np.floating[Any]]], Floats],
) -> float:
    """Share of the change of pictures (256, 256, 3) in some regions; NaN where nothing changes."""
    columns = [REGIONS.index(name) for name in touched]
    seen = [parse(p / np.float32(255))[:, :, columns].sum(2) for p in (before, after)]
    inside = cv2.resize(np.maximum(*seen), before.shape[:2], interpolation=cv2.INTER_LINEAR)
    change = np.abs(after.astype(np.float32) - before).mean(2)
    total = float(change.sum())
    return float((change * inside.clip(0, 1)).sum()) / total if total else math.nan


def file_name(text: str) -> str:
    """A name for a file out of an editor's or an attribute's, which may hold a path: its letters,
    and a checksum where they are not all of it."""
    plain = re.sub(r"[^\w.+-]", "_", text).lstrip(".")
    if plain == text and len(plain) < 120:
        return plain
    return f"{plain[-100:]}-{hashlib.sha256(os.fsencode(text)).hexdigest()[:8]}"


def equal_change_sheet(
    meter: AttributeMeter,
    editors: Mapping[str, Editor],
    methods: Mapping[str, Mapping[str, Curve]],
    change: float = SHEET_CHANGE,
    faces: int = 3,
) -> list[list[npt.NDArray[np.uint8]]]:
    """Rows of pictures, one per attribute: a few faces, each as reconstructed and then by each
    editor, at the strength where its own change is ``change``."""
    rows = []
    for attribute in meter.protocol.attributes:
        signs = meter.signs(meter.eye.judge.names.index(attribute))
        # Faces without the attribute show more; they are the most.
        chosen = np.argsort(-signs, kind="stable")[:faces]
        row = []
        for n in chosen:
            row.append(meter.eye.show(meter.codes[n]))
            for method, editor in editors.items():
                if attribute not in methods[method]:
                    continue
                alpha = signs[n] * methods[method][attribute].strength_at(change)
                code = meter.codes[n : n + 1]
                strengths = np.array([alpha], np.float32)
                row.append(meter.eye.show(editor.edited(Latents(code), attribute, strengths)))
        rows.append(row)
    return rows
