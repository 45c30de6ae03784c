"""What one run is asked to do, checked where it is said, and the numbers that shape its result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from videdit.blending.parameters import BlendingParameters
from videdit.device import check_device
from videdit.editing.schedule import Edit
from videdit.editing.touch import MASK, changed, check_region
from videdit.errors import UsageError
from videdit.faces.choice import LIKE, check_face, photo_in
from videdit.faces.parameters import FaceParameters
from videdit.faces.regions import Touch
from videdit.inversion.parameters import InversionParameters
from videdit.media.compare import COMPARISONS
from videdit.media.encoding import CODECS
from videdit.models.choices import check_backend, check_editor

METHODS = ("refined", "encoder", "projector")
"""Ways to invert, the best first."""

QUALITIES = {"fast": "encoder", "balanced": "refined"}
"""Levels of quality, and the method of inversion that each stands for."""

MOST_FACES = 32
"""Different faces that the edits of one run may name."""

_LARGEST_CRF = 63
_FILES = ("like", "mask", "sign", "key")


@dataclass(frozen=True)
class Parameters:
    """The rooms' numbers. They have no options: a changed one is another version of the tool, which
    makes anew exactly what the number shapes."""

    faces: FaceParameters = field(default_factory=FaceParameters)
    inversion: InversionParameters = field(default_factory=InversionParameters)
    blending: BlendingParameters = field(default_factory=BlendingParameters)


@dataclass(frozen=True)
class RunSettings:
    """The settings of one run. A stage picks those it depends on (:meth:`Stage.settings`).

    Attributes:
        source: the video or picture to edit.
        output: the file to write.
        edits: attributes and their strengths over time; each may say whose.
        editor: what moves the codes: see ``models.choices``, ``direction:FILE.npy``, or a file of
            transformers or directions.
        keep: attributes that ``interfacegan`` holds.
        like: the picture that ``activations`` and ``local`` take regions from; the edits name them.
            For ``scribble``, the source painted on.
        within: regions that the edits are held in; empty for all that they may touch.
        mask: a picture of the source's size, white where the region ``mask`` is; of pictures only.
        touch: regions that the edits may change as well, or may not: ``+hair,-beard``.
        face: which faces: ``largest``, ``all``, ``track:N``, or ``like:PICTURE``, those of the
            person in a picture. Edits that say whose they are don't ask it.
        backend: landmark backend, ``mesh`` or ``fan``.
        method: inversion, ``encoder``, ``refined`` or ``projector``.
        start_s, stop_s: the stretch to edit, in seconds from the first frame; None is the end.
        codec: video codec of the output, None for one that fits the source.
        crf: constant rate factor of the encoder, None for one near the source's quality.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        cache_dir: folder of the artifacts, None for the default one. Compiled networks are kept in
            the default one all the same: they are the machine's, not a source's.
        chunk_frames: frames per chunk: what is held in memory, and lost at most by a kill.
        bundle: name of the bundle of weights.
        tag: whether the output says in its metadata that it was edited, with what, how and when.
        sign: PEM file of the certificate, and those that it is signed with, that signs the output
            (C2PA).
        key: PEM file of its private key.
        compare: ``side``, ``split`` or ``difference``: a second file shows the result beside the
            source in that way; None for no such file.
        parameters: the rooms' numbers.

    Raises:
        UsageError: a setting that no run can have.
    """

    source: Path
    output: Path
    edits: tuple[Edit, ...] = ()
    editor: str = "transformer"
    keep: tuple[str, ...] = ()
    like: Path | None = None
    within: tuple[str, ...] = ()
    mask: Path | None = None
    touch: str = ""
    face: str = "largest"
    backend: str = "mesh"
    method: str = "refined"
    start_s: float | None = None
    stop_s: float | None = None
    codec: str | None = None
    crf: int | None = None
    device: str = "auto"
    precision: str = "auto"
    cache_dir: Path | None = None
    chunk_frames: int = 48
    bundle: str = "mobile"
    tag: bool = True
    sign: Path | None = None
    key: Path | None = None
    compare: str | None = None
    parameters: Parameters = field(default_factory=Parameters, repr=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                f"there is no inversion method {self.method!r}", _one_of("method", METHODS)
            )
        changed(Touch(), self.touch)
        object.__setattr__(self, "face", _whose(self.face))
        edits = (replace(e, face=_whose(e.face)) if e.face else e for e in self.edits)
        object.__setattr__(self, "edits", tuple(edits))
        if len(self.faces) > MOST_FACES:
            raise UsageError(
                f"{len(self.faces)} different faces are named",
                f"At most {MOST_FACES} can be at once.",
            )
        check_backend(self.backend)
        check_editor(self.editor, self.keep, self.like, self.within)
        for name in _FILES:
            path = getattr(self, name)
            object.__setattr__(self, name, None if path is None else Path(path).absolute())
        regions = [check_region(name) for name in self.within]
        object.__setattr__(self, "within", tuple(regions))
        if self.like is not None:
            regions += [_region_of(edit) for edit in self.edits]
        if self.editor == "scribble" and self.mask is not None:
            raise UsageError("a scribble says by itself where it is", "Leave the mask out.")
        if self.editor == "local" and MASK in regions:
            raise UsageError(
                "the editor 'local' knows regions of a face, not a mask",
                "Name a region, or use --editor activations.",
            )
        if (MASK in regions) != (self.mask is not None or self.editor == "scribble"):
            raise UsageError(
                "a mask and the region 'mask' go together",
                "Name a mask's picture with --mask (videdit image), with --attr or --like.",
            )
        if (self.sign is None) != (self.key is None):
            raise UsageError(
                "a certificate and its key go together", "Name them with --sign and --key."
            )
        check_device(self.device, self.precision)
        if self.codec is not None and self.codec not in CODECS:
            raise UsageError(f"there is no codec {self.codec!r}", _one_of("--codec", tuple(CODECS)))
        if self.compare is not None and self.compare not in COMPARISONS:
            raise UsageError(
                f"there is no comparison {self.compare!r}", _one_of("--compare", COMPARISONS)
            )
        if self.crf is not None and not 0 <= self.crf <= _LARGEST_CRF:
            raise UsageError(
                f"--crf is {self.crf}", f"Give a whole number from 0 (best) to {_LARGEST_CRF}."
            )
        for value in (self.start_s, self.stop_s):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{value} is not a time", "Give seconds from the first frame.")
        if self.start_s is not None and self.stop_s is not None and self.start_s >= self.stop_s:
            raise UsageError(
                f"the stretch from {self.start_s} s to {self.stop_s} s is empty",
                "Give a --to after --from.",
            )
        if self.chunk_frames < 1:
            raise UsageError(f"a chunk has at least one frame, not {self.chunk_frames}")

    @property
    def photo(self) -> Path | None:
        """The picture of another face that regions are taken from: not a scribble, which is the
        source itself."""
        return None if self.editor == "scribble" else self.like

    @property
    def faces(self) -> tuple[str, ...]:
        """Whose faces are edited: all that edits name, or this run for them, sorted."""
        return tuple(sorted({edit.face or self.face for edit in self.edits} or {self.face}))

    @property
    def people(self) -> tuple[Path, ...]:
        """The pictures of the people whose faces are edited, in the order of :attr:`faces`."""
        return tuple(photo for photo in map(photo_in, self.faces) if photo is not None)

    def edits_of(self, asked: int) -> list[Edit]:
        """The edits of a face, in their order.

        Args:
            asked: which of :attr:`faces` it is, the first one being bit 0.
        """
        named = {face: asked >> k & 1 for k, face in enumerate(self.faces)}
        return [edit for edit in self.edits if named[edit.face or self.face]]

    @property
    def marking(self) -> Path | None:
        """The picture that says where the region ``mask`` is."""
        return self.like if self.editor == "scribble" else self.mask

    def to_json(self) -> dict[str, Any]:
        """All settings but the rooms' numbers as plain JSON; edits and paths as their texts."""
        plain: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Parameters):
                continue
            if isinstance(value, tuple):
                value = [str(item) for item in value]
            elif isinstance(value, Path):
                value = str(value)
            plain[each.name] = value
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> RunSettings:
        """Inverse of :meth:`to_json`; what another version wrote besides is left out.

        Raises:
            UsageError: a setting is missing, or is none that a run can have.
        """
        names = {each.name for each in fields(cls)} - {"parameters"}
        values = {name: value for name, value in plain.items() if name in names}
        try:
            values["edits"] = tuple(Edit.parse(text) for text in values["edits"])
            for name in ("keep", "within"):
                values[name] = tuple(values.get(name, ()))
            for name in _FILES:  # older versions knew no such thing
                values.setdefault(name, None)
            for name in ("source", "output", "cache_dir", *_FILES):
                values[name] = None if values[name] is None else Path(values[name])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise UsageError(
                "the settings of the last run cannot be read", "Run `videdit run` again."
            ) from error


def method_of(quality: str) -> str:
    """The inversion method of a level of quality.

    Raises:
        UsageError: there is no such level.
    """
    if quality not in QUALITIES:
        raise UsageError(f"there is no quality {quality!r}", "Use fast or balanced.")
    return QUALITIES[quality]


def parse_time(text: str | None) -> float | None:
    """Seconds from ``12.5``, ``12.5s``, ``1:02.5`` or ``1:00:02.5``.

    Raises:
        UsageError: none of these.
    """
    if text is None:
        return None
    seconds = 0.0
    try:
        parts = [float(part) for part in text.removesuffix("s").split(":")]
        if len(parts) > 3 or not all(0 <= part < float("inf") for part in parts):
            raise ValueError
        for part in parts:
            seconds = seconds * 60 + part
    except ValueError:
        raise UsageError(f"{text!r} is not a time", "Give seconds or [h:]m:s.") from None
    return seconds


def _whose(face: str) -> str:
    """``--face``, checked; a picture's path as an absolute one."""
    check_face(face)
    person = photo_in(face)
    return face if person is None else f"{LIKE}{person.absolute()}"


def _region_of(edit: Edit) -> str:
    try:
        return check_region(edit.attribute)
    except UsageError as error:
        raise UsageError(
            f"with another picture, regions are edited: {error.message}", error.remedy
        ) from None


def _one_of(option: str, values: tuple[str, ...]) -> str:
    return f"{option} takes one of {', '.join(values)}."
