"""`videdit weights import`: published checkpoints become a bundle of the user's.

Its files are safetensors of the checkpoints' own numbers, and what is made of the generator here:
the statistics of W. What depends on no generator comes from the embedded bundle.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundles.bundle import Bundle
from ..bundles.latent import LatentSpace
from ..bundles.manifest import (
    DEFAULT_BUNDLE,
    FORMAT,
    ID_LENGTH,
    MANIFEST_FILE,
    SHARED,
    bundle_names,
    check_name,
    parse_latent,
    read_manifest,
    user_root,
)
from ..editing.published import EditorFile, convert
from ..errors import UsageError, WeightsError
from ..files import measure, replaced, storage_errors, sync_folder, write_atomically
from ..generators import wspace
from ..inversion.crop_encoder import ARCHITECTURES, check_encoder
from .checkpoints import DEFAULT_NAMES, OWN, Checkpoint, FoundGenerator, recognise
from .choices import ENCODERS
from .trained import TrainedFile

if TYPE_CHECKING:
    from torch import Tensor

GENERATOR, MAPPING, STATISTICS, ENCODER, COMPONENTS = (
    *("generator.safetensors", "mapping.safetensors", "w_statistics.safetensors"),
    *("encoder.safetensors", "ganspace.json"),
)


@dataclass
class _Shelf:
    """A bundle that is being made: what its manifest says, and a folder with the new files.

    Attributes:
        folder: the new files'.
        data: the manifest.
        fresh: names of the new files.
        stale: names of files that are parts no more.
    """

    folder: Path
    data: dict[str, Any]
    fresh: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    def put(
        self,
        file: str,
        write: Callable[[Path], None],
        licence: str,
        provenance: str,
        bound_to: Iterable[str] = (),
    ) -> bool:
        """Write a part.

        Args:
            file: its name.
            write: writes it.
            bound_to: names of the parts that it was made for.

        Returns:
            Whether the bundle did not have it with this content.
        """
        path = self.folder / file
        with replaced(path) as temporary:
            write(temporary)
        size, digest = measure(path)
        parts = self.data["parts"]
        if file in parts and parts[file]["sha256"] == digest:
            path.unlink()
            return False
        entry = {"source": {"file": file}, "size": size, "sha256": digest}
        entry |= {"licence": licence, "provenance": provenance}
        if bound := {name: parts[name]["sha256"][:ID_LENGTH] for name in bound_to}:
            entry["bound_to"] = bound
        parts[file] = entry
        self.fresh.append(file)
        return True

    def drop(self, files: Iterable[str], but: Set[str]) -> None:
        """Parts that are none any more, but for some."""
        for old in files:
            if old not in but:
                del self.data["parts"][old]
                self.stale.append(old)

    def role(self, name: str, architecture: str, file: str, *needs: str) -> None:
        """Say what a part is for; the one that was is one no more."""
        self.drop(self.data["roles"].get(name, {}).get("files", []), {file})
        entry: dict[str, Any] = {"architecture": architecture, "files": [file]}
        if needs:
            entry["needs"] = list(needs)
        self.data["roles"][name] = entry


def import_checkpoints(
    files: Sequence[Path], name: str | None = None, say: Callable[[str], None] = lambda _: None
) -> Bundle:
    """Make a bundle of the user's out of published checkpoints, or add them to one.

    Args:
        files: the checkpoints, in any order. Of an editor's file, ``FILE=NAME`` says its attribute,
            by name or by CelebA's number.
        name: the bundle's; that of the encoder's kind if none is given (`DEFAULT_NAMES`).
        say: gets a line for each file, and of what is made.

    Raises:
        UsageError: the name is none, or is the package's.
        InputError: a file cannot be read.
        WeightsError: a file is damaged or of no known kind, or they don't belong together. Nothing
            is kept then.
        StorageError: the bundle cannot be written.
    """
    if name is not None:
        check_name(name)
    found = []
    for path in files:
        one = recognise(*_named(path))
        say(f"{one.path.name}: {one.what}\n  licence: {one.licence}")
        found.append(one)
    if name is None:
        kinds = [one.encoder.architecture for one in found if one.encoder is not None]
        if not kinds or kinds[0] not in DEFAULT_NAMES:
            raise UsageError("these files have no bundle of their own", "Name one: --as NAME.")
        name = DEFAULT_NAMES[kinds[0]]
        check_name(name)
    root = user_root()
    with storage_errors(root, "set VIDEDIT_WEIGHTS to a folder on another disk"):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=root) as scratch:
            folder = Path(scratch) / name
            folder.mkdir()
            known = name in bundle_names(root)
            shelf = _Shelf(folder, _manifest(name, root if known else None))
            _fill(shelf, found, root / name, say)
            _keep(shelf, root / name)
    return Bundle(read_manifest(name))


def _named(path: Path) -> tuple[Path, str]:
    """A file and the attribute behind it."""
    file, equals, name = str(path).rpartition("=")
    return (Path(file), name) if equals and not path.exists() else (path, "")


def _manifest(name: str, root: Path | None) -> dict[str, Any]:
    """The manifest of the bundle that is there in ``root``, or an empty one."""
    if root is None:
        empty: dict[str, Any] = {"parts": {}, "roles": {}}
        return {"format": FORMAT, "name": name, "title": "", "base": DEFAULT_BUNDLE, **empty}
    bundle = Bundle(read_manifest(name))
    for part, entry in bundle.manifest.parts.items():
        if not entry.of:
            bundle.path(part)  # what is added to must be whole
    data: dict[str, Any] = json.loads((root / name / MANIFEST_FILE).read_text(encoding="utf-8"))
    return data


def _fill(
    shelf: _Shelf, found: Sequence[Checkpoint], place: Path, say: Callable[[str], None]
) -> None:
    """Put what the checkpoints give on the shelf; refuse what doesn't belong together."""
    given: Checkpoint | None = None
    for one in found:
        if one.generator is None:
            continue
        if given is None:
            _put_generator(shelf, one, one.generator, say)
        elif not _same(given.generator, one.generator):
            raise WeightsError(
                f"{given.path.name} and {one.path.name} have different generators",
                "Import them under two names: --as NAME.",
            )
        given = given or one
    if "latent" not in shelf.data:
        names = ", ".join(one.path.name for one in found)
        raise WeightsError(
            f"{names} has no generator, and neither has the bundle {shelf.data['name']!r}",
            "Give the generator's checkpoint as well.",
        )
    space = parse_latent(shelf.data["latent"])
    encoders = [one for one in found if one.encoder is not None]
    if len(encoders) > 1:
        raise WeightsError(
            f"{encoders[0].path.name} and {encoders[1].path.name} are two encoders",
            "A bundle has one: import them under two names, --as NAME.",
        )
    for one in encoders:
        _put_encoder(shelf, one, space)
    for one in found:
        if one.parser is not None:
            _put_parser(shelf, one, one.parser)
    _put_editors(shelf, [one.editor for one in found if one.editor is not None], space, place)
    _put_trained(shelf, [one.trained for one in found if one.trained is not None], space, place)
    shelf.data["title"] = _title(shelf.data, space)


def _put_generator(
    shelf: _Shelf, one: Checkpoint, found: FoundGenerator, say: Callable[[str], None]
) -> None:
    from_file = f"Imported from {one.path.name}."
    had = GENERATOR in shelf.data["parts"]
    state = found.synthesis.state_dict()
    fresh = shelf.put(GENERATOR, lambda path: _save(state, path), one.licence, from_file)
    if had and fresh:
        raise WeightsError(
            f"the bundle {shelf.data['name']!r} has another generator than {one.path.name}",
            "Import it under another name: --as NAME.",
        )
    space = found.synthesis.shape.space
    if had:
        return
    shelf.data["latent"] = json.loads(json.dumps(asdict(space)))
    shelf.role("generator", "stylegan2", GENERATOR)
    if found.mapping is not None:
        mapping = found.mapping
        shelf.put(
            MAPPING,
            lambda path: _save(mapping.state_dict(), path),
            one.licence,
            from_file,
            [GENERATOR],
        )
        shelf.role("mapping", "equalised-mapping", MAPPING)
        say("measuring the generator's latent space")
        stats = wspace.measure(mapping, space.width)
        how = "Mean and principal axes of 200 000 codes of the bundle's mapping network."
    elif found.mean is not None:
        stats = wspace.assumed(found.mean)
        how = f"latent_avg of {one.path.name}; the same deviation in every direction, assumed."
        say(
            "without a mapping network the spread of its codes is not known: "
            f"{wspace.USUAL_SCALE} in every direction is taken, and there is no GANSpace"
        )
    else:
        raise WeightsError(
            f"{one.path.name} has neither a mapping network nor latent_avg: where its codes lie "
            "is not known",
            "Give a checkpoint with one of them.",
        )
    bound = [MAPPING] if found.mapping is not None else [GENERATOR]
    shelf.put(STATISTICS, stats.save, OWN, how, bound)
    shelf.role("statistics", "w-statistics", STATISTICS)
    if found.mapping is not None:
        shelf.put(
            COMPONENTS,
            lambda path: _write(path, b"{}\n"),
            OWN,
            "Principal components of W, by number.",
            [STATISTICS],
        )
        shelf.role("editor-ganspace", "components", COMPONENTS, "statistics")


def _put_encoder(shelf: _Shelf, one: Checkpoint, space: LatentSpace) -> None:
    assert one.encoder is not None
    had = ENCODER in shelf.data["parts"]
    network = one.encoder.network
    try:
        check_encoder(one.encoder.shape, space)
    except WeightsError as error:
        raise WeightsError(f"{one.path.name}: {error.message}", error.remedy) from error
    fresh = shelf.put(
        ENCODER,
        lambda path: _save(network.state_dict(), path),
        one.licence,
        f"Imported from {one.path.name}.",
        [GENERATOR],
    )
    if had and fresh:
        raise WeightsError(
            f"the bundle {shelf.data['name']!r} has another encoder than {one.path.name}",
            "Import it under another name: --as NAME.",
        )
    shelf.role("encoder", one.encoder.architecture, ENCODER, "generator")


def _put_editors(
    shelf: _Shelf, files: Sequence[EditorFile], space: LatentSpace, place: Path
) -> None:
    """Make editors' files the bundle's, added to those that it has in ``place``."""
    before = {
        role: place / entry["files"][0]
        for role, entry in shelf.data["roles"].items()
        if (place / entry["files"][0]).is_file()
    }
    scratch = shelf.folder.parent / "editors"
    scratch.mkdir()
    for made in convert(files, space, scratch, before):
        _put_anew(shelf, made.path, made.role, made.architecture, made.licence, made.provenance)
        shelf.data["roles"][made.role] |= {"needs": list(made.needs)}


def _put_trained(
    shelf: _Shelf, files: Sequence[TrainedFile], space: LatentSpace, place: Path
) -> None:
    """Make what was trained or measured here the bundle's, in the place of what it has for the same
    role; of several files for one the last counts. Maps and lengths are one role's: those come
    first, and take the others' with them."""
    scratch = shelf.folder.parent / "trained"
    scratch.mkdir()
    # A flow reads through the classifier; lengths and figures are those of maps.
    order = ("classifier", "editor-transformer", "encoder")
    last = {(one.role, one.more): one for one in files}.values()
    for one in sorted(last, key=lambda one: (one.role not in order, one.more)):
        roles = shelf.data["roles"]
        known = [
            shelf.folder / file if file in shelf.fresh else place / file
            for file in roles.get("classifier", {}).get("files", [])
        ]
        if roles.get(one.role, {}).get("architecture") in ARCHITECTURES:
            raise WeightsError(
                f"the bundle {shelf.data['name']!r} has another encoder than {one.path.name}",
                "Import it under another name, with the generator: --as NAME.",
            )
        for needed in one.needs:
            if needed not in (*roles, *SHARED):
                what = needed.removeprefix("editor-")
                raise WeightsError(
                    f"{one.path.name} needs the bundle's {what}, which it has not",
                    f"Import that as well: --as {shelf.data['name']}.",
                )
        one.check(space, known[0] if known else None)
        copy = scratch / one.path.name
        shutil.copyfile(one.path, copy)
        about = f"Made by the bundle's user; imported from {one.path.name}."
        if not one.more:
            _put_anew(shelf, copy, one.role, one.architecture, OWN, about)
            roles[one.role] |= {"needs": list(one.needs)}
            continue
        if one.role not in roles:
            raise WeightsError(
                f"{one.path.name} belongs to the bundle's {one.role.removeprefix('editor-')}, which"
                " it has not",
                "Import that too.",
            )
        first = roles[one.role]["files"][0]
        file = _put_file(shelf, copy, OWN, about, [first])
        shelf.drop(roles[one.role]["files"][1:], {file})
        roles[one.role] |= {"architecture": one.architecture, "files": [first, file]}


def _put_parser(shelf: _Shelf, one: Checkpoint, state: Mapping[str, Tensor]) -> None:
    """Take a parser of regions for the one that the embedded bundle lends."""
    path = shelf.folder.parent / "regions.safetensors"
    _save(state, path)
    about = f"Trained on pictures of the bundle's generator; imported from {one.path.name}."
    _put_anew(shelf, path, "regions", "region-unet", one.licence, about)


def _put_anew(
    shelf: _Shelf, path: Path, role: str, architecture: str, licence: str, provenance: str
) -> None:
    """Take a file for a role in the place of the one that had it. It gets a name of its own: what
    is there stays whole until the manifest names the new one."""
    file = _put_file(shelf, path, licence, provenance, [GENERATOR])
    shelf.role(role, architecture, file)


def _put_file(
    shelf: _Shelf, path: Path, licence: str, provenance: str, bound_to: Iterable[str]
) -> str:
    """Take a file under a name that tells its content; that name."""
    digest = measure(path)[1]
    file = f"{path.stem}-{digest[:8]}{path.suffix}"
    shelf.put(file, partial(os.replace, path), licence, provenance, bound_to)
    return file


def _keep(shelf: _Shelf, place: Path) -> None:
    """Give the shelf its place: the manifest last, which alone makes files parts of a bundle."""
    text = json.dumps(shelf.data, indent=2, ensure_ascii=False) + "\n"
    if not place.exists():
        write_atomically(shelf.folder / MANIFEST_FILE, text.encode())
        os.replace(shelf.folder, place)
        sync_folder(place.parent)
        return
    for file in shelf.fresh:
        os.replace(shelf.folder / file, place / file)
    sync_folder(place)
    write_atomically(place / MANIFEST_FILE, text.encode())
    for file in shelf.stale:
        (place / file).unlink(missing_ok=True)


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {
        name: (value.float() if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }
    save_file(tensors, str(path))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _same(a: FoundGenerator | None, b: FoundGenerator | None) -> bool:
    """Whether two generators are one."""
    assert a is not None
    assert b is not None
    one, other = a.synthesis.state_dict(), b.synthesis.state_dict()
    return one.keys() == other.keys() and all(
        value.shape == other[name].shape and bool((value == other[name]).all())
        for name, value in one.items()
    )


def _title(data: Mapping[str, Any], space: LatentSpace) -> str:
    encoder = data["roles"].get("encoder")
    kinds = ARCHITECTURES | ENCODERS
    more = f", {kinds[encoder['architecture']]}" if encoder else ""
    return f"StyleGAN2 of {space.resolution} pixels, {space.rows} rows{more}"
