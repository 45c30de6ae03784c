"""What one run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videdit.errors import UsageError

if TYPE_CHECKING:
    from videdit.editing.schedule import Edit
    from videdit.pipeline.records import Json
    from videdit.pipeline.store import Store


@dataclass(frozen=True)
class RunSettings:
    """The settings of one run. A stage picks those it depends on (:meth:`Stage.settings`).

    Attributes:
        source: the video or picture to edit.
        output: the file to write.
        edits: attributes and their strengths over time.
        editor: what moves the codes: ``transformer``, ``interfacegan``, ``ganspace``,
            ``direction:FILE.npy``, or a file of transformers.
        keep: attributes that ``interfacegan`` holds.
        face: which faces: ``largest``, ``all`` or ``track:N``.
        backend: landmark backend, ``mesh`` or ``fan``.
        method: inversion, ``encoder``, ``refined`` or ``projector``.
        start_s, stop_s: the stretch to edit, in seconds from the first frame; None is the end.
        codec: video codec of the output, None for one that fits the source.
        crf: constant rate factor of the encoder, None for one near the source's quality.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        cache_dir: folder of the artifacts, None for the default one.
        chunk_frames: frames per chunk: what is held in memory, and lost at most by a kill.
        bundle: name of the bundle of weights.
    """

    source: Path
    output: Path
    edits: tuple[Edit, ...] = ()
    editor: str = "transformer"
    keep: tuple[str, ...] = ()
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

    def to_json(self) -> dict[str, Json]:
        """All settings as plain JSON; edits and paths as their texts."""
        plain: dict[str, Json] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                value = [str(item) for item in value]
            elif isinstance(value, Path):
                value = str(value)
            plain[field.name] = value
        return plain


def save_last_run(store: Store, source_id: str, settings: RunSettings) -> None:
    """Note the settings of a source's last run, for `videdit inspect`.

    Raises:
        StorageError: the cache cannot be written.
    """
    store.note_source(source_id, settings.source)
    store.note_run(source_id, settings.to_json())


def load_last_run(store: Store, source_id: str) -> RunSettings:
    """The settings of a source's last run.

    Raises:
        UsageError: there is none that can be read.
    """
    from videdit.editing.schedule import Edit

    plain = store.last_run(source_id)
    if plain is None:
        raise UsageError("nothing is known of the last run", "Run `videdit run` again.")
    names = {field.name for field in fields(RunSettings)}
    values: dict[str, Any] = {name: value for name, value in plain.items() if name in names}
    values["edits"] = tuple(Edit.parse(text) for text in values["edits"])
    values["keep"] = tuple(values.get("keep", ()))
    for name in ("source", "output", "cache_dir"):
        values[name] = None if values[name] is None else Path(values[name])
    return RunSettings(**values)
