"""The manifest of a bundle: `weights/<bundle>/bundle.json`, read and checked.

A manifest lists the wheels that parts come out of and the parts themselves. A part's source is
either a member of a wheel, `{"wheel": NAME, "member": PATH}`, or a file that ships with the
package, `{"file": NAME}`, beside the manifest. Every part states its sha256, size in bytes,
licence and provenance; optionally the parts that a reader opens along with it (`read_with`: the
two files of an OpenVINO IR) and the parts that it was made for (`bound_to`: name to id), so that
weights that don't share one latent space are never combined.

`latent` describes that space, and `roles` says what the parts are for: code asks for the bundle's
`generator` or `encoder`, never for a file. A role names the architecture that its files are the
weights of, the files in the order in which that takes them, and the roles it can't do without
(`needs`).
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videdit.bundles.latent import LatentSpace
from videdit.errors import UsageError, WeightsError
from videdit.files import sha256_of, write_atomically

DEFAULT_BUNDLE = "mobile"
MANIFEST_FILE = "bundle.json"
FORMAT = 1
ID_LENGTH = 16

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
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
    read_with: tuple[str, ...] = ()
    bound_to: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The first 16 hex digits of the part's sha256."""
        return self.sha256[:ID_LENGTH]


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

    def role(self, name: str) -> Role:
        """What takes the role ``name``.

        Raises:
            WeightsError: the bundle has nothing for it.
        """
        try:
            return self.roles[name]
        except KeyError:
            known = ", ".join(self.roles) or "none"
            raise WeightsError(
                f"bundle {self.name!r} has no {name!r}", f"Its roles are: {known}."
            ) from None

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


def bundle_names(root: Path | None = None) -> list[str]:
    """Names of the bundles that have a manifest, sorted."""
    found = (root or weights_root()).glob(f"*/{MANIFEST_FILE}")
    return sorted(path.parent.name for path in found)


def read_manifest(name: str = DEFAULT_BUNDLE, root: Path | None = None) -> Manifest:
    """Read and check a bundle's manifest.

    Args:
        name: the bundle's name.
        root: the folder of the bundles; the package's own by default.

    Raises:
        UsageError: there is no such bundle.
        WeightsError: the manifest is damaged, or its parts don't belong together.
    """
    root = root or weights_root()
    path = root / name / MANIFEST_FILE
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(bundle_names(root)) or "none; the installation is damaged"
        raise UsageError(f"there is no bundle called {name!r}", f"Bundles: {known}.")
    try:
        manifest = _parse(json.loads(path.read_text(encoding="utf-8")), path.parent)
        if manifest.name != name:
            raise ValueError(f"it calls itself {manifest.name!r}")
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise WeightsError(
            f"the manifest {path} is damaged ({reason})", "Install videdit again."
        ) from error
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


def _parse(data: Any, folder: Path) -> Manifest:
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}, this version reads {FORMAT}")
    wheels = {name: _parse_wheel(name, entry) for name, entry in data.get("wheels", {}).items()}
    parts = {name: _parse_part(name, entry, wheels) for name, entry in data["parts"].items()}
    for part in parts.values():
        for other in (*part.read_with, *part.bound_to):
            if other not in parts:
                raise ValueError(f"part {part.name!r} refers to {other!r}, which is not a part")
    roles = {name: _parse_role(name, entry) for name, entry in data.get("roles", {}).items()}
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
        None if latent is None else _parse_latent(latent),
    )


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


def _parse_latent(entry: Any) -> LatentSpace:
    bands = {str(name): (int(a), int(b)) for name, (a, b) in entry["bands"].items()}
    styles = tuple(entry.get("styles", ()))
    return LatentSpace(entry["rows"], entry["width"], entry["resolution"], bands, styles)


def _parse_part(name: str, entry: Any, wheels: Mapping[str, Wheel]) -> Part:
    # A part's name becomes a file's name in the user's cache: nothing that could leave it.
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a part's name")
    source = entry["source"]
    if "wheel" in source:
        wheel, member = wheels[source["wheel"]], source["member"]
    else:
        wheel, member = None, source["file"]
        if not _NAME.fullmatch(member):
            raise ValueError(f"{member!r} is not a file's name")
    return Part(
        name=name,
        size=_size(entry),
        sha256=_sha256(entry),
        licence=entry["licence"],
        provenance=entry["provenance"],
        wheel=wheel,
        member=member,
        read_with=tuple(entry.get("read_with", ())),
        bound_to=dict(entry.get("bound_to", {})),
    )


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
                    "Install videdit again, or train the part anew.",
                )
