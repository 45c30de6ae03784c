"""The manifest of a bundle: `weights/<bundle>/bundle.json`, read and checked.

A manifest lists the wheels that parts come out of and the parts themselves. A part's source is a
member of a wheel, `{"wheel": NAME, "member": PATH}`, an address, `{"address": "https://..."}`, or a
file beside the manifest, `{"file": NAME}`. Every part states its sha256, size in bytes,
licence and provenance; optionally the parts that a reader opens along with it (`read_with`: the
two files of an OpenVINO IR) and the parts that it was made for (`bound_to`: name to id), so that
weights that don't share one latent space are never combined.

`latent` describes that space, and `roles` says what the parts are for: code asks for the bundle's
`generator` or `encoder`, never for a file. A role names the architecture that its files are the
weights of, the files in the order in which that takes them, and the roles it can't do without
(`needs`).

Bundles are looked for in several roots: the package's own, then the user's, where `videdit weights
import` leaves them. A user's bundle may name one of the package's as its `base`: what depends on no
generator (`SHARED`) it has from there, unless it brings its own.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from videdit.bundles.latent import LatentSpace
from videdit.errors import UsageError, WeightsError
from videdit.files import sha256_of, write_atomically

DEFAULT_BUNDLE = "mobile"
MANIFEST_FILE = "bundle.json"
FORMAT = 1
ID_LENGTH = 16

SHARED = ("landmarker", "recognition", "regions", "judge", "hair")
"""Roles that any generator's bundle can take from another: they look at pictures of faces."""

LARGEST_ADDRESS = 8 << 30
"""Most bytes of a part that is fetched from an address."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST_NAME = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python package index that parts are read from; it is never installed."""

    name: str
    version: str
    size: int
    """Bytes, for the progress bar and the check of free space."""
    sha256: str

    @property
    def requirement(self) -> str:
        """The line for pip, with the hash that pip insists on."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True)
class Part:
    """One file of a bundle."""

    name: str
    size: int
    sha256: str
    licence: str
    provenance: str
    wheel: Wheel | None = None
    """The wheel that the part is a member of; None for a file that ships with the package."""
    member: str = ""
    """Path inside the wheel, or the file's name beside the manifest."""
    address: str = ""
    """Where it is fetched from; empty for others."""
    of: str = ""
    """The bundle that it is a part of, where that is the base."""
    read_with: tuple[str, ...] = ()
    bound_to: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The first 16 hex digits of the part's sha256."""
        return self.sha256[:ID_LENGTH]

    @property
    def fetched(self) -> bool:
        """Whether it comes over the network, and is kept with all that do."""
        return self.wheel is not None or bool(self.address)


@dataclass(frozen=True)
class Role:
    """What some parts of a bundle are for.

    Attributes:
        name: of the role.
        architecture: what the files are the weights of.
        files: names of the parts, in the order in which the architecture takes them.
        needs: other roles that it works with.
    """

    name: str
    architecture: str
    files: tuple[str, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A bundle's manifest, checked."""

    name: str
    title: str
    folder: Path
    """Where the manifest and the files that ship with it are."""
    parts: Mapping[str, Part]
    roles: Mapping[str, Role] = field(default_factory=dict)
    latent: LatentSpace | None = None
    base: Manifest | None = None
    """The bundle that lends what is in `SHARED`; its parts are among ``parts``."""

    def role(self, name: str) -> Role:
        """What takes the role ``name``.

        Raises:
            WeightsError: the bundle has nothing for it.
        """
        try:
            return self.roles[name]
        except KeyError:
            raise WeightsError(
                f"bundle {self.name!r} has no {name!r}", self._remedy(name)
            ) from None

    def _remedy(self, role: str) -> str:
        """What helps where nothing takes a role."""
        if role == "mapping":
            return (
                "Its generator came without its mapping network, which faces are drawn through:"
                " import a checkpoint that has it, under another name."
            )
        known = f"Its roles are: {', '.join(self.roles) or 'none'}."
        if role in ("generator", "encoder"):
            return f"Bring its checkpoint: videdit weights import FILE --as {self.name}. {known}"
        return known

    def part(self, name: str) -> Part:
        """The part called `name`.

        Raises:
            WeightsError: the bundle has no such part.
        """
        try:
            return self.parts[name]
        except KeyError:
            known = ", ".join(self.parts)
            raise WeightsError(
                f"bundle {self.name!r} has no part {name!r}", f"Its parts are: {known}."
            ) from None


def weights_root() -> Path:
    """The folder of the bundles' manifests.

    It is `videdit/_weights` where the package was installed from a wheel, and the repository's
    `weights/` in a checkout (an editable install included).
    """
    package = importlib.resources.files("videdit")
    installed = Path(str(package / "_weights"))
    return installed if installed.is_dir() else Path(str(package)).parent / "weights"


def weights_home() -> Path:
    """Where fetched parts and the user's bundles are: $VIDEDIT_WEIGHTS, or the user's data
    folder."""
    chosen = os.environ.get("VIDEDIT_WEIGHTS")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_data_path("videdit", appauthor=False) / "weights"


def user_root() -> Path:
    """The folder of the user's bundles."""
    return weights_home() / "bundles"


def check_name(name: str) -> None:
    """Refuse what can be no bundle's name, or is none for a user's.

    Raises:
        UsageError: it could lead out of the folder of bundles, or is the package's.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"{name!r} cannot be a bundle's name", "Use letters, digits, '.', '_' and '-'."
        )
    if name in (*bundle_names(weights_root()), user_root().name):
        raise UsageError(f"the name {name!r} is taken", "Give another: --as NAME.")


def bundle_names(root: Path | None = None) -> list[str]:
    """Names of the bundles that have a manifest, sorted: those in ``root``, or all."""
    roots = (weights_root(), user_root()) if root is None else (root,)
    found = (path for root in roots for path in root.glob(f"*/{MANIFEST_FILE}"))
    return sorted({path.parent.name for path in found if _NAME.fullmatch(path.parent.name)})


def read_manifest(name: str = DEFAULT_BUNDLE, root: Path | None = None) -> Manifest:
    """Read and check a bundle's manifest.

    Args:
        name: the bundle's name.
        root: the folder of the bundles; by default the package's own, then the user's.

    Raises:
        UsageError: there is no such bundle.
        WeightsError: the manifest is damaged, or its parts don't belong together.
    """
    roots = (weights_root(), user_root()) if root is None else (root,)
    paths = [root / name / MANIFEST_FILE for root in roots]
    path = next((path for path in paths if _NAME.fullmatch(name) and path.is_file()), None)
    if path is None:
        known = ", ".join(bundle_names(root)) or "none; the installation is damaged"
        raise UsageError(f"there is no bundle called {name!r}", f"Bundles: {known}.")
    own = root is None and path.parent.parent == user_root()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        base = data.get("base")
        # From the package alone, which have none themselves.
        lender = None if base is None else read_manifest(str(base), weights_root())
        manifest = _parse(data, path.parent, lender)
        if manifest.name != name:
            raise ValueError(f"it calls itself {manifest.name!r}")
    except (ValueError, TypeError, KeyError, AttributeError, OSError, UsageError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        remedy = f"Remove {path.parent} and import again." if own else "Install videdit again."
        raise WeightsError(f"the manifest {path} is damaged ({reason})", remedy) from error
    _check_bindings(manifest)
    return manifest


def record_part(
    folder: Path,
    file: str,
    *,
    licence: str,
    provenance: str,
    bound_to: Sequence[str] = (),
) -> Part:
    """Enter a file that lies beside a manifest into it, or enter its new content.

    This is how the project's own trained weights get into a bundle.

    Args:
        folder: `weights/<bundle>`.
        file: the file's name in that folder; it is the part's name too.
        bound_to: names of the parts it was made for; their present ids are recorded.

    Returns:
        The part as it was recorded.

    Raises:
        StorageError: the manifest cannot be written.
    """
    manifest = read_manifest(folder.name, folder.parent)
    path = folder / MANIFEST_FILE
    data = json.loads(path.read_text(encoding="utf-8"))
    digest = sha256_of(folder / file)
    entry: dict[str, Any] = {
        "source": {"file": file},
        "size": (folder / file).stat().st_size,
        "sha256": digest,
        "licence": licence,
        "provenance": provenance,
    }
    if bound_to:
        entry["bound_to"] = {name: manifest.part(name).id for name in bound_to}
    data["parts"][file] = entry
    write_atomically(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())
    return read_manifest(folder.name, folder.parent).part(file)


def _parse(data: Any, folder: Path, base: Manifest | None = None) -> Manifest:
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}, this version reads {FORMAT}")
    wheels = {name: _parse_wheel(name, entry) for name, entry in data.get("wheels", {}).items()}
    parts = {name: _parse_part(name, entry, wheels) for name, entry in data["parts"].items()}
    for part in parts.values():
        for other in (*part.read_with, *part.bound_to):
            if other not in parts:
                raise ValueError(f"part {part.name!r} refers to {other!r}, which is not a part")
    roles = {name: _parse_role(name, entry) for name, entry in data.get("roles", {}).items()}
    if base is not None:
        _borrow(base, parts, roles)
    for role in roles.values():
        absent = [file for file in role.files if file not in parts]
        absent += [other for other in role.needs if other not in roles]
        if absent or not role.files:
            raise ValueError(f"role {role.name!r} refers to {absent}, which the bundle lacks")
        if role.name in _needed(role.name, roles):
            raise ValueError(f"role {role.name!r} needs itself")
    latent = data.get("latent")
    return Manifest(
        data["name"],
        data["title"],
        folder,
        parts,
        roles,
        None if latent is None else parse_latent(latent),
        base,
    )


def _borrow(base: Manifest, parts: dict[str, Part], roles: dict[str, Role]) -> None:
    """Add what a bundle has from its base."""
    for name in SHARED:
        if name in base.roles and name not in roles:
            roles[name] = base.roles[name]
            for file in base.roles[name].files:
                for needed in (file, *base.parts[file].read_with):
                    if needed in parts and not parts[needed].of:
                        raise ValueError(f"part {needed!r} is one of {base.name!r} as well")
                    # What they were made for was looked at in the base itself.
                    parts[needed] = replace(base.parts[needed], of=base.name, bound_to={})


def _parse_wheel(name: str, entry: Any) -> Wheel:
    # Both become a line for pip, and the name a folder's: nothing that could say or lead elsewhere.
    version = str(entry["version"])
    for text in (name, version):
        if not _NAME.fullmatch(text):
            raise ValueError(f"{text!r} cannot be of a wheel")
    return Wheel(name, version, _size(entry), _sha256(entry))


def _parse_role(name: str, entry: Any) -> Role:
    files, needs = tuple(entry["files"]), tuple(entry.get("needs", ()))
    return Role(name, str(entry["architecture"]), files, needs)


def _needed(name: str, roles: Mapping[str, Role]) -> set[str]:
    """The roles that ``name`` needs, and those that these need."""
    found: set[str] = set()
    ahead = [*roles[name].needs]
    while ahead:
        role = ahead.pop()
        if role in roles and role not in found:
            found.add(role)
            ahead += roles[role].needs
    return found


def parse_latent(entry: Any) -> LatentSpace:
    """The latent space that a manifest describes.

    Raises:
        KeyError, TypeError, ValueError: it describes none.
    """
    bands = {str(name): (int(a), int(b)) for name, (a, b) in entry["bands"].items()}
    styles = tuple(entry.get("styles", ()))
    return LatentSpace(entry["rows"], entry["width"], entry["resolution"], bands, styles)


def _parse_part(name: str, entry: Any, wheels: Mapping[str, Wheel]) -> Part:
    # A part's name becomes a file's name in the user's cache: nothing that could leave it.
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a part's name")
    source, size = entry["source"], _size(entry)
    wheel, member, address = None, "", ""
    if "wheel" in source:
        wheel, member = wheels[source["wheel"]], source["member"]
    elif "address" in source:
        address = _address(source["address"])
        if size > LARGEST_ADDRESS:
            raise ValueError(f"{name!r} has {size} bytes, more than {LARGEST_ADDRESS}")
    else:
        member = source["file"]
        if not _NAME.fullmatch(member):
            raise ValueError(f"{member!r} is not a file's name")
    return Part(
        name=name,
        size=size,
        sha256=_sha256(entry),
        licence=entry["licence"],
        provenance=entry["provenance"],
        wheel=wheel,
        member=member,
        address=address,
        read_with=tuple(entry.get("read_with", ())),
        bound_to=dict(entry.get("bound_to", {})),
    )


def _address(text: Any) -> str:
    """An address that may be asked for a part: encrypted, or this machine's own."""
    if not isinstance(text, str) or not allowed_address(text):
        raise ValueError(f"{text!r} is no https address")
    return text


def allowed_address(text: str) -> bool:
    """Whether an address may be asked for a part."""
    try:
        parsed = urllib.parse.urlsplit(text)
        host = parsed.hostname
    except ValueError:
        return False
    here = parsed.scheme == "http" and host in ("localhost", "127.0.0.1", "::1")
    return bool(host) and (parsed.scheme == "https" or here)


def _size(entry: Any) -> int:
    size = entry["size"]
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"{size!r} is not a size")
    return size


def _sha256(entry: Any) -> str:
    digest = entry["sha256"]
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError(f"{digest!r} is not a sha256")
    return digest


def _check_bindings(manifest: Manifest) -> None:
    for part in manifest.parts.values():
        for other, wanted in part.bound_to.items():
            if manifest.parts[other].id != wanted:
                raise WeightsError(
                    f"{part.name} of bundle {manifest.name!r} was made for another {other} "
                    f"({wanted}, this one is {manifest.parts[other].id})",
                    "Install videdit again, or make the part anew.",
                )
