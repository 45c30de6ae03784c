"""A bundle on this machine: paths to its parts, each verified before its first use."""

from __future__ import annotations

from pathlib import Path

from videdit.bundles.latent import LatentSpace
from videdit.bundles.manifest import (
    DEFAULT_BUNDLE,
    Manifest,
    Part,
    read_manifest,
    user_root,
    weights_home,
)
from videdit.errors import StorageError, WeightsError
from videdit.files import sha256_of

FETCH_REMEDY = "Run `videdit weights fetch`."

# What was verified in this process: (path, size, modification time in ns) of a good file. A file
# that changes afterwards has another time and is hashed again.
_verified: set[tuple[str, int, int]] = set()


class Bundle:
    """Generator, encoder, editors and face models that belong together.

    Args:
        manifest: what the bundle is made of.
        home: where fetched parts of all bundles are kept; :func:`weights_home` by default.
    """

    def __init__(self, manifest: Manifest, home: Path | None = None) -> None:
        self.manifest = manifest
        self._home = home or weights_home()
        self.folder = self._home / manifest.name

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.manifest.name

    @property
    def of_user(self) -> bool:
        """Whether it is the user's, not the package's."""
        return self.manifest.folder.parent == user_root()

    def __contains__(self, part: object) -> bool:
        """Whether the manifest lists a part of this name."""
        return part in self.manifest.parts

    def id(self, part: str) -> str:
        """The first 16 hex digits of the part's sha256: what a stage's key depends on."""
        return self.manifest.part(part).id

    def location(self, part: str) -> Path:
        """Where the part is, or will be once fetched; nothing is checked."""
        entry = self.manifest.part(part)
        manifest = self.manifest
        if entry.of:
            assert manifest.base is not None
            manifest = manifest.base
        if entry.fetched:
            return self._home / manifest.name / entry.name
        return manifest.folder / entry.member

    def path(self, part: str) -> Path:
        """Path of a part whose content has been verified, with the files read along with it.

        Raises:
            WeightsError: it is missing or its content is not what the manifest says.
            StorageError: it is there but cannot be read.
        """
        entry = self.manifest.part(part)
        for name in (part, *entry.read_with):
            state = self.state(name)
            if state != "good":
                raise _unusable(self, self.manifest.part(name), state)
        return self.location(part)

    @property
    def latent(self) -> LatentSpace:
        """The space that its parts share.

        Raises:
            WeightsError: the manifest doesn't describe it.
        """
        if self.manifest.latent is None:
            raise WeightsError(f"bundle {self.name!r} describes no latent space")
        return self.manifest.latent

    def files(self, role: str) -> list[Path]:
        """Paths of the parts that take a role, verified, in the order that it takes them.

        Raises:
            WeightsError: the bundle has nothing for the role; else as :meth:`path`.
            StorageError: as :meth:`path`.
        """
        return [self.path(part) for part in self.manifest.role(role).files]

    def file(self, role: str) -> Path:
        """The one part that takes a role, verified; see :meth:`files`."""
        paths = self.files(role)
        if len(paths) != 1:
            raise WeightsError(f"bundle {self.name!r} has {len(paths)} files for {role!r}, not one")
        return paths[0]

    def ids(self, *roles: str) -> dict[str, str]:
        """Name and id of every part that decides what these roles do, for a stage's key: their own
        and those of the roles that they need.

        Raises:
            WeightsError: the bundle has nothing for a role.
        """
        found: dict[str, str] = {}
        for name in roles:
            role = self.manifest.role(name)
            found |= {part: self.id(part) for part in role.files}
            found |= self.ids(*role.needs)
        return found

    def state(self, part: str) -> str:
        """`good`, `missing` or `damaged`; the content is hashed once per process.

        Raises:
            StorageError: the file is there but cannot be read.
        """
        entry, path = self.manifest.part(part), self.location(part)
        try:
            info = path.stat()
            stamp = (str(path), info.st_size, info.st_mtime_ns)
            if stamp not in _verified:
                if info.st_size != entry.size or sha256_of(path) != entry.sha256:
                    return "damaged"
                _verified.add(stamp)
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        except OSError as error:
            raise StorageError(
                f"cannot read {path} ({error.strerror})",
                "Check the disk and the file's permissions.",
            ) from error
        return "good"

    def missing(self) -> list[str]:
        """Names of the parts that are not on this machine; nothing is hashed."""
        return [name for name in self.manifest.parts if not self.location(name).is_file()]


def load_bundle(name: str = DEFAULT_BUNDLE) -> Bundle:
    """The bundle called `name`, as it is on this machine; nothing is fetched.

    Raises:
        UsageError: there is no such bundle.
        WeightsError: its manifest is damaged. Missing parts are reported by `Bundle.path`.
    """
    return Bundle(read_manifest(name))


def _unusable(bundle: Bundle, part: Part, state: str) -> WeightsError:
    path = bundle.location(part.name)
    if part.fetched:
        remedy = FETCH_REMEDY
        if bundle.of_user:
            remedy = f"Run `videdit weights fetch --bundle {bundle.name}`."
    elif bundle.of_user and not part.of:
        remedy = f"Remove {bundle.manifest.folder} and import its checkpoints again."
    else:
        remedy = "Install videdit again."
    if state == "missing":
        return WeightsError(f"weights {part.name} are missing at {path}", remedy)
    return WeightsError(f"weights {path} are damaged (their checksum is wrong)", remedy)
