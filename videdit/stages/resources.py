"""What the stages of one run share: the source's timeline, and networks loaded when needed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bundles.bundle import Bundle
from ..bundles.manifest import ID_LENGTH, sha256_of
from ..device import Device
from ..errors import UsageError
from ..media.timeline import Timeline
from ..media.writer import output_ticks
from ..pipeline.settings import RunSettings

if TYPE_CHECKING:
    from ..editing.classifier import LatentClassifier
    from ..editing.editor import Editor
    from ..faces.backend import Backend
    from ..faces.recognition import FaceNetwork
    from ..generators.decoder import Decoder
    from ..generators.mobile import SynthesisNetwork
    from ..generators.wspace import WStatistics
    from ..inversion.encoder import CodePredictor
    from ..inversion.readout import Readout

FACE_PARTS = ("face_detection_full_range.tflite", "face_landmark.tflite")
FACE_NETWORK = "face_network.safetensors"
GENERATOR_PARTS = ("synthesis.xml", "synthesis.bin")
ENCODER_PARTS = (
    "encoder.safetensors",
    "corrector.safetensors",
    "w_statistics.safetensors",
    FACE_NETWORK,
    *GENERATOR_PARTS,
)
"""Everything that decides a code: the encoder's second look sees what its first code shows."""

EDITORS = {
    "transformer": "transformers.safetensors",
    "interfacegan": "interfacegan.safetensors",
    "ganspace": "ganspace.json",
}
"""The bundle's editors and their files."""

_DIRECTION = "direction:"


class Networks:
    """Lazily loaded networks of one bundle; runs over several sources can share them.

    Attributes:
        bundle: the bundle of weights.
        device: where networks run.
        backend_name: the landmark backend's.
    """

    def __init__(self, bundle: Bundle, device: Device, backend_name: str) -> None:
        self.bundle = bundle
        self.device = device
        self.backend_name = backend_name

    def ids(self, *parts: str) -> dict[str, str]:
        """The content ids of parts of the bundle, for a stage's key."""
        return {part: self.bundle.id(part) for part in parts}

    def landmark_models(self) -> dict[str, str]:
        """What the landmarks depend on; the library that fetches FAN's weights pins them."""
        if self.backend_name == "mesh":
            return self.ids(*FACE_PARTS)
        return {"face-alignment": importlib.metadata.version("face-alignment")}

    @cached_property
    def backend(self) -> Backend:
        """The landmark backend."""
        from ..faces.backend import load_backend

        files = {}
        if self.backend_name == "mesh":
            files = {part: self.bundle.path(part) for part in FACE_PARTS}
        return load_backend(self.backend_name, files, self.device.name)

    @cached_property
    def decoder(self) -> Decoder:
        """The generator."""
        from ..generators.decoder import load_decoder

        xml, binary = (self.bundle.path(part) for part in GENERATOR_PARTS)
        return load_decoder(xml, binary, device=self.device.name, precision=self.device.precision)

    @cached_property
    def statistics(self) -> WStatistics:
        """W's mean and covariance."""
        from ..generators.wspace import WStatistics

        return WStatistics.load(self.bundle.path("w_statistics.safetensors"))

    @cached_property
    def encoder(self) -> CodePredictor:
        """The feed-forward encoder with its second look."""
        from ..inversion.corrector import load_corrected_encoder
        from ..inversion.encoder import code_predictor

        network = load_corrected_encoder(
            self.bundle.path("encoder.safetensors"),
            self.bundle.path("corrector.safetensors"),
            self.statistics,
            self.synthesis,
            self.face_network,
        )
        return code_predictor(network, device=self.device.name)

    def editor(self, choice: str, keep: Sequence[str] = ()) -> Editor:
        """What moves codes along attributes.

        Args:
            choice: ``transformer``, ``interfacegan``, ``ganspace``, ``direction:FILE.npy``, or the
                path of transformers of one's own (.safetensors).
            keep: attributes that an edit of ``interfacegan`` holds.

        Raises:
            UsageError: unknown editor, or one that cannot keep attributes.
            WeightsError: its file is missing or damaged.
        """
        from ..editing import linear
        from ..editing.transformer import load_transformers

        if keep and choice != "interfacegan":
            raise UsageError(
                f"the editor {choice!r} takes no attributes to keep",
                "Leave --keep out (transformers are trained to keep the rest), or use "
                "--editor interfacegan.",
            )
        path = self._editor_file(choice)
        if choice == "interfacegan":
            return linear.load_normals(path).editor(keep)
        if choice == "ganspace":
            return linear.ganspace_editor(self.statistics, linear.load_components(path))
        if choice.startswith(_DIRECTION):
            return linear.direction_editor(path)
        return load_transformers(path)

    def _editor_file(self, choice: str) -> Path:
        if choice in EDITORS:
            return self.bundle.path(EDITORS[choice])
        path = Path(choice.removeprefix(_DIRECTION))
        if choice.startswith(_DIRECTION) or path.suffix == ".safetensors":
            if not path.is_file():
                raise UsageError(f"the editor's file {path} does not exist", "Check the name.")
            return path
        raise UsageError(
            f"there is no editor {choice!r}",
            f"Choose {', '.join(EDITORS)}, direction:FILE.npy, or a file of transformers"
            " (.safetensors).",
        )

    def editor_ids(self, choice: str) -> dict[str, str]:
        """The content id of an editor's file, for a stage's key."""
        if choice in EDITORS:
            return self.ids(EDITORS[choice])
        return {"editor": sha256_of(self._editor_file(choice))[:ID_LENGTH]}

    @cached_property
    def classifier(self) -> LatentClassifier:
        """Attributes read off codes."""
        from ..editing.classifier import load_classifier

        return load_classifier(self.bundle.path("classifier.safetensors"))

    @cached_property
    def readout(self) -> Readout:
        """The generator's cheap picture, for labelling codes by the ten thousand."""
        from ..bundles.tensors import load_weights
        from ..inversion.readout import Readout

        return load_weights(Readout(4), self.bundle.path("readout.safetensors"), "readout")

    @cached_property
    def synthesis(self) -> SynthesisNetwork:
        """The generator in PyTorch, for optimisation through it."""
        from ..generators.mobile import load_synthesis

        return load_synthesis(*(self.bundle.path(part) for part in GENERATOR_PARTS))

    @cached_property
    def face_network(self) -> FaceNetwork:
        """The face recognition network, for losses."""
        from ..faces.recognition import load_face_network

        return load_face_network(self.bundle.path(FACE_NETWORK))


class Resources:
    """What the stages of one run work with.

    Attributes:
        timeline: the source's frames and their times.
        networks: everything with weights.
        frames: the indices of the frames to edit.
    """

    def __init__(self, run: RunSettings, timeline: Timeline, networks: Networks) -> None:
        self.timeline = timeline
        self.networks = networks
        self.frames = timeline.select(run.start_s, run.stop_s)
        self._run = run

    @cached_property
    def editor(self) -> Editor:
        """What the run edits with."""
        return self.networks.editor(self._run.editor, self._run.keep)

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """(n,) the frames' times in seconds from the first, strictly rising.

        Where a source gives several frames one time, the output's times count: smoothing over time
        needs them apart.
        """
        ticks = output_ticks(self.timeline)
        return np.asarray((ticks - ticks[0]) * float(self.timeline.time_base), np.float64)
