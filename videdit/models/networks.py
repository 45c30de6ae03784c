"""The networks of one bundle, each made when it is first asked for.

Code asks for what a network does; which files hold it, and how it is run, is decided here from the
bundle's manifest.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bundles import ensure_bundle
from ..bundles.bundle import Bundle
from ..bundles.latent import LatentSpace
from ..bundles.manifest import ID_LENGTH
from ..device import NETWORKS_MEMORY, Device, check_memory, choose_device
from ..errors import UsageError, WeightsError
from ..faces.parameters import DEFAULT, Detecting
from ..files import sha256_of
from .choices import ALONE, BY_PHOTO, DIRECTION, EDITORS, ENCODERS, TRAINED, check_editor

if TYPE_CHECKING:
    from torch import nn

    from ..editing.classifier import LatentClassifier, PaperClassifier
    from ..editing.stylespace import StyleChannels
    from ..faces.recognition import FaceNetwork
    from ..faces.region_network import RegionNetwork
    from ..faces.regions import Parser
    from ..generators.network import GeneratorNetwork
    from ..generators.wspace import WStatistics
    from ..inversion.readout import Readout
    from .protocols import Editor, Encoder, Generator, Landmarker


class Networks:
    """Lazily loaded networks of one bundle; runs over several sources can share them.

    Args:
        bundle: the bundle of weights.
        device: where networks run.
        backend_name: the landmark backend's.
        kept_in: folder where compiled networks are kept; None keeps none.
        detecting: numbers of the landmarker.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device,
        backend_name: str,
        kept_in: Path | None = None,
        detecting: Detecting = DEFAULT.detecting,
    ) -> None:
        self.bundle = bundle
        self.device = device
        self.backend_name = backend_name
        self._kept_in = kept_in
        self._detecting = detecting

    def of(self, bundle: str) -> Networks:
        """Those of another bundle, run likewise; what is absent is fetched."""
        return Networks(
            ensure_bundle(bundle), self.device, self.backend_name, self._kept_in, self._detecting
        )

    @cached_property
    def space(self) -> LatentSpace:
        """The latent space that all of them share."""
        return self.bundle.latent

    def ids(self, *roles: str) -> dict[str, str]:
        """Names and content ids of all that decides what these roles do, for a stage's key."""
        return self.bundle.ids(*roles)

    def landmark_models(self) -> dict[str, str]:
        """What the landmarks depend on; the library that fetches FAN's weights pins them."""
        if self.backend_name == "mesh":
            return self.ids("landmarker")
        return {"face-alignment": importlib.metadata.version("face-alignment")}

    @cached_property
    def landmarker(self) -> Landmarker:
        """Finds faces and their landmarks."""
        from ..faces.backend import load_backend

        files = {}
        if self.backend_name == "mesh":
            from ..faces.mesh import DETECTOR_FILE, MESH_FILE

            self._expect("landmarker", "mediapipe-mesh")
            detector, mesh = self.bundle.files("landmarker")
            files = {DETECTOR_FILE: detector, MESH_FILE: mesh}
        return load_backend(self.backend_name, files, self.device.name, self._detecting)

    @cached_property
    def generator(self) -> Generator:
        """Codes to pictures."""
        from ..generators.decoder import OpenVinoDecoder, TorchDecoder
        from ..generators.traced import TracedDecoder

        kind = self._expect("generator", "mobilestylegan", "stylegan2")
        precision = self.device.precision
        if self.device.name != "cpu":
            return TorchDecoder(self.synthesis, self.space, self.device.name, precision)
        files, ids = self.bundle.files("generator"), self.ids("generator")
        if kind == "stylegan2":
            return TracedDecoder(
                lambda: self.synthesis, self.space, precision, ids=ids, kept_in=self._kept_in
            )
        xml, binary = files
        return OpenVinoDecoder(xml, binary, self.space, precision, ids=ids, kept_in=self._kept_in)

    @cached_property
    def encoder(self) -> Encoder:
        """Crops to codes."""
        from ..inversion.predict import OpenVinoEncoder, TorchEncoder

        name, precision = self.device.name, self.device.precision
        if name != "cpu":
            return TorchEncoder(self.encoder_network(), self.space, name, precision)
        ids = self.ids("encoder")
        self.bundle.files("encoder")  # damaged weights are told, also where they are compiled
        return OpenVinoEncoder(
            self.encoder_network, self.space, precision, ids=ids, kept_in=self._kept_in
        )

    def encoder_network(self) -> nn.Module:
        """The encoder in PyTorch: crops (n, 3, 256, 256), RGB in [0, 1], to codes."""
        from ..inversion.corrector import load_corrected_encoder
        from ..inversion.crop_encoder import ARCHITECTURES, load_crop_encoder
        from ..inversion.encoder import load_network

        kind = self._expect("encoder", *ENCODERS, *ARCHITECTURES)
        if kind not in ENCODERS:
            path = self.bundle.file("encoder")
            return load_crop_encoder(path, kind, self.space, lambda: self.synthesis)
        first, *second = self.bundle.files("encoder")
        groups = self.space.groups
        if kind == ALONE:
            return load_network(first, self.statistics, groups)
        return load_corrected_encoder(
            first, second[0], self.statistics, self.synthesis, self.recognition, groups
        )

    @cached_property
    def statistics(self) -> WStatistics:
        """W's mean and covariance."""
        from ..generators.wspace import WStatistics

        return WStatistics.load(self.bundle.file("statistics"), self.space.width)

    @cached_property
    def mapping(self) -> nn.Module:
        """Normal noise (n, width) to codes of W of the same shape.

        Raises:
            WeightsError: the bundle's generator came without it, or its file is no good.
        """
        from ..generators.mobile import load_mapping
        from ..generators.stylegan2 import read_mapping

        kind = self._expect("mapping", "stylegan2-mapping", "equalised-mapping")
        if kind == "equalised-mapping":
            return read_mapping(self.bundle.file("mapping"))
        return load_mapping(*self.bundle.files("mapping"))

    @cached_property
    def synthesis(self) -> GeneratorNetwork:
        """The generator in PyTorch, for optimisation through it."""
        from ..generators.mobile import load_synthesis
        from ..generators.stylegan2 import read_synthesis

        kind = self._expect("generator", "mobilestylegan", "stylegan2")
        if kind == "stylegan2":
            return read_synthesis(self.bundle.file("generator"))
        return load_synthesis(*self.bundle.files("generator"))

    @cached_property
    def recognition(self) -> FaceNetwork:
        """The face recognition network, for losses and for telling people apart."""
        from ..faces.recognition import load_face_network

        return load_face_network(self.bundle.file("recognition"))

    @cached_property
    def parser(self) -> Parser:
        """Which part of a face each pixel shows."""
        from ..faces.regions import RegionParser

        self._expect("regions", "region-unet")
        if self.device.name != "cpu":
            from ..faces.region_network import TorchParser

            return TorchParser(self.region_network(), self.device.name)
        self.bundle.file("regions")  # damaged weights are told, also where they are compiled
        return RegionParser(self.region_network, ids=self.ids("regions"), kept_in=self._kept_in)

    def region_network(self) -> RegionNetwork:
        """The parser in PyTorch."""
        from ..bundles.tensors import load_weights
        from ..faces.region_network import RegionNetwork

        return load_weights(RegionNetwork(), self.bundle.file("regions"), "parser of regions")

    @cached_property
    def readout(self) -> Readout:
        """The generator's cheap picture."""
        from ..bundles.tensors import load_weights
        from ..inversion.readout import Readout

        return load_weights(Readout(4), self.bundle.file("readout"), "readout")

    @cached_property
    def classifier(self) -> LatentClassifier | PaperClassifier:
        """Attributes read off codes."""
        from ..editing.classifier import load_any_classifier

        return load_any_classifier(self.bundle.file("classifier"), self.space.rows)

    def __contains__(self, role: str) -> bool:
        """Whether the bundle has something for a role."""
        return role in self.bundle.manifest.roles

    def _expect(self, role: str, *architectures: str) -> str:
        """The architecture of a role, one of those that are known.

        Raises:
            WeightsError: it is another, or the bundle has nothing for the role.
        """
        found = self.bundle.manifest.role(role).architecture
        if found not in architectures:
            raise WeightsError(
                f"bundle {self.bundle.name!r} has a {role} of an unknown kind, {found!r}",
                "A newer videdit may know it.",
            )
        return found

    # --- editors ---------------------------------------------------------------------------------

    def editor(
        self,
        choice: str,
        keep: Sequence[str] = (),
        other: NDArray[np.float32] | None = None,
        within: Sequence[str] = (),
    ) -> Editor:
        """What moves codes along attributes.

        Args:
            choice: one of `choices.EDITORS` or `choices.BY_PHOTO`, ``direction:FILE.npy``, or the
                path of transformers or directions of one's own (.safetensors).
            keep: attributes that an edit of ``interfacegan`` holds.
            other: (rows, width) code of the face that `choices.BY_PHOTO` take regions from.
            within: regions that the edits are held in; all, if none is named.

        Raises:
            UsageError: unknown editor, or one that cannot keep attributes.
            WeightsError: its file is missing or damaged.
        """
        from ..editing.mixing import WithinEditor
        from ..editing.styleclip import StyleClipEditor
        from ..editing.stylespace import StyleSpaceEditor

        if other is not None:
            return self._photo_editor(choice, other)
        check_editor(choice, keep, within=within)
        made = self._editor(choice, keep)
        if within and isinstance(made, (StyleSpaceEditor, StyleClipEditor)):
            raise UsageError(
                f"the editor {choice!r} moves channels, not codes, and is held in no region",
                "Leave --region out; most channels are local by themselves.",
            )
        return WithinEditor(made, within) if within else made

    def _editor(self, choice: str, keep: Sequence[str]) -> Editor:
        from ..editing import linear

        path = self._editor_file(choice)
        if choice == "interfacegan":
            return linear.load_normals(path, self.space.shape).editor(keep)
        if choice == "ganspace":
            if path.suffix == ".safetensors":
                return linear.Components.load(path).editor(self.space.shape)
            return linear.ganspace_editor(
                self.statistics, linear.load_components(path), self.space.rows
            )
        if choice.startswith(DIRECTION):
            return linear.direction_editor(path, self.space.shape)
        return self._learned_editor(path, choice == "transformer")

    def _learned_editor(self, path: Path, shipped: bool) -> Editor:
        """The editor in a safetensors file, which says what it is."""
        from ..editing.classifier import load_classifier
        from ..editing.directions import FORMAT as DIRECTIONS
        from ..editing.directions import load_directions
        from ..editing.files import format_of
        from ..editing.linear import COMPONENTS, NORMALS, Components, load_normals
        from ..editing.shell import Shell
        from ..editing.styleclip import FORMAT as TEXTS
        from ..editing.styleclip import StyleClipEditor, load_global_directions
        from ..editing.styleflow import FORMAT as FLOW
        from ..editing.styleflow import load_styleflow
        from ..editing.stylespace import FORMAT as CHANNELS
        from ..editing.stylespace import StyleSpaceEditor
        from ..editing.transformer import load_transformers

        kind = format_of(path)
        if kind == DIRECTIONS:
            return load_directions(path).editor(self.space.shape)
        if kind == CHANNELS:
            return StyleSpaceEditor(self._checked_channels(path))
        if kind == TEXTS:
            texts = load_global_directions(path)
            self._check_layers(texts.layers)
            return StyleClipEditor(texts)
        if kind == COMPONENTS:
            return Components.load(path).editor(self.space.shape)
        if kind == NORMALS:
            return load_normals(path, self.space.shape).editor()
        shell = None
        if "statistics" in self:
            stats = self.statistics
            shell = Shell(stats.mean.cpu().numpy(), stats.whitening.cpu().numpy())
        if kind == FLOW:
            known = load_classifier(self.bundle.file("classifier"), self.space.rows)
            return load_styleflow(path, self.statistics, known, shell)
        lengths = self.bundle.files("editor-transformer")[1:] if shipped else []
        return load_transformers(path, lengths[0] if lengths else None, shell, self.space.shape)

    def _photo_editor(self, choice: str, other: NDArray[np.float32]) -> Editor:
        from ..editing.mixing import MixingEditor
        from ..editing.stylespace import LocalEditor

        if choice == "local":
            return LocalEditor(self.channels, self.styles_of, self.styles_of(other[None])[0])
        return MixingEditor(other, self.space.bands["pose"][1])

    @cached_property
    def channels(self) -> StyleChannels:
        """What is known of the generator's style channels."""
        return self._checked_channels(self.bundle.file(self._editor_role("stylespace")))

    def _checked_channels(self, path: Path) -> StyleChannels:
        from ..editing.stylespace import load_channels

        found = load_channels(path)
        self._check_layers(found.layers)
        return found

    def _check_layers(self, layers: Sequence[int]) -> None:
        if tuple(layers) != self.space.styles:
            raise WeightsError(
                "the style channels are another generator's", "Run `videdit weights verify`."
            )

    def styles_of(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, channels) the styles that the generator makes of codes."""
        import torch

        device = next(self.synthesis.parameters()).device
        with torch.no_grad():
            found = self.synthesis.styles(torch.from_numpy(codes).to(device))
            return np.asarray(found.cpu().numpy())

    def editor_ids(self, choice: str) -> dict[str, str]:
        """The content ids of what an editor is made of, for a stage's key.

        Raises:
            UsageError: unknown editor, or its file does not exist.
        """
        if choice in BY_PHOTO:  # and of the other face, which is not known here
            return self.ids(self._editor_role("stylespace")) if choice == "local" else {}
        if choice in EDITORS:
            return self.ids(self._editor_role(choice))
        return {"editor": sha256_of(self._editor_file(choice))[:ID_LENGTH]}

    def _editor_role(self, choice: str) -> str:
        """The role of one of `choices.EDITORS`.

        Raises:
            WeightsError: the bundle has no such editor.
        """
        role = f"editor-{choice}"
        if role not in self.bundle.manifest.roles:
            has = [name for name in EDITORS if f"editor-{name}" in self.bundle.manifest.roles]
            remedy = f"It has {', '.join(has) or 'none'}."
            if self.bundle.of_user:
                remedy += (
                    f" Bring one: videdit weights import FILE --as {self.bundle.name}; or use"
                    " --editor direction:FILE.npy."
                )
            elif choice in TRAINED:
                file = f"FOLDER/{TRAINED[choice]}"
                remedy = f"Train it: videdit train {choice} FOLDER, and use --editor {file}."
            raise WeightsError(f"the bundle {self.bundle.name!r} has no editor {choice!r}", remedy)
        return role

    def _editor_file(self, choice: str) -> Path:
        if choice in EDITORS:
            return self.bundle.files(self._editor_role(choice))[0]
        path = Path(choice.removeprefix(DIRECTION))
        if not path.is_file():
            raise UsageError(f"the editor's file {path} does not exist", "Check the name.")
        return path


def open_networks(
    bundle: str,
    device: str = "auto",
    precision: str = "auto",
    backend: str = "mesh",
    *,
    kept_in: Path | None = None,
    detecting: Detecting = DEFAULT.detecting,
    say: Callable[[str], None] = lambda _: None,
) -> Networks:
    """The networks of a bundle, after fetching the weights that are absent.

    Args:
        bundle: its name.
        device, precision: see ``choose_device``.
        backend: of the landmarks, ``mesh`` or ``fan``.
        kept_in: folder where compiled networks are kept; None keeps none.
        detecting: numbers of the landmarker.
        say: gets one line when something is about to be fetched.

    Raises:
        UsageError: there is no such bundle, device or precision.
        WeightsError: weights are absent and cannot be fetched.
        StorageError: they cannot be written.
        VideditError: this process may use too little memory.
    """
    check_memory(NETWORKS_MEMORY)
    chosen = choose_device(device, precision)
    return Networks(ensure_bundle(bundle, say), chosen, backend, kept_in, detecting)
